"""Who has an account, with which roles; invitations, and making an account."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import get_user_model, login
from django.contrib.auth.models import User as Person
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from clusters.forms.accounts import SignUpForm
from clusters.forms.people import InvitationForm
from clusters.models import Invitation
from clusters.parameters import whole_number
from clusters.queries import people as reads
from clusters.queries.access import is_admin
from clusters.services import invitations, people
from clusters.views.accounts import BACKEND, account_urls
from clusters.views.errors import NotFound
from clusters.views.social import sign_in_ways

INVITATION = "invitation"  # in the session: the secret, for those who go on with an account elsewhere
ROLE_TEXTS = {
    people.LABELER: "labels clusters",
    people.ADJUDICATOR: "decides what is agreed on",
    people.RUNNER: "starts computing",
    people.ADMIN: "may do everything",
}


def for_admins(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Strangers sign in first; to everyone else the page does not exist."""

    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if is_admin(request.user):
            return view(request, *args, **kwargs)
        if request.user.is_authenticated or kwargs.get("twin"):
            raise NotFound("There is no such page", href=reverse("clusters:runs"), text="All runs")
        return redirect_to_login(request.get_full_path())

    return shown


@never_cache
@for_admins
@require_http_methods(["GET", "HEAD"])
def index(request: HttpRequest) -> HttpResponse:
    return _page(request)


@never_cache
@for_admins
@require_POST
def change(request: HttpRequest, number: str) -> HttpResponse:
    """A role given or taken, or somebody let in or not: each is a button of its own."""
    person = _person(number)
    deed = next((name for name in ("grant", "revoke", "account") if name in request.POST), "")
    act = _DEEDS.get((deed, request.POST.get("account", "")))
    if act is None:
        raise BadRequest("Send grant or revoke with a role, or account with activate or deactivate.")
    try:
        messages.success(request, act(request, person, request.POST[deed]))
    except (ValidationError, ValueError) as error:
        messages.error(request, error.messages[0] if isinstance(error, ValidationError) else str(error))
    return redirect("clusters:people")


@never_cache
@for_admins
@require_POST
def invite(request: HttpRequest) -> HttpResponse:
    """Answered with the page itself: the link is on it, and nowhere else ever again."""
    form = InvitationForm(request.POST, roles=people.ALL_ROLES)
    if not form.is_valid():
        return _page(request, problems={name: str(errors[0]) for name, errors in form.errors.items()})
    invitation, secret = invitations.invite(request.user, **form.cleaned_data)
    href = _whole(request, reverse("clusters:invitation", args=[secret]))
    return _page(request, made=invitation, href=href, was_mailed=invitations.mail(invitation, href))


@for_admins
@require_POST
def revoke(request: HttpRequest, number: str) -> HttpResponse:
    key = whole_number(number)
    if key is None or not invitations.revoke(request.user, key):
        raise NotFound(
            "There is no such invitation", advice="It was used or taken back.", href="/people/", text="People"
        )
    messages.success(request, "The invitation is taken back: its link works no more.")
    return redirect("clusters:people")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    if settings.SIGNUP != "open":
        return render(request, "accounts/closed.html", {"signup": settings.SIGNUP}, status=403)
    return _new_account(request, lambda **given: people.sign_up(**given), {})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """GET only asks, so that a preview of the link does not use it up."""
    found = invitations.usable(token)
    if found is None:
        return render(request, "accounts/invitation_over.html", status=410)
    if sign_in_ways():
        request.session[INVITATION] = token
    return _new_account(request, lambda **given: invitations.accept(token, **given), {"invitation": found})


def _new_account(request: HttpRequest, make: Callable[..., Person], ctx: dict[str, Any]) -> HttpResponse:
    """The form; on success the new person is signed in."""
    if request.user.is_authenticated:
        messages.warning(request, f"You are signed in as {request.user.get_username()}; sign out to make an account.")
        return redirect("clusters:runs")
    found = cast("Invitation | None", ctx.get("invitation"))
    form = SignUpForm(request.POST or None, initial={"email": found.email if found else ""})
    if request.method != "POST" or not form.is_valid():
        status = 422 if request.method == "POST" else 200
        return render(request, "accounts/sign_up.html", ctx | {"form": form, "ways": sign_in_ways()}, status=status)
    given = form.cleaned_data
    try:
        person = make(name=given["username"], password=given["password1"], email=given["email"])
    except PermissionDenied:
        return render(request, "accounts/invitation_over.html", status=410)
    login(request, person, backend=BACKEND)
    messages.success(request, f"Welcome, {person.get_username()}. Your profile holds units, theme, keys and more.")
    return redirect("clusters:runs")


def _page(
    request: HttpRequest,
    *,
    problems: dict[str, str] | None = None,
    made: Invitation | None = None,
    href: str = "",
    was_mailed: bool = False,
) -> HttpResponse:
    everybody = list(reads.all_people())
    now = timezone.now()
    ctx = {
        "here": "people",
        "rows": [_row(person) for person in everybody],
        "n_active": sum(person.is_active for person in everybody),
        "n_admins": sum(person.is_active and person.is_superuser for person in everybody),
        "invitations": [{"invitation": one, "is_over": one.expires_at <= now} for one in reads.open_invitations()],
        "roles": [{"name": name, "text": text} for name, text in ROLE_TEXTS.items()],
        "chosen_roles": request.POST.getlist("roles"),
        "email": request.POST.get("email", "") if problems else "",
        "problems": problems or {},
        "signup": settings.SIGNUP,
        "has_email": settings.HAS_EMAIL,
        "made": made,
        "href": href,
        "was_mailed": was_mailed,
    }
    return render(request, "people/index.html", ctx, status=422 if problems else 201 if made else 200)


def _row(person: Person) -> dict[str, Any]:
    held = {group.name for group in person.groups.all()} | ({people.ADMIN} if person.is_superuser else set())
    return {"person": person, "roles": [{"name": role, "has": role in held} for role in people.ALL_ROLES]}


def _grant(request: HttpRequest, person: Person, role: str) -> str:
    people.grant_role(request.user, person, role)
    return f"{person.get_username()} has the {role} role now."


def _take(request: HttpRequest, person: Person, role: str) -> str:
    people.revoke_role(request.user, person, role)
    return f"{person.get_username()} has the {role} role no more."


def _deactivate(request: HttpRequest, person: Person, _: str) -> str:
    people.deactivate(request.user, person)
    return f"{person.get_username()} is let in no more; what they wrote stays."


def _activate(request: HttpRequest, person: Person, _: str) -> str:
    people.activate(request.user, person)
    return f"{person.get_username()} may come in again."


_DEEDS = {
    ("grant", ""): _grant,
    ("revoke", ""): _take,
    ("account", "deactivate"): _deactivate,
    ("account", "activate"): _activate,
}


def _person(number: str) -> Person:
    key = whole_number(number)
    person = get_user_model().objects.filter(pk=key).first() if key is not None else None
    if person is None:
        raise NotFound("There is no such person", href=reverse("clusters:people"), text="People")
    return person


def _whole(request: HttpRequest, address: str) -> str:
    """With the site's own name where it is set, else as the browser called it."""
    return f"{settings.SITE_URL}{address}" if settings.SITE_URL else request.build_absolute_uri(address)


people_urls: list[URLPattern] = [
    *account_urls,
    path("sign-up/", sign_up, name="sign-up"),
    path("invitation/<str:token>/", invitation, name="invitation"),
    path("people/", index, name="people"),
    path("people/invitations/", invite, name="invite"),
    path("people/invitations/<str:number>/revoke/", revoke, name="invitation-revoke"),
    path("people/<str:number>/", change, name="person-change"),
]

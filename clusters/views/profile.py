"""How one person likes the site, and their keys for scripts."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User as Person
from django.core.exceptions import BadRequest, ObjectDoesNotExist, ValidationError
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from clusters.forms.profile import ApiKeyForm, PreferencesForm
from clusters.models import ApiKey
from clusters.queries import people as reads
from clusters.services import keys as key_services
from clusters.services import profile as services
from clusters.values.keys import ACTIONS, cap_of
from clusters.views.errors import NotFound
from clusters.views.preferences import keep_theme
from clusters.views.social import sign_in_ways

SCOPE_TEXTS = {
    ApiKey.Scope.READ: "read what you can see",
    ApiKey.Scope.LABEL: "write labels, notes and collections",
    ApiKey.Scope.RUN: "start and steer jobs",
    ApiKey.Scope.ADMIN: "do what administrators do",
}


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    """The page; preferences and key bindings are sent to it, each by a form of its own."""
    if request.method != "POST":
        return _page(request)
    action = _ACTIONS.get(request.POST.get("action", ""))
    if action is None:
        raise BadRequest(f"action must be one of {', '.join(_ACTIONS)}.")
    return action(request)


def _preferences(request: HttpRequest) -> HttpResponse:
    form = PreferencesForm(request.POST)
    if not form.is_valid():
        return _page(request, problems=_first_errors(form))
    try:
        services.save_preferences(_person(request), **form.cleaned_data)
    except ValidationError as error:
        return _page(request, problems=_sentences(error))
    messages.success(request, "Your preferences are kept.")
    response = redirect("clusters:profile")
    keep_theme(response, form.cleaned_data["theme"])
    return response


def _keys(request: HttpRequest) -> HttpResponse:
    written = {action.name: request.POST.get(action.name, "")[:20] for action in ACTIONS}
    try:
        services.save_keys(_person(request), written)
    except ValidationError as error:
        return _page(request, problems=_sentences(error), written=written)
    messages.success(request, "Your keys hold from now on.")
    return redirect("clusters:profile")


def _usual_keys(request: HttpRequest) -> HttpResponse:
    services.save_keys(_person(request), {})
    messages.success(request, "All keys are the usual ones again.")
    return redirect("clusters:profile")


def _disconnect(request: HttpRequest) -> HttpResponse:
    try:
        services.disconnect(_person(request), request.POST.get("provider", ""))
    except ValidationError as error:
        return _page(request, problems=_sentences(error))
    messages.success(request, "That account lets nobody in here any more.")
    return redirect("clusters:profile")


_ACTIONS = {"preferences": _preferences, "keys": _keys, "usual-keys": _usual_keys, "disconnect": _disconnect}


@never_cache
@login_required
@require_POST
def make_key(request: HttpRequest) -> HttpResponse:
    """Answered with the page itself: the key is on it, and nowhere else ever again."""
    person = _person(request)
    form = ApiKeyForm(request.POST, scopes=key_services.scopes_for(person))
    if not form.is_valid():
        return _page(request, key_form=form, problems=_first_errors(form))
    try:
        key, secret = key_services.make_key(person, **form.cleaned_data)
    except ValidationError as error:
        return _page(request, key_form=form, problems=_sentences(error))
    return _page(request, made=key, secret=secret)


@login_required
@require_POST
def revoke_key(request: HttpRequest, beginning: str) -> HttpResponse:
    try:
        key = key_services.revoke_key(_person(request), beginning)
    except ObjectDoesNotExist as error:
        raise NotFound(str(error), href="/profile/", text="Your profile") from error
    messages.success(request, f"The key “{key.name}” is revoked: nothing can be done with it any more.")
    return redirect("clusters:profile")


def _page(
    request: HttpRequest,
    *,
    problems: dict[str, str] | None = None,
    written: dict[str, str] | None = None,
    key_form: ApiKeyForm | None = None,
    made: ApiKey | None = None,
    secret: str = "",
) -> HttpResponse:
    person = _person(request)
    profile = reads.profile_of(person)
    typed: Any = request.POST if problems and "unit" in request.POST else None
    scopes = key_services.scopes_for(person)
    ctx = {
        "here": "profile",
        "profile": profile,
        "email": typed.get("email", "") if typed else person.email,
        "is_mailed": "is_mailed" in typed if typed else profile.is_mailed,
        "unit": typed.get("unit") if typed else profile.unit,
        "chosen_theme": typed.get("theme") if typed else profile.theme,
        "has_email": settings.HAS_EMAIL,
        "problems": problems or {},
        "actions": _action_rows(profile.keys, written, problems or {}),
        "keys": [_key_row(key) for key in reads.keys_of(person)],
        "scopes": [{"value": s, "text": SCOPE_TEXTS[ApiKey.Scope(s)], "is_on": _is_asked(key_form, s)} for s in scopes],
        "key_name": key_form.data.get("name", "")[:80] if key_form else "",
        "days": key_form.data.get("days", "")[:10] if key_form else key_services.USUAL_DAYS,
        "made": made,
        "secret": secret,
        "most_keys": settings.KEYS_PER_PERSON,
        "roles": [group.name for group in person.groups.order_by("name")] + (["admin"] if person.is_superuser else []),
        "ways": _ways(person),
    }
    return render(request, "profile/show.html", ctx, status=422 if problems else 201 if made else 200)


def _action_rows(own: dict[str, str], written: dict[str, str] | None, problems: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "action": action,
            "value": written[action.name] if written else cap_of(own.get(action.name, action.usual)),
            "problem": problems.get(action.name, ""),
            "is_own": action.name in own,
        }
        for action in ACTIONS
    ]


def _ways(person: Person) -> list[dict[str, Any]]:
    """Where one may sign in elsewhere, and since when the person may."""
    ways = sign_in_ways()
    since = reads.connected_accounts(person) if ways else {}
    return [{**way, "since": since.get(way["id"])} for way in ways]


def _key_row(key: ApiKey) -> dict[str, Any]:
    is_over = bool(key.expiry and key.expiry <= timezone.now())
    state = "revoked" if key.revoked_at else "expired" if is_over else "works"
    return {"key": key, "state": state, "css": "on good" if state == "works" else "mute"}


def _is_asked(form: ApiKeyForm | None, scope: str) -> bool:
    return scope == ApiKey.Scope.READ if form is None else scope in form.data.getlist("scopes")  # type: ignore[attr-defined]


def _first_errors(form: Form) -> dict[str, str]:
    return {name: str(errors[0]) for name, errors in form.errors.items()}


def _sentences(error: ValidationError) -> dict[str, str]:
    if hasattr(error, "error_dict"):
        return {name: texts[0] for name, texts in error.message_dict.items()}
    return {"all": error.messages[0]}


def _person(request: HttpRequest) -> Person:
    return cast(Person, request.user)


profile_urls: list[URLPattern] = [
    path("profile/", show, name="profile"),
    path("profile/keys/", make_key, name="key-make"),
    path("profile/keys/<str:beginning>/revoke/", revoke_key, name="key-revoke"),
]

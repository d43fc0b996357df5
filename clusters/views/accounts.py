"""Signing in and out, by password or by a link that works once; choosing a password."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.contrib.auth.models import User as Person
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from clusters.services import people

BY_LINK = "came_by_link"  # in the session: whoever holds the link may choose a new password
BACKEND = "django.contrib.auth.backends.ModelBackend"

sign_in = LoginView.as_view(
    template_name="accounts/sign_in.html", redirect_authenticated_user=True, extra_context={"here": "sign-in"}
)
sign_out = LogoutView.as_view(http_method_names=["post", "options"])


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """GET only asks, so that a preview of the link does not use it up."""
    if request.method != "POST":
        person = people.link_owner(token)
        return render(request, "accounts/link.html", {"person": person}, status=200 if person else 410)
    person = people.use_sign_in_link(token)
    if person is None:
        return render(request, "accounts/link.html", {"person": None}, status=410)
    login(request, person, backend=BACKEND)
    request.session[BY_LINK] = True
    advice = (
        ""
        if person.has_usable_password()
        else f" Choose a password at {reverse('clusters:password')} to come back without a link."
    )
    messages.success(request, f"You are signed in as {person.get_username()}.{advice}")
    return redirect("clusters:runs")


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Choose a password. Whoever came by a link, or has none yet, need not give the old one."""
    person = cast(Person, request.user)
    is_free = request.session.get(BY_LINK) or not person.has_usable_password()
    form = (SetPasswordForm if is_free else PasswordChangeForm)(person, request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        request.session.pop(BY_LINK, None)
        update_session_auth_hash(request, person)
        messages.success(request, "The new password holds from now on. Everywhere else you have been signed out.")
        return HttpResponseRedirect(reverse("clusters:runs"))
    return render(request, "accounts/password.html", {"form": form}, status=200 if request.method != "POST" else 422)

"""Signing in and out, by password or by a link that works once; choosing a password, and getting another."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm, PasswordResetForm, SetPasswordForm
from django.contrib.auth.models import User as Person
from django.contrib.auth.views import LoginView, LogoutView, PasswordResetConfirmView, PasswordResetView
from django.core.mail import EmailMessage
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse, reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from clusters.services import people
from clusters.services.audit import record
from clusters.services.mail import deliver_later
from clusters.views.social import sign_in_ways

BY_LINK = "came_by_link"  # in the session: whoever holds the link may choose a new password
BACKEND = "django.contrib.auth.backends.ModelBackend"


class SignIn(LoginView):
    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        more = {"here": "sign-in", "ways": sign_in_ways(), "signup": settings.SIGNUP}
        return super().get_context_data(**kwargs, **more)


sign_in = SignIn.as_view()
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
        with transaction.atomic():
            form.save()
            record(person, "password.choose", person.get_username())
        request.session.pop(BY_LINK, None)
        update_session_auth_hash(request, person)
        messages.success(
            request,
            "The new password holds from now on. Everywhere else you have been signed out; "
            "keys for scripts go on working until you revoke them on your profile.",
        )
        return HttpResponseRedirect(reverse("clusters:runs"))
    return render(request, "accounts/password.html", {"form": form}, status=200 if request.method != "POST" else 422)


class MailedResetForm(PasswordResetForm):
    """Mails a link to whoever has the address; the letter goes out beside the answer, which does not wait for it."""

    def send_mail(
        self,
        subject_template_name: str,
        email_template_name: str,
        context: dict[str, Any],
        from_email: str | None,
        to_email: str,
        html_email_template_name: str | None = None,
    ) -> None:
        text = render_to_string("accounts/reset_mail.txt", context | {"site": settings.SITE_URL})
        deliver_later(EmailMessage("Another password for QuantaWeb", text, settings.DEFAULT_FROM_EMAIL, [to_email]))


class Forgotten(PasswordResetView):
    """Ask for a link by mail. The answer is the same whoever is asked for, and takes as long."""

    template_name = "accounts/forgotten.html"
    form_class = MailedResetForm
    success_url = reverse_lazy("clusters:password-mailed")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if settings.HAS_EMAIL:
            return super().get(request, *args, **kwargs)
        return render(request, "accounts/no_mail.html")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if settings.HAS_EMAIL:
            return super().post(request, *args, **kwargs)
        return render(request, "accounts/no_mail.html", status=409)

    def form_invalid(self, form: Form) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)


class ChooseAgain(PasswordResetConfirmView):
    """What a mailed link opens: two fields for a new password."""

    template_name = "accounts/choose_again.html"
    success_url = reverse_lazy("clusters:sign-in")

    def get_user(self, uidb64: str) -> Person | None:
        """Whose link it is; nobody's once they are deactivated."""
        person = super().get_user(uidb64)
        return person if person is not None and person.is_active else None

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            person = cast(Person, self.user)
            record(person, "password.reset", person.get_username())
        messages.success(self.request, "The new password holds from now on; sign in with it.")
        return response

    def form_invalid(self, form: Form) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """A link that works no more is gone."""
        return super().render_to_response(context, **({"status": 410} if not self.validlink else {}) | kwargs)


@never_cache
def mailed(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/mailed.html")


account_urls: list[URLPattern] = [
    path("password/forgotten/", Forgotten.as_view(), name="password-forgotten"),
    path("password/mailed/", mailed, name="password-mailed"),
    path("password/again/<str:uidb64>/<str:token>/", ChooseAgain.as_view(), name="password-again"),
]

"""What django-allauth asks of the site; imported only where a provider is set up."""

from __future__ import annotations

from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.contrib.auth.models import User as Person
from django.db import transaction
from django.http import HttpRequest
from django.shortcuts import render
from django.urls import reverse

from clusters.services import invitations, people
from clusters.services.audit import record

INVITATION = "invitation"  # in the session: the secret of the invitation that somebody came with


class Adapter(DefaultSocialAccountAdapter):
    """New accounts follow QW_SIGNUP, as those with a password do; nobody is matched by an e-mail address."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        if settings.SIGNUP == "open":
            return True
        return invitations.usable(request.session.get(INVITATION, "")) is not None

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        is_new = not sociallogin.is_existing and sociallogin.state.get("process") != "connect"
        if is_new and not self.is_open_for_signup(request, sociallogin):
            ctx = {"name": _name(sociallogin.account.get_provider())}
            raise ImmediateHttpResponse(render(request, "accounts/no_account.html", ctx, status=403))

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> Person:
        """The account with what its invitation or the settings give it; only a proven address is kept."""
        proven = [address for address in sociallogin.email_addresses if address.verified]
        sociallogin.email_addresses = proven
        sociallogin.user.email = proven[0].email if proven else ""
        with transaction.atomic():
            person: Person = super().save_user(request, sociallogin, form)
            secret = request.session.pop(INVITATION, "")
            if secret and invitations.usable(secret):
                invitations.take_up(secret, person)
            else:
                people.give_first_roles(person)
            record(person, "person.sign-up", person.get_username(), by=_name(sociallogin.account.get_provider()))
        return person

    def on_authentication_error(self, request: HttpRequest, provider: Any, **_: Any) -> None:
        raise ImmediateHttpResponse(render(request, "accounts/not_let_in.html", {"name": _name(provider)}, status=403))

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("clusters:profile")


def _name(provider: Any) -> str:
    """As the button calls it."""
    names = {way["provider"]: way["name"] for way in settings.SIGN_IN_WAYS}
    return names.get(getattr(provider, "id", ""), "the other site")

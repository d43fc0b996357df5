"""Who asks: the holder of a personal key, or the person whose session the browser has."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from knox.auth import TokenAuthentication
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from clusters.models import ApiKey
from clusters.services.rates import Rate, client_address, counted_as, wait

UNKNOWN = "Invalid token."  # what knox says
REFRESH = timedelta(minutes=1)  # how precisely "last used" is kept


class KeyAuthentication(TokenAuthentication):
    """`Authorization: Bearer qw_…`. Expired and revoked keys are kept, so that their owners see what became of them.

    Keys that open nothing are counted by address, as wrong passwords are; those that do are not held back by it.
    """

    def authenticate(self, request: Request) -> tuple[object, ApiKey] | None:
        try:
            found: tuple[object, ApiKey] | None = super().authenticate(request)
        except AuthenticationFailed:
            self._count_failure(request)
            raise
        return found

    def _count_failure(self, request: Request) -> None:
        address = counted_as(client_address(request._request))
        rate = Rate("bad-keys", settings.WEB_RATES["bad-keys"], 3600)
        if address is not None and (seconds := wait(rate, address)):
            raise Throttled(seconds, "Too many keys from your address open nothing. Make another on your profile.")

    def authenticate_credentials(self, token: bytes) -> tuple[object, ApiKey]:
        try:
            token.decode("ascii")
        except UnicodeDecodeError:
            raise AuthenticationFailed("This is no key: a key is plain text that begins with qw_.") from None
        try:
            return super().authenticate_credentials(token)
        except AuthenticationFailed as error:
            if str(error.detail) != UNKNOWN:
                raise
            raise AuthenticationFailed("This key is not known here; make one on your profile.") from None

    def validate_user(self, auth_token: ApiKey) -> tuple[object, ApiKey]:
        now = timezone.now()
        if auth_token.revoked_at:
            raise AuthenticationFailed("This key was revoked; make another on your profile.")
        if auth_token.expiry and auth_token.expiry <= now:
            raise AuthenticationFailed("This key has expired; make another on your profile.")
        found = super().validate_user(auth_token)
        if auth_token.last_used_at is None or auth_token.last_used_at < now - REFRESH:
            ApiKey.objects.filter(pk=auth_token.pk).update(last_used_at=now)
        return found

    def _cleanup_token(self, auth_token: ApiKey) -> bool:
        return False


class SessionAuthentication(authentication.SessionAuthentication):
    """The browser's session, with its CSRF token; 401 where neither it nor a key says who asks."""

    def authenticate_header(self, request: object) -> str:
        return "Bearer"

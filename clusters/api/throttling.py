"""How often one key, one person or one address may ask. Not a defence: that is the proxy's."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from clusters.models import ApiKey, IdempotentRequest
from clusters.services.rates import Rate, client_address, counted_as, wait
from compute.jobs import quotas


class PerKey(SimpleRateThrottle):
    """600 requests a minute for each key or person, 300 for each address without; this machine's own are free.

    Pure numbers, through which people drag and play, have a rate of their own.
    """

    scope = "person"
    seconds_left = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        is_person = bool(request.user and request.user.is_authenticated)
        self.scope = "person" if is_person else "anonymous"
        if not getattr(view, "is_throttled", True):
            self.scope = "numbers"
        who = self.get_cache_key(request, view)
        if who is None:
            return True
        most, seconds = self.parse_rate(self.get_rate())
        self.seconds_left = wait(Rate(f"api-{self.scope}", most, seconds), who)
        return not self.seconds_left

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        """Whom the request is counted for; None where it is free."""
        if isinstance(request.auth, ApiKey):
            return f"key-{request.auth.token_key}"
        if request.user and request.user.is_authenticated:
            return f"person-{request.user.pk}"
        return counted_as(client_address(request._request))

    def wait(self) -> float:
        return self.seconds_left


class JobsPerPerson(BaseThrottle):
    """So many jobs an hour for each person as pages allow, too: those that are there are counted, not the attempts."""

    seconds_left = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        if request.method != "POST" or _is_answered(request):
            return True
        self.seconds_left = quotas.seconds_left(request.user.pk)
        return not self.seconds_left

    def wait(self) -> float:
        return self.seconds_left


def _is_answered(request: Request) -> bool:
    """Whether the request asks again for an answer that is kept, and so starts nothing."""
    key = request.headers.get("Idempotency-Key", "").strip()[:200]
    answered = IdempotentRequest.objects.filter(user_id=request.user.pk, key=key, status__isnull=False)
    return bool(key) and answered.exists()

"""How often one key, one person or one address may ask. Not a defence: that is the proxy's."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from clusters.models import ApiKey, IdempotentRequest
from compute.jobs.probes import KIND as PROBE
from compute.models import Job


class PerKey(SimpleRateThrottle):
    """600 requests a minute for each key or person, 300 for each address without; this machine's own are free."""

    scope = "person"

    def allow_request(self, request: Request, view: Any) -> bool:
        if not getattr(view, "is_throttled", True):
            return True
        self.scope = "person" if request.user and request.user.is_authenticated else "anonymous"
        self.rate = self.get_rate()
        self.num_requests, self.duration = self.parse_rate(self.rate)
        return super().allow_request(request, view)

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if isinstance(request.auth, ApiKey):
            return self.cache_format % {"scope": self.scope, "ident": request.auth.token_key}
        if request.user and request.user.is_authenticated:
            return self.cache_format % {"scope": self.scope, "ident": request.user.pk}
        address = _address(self.get_ident(request))
        if address is not None and address.is_loopback:
            return None
        return self.cache_format % {"scope": self.scope, "ident": address}


class JobsPerPerson(BaseThrottle):
    """Ten jobs an hour for each person: those that are there are counted, probes aside, and not the attempts."""

    RATE = SimpleRateThrottle.THROTTLE_RATES["jobs"]
    seconds_left: float | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        if request.method != "POST" or _is_answered(request):
            return True
        n_jobs, seconds = SimpleRateThrottle.parse_rate(self, self.RATE)
        now, period = timezone.now(), timedelta(seconds=seconds)
        own = Job.objects.filter(requested_by_id=request.user.pk, created_at__gt=now - period).exclude(kind=PROBE)
        recent = list(own.order_by("-created_at").values_list("created_at", flat=True)[:n_jobs])
        if len(recent) < n_jobs:
            return True
        self.seconds_left = (recent[-1] + period - now).total_seconds()
        return False

    def wait(self) -> float | None:
        return self.seconds_left


def _is_answered(request: Request) -> bool:
    """Whether the request asks again for an answer that is kept, and so starts nothing."""
    key = request.headers.get("Idempotency-Key", "").strip()[:200]
    answered = IdempotentRequest.objects.filter(user_id=request.user.pk, key=key, status__isnull=False)
    return bool(key) and answered.exists()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; None, which all share, for what is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None

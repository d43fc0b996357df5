"""How often one key, one person or one address may ask. Not a defence: that is the proxy's."""

from __future__ import annotations

import ipaddress
from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from clusters.models import ApiKey


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
        address = self.get_ident(request)
        return None if _is_loopback(address) else self.cache_format % {"scope": self.scope, "ident": address}


class JobsPerPerson(PerKey):
    """Ten jobs an hour for each person."""

    def allow_request(self, request: Request, view: Any) -> bool:
        if request.method != "POST":
            return True
        self.scope = "jobs"
        self.rate = self.get_rate()
        self.num_requests, self.duration = self.parse_rate(self.rate)
        return SimpleRateThrottle.allow_request(self, request, view)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False

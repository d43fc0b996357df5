"""How often somebody may ask: counted in the cache that all web processes share.

Not a defence against floods, which is the proxy's. While the cache does not answer nothing is counted and everybody
may ask; reading is worth more than counting.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest

FITS_OFTEN = "You ask for more fits of new curves than this site can make"
NO_ADDRESS = "0.0.0.0"  # noqa: S104 (nothing listens there: it stands for an address that is none)


@dataclass(frozen=True)
class Rate:
    """At most so many in so many seconds."""

    name: str
    most: int
    seconds: int = 60


def wait(rate: Rate, who: str) -> float:
    """Count one more; 0 where that is within the rate, else the seconds after which one may ask again.

    A window begins with somebody's first request. The count is one that the cache makes, so no two processes make
    the same.
    """
    now, window = time.time(), f"rate:{rate.name}:{who}"
    began = cache.get(window)
    if began is None:
        cache.add(window, now, rate.seconds)
        began = cache.get(window, now)  # somebody else's, perhaps
    count = f"{window}:{began}"
    try:
        if cache.add(count, 1, 2 * rate.seconds):
            return 0.0
        n = cache.incr(count)
    except ValueError:  # the cache went away just now
        return 0.0
    return max(began + rate.seconds - now, 1.0) if n > rate.most else 0.0


def fit_wait(who: str | None) -> float:
    """Count a fit of laws with breaks, which takes a processor for a while; 0 for nobody that is counted."""
    return wait(Rate("fits", settings.WEB_RATES["fits"]), who) if who else 0.0


def fitter(request: HttpRequest) -> str | None:
    """Whom a page's fits are counted for: the person or the address, as for the API's; this machine's are free."""
    address = counted_as(client_address(request))
    return f"person-{request.user.pk}" if address and request.user.is_authenticated else address


def client_address(request: HttpRequest) -> str:
    """Where a request comes from: what a proxy of ours says (QW_PROXIES of them), else the connection.

    All whose address is none (at a socket without a proxy, say) are counted together: as nobody, no sign-in would lock.
    """
    seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    is_told = 0 < settings.PROXIES <= len(seen)
    try:
        return str(ipaddress.ip_address(seen[-settings.PROXIES] if is_told else request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return NO_ADDRESS


def counted_as(address: str) -> str | None:
    """Whom an address is counted as: a household's IPv6 network is one; None for this machine, which is free.

    What is no address is counted as one and the same, so that nothing is gained by inventing some.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "nobody"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return None if found.is_loopback else str(ipaddress.ip_network((found, 64), strict=False).network_address)
        found = found.ipv4_mapped
    return None if found.is_loopback else str(found)


def guesser(request: HttpRequest) -> str:
    """Whom wrong passwords are counted for: a household's IPv6 network is one, whose addresses are without number."""
    address = client_address(request)
    return counted_as(address) or address

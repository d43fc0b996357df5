"""How often pages may be asked for, and how much of what takes long goes on at once; a refusal says for how long.

What takes long is an answer that is streamed, a table that is worked out for one, or a body that comes slowly.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from clusters.htmx import wants_fragment
from clusters.services.health import WATCHERS
from clusters.services.rates import Rate, client_address, counted_as, wait
from clusters.views import errors
from clusters.views.bodies import timed

API = "/api/v1/"  # counts for itself, by key
# asked for many times while somebody drags or plays, as twins are but for tables and what looks through a whole text
NUMBERS = {
    *("rank-frequency-fit", "losses-frames", "map-positions", "map-colours"),
    *("similarity-tile", "similarity-picture", "similarity-pair", "similarity-pair-twin"),
}
LETTERS = {"password-forgotten", "sign-up", "invite", "sign-in-link", "password-again", "invitation"}
OFTEN = "You ask more often than this site can answer"
AT_ONCE = "Too many files are being downloaded at once"
SLOWLY = "What you sent came too slowly, and only so much of that is waited for at once"


class HeldBack:
    """600 pages a minute for each person, 300 for each address without; this machine's own are free.

    It stands before whatever reads a body: who asks too often is not read, and what comes slowly is under its eye.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._streams = Streams(max(1, settings.WEB_THREADS // 2))

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        who = counted_as(client_address(request))
        body = timed(request, lambda: self._streams.begin(who), lambda: self._streams.end(who))
        response = self._get_response(request)
        if body is not None:
            body.finish()
            if body.is_cut:
                response.close()
                return too_many(request, 10.0, SLOWLY)
        return response if who is None else self._placed(request, response, who)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        name = _name(request)
        address = counted_as(client_address(request))
        if name in WATCHERS or address is None or request.path_info.startswith(API):
            return None
        if seconds := wait(*_bucket(request, name, address)):
            return too_many(request, seconds)
        if _is_table(request):
            if not self._streams.begin(address):
                return too_many(request, 10.0, AT_ONCE)
            request.has_place = True  # type: ignore[attr-defined]
        return None

    def _placed(self, request: HttpRequest, response: HttpResponseBase, who: str) -> HttpResponseBase:
        """An answer that is streamed holds a place until its end; with one that is whole, a table's is given back."""
        has_place = getattr(request, "has_place", False)
        if not response.streaming:
            if has_place:
                self._streams.end(who)
            return response
        if not (has_place or self._streams.begin(who)):
            response.close()
            return too_many(request, 10.0, AT_ONCE)
        response.streaming_content = self._streams.counted(who, response.streaming_content)  # type: ignore[attr-defined]
        return response


def _name(request: HttpRequest) -> str:
    return str(request.resolver_match.url_name) if request.resolver_match else ""


def _is_table(request: HttpRequest) -> bool:
    """Whether a page's .csv is asked for: much of its work may be done before its first line is sent."""
    return bool(request.resolver_match and request.resolver_match.kwargs.get("twin") == "csv")


def _bucket(request: HttpRequest, name: str, address: str) -> tuple[Rate, str]:
    rates = settings.WEB_RATES
    if name in LETTERS and request.method == "POST":
        return Rate("letters", rates["letters"], 3600), address
    if name == "sign-in" and request.method == "POST":
        return Rate("sign-ins", rates["sign-ins"], 3600), address
    is_person = request.user.is_authenticated
    who = f"person-{request.user.pk}" if is_person else address
    if name in NUMBERS or (name.endswith("-twin") and name != "search-twin" and not _is_table(request)):
        return Rate("numbers", rates["numbers"]), who
    kind = "person" if is_person else "anonymous"
    return Rate(f"page-{kind}", rates[kind]), who


class Streams:
    """What takes long and is under way in this process: half its threads at most, a quarter for each address.

    This machine, which is no address, may have all of them.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._open: Counter[str | None] = Counter()

    def begin(self, who: str | None) -> bool:
        with self._lock:
            each = self.most if who is None else max(1, self.most // 2)
            if self._open.total() >= self.most or self._open[who] >= each:
                return False
            self._open[who] += 1
            return True

    def end(self, who: str | None) -> None:
        with self._lock:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]

    def counted(self, who: str, content: Iterable[bytes]) -> _Counted:
        return _Counted(content, lambda: self.end(who))


class _Counted:
    """A stream that says once when it is over, read to its end or not."""

    def __init__(self, content: Iterable[bytes], on_end: Callable[[], None]) -> None:
        self._content, self._on_end, self._is_over = iter(content), on_end, False
        self._close = getattr(content, "close", None)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._content)
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        self._end()
        if self._close is not None:
            self._close()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._on_end()


def too_many(request: HttpRequest, seconds: float, reason: str = OFTEN) -> HttpResponse:
    """A page, a part of one, or JSON: 429, and when to ask again."""
    n = max(1, math.ceil(seconds))
    when = f"{n} second{'s' if n > 1 else ''}" if n <= 90 else f"{math.ceil(n / 60)} minutes"
    ctx: dict[str, object] = {"reason": reason, "advice": f"Try again in {when}; nothing was changed.", "when": when}
    if request.GET.get("embed") == "true":
        response = errors._alone(request, 429, ctx)
    elif request.path.startswith("/api/") or request.path.endswith(".json"):
        response = JsonResponse(
            {"error": {"status": 429, "code": "throttled", "message": f"{reason}. {ctx['advice']}"}}, status=429
        )
    elif wants_fragment(request):
        response = HttpResponse(f"{reason}. {ctx['advice']}", status=429, content_type="text/plain; charset=utf-8")
    else:
        response = render(None, "errors/429.html", ctx | {"theme": request.COOKIES.get("theme", "auto")}, status=429)
    response["Retry-After"] = str(n)
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["HX-Request"])
    return response

"""Asks an OpenAI-compatible endpoint. Used by workers alone: pages never wait for another server."""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2
from django.conf import settings

from clusters.services.machine_prompt import Messages
from compute.errors import ComputeError

logger = logging.getLogger(__name__)
MAX_TRIES = 5
MAX_BYTES = 1_000_000  # of an answer
MAX_PAUSE = 300.0  # seconds that an endpoint may ask us to wait
TIMEOUT = httpx2.Timeout(60, connect=10)
MAX_SECONDS = 180.0  # of one try, whatever trickles in
FIRST_PAUSE = 1.0


class EndpointError(ComputeError):
    """The endpoint cannot be asked, or does not answer as one of its kind."""


class _Again(Exception):  # noqa: N818  (a reason to ask again, not the end)
    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.pause = reason, pause


def chat(
    messages: Messages, *, url: str, lm: str, key: str, tick: Callable[[], object], sleep: Callable[[float], object]
) -> str:
    """The model's answer to these messages.

    Asked again up to five times where the endpoint is busy or fails, with growing pauses or the one that it names.
    `tick` is called while waiting, at least once a second, and may raise to stop. Errors never name key or messages.
    """
    host = urlsplit(url).netloc.rpartition("@")[2]
    for number in range(1, MAX_TRIES + 1):
        tick()
        try:
            return _once(messages, url=url, lm=lm, key=key, host=host, tick=tick)
        except _Again as error:
            logger.warning("%s, try %s of %s: %s", host, number, MAX_TRIES, error.reason)
            if number == MAX_TRIES:
                raise EndpointError(f"{host} {error.reason}, {MAX_TRIES} times. Ask again later.") from None
            pause = error.pause if error.pause is not None else FIRST_PAUSE * 2 ** (number - 1)
        if pause > MAX_PAUSE:
            raise EndpointError(f"{host} wants us to wait {pause:,.0f} s before we ask again. Ask again later.")
        _wait(pause, tick, sleep)
    raise AssertionError("unreachable")


def _once(messages: Messages, *, url: str, lm: str, key: str, host: str, tick: Callable[[], object]) -> str:
    _refuse_private(url, host)
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    asked = {"model": lm, "messages": messages, "stream": False}
    try:
        with (
            httpx2.Client(timeout=TIMEOUT, follow_redirects=False) as client,
            client.stream("POST", f"{url}/chat/completions", json=asked, headers=headers) as response,
        ):
            _refuse(response, host)
            body = _read(response, host, tick)
    except httpx2.TimeoutException:
        raise _Again("did not answer in time") from None
    except httpx2.TransportError as error:
        raise _Again(f"cannot be reached ({type(error).__name__})") from None
    except httpx2.DecodingError:
        raise EndpointError(f"{host} sent an answer that cannot be decoded.") from None
    return _content(body, host)


def _refuse_private(url: str, host: str) -> None:
    """A name that leads into the operator's own network is asked only where QW_SUGGEST_PRIVATE says that it is meant.

    An address that is written as such, or localhost, is meant.
    """
    name, port = urlsplit(url).hostname or "", urlsplit(url).port
    if settings.SUGGEST_PRIVATE or name == "localhost" or _address(name) is not None:
        return
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(name, port or 443, type=socket.SOCK_STREAM)}
    except OSError:
        raise _Again("cannot be reached (its name is not known)") from None
    if not all((address := _address(one)) is not None and address.is_global for one in found):
        raise EndpointError(f"{host} lies in a private network. If that is meant, set QW_SUGGEST_PRIVATE=1.")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _refuse(response: httpx2.Response, host: str) -> None:
    """Raise unless the endpoint has answered."""
    code = response.status_code
    if code == 429 or code >= 500:
        raise _Again("is busy (429)" if code == 429 else f"fails ({code})", _asked_pause(response))
    if 300 <= code < 400:
        raise EndpointError(f"{host} sends us elsewhere ({code}); QW_SUGGEST_URL must be the final address.")
    if code in (401, 403):
        raise EndpointError(f"{host} refuses the key ({code}); an administrator can set QW_SUGGEST_KEY.")
    if code != 200:
        raise EndpointError(f"{host} refuses the question ({code}); look at QW_SUGGEST_URL and QW_SUGGEST_MODEL.")


def _read(response: httpx2.Response, host: str, tick: Callable[[], object]) -> bytes:
    """The body, as far as it is allowed to go on."""
    parts, n_bytes, started = [], 0, time.monotonic()
    for part in response.iter_bytes(65_536):
        tick()
        n_bytes += len(part)
        if n_bytes > MAX_BYTES:
            raise EndpointError(f"{host} sent more than {MAX_BYTES:,} bytes; no answer is as long.")
        if time.monotonic() - started > MAX_SECONDS:
            raise _Again("did not answer in time")
        parts.append(part)
    return b"".join(parts)


def _content(body: bytes, host: str) -> str:
    """What the model says in the first choice."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        content = None
    if not isinstance(content, str):
        raise EndpointError(f"{host} did not answer as an OpenAI-compatible API does; look at QW_SUGGEST_URL.")
    return content.replace("\0", "").encode("utf-8", "replace").decode()


def _asked_pause(response: httpx2.Response) -> float | None:
    """Seconds that Retry-After asks for, as a number or a date."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value[:12])
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)


def _wait(seconds: float, tick: Callable[[], object], sleep: Callable[[float], object]) -> None:
    """Sleep in short pieces, so that a worker that is told to stop does."""
    while seconds > 0:
        tick()
        sleep(min(seconds, 1.0))
        seconds -= 1.0

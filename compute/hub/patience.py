"""Failures that may pass: which they are, and how long to wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar

import httpx2
from filelock import Timeout
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import WeakFileLock, parse_ratelimit_headers

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)  # before each try after the first
LONGEST_WAIT_SECONDS = 600.0  # a Hub that asks for a longer pause is asked again by a person
PASSING_STATUS = (408, 429, 500, 502, 503, 504)
T = TypeVar("T")


def is_absence(error: BaseException) -> bool:
    """Whether the Hub was not reached or could not answer, rather than refused."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in PASSING_STATUS
    return isinstance(error, httpx2.TransportError | OfflineModeIsEnabled)


def is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    may_change = not isinstance(error, OfflineModeIsEnabled)
    return is_absence(error) and may_change and asked_pause(error) <= LONGEST_WAIT_SECONDS


def patiently(ask: Callable[[], T], *, tell: Callable[[], None]) -> T:
    """Ask, and ask again after each pause for as long as what fails may pass; `tell` is called while waiting."""
    for pause in BACKOFF_SECONDS:
        try:
            return ask()
        except (httpx2.TransportError, HfHubHTTPError) as error:
            if not is_passing(error):
                raise
            rest(max(pause, asked_pause(error)), tell=tell)
    return ask()


def rest(seconds: float, *, tell: Callable[[], None]) -> None:
    """Sleep in short pieces."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        tell()
        time.sleep(min(left, 1.0))


def asked_pause(error: BaseException) -> float:
    """Seconds that the Hub asked to wait; 0 if it did not."""
    if not isinstance(error, HfHubHTTPError):
        return 0.0
    headers = error.response.headers
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    stated = headers.get("Retry-After", "").strip()
    if stated.isdecimal():
        return float(stated)
    try:
        return max(0.0, (parsedate_to_datetime(stated) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


@contextmanager
def alone(lock: Path, *, tell: Callable[[], None]) -> Iterator[None]:
    """Hold a lock among processes; `tell` is called while another holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(WeakFileLock(lock, timeout=1.0))
                break
            except Timeout:
                tell()
        yield

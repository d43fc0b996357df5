"""What people send is read in a thread, which waits for it: what comes slowly holds a place meanwhile, or is cut."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Timer
from typing import Any

from django.core.exceptions import BadRequest
from django.core.handlers.wsgi import LimitedStream
from django.http import HttpRequest

SOON, LONGEST = 1.0, 90.0  # seconds from the first look at a body: until it is slow, and until it is over, come or not
CUT = "The request ended before all of it had come."


class Body(io.RawIOBase):
    """What gunicorn reads of one request; it is never taken for whole where it is not.

    Nothing ends a thread's wait for bytes but the connection itself: to cut a body is to close the half of it that is
    read. `begin` takes a place for a slow body, or says that there is none; `end` gives it back.
    """

    def __init__(
        self, environ: dict[str, Any], n_bytes: int, begin: Callable[[], bool], end: Callable[[], None]
    ) -> None:
        self._take, self._link = environ["wsgi.input"].read, environ["gunicorn.socket"]
        self._n_left, self._begin, self._end = n_bytes, begin, end
        self._lock = Lock()
        self._timer: Timer | None = None
        self._has_place = self._is_over = self.is_cut = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._timer is None:
            self._wait(SOON, self._hold)
        data = self._take(len(buffer))
        self._n_left -= len(data)
        if len(data) < len(buffer):
            raise BadRequest(CUT)
        if self._n_left <= 0:
            self.finish()
        buffer[:] = data
        return len(data)

    def finish(self) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._has_place:
                self._end()
            self._has_place, self._is_over = False, True

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._timer = Timer(seconds, then)
        self._timer.daemon = True
        self._timer.start()

    def _hold(self) -> None:
        with self._lock:
            if self._is_over:
                return
            self._has_place = self._begin()
            if self._has_place:
                self._wait(LONGEST - SOON, self._cut)
                return
        self._cut()

    def _cut(self) -> None:
        with self._lock:
            if not self._is_over:
                self.is_cut = True
                with suppress(OSError):
                    self._link.shutdown(socket.SHUT_RD)


def timed(request: HttpRequest, begin: Callable[[], bool], end: Callable[[], None]) -> Body | None:
    """Have the request's body read as `Body` says; None where it has none, or where no gunicorn reads it."""
    environ = getattr(request, "environ", {})
    length = environ.get("CONTENT_LENGTH") or ""
    n_bytes = int(length) if length.isdecimal() else 0
    if not n_bytes or "gunicorn.socket" not in environ:
        return None
    body = Body(environ, n_bytes, begin, end)
    request._stream = LimitedStream(body, n_bytes)  # type: ignore[assignment, arg-type]
    return body

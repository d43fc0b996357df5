"""Removing what nothing names while others put and name: neither side may lose what the other relies on.

Whoever removes says so in the store first, and only then lists what is old and reads what is named. Whoever finds that
an old object is there sends it again, which makes it young, and then waits until a removal that is under way has ended:
that one may have listed the object before. A removal that begins later finds it young. So an object is either seen to
be young, or its putter sees that it has gone, and puts it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING
from uuid import uuid4

from compute.errors import StorageError

if TYPE_CHECKING:
    from compute.store.objects import Store

KEY = "removing"  # the record of whoever removes
YOUNG_SECONDS = 86_400.0  # what was put since then is sent no second time, and no removal takes it
LEAST_SECONDS = 2 * YOUNG_SECONDS  # of what a removal may take; clocks of hosts and store may differ by the rest
DEAD_SECONDS = 60.0  # without a change of its record, after which a removal was cut short
_SAY_EVERY = 5.0  # seconds
_LOOK_EVERY = 0.5  # seconds
_AT_ONCE = 1000  # keys


class Removal:
    """The right to remove; `go_on` keeps it, and raises StorageError where others took this process for dead."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._own = self._said = uuid4().hex.encode()
        self._at = time.monotonic()

    def go_on(self) -> None:
        if time.monotonic() - self._at < _SAY_EVERY:
            return
        if self._store.read(KEY) != self._said:
            raise StorageError(
                f"Removing from the store {self._store.name} took too long between two steps, and was stopped: another "
                "process needs what could have gone. What is left goes the next time."
            )
        self._said = self._own + f" {time.monotonic():.0f}".encode()
        self._store.write(KEY, self._said)
        self._at = time.monotonic()

    def remove(self, keys: Iterable[str]) -> None:
        rest = iter(keys)
        while some := list(islice(rest, _AT_ONCE)):
            self.go_on()
            self._store.remove(some)

    def begin(self) -> None:
        outlast(self._store)
        self._store.settle(KEY, self._own)
        if self._store.read(KEY) != self._own:
            raise StorageError(f"Another process removes from the store {self._store.name} just now; try again later.")

    def end(self) -> None:
        if self._store.read(KEY) == self._said:
            self._store.remove([KEY])


@contextmanager
def removing(store: Store) -> Iterator[Removal]:
    """Remove from the store, alone. What is old and unnamed has to be looked for within."""
    one = Removal(store)
    one.begin()
    try:
        yield one
    finally:
        one.end()


def outlast(store: Store, tell: Callable[[], None] = lambda: None) -> bool:
    """Wait until no removal is under way; whether one was. One that was cut short is taken for ended."""
    seen, since = store.read(KEY, tell), time.monotonic()
    if seen is None:
        return False
    while (now := store.read(KEY, tell)) is not None:
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > DEAD_SECONDS:
            store.remove([KEY], tell)
        time.sleep(_LOOK_EVERY)
        tell()
    return True

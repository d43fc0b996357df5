"""Results that threads of one process share: the latest few, by what they were asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The `most` results that were asked for last. Keys name a bundle by its hash, so nothing here goes stale."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, Lock()
        self._results: OrderedDict[Hashable, T] = OrderedDict()

    def known(self, key: Hashable) -> T | None:
        """The result of a key if it is kept."""
        with self._lock:
            return self._results.get(key)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result of a key; two threads that ask at once may both make it. An error is never kept."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]
        made = make()
        with self._lock:
            self._results[key] = made
            self._results.move_to_end(key)
            while len(self._results) > self._most:
                self._results.popitem(last=False)
        return made

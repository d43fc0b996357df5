"""What any place must be able to do that a store lies in. Keys are relative, as in `objects/ab/ab12…`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from compute.errors import StorageError

PART_BYTES = 8 << 20  # moved at a time: what a transfer holds in memory
Attempt = Callable[[Callable[[], Any]], Any]  # makes a request, and makes it again if need be


@dataclass(frozen=True)
class Listed:
    """One key, as a listing tells of it."""

    key: str
    n_bytes: int
    modified: float  # seconds since 1970, by the store's clock


class Place(Protocol):
    """Raises FileNotFoundError for what is not there, PermissionError where it is refused, others if out of reach."""

    def read(self, key: str, most: int) -> bytes:
        """The content, or so many bytes of it where it is longer."""

    def read_part(self, key: str, first: int, n_bytes: int) -> bytes: ...

    def write(self, key: str, content: bytes) -> None:
        """Whole or not at all."""

    def create(self, key: str, content: bytes) -> bool:
        """Write what is not there yet; False where something is."""

    def upload(self, key: str, path: Path, sha256: str, attempt: Attempt) -> None:
        """Write a file of this hash, whole or not at all; `attempt` makes each request."""

    def facts(self, key: str) -> Listed: ...

    def listed(self, prefix: str) -> Iterator[Listed]: ...

    def move(self, key: str, to: str) -> None: ...

    def remove(self, keys: Iterable[str]) -> None: ...

    def remove_unfinished(self, before: float) -> int:
        """Drop uploads that began before a time and never ended."""


def parts_of(path: Path, sha256: str, n_bytes: int = PART_BYTES) -> Iterator[bytes]:
    """A file's bytes, part by part; StorageError at its end where it is another file than the hash says."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(n_bytes):
            hashed.update(part)
            yield part
    if hashed.hexdigest() != sha256:
        raise StorageError(f"{path} was altered or cut short, so it is not sent to the store. Compute it again.")

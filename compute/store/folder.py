"""A store in a folder that every host mounts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import uuid4

from compute.bundle import sync_directory
from compute.store.places import Attempt, Listed, parts_of

_PARTIAL = ".partial-"


class FolderPlace:
    """Files are written beside their place, flushed and renamed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, key: str, most: int) -> bytes:
        return self.read_part(key, 0, most)

    def read_part(self, key: str, first: int, n_bytes: int) -> bytes:
        with (self.root / key).open("rb") as file:
            file.seek(first)
            return file.read(n_bytes)

    def write(self, key: str, content: bytes) -> None:
        with self._written(key, iter([content])) as partial:
            partial.replace(self.root / key)

    def create(self, key: str, content: bytes) -> bool:
        with self._written(key, iter([content])) as partial:
            try:
                os.link(partial, self.root / key)
            except FileExistsError:
                return False
        return True

    def upload(self, key: str, path: Path, sha256: str, attempt: Attempt) -> None:
        with self._written(key, parts_of(path, sha256)) as partial:
            partial.replace(self.root / key)

    def facts(self, key: str) -> Listed:
        found = (self.root / key).stat()
        return Listed(key, found.st_size, found.st_mtime)

    def listed(self, prefix: str) -> Iterator[Listed]:
        for file in sorted((self.root / prefix).rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                if file.is_file() and not file.name.startswith(_PARTIAL):
                    facts = file.stat()
                    yield Listed(file.relative_to(self.root).as_posix(), facts.st_size, facts.st_mtime)

    def move(self, key: str, to: str) -> None:
        (self.root / to).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).replace(self.root / to)

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            (self.root / key).unlink(missing_ok=True)

    def remove_unfinished(self, before: float) -> int:
        n = 0
        for file in self.root.rglob(f"{_PARTIAL}*"):
            with contextlib.suppress(FileNotFoundError):  # finished meanwhile
                if file.stat().st_mtime < before:
                    file.unlink()
                    n += 1
        return n

    @contextlib.contextmanager
    def _written(self, key: str, parts: Iterator[bytes]) -> Iterator[Path]:
        """A file of these parts beside the key's place, safe on disk."""
        target = self.root / key
        if not self.root.is_dir():  # an unmounted disk is no reason to write into the folder that it hides
            raise NotADirectoryError(f"{self.root} is no folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{_PARTIAL}{uuid4().hex}")
        try:
            with partial.open("xb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            yield partial
            sync_directory(target.parent)
        finally:
            partial.unlink(missing_ok=True)

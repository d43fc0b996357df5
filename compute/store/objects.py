"""The store as work sees it: put a file by its hash, get it back whole or not at all, read and write records."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

from compute.bundle import storage_errors
from compute.errors import ComputeError, StorageError
from compute.store.address import StoreAddress
from compute.store.folder import FolderPlace
from compute.store.places import PART_BYTES, Listed, Place
from compute.store.removal import YOUNG_SECONDS, outlast

logger = logging.getLogger(__name__)
T = TypeVar("T")
Tell = Callable[[], None]
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds between tries
_TICK = 0.5  # seconds; how often `tell` is called in a pause
OBJECTS, DAMAGED = "objects", "damaged"
MOST_RECORD_BYTES = 16 << 20  # read of a record; what is cut off there can be read as none
_PROBE = "probes"


def _nothing() -> None:
    return None


class StoreAwayError(StorageError):
    """The store is silent, full, or refuses this host: nothing else can be done there now."""


class Store:
    """Every request is tried again while the store is silent, for as long as its address has patience.

    `tell` is called between requests and in pauses; what it raises ends the transfer, and nothing of it is visible.
    """

    def __init__(self, place: Place, *, name: str, patience: float) -> None:
        self.place = place
        self.name = name
        self.patience = patience

    def read(self, key: str, tell: Tell = _nothing) -> bytes | None:
        """A record; None where there is none."""
        try:
            return self._patiently(lambda: self.place.read(key, MOST_RECORD_BYTES), tell)
        except FileNotFoundError:
            return None

    def write(self, key: str, content: bytes, tell: Tell = _nothing) -> None:
        self._sent(lambda: self.place.write(key, content), tell)

    def settle(self, key: str, content: bytes, tell: Tell = _nothing) -> bytes:
        """Write a record unless there is one; give what stands, the same for all who ask."""
        if self._sent(lambda: self.place.create(key, content), tell):
            return content
        return self.read(key, tell) or content

    def remove(self, keys: Iterable[str], tell: Tell = _nothing) -> None:
        names = list(keys)
        if names:
            self._patiently(lambda: self.place.remove(names), tell)

    def listed(self, prefix: str, tell: Tell = _nothing) -> list[Listed]:
        return self._patiently(lambda: list(self.place.listed(prefix)), tell)

    def has_object(self, sha256: str, n_bytes: int, tell: Tell = _nothing) -> bool:
        """Whether the blob is there, as far as its size tells."""
        return self._found(sha256, n_bytes, tell) is not None

    def _found(self, sha256: str, n_bytes: int, tell: Tell) -> Listed | None:
        try:
            found = self._patiently(lambda: self.place.facts(object_key(sha256)), tell)
        except FileNotFoundError:
            return None
        return found if found.n_bytes == n_bytes else None

    def put(self, path: Path, sha256: str, tell: Tell = _nothing) -> None:
        """Keep a file under its hash, once. FileNotFoundError where it is gone, StorageError where it was altered.

        What has been there for long is sent again: somebody may remove it just now, because nothing named it.
        """
        n_bytes = path.stat().st_size
        found = self._found(sha256, n_bytes, tell)
        if found is not None and found.modified > time.time() - YOUNG_SECONDS:
            return
        self._upload(path, sha256, n_bytes, tell)
        if found is not None and outlast(self, tell) and not self.has_object(sha256, n_bytes, tell):
            self._upload(path, sha256, n_bytes, tell)

    def _upload(self, path: Path, sha256: str, n_bytes: int, tell: Tell) -> None:
        key = object_key(sha256)
        try:
            self._sent(
                lambda: self.place.upload(key, path, sha256, lambda request: self._patiently(request, tell)), tell
            )
        except StorageError:
            path.stat()  # raises where it is the file that is gone
            if not self.has_object(sha256, n_bytes, tell):  # the answer may have been lost, and not the upload
                raise

    def fetch(self, sha256: str, n_bytes: int, partial_path: Path, tell: Tell = _nothing) -> bool:
        """Write a blob to a file and flush it; False, and no file, where it is missing or is not what its name says."""
        for is_last in (False, True):
            try:
                if self._fetched(sha256, n_bytes, partial_path, tell):
                    return True
            except FileNotFoundError:
                return False
            if not is_last:
                logger.warning("object %s came otherwise than its name says; fetching it again", sha256)
        self._quarantine(sha256, tell)
        return False

    def check(self) -> None:
        """Write, read and remove a small object; StorageError where one of them fails."""
        content = f"{os.uname().nodename} {time.time_ns()}".encode()
        key = f"{_PROBE}/{hashlib.sha256(content).hexdigest()}"
        self.write(key, content)
        if self.read(key) != content:
            raise StorageError(f"The store {self.name} gives back something else than was written; look into it.")
        self.remove([key])

    def _fetched(self, sha256: str, n_bytes: int, path: Path, tell: Tell) -> bool:
        """Part by part, so that memory stays small and a part that fails is asked for again alone."""
        key, hashed, n_done = object_key(sha256), hashlib.sha256(), 0
        try:
            with storage_errors(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                file = path.open("wb")
            with file:
                while n_done < n_bytes:
                    wanted = min(PART_BYTES, n_bytes - n_done)
                    part = self._patiently(partial(self.place.read_part, key, n_done, wanted), tell)
                    if len(part) != wanted:
                        break
                    hashed.update(part)
                    n_done += wanted
                    with storage_errors(path.parent):
                        file.write(part)
                with storage_errors(path.parent):
                    file.flush()
                    os.fsync(file.fileno())
            is_whole = n_done == n_bytes and hashed.hexdigest() == sha256
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if not is_whole:
            path.unlink(missing_ok=True)
        return is_whole

    def _quarantine(self, sha256: str, tell: Tell) -> None:
        """Out of the way, so that whoever computes it anew can put it."""
        logger.error("object %s in the store %s is damaged; it is put aside and counts as absent", sha256, self.name)
        try:
            self._patiently(lambda: self.place.move(object_key(sha256), f"{DAMAGED}/{sha256}"), tell)
        except FileNotFoundError:  # another process has done so
            return

    def _sent(self, send: Callable[[], T], tell: Tell) -> T:
        """As `_patiently`; where a place to write to is missing, that is no matter of time."""
        try:
            return self._patiently(send, tell)
        except FileNotFoundError as error:
            raise StoreAwayError(
                f"The store {self.name} is not there: make the bucket or folder, or mend QW_STORE_URL. What is done is "
                "kept; resume the job then."
            ) from error

    def _patiently(self, request: Callable[[], T], tell: Tell) -> T:
        """One request, again and again while the store is silent or busy."""
        until, pause = time.monotonic() + self.patience, FIRST_PAUSE
        while True:
            tell()
            try:
                return request()
            except (FileNotFoundError, ComputeError):  # what `tell` raises, too
                raise
            except PermissionError as error:
                raise StoreAwayError(
                    f"The store {self.name} refuses this host. Mend QW_STORE_KEY, QW_STORE_SECRET or the folder's "
                    "permissions, then resume; what is done is kept."
                ) from error
            except Exception as error:  # any transport's own
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise StoreAwayError(
                        f"The store {self.name} is full. Free some space there and resume; what is done is kept."
                    ) from error
                if time.monotonic() + pause > until:
                    raise StoreAwayError(
                        f"The store {self.name} did not answer for {self.patience:.0f} s ({type(error).__name__}). "
                        "What is done is kept on this host; resume the job when the store is back."
                    ) from error
                logger.warning("the store %s does not answer (%s); trying again", self.name, type(error).__name__)
            _wait(pause, tell)
            pause = min(2 * pause, LONGEST_PAUSE)


def object_key(sha256: str) -> str:
    return f"{OBJECTS}/{sha256[:2]}/{sha256}"


def open_store(address: StoreAddress) -> Store:
    """The store at an address; a bucket's library is loaded here and nowhere else."""
    place: Place
    if address.folder is not None:
        place = FolderPlace(address.folder)
    else:
        from compute.store.bucket import BucketPlace

        place = BucketPlace(address)
    return Store(place, name=str(address), patience=address.patience)


def _wait(seconds: float, tell: Tell) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _TICK))
        tell()

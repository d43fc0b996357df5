"""One file from the Hub into the cache: on from where it broke off, and kept only when its hash is right."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status
from huggingface_hub.utils.sha import git_hash

from compute.errors import CheckpointError
from compute.hub import patience
from compute.hub.session import session

TIMEOUT_SECONDS = 20.0  # to connect, and between two pieces of an answer
TRIES_OF_A_WRONG_FILE = 2


@dataclass(frozen=True)
class RemoteFile:
    """A file as the Hub describes it."""

    name: str
    size: int
    git_sha1: str  # of "blob SIZE\\0" and the content; of large files, of a pointer to the content
    sha256: str | None = None  # of a large file's content

    @property
    def etag(self) -> str:
        """Its name among the cache's blobs."""
        return self.sha256 or self.git_sha1


def download(file: RemoteFile, url: str, blob: Path, *, tell: Callable[[int], None]) -> None:
    """Bring a file's content to its place among the blobs; `tell` hears how many of its bytes are here."""
    partial = blob.with_name(f"{blob.name}.incomplete")
    blob.parent.mkdir(parents=True, exist_ok=True)
    found = ""
    for _ in range(TRIES_OF_A_WRONG_FILE):
        _fill(partial, file, url, tell)
        found = _hash(partial, file)
        if found == file.etag:
            partial.replace(blob)
            return
        partial.unlink()
    raise CheckpointError(
        f"{file.name} arrived damaged {TRIES_OF_A_WRONG_FILE} times: the Hub states the hash {file.etag}, what came "
        f"has {found}. Something on the way alters it, such as a proxy or a mirror; nothing of it was kept. Try again "
        "later, or over another network."
    )


def _fill(partial: Path, file: RemoteFile, url: str, tell: Callable[[int], None]) -> None:
    """Append until the file is as long as it should be; only tries that bring nothing new count against it."""
    n_failed = 0
    while (n_here := _length(partial)) < file.size or not partial.exists():
        try:
            _append(partial, n_here, file, url, tell)
        except (httpx2.TransportError, HfHubHTTPError) as error:
            n_failed = 1 if _length(partial) > n_here else n_failed + 1
            if n_failed > len(patience.BACKOFF_SECONDS) or not patience.is_passing(error):
                raise
            pause = max(patience.BACKOFF_SECONDS[n_failed - 1], patience.asked_pause(error))
            patience.rest(pause, tell=lambda: tell(_length(partial)))


def _append(partial: Path, n_here: int, file: RemoteFile, url: str, tell: Callable[[int], None]) -> None:
    headers = build_hf_headers(library_name="quantaweb") | {"Accept-Encoding": "identity"}
    if n_here:
        headers["Range"] = f"bytes={n_here}-"
    with session().stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS) as response:
        hf_raise_for_status(response)
        with partial.open("ab") as out:
            if response.status_code != 206:  # the whole file comes, whatever was asked for
                out.truncate(0)
                n_here = 0
            for piece in response.iter_bytes():
                out.write(piece)
                n_here += len(piece)
                if n_here > file.size:
                    break  # its hash will not be right
                tell(n_here)
            out.flush()
            os.fsync(out.fileno())
    if n_here < file.size:
        raise httpx2.RemoteProtocolError(f"{n_here:,} of {file.size:,} bytes came")


def _hash(path: Path, file: RemoteFile) -> str:
    """What the content's name among the blobs should be."""
    if file.sha256 is None:
        return git_hash(path.read_bytes())
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0

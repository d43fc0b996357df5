"""Bring a revision of the Hub to this machine: resolved to a commit, only the files needed, whole and checked."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx2
from huggingface_hub import hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from compute.config import HubRef
from compute.errors import CheckpointError, StorageError
from compute.hub import cache, failures
from compute.hub.listing import Listing, listed
from compute.hub.patience import alone, is_absence, patiently
from compute.hub.transfer import RemoteFile, download

SECONDS_PER_REPORT = 0.2
Report = Callable[[int, int], None]  # bytes done, bytes in all; may raise to stop


@dataclass(frozen=True)
class Fetched:
    """What is here now."""

    folder: Path  # to be loaded from
    commit: str
    n_bytes: int  # of the files
    files: tuple[str, ...]
    note: str = ""  # what a person should know, if anything


def fetch_checkpoint(ref: HubRef, *, report: Report = lambda n_done, n_total: None) -> Fetched:
    """Configuration, weights and, if there is one, tokenizer of a revision.

    Safetensors are preferred; weights that exist as pickles only are converted once. What is here already is not asked
    for again: a commit without any request, a branch after one that tells whether it has moved.
    """
    return _fetch(ref, _Progress(report), _Checkpoint)


def fetch_tokenizer(ref: HubRef, *, report: Report = lambda n_done, n_total: None) -> Fetched:
    """The tokenizer of a revision and nothing else."""
    return _fetch(ref, _Progress(report), _Tokenizer)


class _Progress:
    """Tells a person's report now and then how many bytes are here."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.n_done = self.n_total = 0
        self.told = 0.0

    def at(self, n_done: int) -> None:
        self.n_done = min(n_done, self.n_total)
        if time.monotonic() - self.told >= SECONDS_PER_REPORT:
            self.again()

    def again(self) -> None:
        self.told = time.monotonic()
        self.report(self.n_done, self.n_total)


class _Tokenizer:
    """Which files make a tokenizer, and where they are."""

    @staticmethod
    def ready(ref: HubRef, commit: str) -> Path | None:
        folder = cache.snapshot(ref, commit)
        return folder if (folder / cache.TOKENIZER).is_file() else None

    @staticmethod
    def finished(ref: HubRef, commit: str, progress: _Progress) -> Path | None:
        return _Tokenizer.ready(ref, commit)

    @staticmethod
    def chosen(ref: HubRef, listing: Listing) -> list[RemoteFile]:
        if cache.TOKENIZER not in listing.files:
            raise CheckpointError(
                f"{ref} has no tokenizer.json. Name a tokenizer of another repository, or a tokenizer.json of your own."
            )
        return listing.those(cache.TOKENIZER_FILES)


class _Checkpoint:
    """Which files make a checkpoint, and where they are."""

    @staticmethod
    def ready(ref: HubRef, commit: str) -> Path | None:
        folders = (cache.snapshot(ref, commit), cache.converted(ref, commit))
        return next((folder for folder in folders if not cache.SAFETENSORS.missing(folder)), None)

    @staticmethod
    def finished(ref: HubRef, commit: str, progress: _Progress) -> Path | None:
        """The same, after pickles were converted if there is nothing else."""
        folder = _Checkpoint.ready(ref, commit)
        if folder is None and not cache.PICKLES.missing(cache.snapshot(ref, commit)):
            from compute.hub.convert import convert

            convert(ref, commit, tell=lambda n_bytes: progress.at(progress.n_done + n_bytes))
            folder = cache.converted(ref, commit)
        return folder

    @staticmethod
    def chosen(ref: HubRef, listing: Listing) -> list[RemoteFile]:
        if cache.CONFIG not in listing.files:
            raise CheckpointError(
                f"{ref} has no config.json, so transformers cannot tell what network it is. Name a repository that has "
                "config.json and model.safetensors."
            )
        weights = cache.SAFETENSORS.among(listing.files) or cache.PICKLES.among(listing.files)
        if not weights:
            there = ", ".join(sorted(listing.files)[:8])
            raise CheckpointError(
                f"{ref} has no weights that can be read (model.safetensors or pytorch_model.bin); it has {there}."
            )
        return listing.those((cache.CONFIG, *weights, *cache.TOKENIZER_FILES))


def _fetch(ref: HubRef, progress: _Progress, kind: type[_Checkpoint] | type[_Tokenizer]) -> Fetched:
    with failures.in_words(ref):
        known = cache.known_commit(ref)
        ready = kind.ready(ref, known) if known else None
        if known and ready and cache.is_commit(ref.revision):
            return _found(ready, known, progress)
        try:
            if failures.is_offline():
                raise OfflineModeIsEnabled
            listing = listed(ref) if ready else patiently(lambda: listed(ref), tell=progress.again)
        except (OfflineModeIsEnabled, httpx2.TransportError, HfHubHTTPError) as error:
            folder = kind.finished(ref, known, progress) if known and is_absence(error) else None
            if known is None or folder is None:
                raise
            return _found(folder, known, progress, note=_note(ref, known))
        _bring_all(ref, listing, kind.chosen(ref, listing), progress)
        folder = kind.finished(ref, listing.commit, progress)
        if folder is None:
            raise CheckpointError(_what_lacks(ref, listing.commit))
        _remember(ref, listing.commit)
        return _found(folder, listing.commit, progress)


def _bring_all(ref: HubRef, listing: Listing, files: list[RemoteFile], progress: _Progress) -> None:
    """Every file that is not here yet, one after the other."""
    pickles = [file for file in files if file.name.endswith(cache.PICKLES.suffix)]
    n_pickled = sum(file.size for file in pickles) if not _Checkpoint.ready(ref, listing.commit) else 0
    folder = cache.snapshot(ref, listing.commit)
    absent = [file for file in files if not _is_whole(folder / file.name, file)]
    _require_space({cache.hub_cache(): sum(f.size for f in absent), cache.converted_cache(): n_pickled})
    progress.n_total = sum(file.size for file in files) + n_pickled
    n_before = progress.n_total - n_pickled - sum(file.size for file in absent)
    progress.at(n_before)
    for file in absent:
        _bring(ref, listing.commit, file, progress, n_before)
        n_before += file.size
        progress.at(n_before)


def _bring(ref: HubRef, commit: str, file: RemoteFile, progress: _Progress, n_before: int) -> None:
    """One file, by one process at a time, and its name in the snapshot."""
    blob = cache.repository(ref) / "blobs" / file.etag
    with alone(cache.locks(ref) / f"{file.etag}.lock", tell=progress.again):
        if not _is_whole(blob, file):
            url = hf_hub_url(ref.repo_id, file.name, revision=commit, endpoint=failures.endpoint())
            download(file, url, blob, tell=lambda n_here: progress.at(n_before + n_here))
        _link(blob, cache.snapshot(ref, commit) / file.name)


def _is_whole(path: Path, file: RemoteFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size


def _link(blob: Path, name: Path) -> None:
    """Give a blob its name in a snapshot; a copy where the file system has no links."""
    partial = _beside(name)
    try:
        partial.symlink_to(os.path.relpath(blob, name.parent))
    except OSError:
        shutil.copyfile(blob, partial)
    partial.replace(name)


def _remember(ref: HubRef, commit: str) -> None:
    """Note which commit a branch stands for, so that it is found without a network."""
    if not cache.is_commit(ref.revision) and cache.known_commit(ref) != commit:
        path = cache.repository(ref) / "refs" / ref.revision
        partial = _beside(path)
        partial.write_text(commit, encoding="ascii")
        partial.replace(path)


def _beside(path: Path) -> Path:
    """A new name in the same folder, to be renamed to the path when what it names is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}")


def _found(folder: Path, commit: str, progress: _Progress, note: str = "") -> Fetched:
    there = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    wanted = (cache.CONFIG, *cache.SAFETENSORS.among(there), *cache.TOKENIZER_FILES)
    files = tuple(name for name in wanted if name in there)
    progress.n_total = progress.n_total or sum(there[name] for name in files)
    progress.n_done = progress.n_total
    progress.again()
    return Fetched(folder, commit, sum(there[name] for name in files), files, note)


def _note(ref: HubRef, commit: str) -> str:
    if cache.is_commit(ref.revision):
        return ""
    return f"The Hub was not reached; {ref} is taken to be commit {commit}, as when it was last fetched."


def _what_lacks(ref: HubRef, commit: str) -> str:
    folder = cache.snapshot(ref, commit)
    kind = cache.SAFETENSORS if (folder / cache.SAFETENSORS.index).is_file() else cache.PICKLES
    lacking = ", ".join(kind.missing(folder)[:5])
    return f"{ref} is not whole on the Hub: it lacks {lacking}, named by {kind.index}. Choose another revision."


def _require_space(n_bytes_of: dict[Path, int]) -> None:
    """Refuse a download that the disk cannot hold, before it begins."""
    needed: dict[int, int] = {}
    for folder, n_bytes in n_bytes_of.items():
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        needed[there.stat().st_dev] = needed.get(there.stat().st_dev, 0) + n_bytes
        n_free = shutil.disk_usage(there).free
        if needed[there.stat().st_dev] > n_free:
            raise StorageError(
                f"The download needs {needed[there.stat().st_dev] / 1e9:.1f} GB, but {there} has {n_free / 1e9:.1f} GB "
                "left. Free some space, or let HF_HOME name a folder on a larger disk."
            )

"""Where checkpoints of the Hub lie on this machine; nothing here asks the network.

The layout is that of Hugging Face's own cache, so that what other programs fetched is used, and the other way round:
`models--OWNER--NAME/` holds `blobs/` (files by their hash), `snapshots/COMMIT/` (links to them by name) and
`refs/BRANCH` (the branch's last known commit).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from compute import environment
from compute.config import HubRef
from compute.errors import CheckpointError

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_FILES = (TOKENIZER, "tokenizer_config.json")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Format:
    """How files of weights are named: one file, or several with an index."""

    stem: str
    suffix: str

    @property
    def whole(self) -> str:
        return f"{self.stem}{self.suffix}"

    @property
    def index(self) -> str:
        return f"{self.whole}.index.json"

    def among(self, names: Collection[str]) -> tuple[str, ...]:
        """Those of the names that are weights of this format, an index first; empty if there are none."""
        if self.whole in names:
            return (self.whole,)
        shard = re.compile(rf"{re.escape(self.stem)}-\d+-of-\d+{re.escape(self.suffix)}")
        shards = sorted(name for name in names if shard.fullmatch(name))
        return (self.index, *shards) if shards and self.index in names else ()

    def missing(self, folder: Path) -> list[str]:
        """What a folder lacks to be a checkpoint of this format."""
        if not (folder / CONFIG).is_file():
            return [CONFIG]
        if (folder / self.whole).is_file():
            return []
        index = folder / self.index
        if not index.is_file():
            return [self.whole]
        try:
            shards = set(json.loads(index.read_bytes())["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return [f"a readable {self.index}"]
        there = {file.name for file in folder.iterdir() if file.is_file()}
        return sorted(str(name) for name in shards - there)


SAFETENSORS = Format("model", ".safetensors")
PICKLES = Format("pytorch_model", ".bin")


def folder_of(ref: HubRef) -> Path:
    """The folder of a revision that was fetched, to be loaded from."""
    commit = known_commit(ref)
    for folder in (snapshot(ref, commit), converted(ref, commit)) if commit else ():
        if not SAFETENSORS.missing(folder):
            return folder
    raise CheckpointError(
        f"{ref} is not here yet; run `python -m compute fetch {ref}` where there is a network, or start a run."
    )


def tokenizer_of(ref: HubRef) -> Path:
    """The tokenizer.json of a revision that was fetched."""
    commit = known_commit(ref)
    if commit and (snapshot(ref, commit) / TOKENIZER).is_file():
        return snapshot(ref, commit) / TOKENIZER
    raise CheckpointError(
        f"The tokenizer of {ref} is not here yet; run `python -m compute fetch {ref}` where there is a network, or "
        "start a run."
    )


def known_commit(ref: HubRef) -> str | None:
    """The commit that a revision stands for, as far as this machine knows."""
    if _COMMIT.fullmatch(ref.revision):
        return ref.revision
    try:
        commit = (repository(ref) / "refs" / ref.revision).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return commit if _COMMIT.fullmatch(commit) else None


def is_commit(text: object) -> bool:
    return isinstance(text, str) and _COMMIT.fullmatch(text) is not None


def hub_cache() -> Path:
    """Hugging Face's cache: HF_HUB_CACHE, or "hub" in HF_HOME, or in ~/.cache/huggingface."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return _folder(os.environ[name])
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    return _folder(home) / "hub"


def converted_cache() -> Path:
    """Where weights that were no safetensors lie as safetensors: QW_HUB_CACHE, or beside Hugging Face's cache."""
    own = environment.converted_cache()
    return _folder(own) if own else hub_cache().parent / "quantaweb"


def repository(ref: HubRef) -> Path:
    return hub_cache() / _folder_name(ref)


def locks(ref: HubRef) -> Path:
    """Folder of the lock files that Hugging Face's library takes for a repository's files."""
    return hub_cache() / ".locks" / _folder_name(ref)


def snapshot(ref: HubRef, commit: str) -> Path:
    return repository(ref) / "snapshots" / commit


def converted(ref: HubRef, commit: str) -> Path:
    return converted_cache() / _folder_name(ref) / commit


def _folder_name(ref: HubRef) -> str:
    return "--".join(("models", *ref.repo_id.split("/")))


def _folder(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()

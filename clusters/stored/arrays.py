"""The arrays behind a run or an experiment: its bundle, memory-mapped and kept open while the process lives."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np
from django.conf import settings

from clusters.models import Experiment, Run
from compute.bundle import Bundle, folder_here, open_bundle
from compute.errors import BeingPrepared, BundleError
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.vocabulary import Vocabulary

_FILE = re.compile(r"[A-Za-z0-9._/-]+\.(?:npy|jsonl)")
ON_ITS_WAY = (
    "The files of this run are on their way from the worker that computed it; the page opens as soon as they are here."
)


def bundle_of(run: Run) -> Bundle:
    """The run's bundle; BundleError where it was moved away, altered or replaced.

    Of a run whose files were found damaged, those files cannot be opened: no page draws from them.
    """
    return _bundle(run.bundle_path, run.bundle_sha256, run.damage)


def array_of(run: Run, name: str) -> np.ndarray:
    """One array of the run's bundle, read-only and memory-mapped."""
    return _array(run.bundle_path, run.bundle_sha256, run.damage, name)


def experiment_array(experiment: Experiment, name: str) -> np.ndarray:
    """One array of a finished experiment, read-only and memory-mapped; BundleError where there is none."""
    return _array(experiment.bundle_path, experiment.bundle_sha256, "", name)


def has_array(experiment: Experiment, name: str) -> bool:
    """Whether a finished experiment holds such an array."""
    return _bundle(experiment.bundle_path, experiment.bundle_sha256, "").has(name)


def corpus_of(run: Run) -> TokenizedCorpus:
    """Token ids, document offsets, and the way from a flat index to its document and back."""
    return _corpus(run.bundle_path, run.bundle_sha256, run.damage)


def vocabulary_of(run: Run) -> Vocabulary:
    """The bytes of every token."""
    return _vocabulary(run.bundle_path, run.bundle_sha256, run.damage)


def forget_bundles() -> None:
    """Close what is open, so that a deleted bundle gives its disk space back."""
    for cache in (_bundle, _array, _corpus, _vocabulary):
        cache.cache_clear()


def is_on_its_way(run: Run | Experiment) -> bool:
    """Whether its files lie on another host and are still to be fetched from the store."""
    return settings.STORE is not None and not folder_here(run.bundle_path, settings.BUNDLE_DIR).is_dir()


@lru_cache(maxsize=64)
def _bundle(path: str, sha256: str, damage: str) -> Bundle:
    folder = folder_here(path, settings.BUNDLE_DIR)
    if settings.STORE is not None and not folder.is_dir():
        raise BeingPrepared(ON_ITS_WAY)
    bundle = open_bundle(folder)
    if bundle.sha256 != sha256:
        raise BundleError(f"{path} holds another bundle than the one that was read in; put the right one back.")
    return _Damaged(bundle, damage) if damage else bundle


class _Damaged(Bundle):
    """A bundle whose damaged files, as the sentence names them, stay closed."""

    def __init__(self, bundle: Bundle, damage: str) -> None:
        super().__init__(bundle.path, bundle.manifest)
        self._damage = damage
        self._closed = set(_FILE.findall(damage))

    def array(self, name: str) -> np.ndarray:
        if self.has(name) and self.manifest["arrays"][name]["file"] in self._closed:
            raise BundleError(self._damage)
        return super().array(name)

    def documents(self) -> list[dict[str, Any]]:
        if "documents.jsonl" in self._closed:
            raise BundleError(self._damage)
        return super().documents()


@lru_cache(maxsize=128)  # each holds a file open, and macOS allows 256 by default
def _array(path: str, sha256: str, damage: str, name: str) -> np.ndarray:
    return _bundle(path, sha256, damage).array(name)


@lru_cache(maxsize=16)
def _corpus(path: str, sha256: str, damage: str) -> TokenizedCorpus:
    ids, offsets = (_array(path, sha256, damage, f"corpus/{name}") for name in ("token_ids", "offsets"))
    return TokenizedCorpus(ids, offsets)


@lru_cache(maxsize=16)
def _vocabulary(path: str, sha256: str, damage: str) -> Vocabulary:
    offsets = np.array(_array(path, sha256, damage, "vocabulary/offsets"))
    return Vocabulary(np.array(_array(path, sha256, damage, "vocabulary/bytes")), offsets)

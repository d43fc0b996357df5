"""The arrays behind a run: its bundle, memory-mapped and kept open while the process lives."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from django.conf import settings

from clusters.models import Run
from compute.bundle import Bundle, folder_here, open_bundle
from compute.errors import BeingPrepared, BundleError
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.vocabulary import Vocabulary

ON_ITS_WAY = (
    "The files of this run are on their way from the worker that computed it; the page opens as soon as they are here."
)


def bundle_of(run: Run) -> Bundle:
    """The run's bundle; BundleError where it was moved away, altered or replaced."""
    return _bundle(run.bundle_path, run.bundle_sha256)


def array_of(run: Run, name: str) -> np.ndarray:
    """One array of the run's bundle, read-only and memory-mapped."""
    return _array(run.bundle_path, run.bundle_sha256, name)


def corpus_of(run: Run) -> TokenizedCorpus:
    """Token ids, document offsets, and the way from a flat index to its document and back."""
    return _corpus(run.bundle_path, run.bundle_sha256)


def vocabulary_of(run: Run) -> Vocabulary:
    """The bytes of every token."""
    return _vocabulary(run.bundle_path, run.bundle_sha256)


def forget_bundles() -> None:
    """Close what is open, so that a deleted bundle gives its disk space back."""
    for cache in (_bundle, _array, _corpus, _vocabulary):
        cache.cache_clear()


def is_on_its_way(run: Run) -> bool:
    """Whether the run's files lie on another host and are still to be fetched from the store."""
    return settings.STORE is not None and not folder_here(run.bundle_path, settings.BUNDLE_DIR).is_dir()


@lru_cache(maxsize=64)
def _bundle(path: str, sha256: str) -> Bundle:
    folder = folder_here(path, settings.BUNDLE_DIR)
    if settings.STORE is not None and not folder.is_dir():
        raise BeingPrepared(ON_ITS_WAY)
    bundle = open_bundle(folder)
    if bundle.sha256 != sha256:
        raise BundleError(f"{path} holds another bundle than the one that was read in; put the right one back.")
    return bundle


@lru_cache(maxsize=128)  # each holds a file open, and macOS allows 256 by default
def _array(path: str, sha256: str, name: str) -> np.ndarray:
    return _bundle(path, sha256).array(name)


@lru_cache(maxsize=16)
def _corpus(path: str, sha256: str) -> TokenizedCorpus:
    return TokenizedCorpus(_array(path, sha256, "corpus/token_ids"), _array(path, sha256, "corpus/offsets"))


@lru_cache(maxsize=16)
def _vocabulary(path: str, sha256: str) -> Vocabulary:
    offsets = np.array(_array(path, sha256, "vocabulary/offsets"))
    return Vocabulary(np.array(_array(path, sha256, "vocabulary/bytes")), offsets)

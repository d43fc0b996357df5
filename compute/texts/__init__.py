"""The text of a run, whatever it comes from: the demo's own, a file, a folder, or a data set of the Hub.

Every kind gives the same thing, `Texts`: documents in canonical order, one at a time.
"""

from __future__ import annotations

from pathlib import Path

from compute.config import HUB, CorpusConfig
from compute.texts.demo import DEMO, demo_texts
from compute.texts.documents import ContentHash, Document, Texts
from compute.texts.files import path_signature, path_texts
from compute.texts.hub import hub_texts, is_pinned, pinned
from compute.texts.limits import TRUSTED, UPLOAD, Limits, Meter
from compute.texts.shards import DATA_SUFFIXES
from compute.texts.uploads import UploadFacts, check_upload

__all__ = [
    "DATA_SUFFIXES", "DEMO", "TRUSTED", "UPLOAD", "ContentHash", "Document", "Limits", "Meter", "Texts", "UploadFacts",
    "check_upload", "is_pinned", "open_texts", "pinned", "signature",
]  # fmt: skip


def open_texts(config: CorpusConfig, cache: Path) -> Texts:
    """Find the corpus that the settings name; its documents are read when they are asked for.

    Raises
    ------
    CorpusError
        If it is missing, of an unknown kind, or cannot be had.
    """
    if config.source == DEMO:
        return demo_texts(config, cache)
    return hub_texts(config) if config.source.startswith(HUB) else path_texts(config)


def signature(config: CorpusConfig) -> str:
    """Changes when the corpus changes; reads no text and asks no network."""
    is_named = config.source == DEMO or config.source.startswith(HUB)
    return config.source if is_named else path_signature(config.source)

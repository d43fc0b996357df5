"""The demo's own text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from compute.bundle import storage_errors
from compute.config import CorpusConfig
from compute.texts.documents import Document, Record, Texts
from compute.texts.limits import Meter

DEMO = "demo"


def demo_texts(config: CorpusConfig, cache: Path) -> Texts:
    """The test part of the demo's corpus; the hash covers its training part as well."""
    from compute.demo.documents import demo_documents

    with storage_errors(cache):
        texts, facts, sha256 = demo_documents("test", cache)

    def records(_: Meter) -> Iterator[Record]:
        for text, fact in zip(texts, facts, strict=True):
            yield partial(Document, text, fact["source"], fact["kind"])

    n = len(texts) if config.max_documents is None else min(len(texts), config.max_documents)
    name = "installed packages"
    return Texts(name, records, max_documents=config.max_documents, n_documents=n, sha256=sha256)

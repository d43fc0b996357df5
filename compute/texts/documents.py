"""What a corpus is made of: documents in canonical order, read one at a time, and the hash over their texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from compute.errors import CorpusError
from compute.texts.limits import Limits, Meter, megabytes

LABEL_CHARS = 500


@dataclass(frozen=True)
class Document:
    """One document as it was found."""

    text: str
    source: str
    kind: str


Record = Callable[[], Document]  # a document that is parsed when it is wanted, so that skipping one costs little


@dataclass(frozen=True)
class Texts:
    """All documents of a corpus, to be gone through as often as needed, never all in memory."""

    name: str
    records: Callable[[Meter], Iterator[Record]]
    n_bytes: int = 0  # of the files that hold them
    max_documents: int | None = None
    n_documents: int | None = None  # where it is known in advance
    sha256: str | None = None  # where it is known in advance, and covers more than these texts
    revision: str | None = None  # commit of a data set of the Hub

    def documents(self, start: int = 0, meter: Meter | None = None) -> Iterator[Document]:
        """Documents from number `start` on.

        Raises
        ------
        CorpusError
            If one is unreadable or no text, or a whole corpus holds no text.
        """
        is_empty = True
        for record in islice(self.records(meter or Meter()), start, self.max_documents):
            document = record()
            is_empty = is_empty and not document.text
            yield document
        if is_empty and start == 0:
            raise CorpusError(f"{self.name} holds no text. Give text in which at least one document is not empty.")


class ContentHash:
    """Hash of texts in order; each is hashed first, so that where one ends matters."""

    BYTES = 32  # for each text

    def __init__(self) -> None:
        self.digests = bytearray()

    def add(self, text: str) -> None:
        self.digests += hashlib.sha256(text.encode()).digest()

    def hexdigest(self) -> str:
        return hashlib.sha256(self.digests).hexdigest()


def checked_text(value: Any, where: str, limits: Limits) -> str:
    """The value, refused unless it is a text of characters."""
    if not isinstance(value, str):
        raise CorpusError(f"{where} has no text. Every document needs one, even if it is empty.")
    if not _is_unicode(value):
        raise CorpusError(f"{where} holds half of a surrogate pair, which is no character. Remove it.")
    if "\0" in value and not limits.is_nul_allowed:
        raise CorpusError(f"{where} holds the character NUL, which no text needs. Remove it.")
    return value


def refuse_long(n_bytes: int, where: str, limits: Limits) -> None:
    """Refuse a line, a row or a file of more bytes than one document may have."""
    if n_bytes > limits.line_bytes:
        raise CorpusError(f"{where} is longer than {megabytes(limits.line_bytes)}. Cut the document into several.")


def label(value: Any, otherwise: str) -> str:
    """A source or kind that a person gave, where it can be shown."""
    is_good = isinstance(value, str) and 0 < len(value) <= LABEL_CHARS and "\0" not in value and _is_unicode(value)
    return value if is_good else otherwise


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

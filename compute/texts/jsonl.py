"""JSON lines: one object a line, {"text": ..., "source": ..., "kind": ...}, the last two if a person gives them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from compute.errors import CorpusError
from compute.texts.compression import DecodedLines
from compute.texts.documents import Document, Record, checked_text, label, refuse_long
from compute.texts.limits import Limits, Meter

SUFFIXES = tuple(f".{plain}{packed}" for plain in ("jsonl", "json") for packed in ("", ".gz", ".zst"))
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def records(file: BinaryIO, name: str, source: str, field: str, meter: Meter) -> Iterator[Record]:
    """One document of each line that is not blank."""
    limits = meter.limits
    lines = DecodedLines(file, name)
    number = 0
    while line := lines.next(limits.line_bytes):
        number += 1
        refuse_long(len(line.removesuffix(b"\n")), f"Line {number} of {name}", limits)
        meter.stored(file.tell())
        meter.decoded(len(line), name)
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        if not line.isspace():
            yield partial(_document, line, f"Line {number} of {name}", f"{source}:{number}", field, limits)


def _document(line: bytes, where: str, source: str, field: str, limits: Limits) -> Document:
    example = f'{{"{field}": "..."}}'
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CorpusError(f"{where} is not UTF-8. Save the file as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{where} is not JSON ({error}). Write one object a line: {example}.") from error
    if not isinstance(record, dict):
        raise CorpusError(f"{where} has no text, for it is no object. Write one object a line: {example}.")
    if not isinstance(record.get(field), str):
        raise CorpusError(
            f"{where} has no text named {field!r}, only {_names(record)}. "
            f"Write one object a line: {example}, or name the field that holds the text."
        )
    text = checked_text(record[field], where, limits)
    return Document(text, label(record.get("source"), source), label(record.get("kind"), "text"))


def _names(record: dict[str, object]) -> list[str]:
    """The first few fields of an object, for a message."""
    return [name[:40] for name in list(record)[:8]]

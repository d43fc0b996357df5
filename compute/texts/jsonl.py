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
BYTES_PER_COUNT = 1 << 16
BLANK_LINES = 10_000  # so many may be more than there are documents
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def records(file: BinaryIO, name: str, source: str, field: str, meter: Meter) -> Iterator[Record]:
    """One document of each line that is not blank."""
    limits = meter.limits
    lines = DecodedLines(file, name)
    number = n_blank = n_bytes = 0
    while line := lines.next(limits.line_bytes):
        number += 1
        n_bytes += len(line)
        if len(line) > limits.line_bytes:
            refuse_long(len(line.removesuffix(b"\n")), f"Line {number} of {name}", limits)
        if n_bytes >= BYTES_PER_COUNT:
            meter.stored(file.tell())
            meter.decoded(n_bytes, name)
            n_bytes = 0
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        if line.isspace():
            n_blank += 1
            if n_blank > BLANK_LINES and 2 * n_blank > number:
                raise CorpusError(f"{name} is mostly empty lines, to line {number}. Write one object a line.")
            continue
        yield partial(_document, line, number, name, source, field, limits)
    meter.decoded(n_bytes, name)


def _document(line: bytes, number: int, name: str, source: str, field: str, limits: Limits) -> Document:
    try:
        record = json.loads(line.decode("utf-8"))
        text = record[field]
    except UnicodeDecodeError as error:
        raise CorpusError(f"Line {number} of {name} is not UTF-8. Save the file as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"Line {number} of {name} is not JSON ({error}). {_advice(field)}.") from error
    except (KeyError, TypeError, IndexError):
        text = None
    if not isinstance(text, str):
        raise CorpusError(f"Line {number} of {name} {_fault(record, field)}")
    text = checked_text(text, f"Line {number} of {name}", limits)
    return Document(text, label(record.get("source"), f"{source}:{number}"), label(record.get("kind"), "text"))


def _fault(record: object, field: str) -> str:
    """Why there is no text."""
    if not isinstance(record, dict):
        return f"has no text, for it is no object. {_advice(field)}."
    names = [name[:40] for name in list(record)[:8]]
    return f"has no text named {field!r}, only {names}. {_advice(field)}, or name the field that holds the text."


def _advice(field: str) -> str:
    return f'Write one object a line: {{"{field}": "..."}}'

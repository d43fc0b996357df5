"""A file of labels, CSV or JSON lines, as rows that may be planned; what cannot be read is said line by line."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from clusters.models import Affinity, Label
from clusters.models.labels import MAX_NAME, MAX_TEXT
from clusters.values.tables import RISKY_STARTS

MAX_BYTES, MAX_ROWS, MAX_LINE = 10_000_000, 5_000, 200_000
COLUMNS = ("run", "bundle_sha256", "affinity", "k", "cluster", "name", "description", "kind", "confidence", "tags",
           "author", "state")  # fmt: skip
CONTENT = ("name", "description", "kind", "confidence", "tags")
ALIASES = {"bundle": "bundle_sha256", "bundle sha256": "bundle_sha256", "label": "cluster"}
STATES = ("", *Label.State.values)
_SURROGATE = re.compile("[\ud800-\udfff]")


class LabelFileError(ValueError):
    """The file as a whole cannot be read; a sentence for whoever sent it."""


@dataclass(frozen=True)
class LabelRow:
    """One line. `content` holds only what the file has a column for; `run` and `bundle_sha256` may both be empty."""

    line: int
    run: str
    bundle_sha256: str
    affinity: str
    k: int
    cluster: int
    content: dict[str, Any]
    author: str
    state: str


@dataclass(frozen=True)
class Unreadable:
    line: int
    reason: str


@dataclass(frozen=True)
class LabelFile:
    rows: list[LabelRow] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)

    @property
    def authors(self) -> list[str]:
        return sorted({row.author for row in self.rows if row.author})


def read_label_file(raw: bytes) -> LabelFile:
    """All rows of the file; LabelFileError where it is no such file."""
    if len(raw) > MAX_BYTES:
        raise LabelFileError(f"The file has {len(raw):,} bytes; labels come in files of at most {MAX_BYTES:,}.")
    text = _decoded(raw)
    lines = _json_lines(text) if text.lstrip()[:1] == "{" else _csv_lines(text)
    found = LabelFile()
    for line, read in lines:
        if len(found.rows) + len(found.unreadable) >= MAX_ROWS:
            raise LabelFileError(f"The file has more than {MAX_ROWS:,} rows; send it in parts.")
        try:
            found.rows.append(_row(line, read()))
        except ValueError as error:
            found.unreadable.append(Unreadable(line, str(error)))
    if not (found.rows or found.unreadable):
        raise LabelFileError("The file holds no labels: there is nothing after its first line.")
    return found


def _decoded(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise LabelFileError("The file is UTF-16 text; save it as UTF-8 (“CSV UTF-8” in a spreadsheet).")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelFileError(f"The file is not UTF-8 text ({error.reason} at byte {error.start:,}).") from None
    if "\0" in text:
        raise LabelFileError("The file holds NUL characters, so it is no text.")
    return text


Line = tuple[int, Callable[[], dict[str, Any]]]


def _json_lines(text: str) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith('{"end": true'):
            yield number, lambda line=line: _object(line)  # type: ignore[misc]


def _object(line: str) -> dict[str, Any]:
    if len(line) > MAX_LINE:
        raise ValueError(f"The line has {len(line):,} characters; at most {MAX_LINE:,} are taken.")
    try:
        value = json.loads(line, object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("The line is nested too deep.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"The line is not JSON: {error.msg}.") from None
    if not isinstance(value, dict):
        raise ValueError("The line is no JSON object.")
    return {str(ALIASES.get(name, name)): one for name, one in value.items()}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("The line names a field twice.")
    return dict(pairs)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number.")


def _csv_lines(text: str) -> Iterator[Line]:
    if (longest := max(map(len, text.split("\n")))) > MAX_LINE:
        raise LabelFileError(
            f"The file is no CSV of labels: a line has {longest:,} characters; at most {MAX_LINE:,} fit."
        )
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = [ALIASES.get(name.strip().lower(), name.strip().lower()) for name in next(reader, [])]
        if missing := [name for name in ("affinity", "k", "cluster") if name not in head]:
            raise LabelFileError(
                f"The file has no column {' and no column '.join(missing)}. Its first line names the columns: "
                f"{', '.join(COLUMNS)}."
            )
        if len(set(head)) < len(head):
            raise LabelFileError("The file’s first line names a column twice.")
        first = reader.line_num + 1
        for cells in reader:
            line, first = first, reader.line_num + 1
            if cells and not (len(cells) <= 2 and cells[0].startswith("# end")):
                yield line, lambda cells=cells: _named(head, cells)  # type: ignore[misc]
    except csv.Error as error:
        raise LabelFileError(f"The file is no CSV, near line {reader.line_num:,}: {error}.") from None


def _named(head: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(head):
        raise ValueError(f"The line has {len(cells)} cells; the first line names {len(head)} columns.")
    return {name: _plain(cell) for name, cell in zip(head, cells, strict=True)}


def _plain(cell: str) -> str:
    """The cell without the mark that our own CSV puts before what a spreadsheet would take for a formula."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(RISKY_STARTS) else cell


def _row(line: int, values: dict[str, Any]) -> LabelRow:
    text = {name: _text(name, values.get(name)) for name in ("run", "bundle_sha256", "affinity", "author", "state")}
    if text["affinity"] not in Affinity.values:
        raise ValueError(f"The affinity is {text['affinity'][:20]!r}; it is signed or absolute.")
    if text["state"] not in STATES:
        raise ValueError(f"The state is {text['state'][:20]!r}; it is draft or submitted, or empty.")
    return LabelRow(
        line=line,
        **text,
        k=_number("k", values.get("k"), least=1),
        cluster=_number("cluster", values.get("cluster"), least=0),
        content={name: _READ[name](values[name]) for name in CONTENT if name in values},
    )


def _text(name: str, value: Any, most: int = 500) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"The {name} is {_short(value)}, which is no text.")
    if _SURROGATE.search(value) or "\0" in value:
        raise ValueError(f"The {name} holds NUL or half of a character.")
    if len(value) > most:
        raise ValueError(f"The {name} is {len(value):,} characters long; at most {most:,} fit.")
    return value if name == "description" else value.strip()


def _number(name: str, value: Any, *, least: int) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdecimal() and len(value) < 10:
        value = int(value)
    if type(value) is not int or not least <= value < 10**9:
        raise ValueError(f"The {name} is {_short(value)}; it is a whole number from {least} on.")
    return value


def _kind(value: Any) -> str:
    kind = _text("kind", value)
    if kind not in ("", *Label.Kind.values):
        raise ValueError(f"The kind is {kind[:20]!r}; it is one of {', '.join(Label.Kind.values)}, or empty.")
    return kind


def _confidence(value: Any) -> int | None:
    if value is None or value == "":
        return None
    number = _number("confidence", value, least=1)
    if number not in Label.Confidence.values:
        raise ValueError(f"The confidence is {number}; it is 1 (a guess), 2 (likely) or 3 (sure), or empty.")
    return number


def _tags(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else re.split(r"[\s,;]+", _text("tags", value, MAX_TEXT))
    return tuple(sorted({_text("tag", part, 40).lower() for part in parts if part}))


_READ: dict[str, Callable[[Any], Any]] = {
    "name": lambda value: _text("name", value, MAX_NAME),
    "description": lambda value: _text("description", value, MAX_TEXT),
    "kind": _kind,
    "confidence": _confidence,
    "tags": _tags,
}


def _short(value: Any) -> str:
    text = type(value).__name__ if isinstance(value, (dict, list)) else "missing" if value is None else repr(value)
    return text if len(text) <= 30 else f"{text[:30]}…"

"""Tables that leave the site: columns read block by block, written as CSV or JSON lines, or by whoever takes blocks.

A table says its columns once; its rows come in blocks of columns, NumPy arrays or lists, so that any number of rows
takes the memory of one block. Both texts end with a mark, so that a download which was cut is noticed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["integer", "number", "text", "flag", "list", "json"]  # a list is one of texts
Block = Sequence[Sequence[Any] | np.ndarray]  # of every column, the same number of values
RISKY_STARTS = ("=", "+", "-", "@", "\t", "\r")
ROWS_AT_ONCE = 4_000
MOST_REMEMBERED = 100_000  # texts whose written form is kept while a table is written
TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind
    unit: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Table:
    """Columns, and a way to read their rows from the beginning."""

    name: str
    columns: tuple[Column, ...]
    blocks: Callable[[], Iterator[Block]]
    n_rows: int | None = None  # where it is known before they are read


def chunks(table: Table, form: str) -> Iterator[bytes]:
    """The table's text in pieces; `form` is "csv" or "jsonl"."""
    return csv_chunks(table) if form == "csv" else jsonl_chunks(table)


def csv_chunks(table: Table) -> Iterator[bytes]:
    """CSV: a head, rows, and "# end, n rows". Texts stand in quotes, so that a "#" in one begins no comment."""
    writers = [_csv_writer(column.kind) for column in table.columns]
    yield (",".join(f'"{column.name}"' for column in table.columns) + "\r\n").encode()
    n = 0
    for block in table.blocks():
        columns = [write(values) for write, values in zip(writers, block, strict=True)]
        lines = list(map(",".join, zip(*columns, strict=True)))
        n += len(lines)
        yield ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace") if lines else b""
    yield csv_end(n).encode()


def jsonl_chunks(table: Table) -> Iterator[bytes]:
    """JSON lines: an object a row, and {"end": true, "rows": n}."""
    writers = [_json_writer(column.kind) for column in table.columns]
    names = (json.dumps(column.name).replace("%", "%%") for column in table.columns)
    pattern = "{" + ",".join(f"{name}:%s" for name in names) + "}\n"
    n = 0
    for block in table.blocks():
        columns = [write(values) for write, values in zip(writers, block, strict=True)]
        lines = [pattern % row for row in zip(*columns, strict=True)]
        n += len(lines)
        yield "".join(lines).encode("utf-8", "replace")
    yield (json.dumps({"end": True, "rows": n}) + "\n").encode()


def csv_end(n_rows: int, note: str = "") -> str:
    """The line that a whole CSV ends with; a note says what it is not whole in."""
    return f"# end, {n_rows} rows{note}\r\n"


def finite(value: Any) -> Any:
    """The same value with NaN and infinities as None, and NumPy numbers as Python's."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite(item) for item in value]
    if hasattr(value, "tolist"):
        return finite(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return str(value)


def safe_cell(value: object) -> object:
    """What a spreadsheet shows as text; numbers stay numbers, what is missing stays empty."""
    value = finite(value)
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(RISKY_STARTS):
        return f"'{value}"
    return value


class _Written(dict[Any, str]):
    """Texts by what they are written as, each worked out once while they are few."""

    def __init__(self, write: Callable[[Any], str]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, value: Any) -> str:
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        self[value] = text = self._write(value)
        return text


def _csv_writer(kind: Kind) -> Callable[[Any], list[str]]:
    if kind in ("integer", "number"):
        return lambda values: _numbers(values, "")
    if kind == "flag":
        return lambda values: ["" if value is None else "True" if value else "False" for value in values]
    if kind == "text":
        known = _Written(_quoted)
        return lambda values: [known[value] for value in values]
    if kind == "list":
        return lambda values: [_quoted(" ".join(value)) for value in values]
    return lambda values: [_quoted(_json(value)) for value in values]


def _quoted(value: str | None) -> str:
    return "" if value is None else '"' + str(safe_cell(value)).replace('"', '""') + '"'


def _json_writer(kind: Kind) -> Callable[[Any], list[str]]:
    if kind in ("integer", "number"):
        return lambda values: _numbers(values, "null")
    if kind == "flag":
        return lambda values: ["null" if value is None else "true" if value else "false" for value in values]
    if kind == "text":
        known = _Written(_json)
        return lambda values: [known[value] for value in values]
    return lambda values: [_json(value) for value in values]


def _json(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _numbers(values: Any, missing: str) -> list[str]:
    """The shortest text of each number that reads back as the same one."""
    if not isinstance(values, np.ndarray):
        return [missing if value is None or not math.isfinite(value) else repr(value) for value in values]
    if values.dtype.kind in "iu":
        return list(map(str, values.tolist()))
    texts: list[str] = values.astype("U").tolist() if values.dtype.itemsize < 8 else list(map(repr, values.tolist()))
    for place in np.flatnonzero(~np.isfinite(values)).tolist():
        texts[place] = missing
    return texts

"""Parquet: one document a row, its text in one column; columns named source and kind are taken too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from compute.errors import CorpusError
from compute.texts.documents import Document, Record, checked_text, label, refuse_long
from compute.texts.limits import Limits, Meter
from compute.texts.pages import refuse_large_pages

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

SUFFIXES = (".parquet",)
LABELS = ("source", "kind")
ROWS_PER_BATCH = 64
BUFFER_BYTES = 1 << 20
FOOTER_STRING_BYTES = 16_000_000
FOOTER_ITEMS = 1_000_000


def records(file: BinaryIO, name: str, source: str, field: str, meter: Meter) -> Iterator[Record]:
    """One document of each row."""
    import pyarrow

    n_bytes = file.seek(0, 2)
    file.seek(0)
    try:
        table = _open(file)
        columns = _columns(table, field, name)
        if meter.limits.page_bytes is not None:
            refuse_large_pages(file, table.metadata, columns, meter.limits.page_bytes, name)
        yield from _rows(table, columns, n_bytes, name, source, meter)
    except (pyarrow.ArrowException, EOFError, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's own
        raise CorpusError(f"{name} is no Parquet file, or damaged ({error}). Copy or write it again.") from error


def _open(file: BinaryIO) -> ParquetFile:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(
        file,
        pre_buffer=False,
        buffer_size=BUFFER_BYTES,
        thrift_string_size_limit=FOOTER_STRING_BYTES,
        thrift_container_size_limit=FOOTER_ITEMS,
    )


def _columns(table: ParquetFile, field: str, name: str) -> list[str]:
    """The columns to be read, the text's first; all of them text."""
    import pyarrow

    texts = [
        column.name
        for column in table.schema_arrow
        if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)
    ]
    if field not in texts:
        raise CorpusError(
            f"{name} has no column {field!r} of text; its columns of text are {texts[:20]}. "
            "Name the one that holds the documents."
        )
    return [field, *(column for column in LABELS if column in texts and column != field)]


def _rows(
    table: ParquetFile, columns: list[str], n_bytes: int, name: str, source: str, meter: Meter
) -> Iterator[Record]:
    limits = meter.limits
    n_rows = max(table.metadata.num_rows, 1)
    # where a page may be hostile, a batch of one row holds one value of it only
    rows_per_batch = 1 if limits.page_bytes is not None else ROWS_PER_BATCH
    number = 0
    for batch in table.iter_batches(rows_per_batch, columns=columns, use_threads=False):
        values = [_bytes_of(batch.column(column)) for column in columns]
        for row in zip(*values, strict=True):
            number += 1
            where = f"Row {number} of {name}"
            n = sum(len(value) for value in row if value is not None)
            refuse_long(n, where, limits)
            meter.stored(n_bytes * min(number, n_rows) // n_rows)
            meter.decoded(n, name)
            yield partial(_document, dict(zip(columns, row, strict=True)), where, f"{source}:{number}", limits)


def _bytes_of(column: Any) -> list[bytes | None]:
    """Values as bytes, for the library does not check that they are UTF-8."""
    import pyarrow

    wide = pyarrow.types.is_large_string(column.type)
    return column.view(pyarrow.large_binary() if wide else pyarrow.binary()).to_pylist()


def _document(row: dict[str, bytes | None], where: str, source: str, limits: Limits) -> Document:
    try:
        values = [None if value is None else value.decode("utf-8") for value in row.values()]
    except UnicodeDecodeError as error:
        raise CorpusError(f"{where} is not UTF-8. Write the column as text.") from error
    text = checked_text(values[0], where, limits)
    labels = dict(zip(row, values, strict=True))
    return Document(text, label(labels.get("source"), source), label(labels.get("kind"), "text"))

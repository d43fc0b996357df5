"""Sizes of Parquet pages, read from their headers: a page is unpacked whole, so a hostile one is refused before.

A header is a struct in Thrift's compact protocol, whose second and third fields are the page's size unpacked and packed
(https://github.com/apache/parquet-format, PageHeader).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

from compute.errors import CorpusError
from compute.texts.limits import megabytes

HEADER_BYTES = (1 << 12, 1 << 20)  # nearly always enough, always enough
UNPACKED, PACKED = 2, 3
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, 12
_DEPTH = 8


def refuse_large_pages(file: BinaryIO, metadata: Any, columns: Sequence[str], page_bytes: int, name: str) -> None:
    """Refuse a file in which a page of these columns unpacks to more bytes than allowed; EOFError for a damaged one."""
    for n in range(metadata.num_row_groups):
        group = metadata.row_group(n)
        for column in (group.column(i) for i in range(group.num_columns)):
            if column.path_in_schema in columns:
                _refuse_large_pages_of(file, column, page_bytes, name)
    file.seek(0)


def _refuse_large_pages_of(file: BinaryIO, column: Any, page_bytes: int, name: str) -> None:
    place = column.data_page_offset
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < place:
        place = column.dictionary_page_offset
    end = place + column.total_compressed_size
    while place < end:
        n_header, sizes = _header_at(file, place)
        if sizes.get(UNPACKED, 0) > page_bytes:
            raise CorpusError(
                f"{name} has a page of {megabytes(sizes[UNPACKED])}, more than the {megabytes(page_bytes)} allowed. "
                "Write it with smaller pages, or as JSON lines."
            )
        place += n_header + max(sizes.get(PACKED, 0), 0)


def _header_at(file: BinaryIO, place: int) -> tuple[int, dict[int, int]]:
    """Length of the header there and its integers by field."""
    for n_bytes in HEADER_BYTES:
        file.seek(place)
        header = _Struct(file.read(n_bytes))
        try:
            fields = header.read()
        except IndexError:  # it goes on
            continue
        return header.place, fields
    raise EOFError("a page has no end to its header")


class _Struct:
    """Integers of one struct; what else it holds is passed over."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def read(self, depth: int = 0) -> dict[int, int]:
        fields: dict[int, int] = {}
        field = 0
        while kind := self._byte():
            step, kind = kind >> 4, kind & 15
            field = field + step if step else self._integer()
            value = self._value(kind, depth)
            if value is not None:
                fields[field] = value
        return fields

    def _value(self, kind: int, depth: int) -> int | None:
        if kind in _INTEGERS:
            return self._integer()
        if kind == _STRUCT and depth < _DEPTH:
            self.read(depth + 1)
        elif kind in (_BINARY, _DOUBLE, _BYTE):
            self._skip({_BINARY: self._varint, _DOUBLE: lambda: 8, _BYTE: lambda: 1}[kind]())
        elif kind not in _BOOLEANS:
            raise EOFError(f"a page's header holds an unknown kind of value, {kind}")
        return None

    def _skip(self, n_bytes: int) -> None:
        self.place += n_bytes
        if self.place > len(self.data):
            raise IndexError

    def _byte(self) -> int:
        byte = self.data[self.place]
        self.place += 1
        return byte

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _integer(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)

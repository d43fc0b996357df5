"""Compressed files as streams that never hold more than a few megabytes decoded."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import zstandard

from compute.errors import CorpusError
from compute.texts.limits import ZSTD_WINDOW_BYTES

BUFFER_BYTES = 1 << 18
FEED_BYTES = 512  # one byte of zstandard can stand for 32 kB


class DecodedLines:
    """Lines of a file that may be compressed with gzip or zstandard, in one or many members."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._stream = io.BufferedReader(_decoder(file, name), BUFFER_BYTES)

    def next(self, limit: int) -> bytes:
        """The next line, or the first bytes of it, more than `limit` by two; nothing at the end."""
        try:
            return self._stream.readline(limit + 2)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            if "too much memory" in str(error):
                what = f"asks for more than {ZSTD_WINDOW_BYTES >> 20} MiB to be unpacked"
                raise CorpusError(f"{self.name} {what}. Compress it without --long or --ultra.") from error
            raise CorpusError(f"{self.name} is damaged or cut short ({error}). Copy or compress it again.") from error


def _decoder(file: BinaryIO, name: str) -> Any:
    if name.endswith(".gz"):
        return gzip.GzipFile(fileobj=file)
    if name.endswith(".zst"):
        return _ZstandardFile(file)
    return file


class _ZstandardFile(io.RawIOBase):
    """Decoded bytes of all frames of a file; the library's own reader takes one that is cut short for whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._chunks = _frames(file)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n


def _frames(file: BinaryIO) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    frame = None
    while piece := file.read(FEED_BYTES):
        while piece:
            frame = frame or decompressor.decompressobj()
            if decoded := frame.decompress(piece):
                yield decoded
            piece = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("it ends in the middle")

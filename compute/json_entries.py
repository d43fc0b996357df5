"""Large JSON files, one entry of the outermost object or list at a time: memory holds an entry, never the file."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from compute.errors import ConfigError

MAX_FILE_BYTES = 100_000_000
MAX_ENTRY_CHARACTERS = 4_000_000
_CHUNK_BYTES = 1 << 20
_SPACE = re.compile(r"[ \t\n\r]+")


def json_entries(path: Path, *, what: str) -> Iterator[tuple[str | None, Any]]:
    """Yield (key, value) of the file's object, or (None, value) of its list, in the file's order.

    `what` names the file in sentences. Keys that occur twice, NaN and infinities are refused.

    Raises
    ------
    ConfigError
        If the file is larger than 100 MB, no UTF-8, no JSON object or list, or holds an entry of more than 4 million
        characters.
    """
    n_bytes = path.stat().st_size
    if n_bytes > MAX_FILE_BYTES:
        raise ConfigError(f"{what} has {n_bytes:,} bytes; at most {MAX_FILE_BYTES:,} are taken.")
    with path.open("rb") as file:
        yield from _Reader(file, what).entries()


class _Reader:
    """A window of text that moves over the file."""

    def __init__(self, file: BinaryIO, what: str) -> None:
        self._file, self._what = file, what
        self._bytes = codecs.getincrementaldecoder("utf-8-sig")("strict")
        self._json = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
        self._text, self._at, self._is_whole = "", 0, False
        self._n_read = 0  # characters that have left the window

    def entries(self) -> Iterator[tuple[str | None, Any]]:
        opening = self._next()
        if opening not in ("{", "["):
            raise self._error("it must be one JSON object or list")
        is_object, closing = opening == "{", "}" if opening == "{" else "]"
        seen: set[str] = set()
        self._at += 1
        if self._next() == closing:
            self._at += 1
        else:
            while True:
                yield self._entry(is_object, seen)
                separator = self._next()
                self._at += 1
                if separator == closing:
                    break
                if separator != ",":
                    raise self._error(f"a comma or {closing} is missing")
        if self._next():
            raise self._error("something stands after its end")

    def _entry(self, is_object: bool, seen: set[str]) -> tuple[str | None, Any]:
        key = None
        if is_object:
            self._next()
            key = self._value()
            if not isinstance(key, str):
                raise self._error(f"a key is {type(key).__name__} and no string")
            if key in seen:
                raise self._error(f"the key {key[:40]!r} stands in it twice")
            seen.add(key)
            if self._next() != ":":
                raise self._error("a colon is missing")
            self._at += 1
        self._next()
        return key, self._value()

    def _next(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            if space := _SPACE.match(self._text, self._at):
                self._at = space.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if self._is_whole:
                return ""
            self._read()

    def _value(self) -> Any:
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except RecursionError:
                raise self._error("it is nested too deep") from None
            except _RefusedError as error:
                raise self._error(str(error)) from None
            except ValueError as error:
                n_characters = len(self._text) - self._at
                if n_characters > MAX_ENTRY_CHARACTERS:
                    raise self._error(f"an entry is longer than {MAX_ENTRY_CHARACTERS:,} characters") from None
                if self._is_whole:
                    raise self._error(str(error)[:120]) from None
                self._read()
                continue
            if end == len(self._text) and not self._is_whole:  # a number may go on
                self._read()
                continue
            self._at = end
            return value

    def _read(self) -> None:
        raw = self._file.read(_CHUNK_BYTES)
        self._is_whole = len(raw) < _CHUNK_BYTES
        try:
            text = self._bytes.decode(raw, self._is_whole)
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{self._what} is not UTF-8 text ({error.reason}). Save it as UTF-8 and try again."
            ) from None
        self._n_read += self._at
        self._text, self._at = self._text[self._at :] + text, 0

    def _error(self, why: str) -> ConfigError:
        place = f"near character {self._n_read + self._at:,}"
        return ConfigError(f"{self._what} cannot be read, {place}: {why}.")


class _RefusedError(ValueError):
    """JSON that is well formed and still refused."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RefusedError("an object names the same key twice")
    return found


def _refuse(name: str) -> Any:
    raise _RefusedError(f"{name} is no number")

"""A folder: shards of JSON lines or of Parquet in order of their names; else text files, one document each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from compute.errors import CorpusError
from compute.texts import jsonl, parquet
from compute.texts.documents import Document, Record, refuse_long
from compute.texts.limits import Meter

TEXT_SUFFIXES = (".txt", ".md")
SHARD_SUFFIXES = tuple(suffix for suffix in jsonl.SUFFIXES if suffix != ".json")


def folder_files(folder: Path) -> tuple[list[Path], bool]:
    """The files that hold a folder's documents, in order, and whether each holds many.

    Text files beside shards, a README.md say, are no documents. A link that leaves the folder is refused.
    """
    everything = sorted(_regular_files(folder), key=lambda file: file.relative_to(folder).as_posix())
    lines = [file for file in everything if file.name.endswith(SHARD_SUFFIXES)]
    tables = [file for file in everything if file.name.endswith(parquet.SUFFIXES)]
    if lines and tables:
        raise CorpusError(
            f"{folder} holds both JSON lines ({lines[0].name}) and Parquet ({tables[0].name}). "
            "Put them into two folders and name one."
        )
    shards = lines or tables
    files = shards or [file for file in everything if file.suffix in TEXT_SUFFIXES]
    if not files:
        raise CorpusError(
            f"{folder} holds no .txt or .md file, no JSON lines and no Parquet. Put the text there, one document a "
            "file, or shards of many documents."
        )
    for file in files:
        _refuse_outside(file, folder)
    return files, bool(shards)


def text_records(folder: Path, files: list[Path], meter: Meter) -> Iterator[Record]:
    """One document of each text file."""
    for file in files:
        yield partial(_document, file, folder, meter)
        meter.finish(_n_bytes(file))


def _document(file: Path, folder: Path, meter: Meter) -> Document:
    limits = meter.limits
    try:
        with file.open("rb") as stream:
            data = stream.read(limits.line_bytes + 1)
    except OSError as error:
        raise CorpusError(f"{file} cannot be read ({error.strerror}). Mend its permissions.") from error
    refuse_long(len(data), str(file), limits)
    meter.decoded(len(data), str(folder))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{_line(file, data, error.start)} is not UTF-8. Save the file as UTF-8.") from error
    if "\0" in text:
        where = _line(file, data, data.index(b"\0"))
        raise CorpusError(f"{where} holds the character NUL, as no text file does. Take the file away or mend it.")
    return Document(text, file.relative_to(folder).as_posix(), file.suffix.removeprefix("."))


def _line(file: Path, data: bytes, place: int) -> str:
    number = data.count(b"\n", 0, place) + 1
    return f"Line {number} of {file}"


def _n_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # its record says why
        return 0


def _regular_files(folder: Path) -> Iterator[Path]:
    """Files below the folder; folders that are links are not entered."""
    for inner, _, names in os.walk(folder, onerror=_refuse_unreadable):
        for name in names:
            if (path := Path(inner, name)).is_file():
                yield path


def _refuse_unreadable(error: OSError) -> None:
    raise CorpusError(f"{error.filename} cannot be read ({error.strerror}). Mend its permissions.") from error


def _refuse_outside(file: Path, folder: Path) -> None:
    if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
        raise CorpusError(f"{file} is a link that leaves {folder}. Copy the file there, or take the link away.")

"""One file of a corpus, wherever it lies, and the readers for its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from compute.errors import CorpusError
from compute.texts import jsonl, parquet
from compute.texts.documents import Record
from compute.texts.limits import Meter

DATA_SUFFIXES = (*jsonl.SUFFIXES, *parquet.SUFFIXES)


@dataclass(frozen=True)
class Shard:
    """A file with many documents."""

    name: str  # as messages call it
    label: str  # as its documents are known by
    n_bytes: int
    open: Callable[[], BinaryIO]


def file_shard(path: Path, label: str) -> Shard:
    """A file of this machine."""
    return Shard(str(path), label, path.stat().st_size, partial(_open, path))


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}). Mend its permissions.") from error


def is_data(name: str) -> bool:
    """Whether a file of this name can be read as documents."""
    return name.endswith(DATA_SUFFIXES)


def records(shards: Iterable[Shard], field: str, meter: Meter) -> Iterator[Record]:
    """Documents of all files, in order."""
    for shard in shards:
        read = parquet.records if shard.name.endswith(parquet.SUFFIXES) else jsonl.records
        with shard.open() as file:
            yield from read(file, shard.name, shard.label, field, meter)
        meter.finish(shard.n_bytes)

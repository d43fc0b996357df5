"""A bundle whose large arrays are written and hashed piece by piece."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from compute.bundle import BundleWriter, storage_errors


class StreamingWriter(BundleWriter):
    """Takes arrays in pieces; the data is only made for measuring, so nothing waits for the disk."""

    @contextmanager
    def pieces(self, name: str, dtype: str, shape: tuple[int, ...], *, unit: str = "") -> Iterator[Pieces]:
        """Write an array by its first axis: `with writer.pieces(…) as array: array.append(rows)`."""
        path = self._partial / f"{name}.npy"
        with storage_errors(self.directory):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb", buffering=0) as file:
                array = Pieces(file, dtype, shape)
                yield array
        self._arrays[name] = {
            "file": f"{name}.npy",
            "dtype": dtype,
            "shape": list(shape),
            "sha256": array.finished(),
            "unit": unit,
        }

    def add_array(self, name: str, array: np.ndarray, *, unit: str = "") -> None:
        with self.pieces(name, str(array.dtype), array.shape, unit=unit) as whole:
            whole.append(array)


class Pieces:
    """One `.npy` file that grows."""

    def __init__(self, file: io.FileIO, dtype: str, shape: tuple[int, ...]) -> None:
        self.file = file
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self.n_rows = 0
        self.hash = hashlib.sha256()
        header = io.BytesIO()
        described = {"descr": self.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, described)
        self._write(header.getvalue())

    def append(self, rows: np.ndarray) -> None:
        if rows.dtype != self.dtype or rows.shape[1:] != self.shape[1:]:
            raise ValueError(f"{self.file.name} holds {self.dtype} {self.shape}, not {rows.dtype} {rows.shape}.")
        self.n_rows += len(rows)
        self._write(memoryview(np.ascontiguousarray(rows)).cast("B"))

    def finished(self) -> str:
        """The file's hash, once all rows are there."""
        if self.n_rows != self.shape[0]:
            raise ValueError(f"{self.file.name} was to hold {self.shape[0]} rows, but was given {self.n_rows}.")
        return self.hash.hexdigest()

    def _write(self, data: bytes | memoryview) -> None:
        self.hash.update(data)
        while data:
            data = data[self.file.write(data) :]

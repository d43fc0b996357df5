"""Plain .npy files that commands read and write."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compute.bundle import storage_errors
from compute.errors import ConfigError

_KINDS = {"f": "floating-point numbers", "i": "integers"}


def flat_array(path: Path, what: str, kind: str) -> np.ndarray:
    """A flat file of numbers, memory-mapped."""
    array = _read(path, what)
    if array.ndim != 1 or array.dtype.kind != kind:
        raise ConfigError(
            f"{path} holds {array.dtype} of shape {array.shape}; {what} are a flat array of {_KINDS[kind]}."
        )
    return array


def square_array(path: Path) -> np.ndarray:
    """A square file of cosines, memory-mapped."""
    array = _read(path, "similarities")
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.dtype not in (np.float32, np.float64):
        raise ConfigError(
            f"{path} holds {array.dtype} of shape {array.shape}; similarities are a square table of float32 or float64."
        )
    return array


def save(path: Path, array: np.ndarray) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    with storage_errors(path.parent):
        with partial.open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
        partial.replace(path)


def save_all(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write several arrays into one .npz file, whole or not at all."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part.npz")
    named: dict[str, Any] = dict(arrays)
    with storage_errors(path.parent):
        np.savez(partial, **named)
        partial.replace(path)


def save_json(path: Path, value: Any) -> None:
    """Write a value for people and programs."""
    with storage_errors(path.parent):
        path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _read(path: Path, what: str) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{path} cannot be read as {what} ({error}). Give a .npy file.") from error

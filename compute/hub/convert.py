"""Weights that exist as pickles only, written once as safetensors."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute.config import HubRef
from compute.errors import CheckpointError, StorageError
from compute.hub import cache
from compute.hub.patience import alone

if TYPE_CHECKING:
    import torch

SOURCE = "source.json"  # beside the converted weights: what they were made from


def convert(ref: HubRef, commit: str, *, tell: Callable[[int], None]) -> None:
    """Write the pickles of a snapshot as safetensors, whole or not at all; `tell` hears the bytes read since before.

    Only tensors are read, and no code that a pickle names is run. Number formats and values stay as they are; tensors
    that share memory are written one by one.
    """
    source, target = cache.snapshot(ref, commit), cache.converted(ref, commit)
    target.parent.mkdir(parents=True, exist_ok=True)
    with alone(target.with_name(f"{commit}.lock"), tell=lambda: tell(0)):
        if not cache.SAFETENSORS.missing(target):
            return
        for left in (target, *target.parent.glob(f"{commit}.partial-*")):
            shutil.rmtree(left, ignore_errors=True)
        partial = target.with_name(f"{commit}.partial-{os.getpid()}")
        partial.mkdir()
        try:
            _write(ref, commit, source, partial, tell)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _write(ref: HubRef, commit: str, source: Path, partial: Path, tell: Callable[[int], None]) -> None:
    names = cache.PICKLES.among([path.name for path in source.iterdir()])
    pickles = [name for name in names if name.endswith(cache.PICKLES.suffix)]
    weight_map: dict[str, str] = {}
    n_bytes = 0
    for name in pickles:
        tensors = _apart(_read(source / name, ref))
        twice = sorted(weight_map.keys() & tensors.keys())
        if twice:
            raise CheckpointError(f"{ref}: {name} holds {twice[0]}, which another of its files holds too.")
        written = (
            f"{cache.SAFETENSORS.stem}{Path(name).stem.removeprefix(cache.PICKLES.stem)}{cache.SAFETENSORS.suffix}"
        )
        _save(tensors, partial / written, ref)
        weight_map |= dict.fromkeys(tensors, written)
        n_bytes += sum(tensor.nbytes for tensor in tensors.values())
        tell((source / name).stat().st_size)
    if len(pickles) > 1:
        index = {"metadata": {"total_size": n_bytes}, "weight_map": dict(sorted(weight_map.items()))}
        (partial / cache.SAFETENSORS.index).write_text(json.dumps(index, indent=1), encoding="utf-8")
    for name in (cache.CONFIG, *cache.TOKENIZER_FILES):
        if (source / name).is_file():
            shutil.copyfile(source / name, partial / name)
    made_from = {"hub": ref.repo_id, "commit": commit, "sha256": {name: _sha256(source / name) for name in pickles}}
    (partial / SOURCE).write_text(json.dumps(made_from, indent=1), encoding="utf-8")
    for path in partial.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _read(path: Path, ref: HubRef) -> dict[str, torch.Tensor]:
    """The tensors of a pickle, and nothing but tensors."""
    import torch

    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, EOFError) as error:
        asks = re.search(r"GLOBAL ([\w.]+)", str(error))
        why = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(
            f"{ref}: {path.name} "
            + (f"is not weights alone: it asks to run {asks[1]}, which was not done" if asks else f"is damaged ({why})")
            + ". Choose a revision with safetensors, or fetch it again."
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{ref}: {path.name} holds a {type(state).__name__}, not weights by name.")
    for name, value in state.items():
        is_plain = isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_quantized
        if not (isinstance(name, str) and is_plain):
            raise CheckpointError(
                f"{ref}: {path.name} holds {name!r}, which is no plain tensor; only weights are read."
            )
    return state


def _save(tensors: dict[str, torch.Tensor], path: Path, ref: HubRef) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise StorageError(
            f"The weights of {ref} cannot be written as safetensors to {path.parent} ({error}). Free some space, or "
            "let QW_HUB_CACHE name a folder on a larger disk."
        ) from error


def _apart(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same values, each tensor in memory of its own and in order."""
    taken: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        storage = tensor.untyped_storage()
        is_apart = tensor.is_contiguous() and storage.nbytes() == tensor.nbytes and storage.data_ptr() not in taken
        taken.add(storage.data_ptr())
        result[name] = tensor if is_apart else tensor.contiguous().clone()
    return result


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""The run's checkpoints: loaded, checked, counted, ordered."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute.config import CheckpointRef, RunConfig
from compute.errors import CheckpointError, ConfigError
from compute.suites import expected_sha256, resolve
from compute.workspace import digest

if TYPE_CHECKING:
    from torch import nn

    from compute.steps.run import Run


def load(ref: CheckpointRef, device: str) -> nn.Module:
    """The network in single precision, ready to be evaluated."""
    import torch

    from compute.numerics.checkpoints import load_checkpoint

    torch.set_num_threads(n_threads())
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"The device {device!r} is not there: this torch finds no CUDA GPU. Use the device 'cpu'.")
    with naming(ref):
        return load_checkpoint(resolve(ref.path), device=device, dtype=torch.float32)


def n_threads() -> int:
    """QW_THREADS, or what OpenMP is told, or every core that this process may use."""
    for name in ("QW_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdecimal():
            return max(1, int(os.environ[name]))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def weights_stamp(ref: CheckpointRef) -> str:
    """Hash of weights and configuration; weights that were shipped must be those that were shipped."""
    path = resolve(ref.path)
    stamp = tuple(sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in _files(path)))
    with naming(ref):
        sha256, config = _hashes(path, stamp)
    expected = expected_sha256(ref)
    if expected not in (None, sha256):
        raise CheckpointError(
            f"{ref.key}: the weights are not those that the demo suite ships; the file is damaged or was replaced. "
            "Restore it with 'git checkout -- compute/demo/suite'."
        )
    return digest([sha256, config])


def weights_hash(ref: CheckpointRef) -> str:
    """The weights' own hash, as the manifest states it."""
    path = resolve(ref.path)
    stamp = tuple(sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in _files(path)))
    return _hashes(path, stamp)[0]


def checkpoint_facts(run: Run, ref: CheckpointRef) -> dict[str, Any]:
    """Parameter counts and the weights' hash."""
    from compute.numerics.checkpoints import count_parameters

    stamp = weights_stamp(ref)
    facts: dict[str, Any] | None = run.files.load_json(f"checkpoints/{ref.key}", stamp)
    if facts is None:
        count = count_parameters(load(ref, "cpu"))
        facts = {
            "n_non_embedding": count.non_embedding,
            "n_parameters": count.total,
            "weights_sha256": weights_hash(ref),
        }
        run.files.save_json(f"checkpoints/{ref.key}", facts, stamp)
    return facts


def require_folders(config: RunConfig) -> None:
    """Refuse a run before it starts if a checkpoint's folder is not there."""
    for ref in config.suite.checkpoints:
        if not (resolve(ref.path) / "config.json").is_file():
            raise CheckpointError(
                f"{ref.key}: {resolve(ref.path)} is no checkpoint folder (it has no config.json). Name the folder that "
                "holds config.json and model.safetensors."
            )


def final_checkpoints(config: RunConfig) -> dict[str, CheckpointRef]:
    """The last checkpoint of each network, by name of the network."""
    last: dict[str, CheckpointRef] = {}
    for ref in config.suite.checkpoints:
        if ref.lm not in last or order_of_step(ref) > order_of_step(last[ref.lm]):
            last[ref.lm] = ref
    return {lm: last[lm] for lm in sorted(last)}


def order_of_step(ref: CheckpointRef) -> tuple[float, str]:
    """Sorts revisions by training step; one without a step counts as the last."""
    return (math.inf if ref.step is None else ref.step, ref.revision)


def sizes(run: Run) -> list[CheckpointRef]:
    """The last checkpoint of each network by rising size; of networks of equal size, the first by name."""
    by_size: dict[int, CheckpointRef] = {}
    for ref in final_checkpoints(run.config).values():
        by_size.setdefault(checkpoint_facts(run, ref)["n_non_embedding"], ref)
    return [by_size[n] for n in sorted(by_size)]


@contextmanager
def naming(ref: CheckpointRef) -> Iterator[None]:
    """Say which checkpoint an error is about."""
    try:
        yield
    except CheckpointError as error:
        if str(error).startswith(ref.key):
            raise
        raise CheckpointError(f"{ref.key}: {error}") from error


def _files(path: Path) -> list[Path]:
    return [file for file in path.glob("*") if file.suffix in (".json", ".safetensors") and file.is_file()]


@lru_cache(maxsize=1024)
def _hashes(path: Path, stamp: tuple[tuple[str, int, int], ...]) -> tuple[str, str]:
    """Hashes of weights and configuration; computed anew only when a file's size or time changes."""
    from compute.bundle import file_sha256
    from compute.numerics.checkpoints import weights_sha256

    config = path / "config.json"
    return weights_sha256(path), file_sha256(config) if config.is_file() else ""

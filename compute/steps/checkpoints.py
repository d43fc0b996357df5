"""The run's checkpoints: loaded, checked, counted, ordered."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute import environment
from compute.config import CheckpointRef, RunConfig
from compute.errors import CheckpointError, ConfigError
from compute.registry import expected_non_embedding
from compute.steps.weights import bring, is_here, share_weights, shared_weights
from compute.suites import expected_sha256, resolve
from compute.workspace import digest

if TYPE_CHECKING:
    from torch import nn

    from compute.steps.run import Run


BFLOAT16_FROM = 800_000_000  # non-embedding parameters; Pythia's 1b


def load(ref: CheckpointRef, device: str, precision: str = "float32") -> nn.Module:
    """The network, ready to be evaluated; in bfloat16 its unembedding stays in single precision."""
    import torch

    from compute.numerics.checkpoints import load_checkpoint

    torch.set_num_threads(n_threads())
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"The device {device!r} is not there: this torch finds no CUDA GPU. Use the device 'cpu'.")
    with naming(ref):
        if precision == "bfloat16":
            return load_checkpoint(resolve(ref.path), device=device, dtype=torch.bfloat16, head_dtype=torch.float32)
        return load_checkpoint(resolve(ref.path), device=device, dtype=torch.float32)


def skeleton(ref: CheckpointRef) -> nn.Module:
    """The network's modules without its weights."""
    from compute.numerics.checkpoints import read_config, skeleton_of_config

    with naming(ref):
        return skeleton_of_config(read_config(resolve(ref.path)))


def precision_of(run: Run, ref: CheckpointRef) -> str:
    """Number format of a checkpoint's losses; those that tokens are selected by are always in single precision.

    What "auto" means for a large network is decided by the first process that asks, and kept for the run: a machine
    without a GPU takes what one with a GPU has computed.
    """
    if run.is_selecting and ref.key == run.config.clustered:
        return "float32"
    if run.config.precision != "auto":
        return run.config.precision
    if checkpoint_facts(run, ref)["n_non_embedding"] < BFLOAT16_FROM:
        return "float32"
    name, stamp = f"precision/{ref.key}", weights_stamp(run, ref)
    decided: str | None = run.files.load_json(name, stamp)
    if decided is None:
        wanted = "bfloat16" if run.device.startswith("cuda") else "float32"
        decided = str(run.files.settle_json(name, wanted, stamp))
    return decided


def n_threads() -> int:
    """QW_THREADS, or what OpenMP is told, or every core that this process may use."""
    if own := environment.threads():
        return own
    if (told := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():
        return max(1, int(told))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def weights_stamp(run: Run, ref: CheckpointRef) -> str:
    """Hash of weights and configuration; weights that were shipped must be those that were shipped."""
    sha256, config = _hashes(run, ref)
    expected = expected_sha256(ref)
    if expected not in (None, sha256):
        raise CheckpointError(
            f"{ref.key}: the weights are not those that the demo suite ships; the file is damaged or was replaced. "
            "Restore it with 'git checkout -- compute/demo/suite'."
        )
    return digest([sha256, config])


def checkpoint_facts(run: Run, ref: CheckpointRef) -> dict[str, Any]:
    """Parameter counts and the weights' hash."""
    from compute.numerics.checkpoints import count_parameters

    stamp = weights_stamp(run, ref)
    facts: dict[str, Any] | None = run.files.load_json(f"checkpoints/{ref.key}", stamp)
    if facts is None:
        bring(run, ref)
        count = count_parameters(skeleton(ref))
        _refuse_other_size(ref, count.non_embedding)
        facts = {
            "n_non_embedding": count.non_embedding,
            "n_parameters": count.total,
            "weights_sha256": _hashes(run, ref)[0],
        }
        run.files.save_json(f"checkpoints/{ref.key}", facts, stamp)
    return facts


def _refuse_other_size(ref: CheckpointRef, n_non_embedding: int) -> None:
    """A network of a known suite has the size that the suite is known to have."""
    expected = None if ref.hub is None else expected_non_embedding(ref.hub.repo_id)
    if expected not in (None, n_non_embedding):
        raise CheckpointError(
            f"{ref.key}: {n_non_embedding:,} non-embedding parameters were counted, but this network has "
            f"{expected:,}. What was downloaded is another network; remove it from the cache and fetch it again."
        )


def require_folders(config: RunConfig, *, has_store: bool = False) -> None:
    """Refuse a run before it starts if a checkpoint's folder is not there.

    Hosts that share a store fetch from the Hub what each needs; other folders must lie on all of them.
    """
    for ref in config.suite.checkpoints:
        if has_store and ref.hub is not None:
            continue
        if not (resolve(ref.path) / "config.json").is_file():
            everywhere = " Every worker needs it at this very path." if has_store else ""
            raise CheckpointError(
                f"{ref.key}: {resolve(ref.path)} is no checkpoint folder (it has no config.json). Name the folder that "
                f"holds config.json and model.safetensors.{everywhere}"
            )


def by_step(config: RunConfig) -> dict[str, list[CheckpointRef]]:
    """The checkpoints of each network in order of training, by name of the network."""
    refs: dict[str, list[CheckpointRef]] = {}
    for ref in sorted(config.suite.checkpoints, key=order_of_step):
        refs.setdefault(ref.lm, []).append(ref)
    return {lm: refs[lm] for lm in sorted(refs)}


def final_checkpoints(config: RunConfig) -> dict[str, CheckpointRef]:
    """The last checkpoint of each network, by name of the network."""
    return {lm: refs[-1] for lm, refs in by_step(config).items()}


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


def _hashes(run: Run, ref: CheckpointRef) -> tuple[str, str]:
    """Hashes of weights and configuration, kept for the run; computed anew only when a file's size or time changes."""
    known = shared_weights(run, ref)
    if known is not None and ref.hub is not None and not is_here(ref.hub):
        return known["weights"], known["config"]
    bring(run, ref)
    path = resolve(ref.path)
    files = [file for file in path.glob("*") if file.suffix in (".json", ".safetensors") and file.is_file()]
    facts = tuple(sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files))
    name, stamp = f"weights/{ref.key}", digest(["weights", str(path.absolute()), facts])
    found = run.files.here.load_json(name, stamp)
    if found is None:
        with naming(ref):
            found = run.wait_for(lambda: _computed_hashes(path, facts))
        run.files.here.save_json(name, found, stamp)
    sha256, config = found
    share_weights(run, ref, sha256, config)
    return sha256, config


@lru_cache(maxsize=1024)
def _computed_hashes(path: Path, facts: tuple[tuple[str, int, int], ...]) -> tuple[str, str]:
    """Of files with these facts; many gigabytes may have to be read."""
    from compute.bundle import file_sha256
    from compute.numerics.checkpoints import weights_sha256

    config = path / "config.json"
    return weights_sha256(path), file_sha256(config) if config.is_file() else ""

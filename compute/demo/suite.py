"""The shipped suite: which networks and steps there are and where their weights lie. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compute.errors import CheckpointError

SUITE_FOLDER = Path(__file__).parent / "suite"
_MEND = "Restore it with 'git checkout -- compute/demo/suite' or train it with 'python -m compute.demo.train'."


@dataclass(frozen=True)
class DemoModel:
    """One network of the ladder and the steps whose weights are shipped."""

    name: str
    n_non_embedding: int
    d_model: int
    n_layers: int
    n_heads: int
    steps: tuple[int, ...]
    final_step: int
    folder: Path
    sha256: Mapping[int, str] = field(repr=False)

    def path(self, step: int) -> Path:
        """Folder of the weights at one step, in Hugging Face's format."""
        if step not in self.steps:
            raise CheckpointError(f"{self.name} has no weights at step {step}; there are {list(self.steps)}.")
        return self.folder / f"step{step}"

    @property
    def final(self) -> Path:
        """Folder of the trained weights."""
        return self.path(self.final_step)


@dataclass(frozen=True)
class DemoSuite:
    """The demo suite, its networks by rising size."""

    name: str
    folder: Path
    tokenizer: Path
    max_length: int
    models: tuple[DemoModel, ...]
    clustered: str
    train: Mapping[str, object]

    def model(self, name: str) -> DemoModel:
        """Return the network of that name."""
        for model in self.models:
            if model.name == name:
                return model
        raise CheckpointError(f"The demo suite has no network '{name}'; it has {[m.name for m in self.models]}.")

    @property
    def clustered_model(self) -> DemoModel:
        """The network whose tokens the demo clusters."""
        return self.model(self.clustered)

    def checkpoints(self) -> list[tuple[DemoModel, int, Path]]:
        """Every (network, step, folder), by size, then step."""
        return [(m, step, m.path(step)) for m in self.models for step in m.steps]


def demo_suite(folder: Path = SUITE_FOLDER, *, is_checked: bool = True) -> DemoSuite:
    """Read suite.json and, unless told not to, check that every file is there and unaltered.

    Raises CheckpointError with the file's name where one is missing or damaged.
    """
    suite = _read_suite(folder / "suite.json")
    if is_checked:
        _require_file(suite.tokenizer)
        for model, step, path in suite.checkpoints():
            _require_file(path / "config.json")
            _check_weights(path / "model.safetensors", model.sha256[step])
    return suite


def file_sha256(path: Path) -> str:
    """Hash a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read_suite(path: Path) -> DemoSuite:
    _require_file(path)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        models = tuple(_model(entry, path.parent) for entry in raw["models"])
        return DemoSuite(
            name=raw["name"],
            folder=path.parent,
            tokenizer=path.parent / raw["tokenizer"],
            max_length=raw["max_length"],
            models=tuple(sorted(models, key=lambda m: m.n_non_embedding)),
            clustered=raw["clustered"],
            train=raw["train"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error!r}). {_MEND}") from error


def _model(entry: dict, folder: Path) -> DemoModel:
    return DemoModel(
        name=entry["name"],
        n_non_embedding=entry["n_non_embedding"],
        d_model=entry["d_model"],
        n_layers=entry["n_layers"],
        n_heads=entry["n_heads"],
        steps=tuple(entry["steps"]),
        final_step=entry["final_step"],
        folder=folder / entry["name"],
        sha256={int(step): digest for step, digest in entry["sha256"].items()},
    )


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path} of the demo suite is missing. {_MEND}")


def _check_weights(path: Path, expected: str) -> None:
    _require_file(path)
    if file_sha256(path) != expected:
        raise CheckpointError(f"{path} is damaged: its bytes are not the shipped ones. {_MEND}")

"""What a run is asked to do: frozen dataclasses, standard library only.

Every conflict is refused when the object is made, so that nothing later has to doubt it.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

from compute.errors import ConfigError

AFFINITIES = ("signed", "absolute")
GRADIENT_SCOPES = ("default", "as-published")
DEMO_KS = (5, 10, 20, 30, 50, 75, 100, 125, 150, 200, 250, 300)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Which text, and how much of each document is read."""

    source: str = "demo"  # "demo", a .jsonl file with a `text` field, or a folder of text files
    max_length: int = 256  # tokens kept of each document
    max_documents: int | None = None

    def __post_init__(self) -> None:
        if not self.source:
            raise ConfigError("No corpus is named: give 'demo', a .jsonl file, or a folder of text files.")
        _at_least("max_length", self.max_length, 2)
        if self.max_documents is not None:
            _at_least("max_documents", self.max_documents, 1)


@dataclass(frozen=True, kw_only=True)
class CheckpointRef:
    """One set of weights: a network, its revision, and the folder that holds both."""

    lm: str
    revision: str  # "step3000"; the demo and Pythia name revisions by training step
    path: str  # a folder in Hugging Face's layout; "demo:" starts the demo suite's own

    def __post_init__(self) -> None:
        for name, value in (("lm", self.lm), ("revision", self.revision)):
            if not _NAME.fullmatch(value) or ".." in value:
                raise ConfigError(f"{name} {value!r} may hold letters, digits, '.', '_' and '-' only, at most 80.")

    @property
    def key(self) -> str:
        return f"{self.lm}/{self.revision}"

    @property
    def step(self) -> int | None:
        digits = self.revision.removeprefix("step")
        return int(digits) if digits.isdecimal() else None


@dataclass(frozen=True, kw_only=True)
class SuiteConfig:
    """Checkpoints that share tokenizer, data and recipe."""

    name: str
    checkpoints: tuple[CheckpointRef, ...]
    tokenizer: str  # path of a tokenizer.json, "demo:tokenizer.json" for the demo suite

    def __post_init__(self) -> None:
        if not self.checkpoints:
            raise ConfigError(f"The suite {self.name!r} names no checkpoint; list at least one.")
        keys = [checkpoint.key for checkpoint in self.checkpoints]
        if len(set(keys)) != len(keys):
            raise ConfigError(f"The suite {self.name!r} names a checkpoint twice: {sorted(keys)}.")


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """Which tokens are clustered."""

    n_tokens: int = 3000
    threshold_nats: float = 0.1
    exclude_induced: bool = True
    stride: int | None = None  # None spreads evenly over the corpus; the paper uses 50

    def __post_init__(self) -> None:
        _at_least("n_tokens", self.n_tokens, 2)
        if not 0 < self.threshold_nats < 100:
            raise ConfigError(f"threshold_nats is {self.threshold_nats}; it must lie between 0 and 100 nats.")
        if self.stride is not None:
            _at_least("stride", self.stride, 1)


@dataclass(frozen=True, kw_only=True)
class ClusteringConfig:
    """Which clusterings are made of one similarity matrix."""

    ks: tuple[int, ...] = DEMO_KS
    affinities: tuple[str, ...] = AFFINITIES
    n_init: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.ks:
            raise ConfigError("No k is given; name at least one number of clusters.")
        if list(self.ks) != sorted(set(self.ks)):
            raise ConfigError(f"ks must rise without repeats, but are {list(self.ks)}.")
        _at_least("the smallest k", self.ks[0], 2)
        _at_least("n_init", self.n_init, 1)
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed}; it must lie between 0 and 4294967295.")
        unknown = sorted(set(self.affinities) - set(AFFINITIES))
        if unknown or not self.affinities:
            raise ConfigError(f"affinities are {list(self.affinities)}; choose among {list(AFFINITIES)}.")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One application of QDG, whole."""

    name: str
    suite: SuiteConfig
    clustered: str  # key of the clustered checkpoint, "demo-793k/step3000"
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    clustering: ClusteringConfig = field(default_factory=ClusteringConfig)
    gradient_scope: str = "default"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"name {self.name!r} may hold letters, digits, '.', '_' and '-' only, at most 80.")
        if self.gradient_scope not in GRADIENT_SCOPES:
            raise ConfigError(f"gradient_scope is {self.gradient_scope!r}; choose among {list(GRADIENT_SCOPES)}.")
        keys = [checkpoint.key for checkpoint in self.suite.checkpoints]
        if self.clustered not in keys:
            raise ConfigError(f"The clustered checkpoint {self.clustered!r} is none of the suite's: {keys}.")
        if self.clustering.ks[-1] > self.selection.n_tokens:
            raise ConfigError(
                f"The largest k is {self.clustering.ks[-1]}, but only {self.selection.n_tokens} tokens are clustered; "
                "lower k or ask for more tokens."
            )

    @property
    def clustered_checkpoint(self) -> CheckpointRef:
        return next(c for c in self.suite.checkpoints if c.key == self.clustered)

    def to_json(self) -> dict[str, Any]:
        """JSON-safe form; `from_json` gives the same object back."""
        return _plain(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunConfig:
        try:
            suite = dict(data["suite"])
            suite["checkpoints"] = tuple(CheckpointRef(**c) for c in suite["checkpoints"])
            clustering = dict(data.get("clustering", {}))
            for name in ("ks", "affinities"):
                if name in clustering:
                    clustering[name] = tuple(clustering[name])
            return cls(
                name=data["name"],
                suite=SuiteConfig(**suite),
                clustered=data["clustered"],
                corpus=CorpusConfig(**data.get("corpus", {})),
                selection=SelectionConfig(**data.get("selection", {})),
                clustering=ClusteringConfig(**clustering),
                gradient_scope=data.get("gradient_scope", "default"),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"The run's settings cannot be read: {error!r}.") from error


def _at_least(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least {least}.")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value

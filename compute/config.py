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
GRADIENT_SCOPES = ("default", "as-published", "all")
VECTORS = ("gradients", "activations", "sparsified")
MODES = ("exact", "sketch")
EFFORTS = ("parity", "fast")
PRECISIONS = ("auto", "float32", "bfloat16")
DEMO_KS = (5, 10, 20, 30, 50, 75, 100, 125, 150, 200, 250, 300)
PAPER_KS = (*range(10, 100, 10), *range(100, 301, 25), 350, *range(400, 1201, 100), 1400, 1500)
HUB = "hub:"  # sources and paths that start so lie on the Hugging Face Hub
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
_FIELD = re.compile(r"[\w.-]{1,80}", re.ASCII)


@dataclass(frozen=True)
class HubRef:
    """A repository of the Hub and, perhaps, a branch, tag or commit of it; its text form is OWNER/NAME@REVISION."""

    repo_id: str
    revision: str = "main"

    def __post_init__(self) -> None:
        if not _HUB_ID.fullmatch(self.repo_id) or ".." in self.repo_id or "--" in self.repo_id:
            raise ConfigError(f"{self.repo_id[:100]!r} is no Hub id; write OWNER/NAME, as in EleutherAI/pythia-70m.")
        if not _REVISION.fullmatch(self.revision) or ".." in self.revision:
            raise ConfigError(
                f"{self.revision[:100]!r} is no revision; give a branch, a tag or a commit, such as main or step3000."
            )

    @classmethod
    def parse(cls, text: str) -> HubRef:
        """Read OWNER/NAME or OWNER/NAME@REVISION, with or without "hub:" before it."""
        repo_id, at, revision = text.removeprefix(HUB).partition("@")
        return cls(repo_id, revision) if at else cls(repo_id)

    @property
    def name(self) -> str:
        """The repository's name without its owner."""
        return self.repo_id.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.revision}"


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Which text, and how much of each document is read."""

    source: str = "demo"  # "demo", a file, a folder of text files, or "hub:OWNER/NAME@REVISION", a data set of the Hub
    max_length: int = 256  # tokens kept of each document
    max_documents: int | None = None
    text_field: str = "text"  # of JSONL, Parquet and data sets
    split: str = "train"  # of a data set
    subset: str | None = None  # of a data set that has several

    def __post_init__(self) -> None:
        if not self.source:
            raise ConfigError("No corpus is named: give 'demo', a file, a folder of text files, or a Hub data set.")
        if self.source.startswith(HUB):
            HubRef.parse(self.source)
        for name in ("text_field", "split", "subset"):
            value = getattr(self, name)
            if value is not None and not _FIELD.fullmatch(value):
                raise ConfigError(f"{name} {value[:90]!r} may hold letters, digits, '.', '_' and '-' only, at most 80.")
        _at_least("max_length", self.max_length, 2)
        if self.max_documents is not None:
            _at_least("max_documents", self.max_documents, 1)


@dataclass(frozen=True, kw_only=True)
class CheckpointRef:
    """One set of weights: a network, its revision, and the folder that holds both."""

    lm: str
    revision: str  # "step3000"; the demo and Pythia name revisions by training step
    path: str  # a folder in Hugging Face's layout; "demo:" starts the demo suite's own, "hub:" one of the Hub

    def __post_init__(self) -> None:
        for name, value in (("lm", self.lm), ("revision", self.revision)):
            if not _NAME.fullmatch(value) or ".." in value:
                raise ConfigError(f"{name} {value!r} may hold letters, digits, '.', '_' and '-' only, at most 80.")
        if self.path.startswith(HUB):
            HubRef.parse(self.path)

    @property
    def hub(self) -> HubRef | None:
        """Where the weights are on the Hub; None for a local folder."""
        return HubRef.parse(self.path) if self.path.startswith(HUB) else None

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
    tokenizer: str  # path of a tokenizer.json or its folder; "demo:tokenizer.json", or "hub:…" for one of the Hub

    def __post_init__(self) -> None:
        if not self.checkpoints:
            raise ConfigError(f"The suite {self.name!r} names no checkpoint; list at least one.")
        keys = [checkpoint.key for checkpoint in self.checkpoints]
        if self.tokenizer.startswith(HUB):
            HubRef.parse(self.tokenizer)
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
class SimilarityConfig:
    """How gradients are compared: every number of them, or a random sketch of each."""

    mode: str = "exact"
    sketch_size: int = 65_536
    sketch_seed: int = 0
    refine: int = 0  # nearest neighbours of each token whose sketched cosine is replaced by the exact one
    block_tokens: int | None = None  # exact without a store: gradients of so many tokens in memory, the rest recomputed

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"The mode of comparing is {self.mode!r}; choose among {list(MODES)}.")
        _at_least("sketch_size", self.sketch_size, 16)
        _at_least("refine", self.refine, 0)
        if not 0 <= self.sketch_seed < 2**32:
            raise ConfigError(f"sketch_seed is {self.sketch_seed}; it must lie between 0 and 4294967295.")
        if self.block_tokens is not None:
            _at_least("block_tokens", self.block_tokens, 1)
        if self.mode == "exact" and self.refine:
            raise ConfigError("Exact similarities need no refining: leave refine at 0, or choose the mode 'sketch'.")
        if self.mode == "sketch" and self.block_tokens is not None:
            raise ConfigError("A sketch needs no blocks: leave block_tokens out, or choose the mode 'exact'.")


@dataclass(frozen=True, kw_only=True)
class ClusteringConfig:
    """Which clusterings are made of one similarity matrix."""

    ks: tuple[int, ...] = DEMO_KS
    affinities: tuple[str, ...] = AFFINITIES
    n_init: int = 30
    seed: int = 0
    effort: str = "parity"  # "parity": scikit-learn's labels; "fast": less work for as good a k-means

    def __post_init__(self) -> None:
        if self.effort not in EFFORTS:
            raise ConfigError(f"effort is {self.effort!r}; choose among {list(EFFORTS)}.")
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
class MapConfig:
    """How tokens are laid out in the plane, by gradients and by loss curves."""

    n_curves: int = 100_000  # predictions on the map by curves, besides the clustered ones
    n_neighbors: int = 15
    min_dist: float = 0.1  # how near points may come
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least("n_curves", self.n_curves, 1)
        _at_least("n_neighbors", self.n_neighbors, 2)
        if not 0 <= self.min_dist < 1:
            raise ConfigError(f"min_dist is {self.min_dist}; it must be at least 0 and below 1.")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"the map's seed is {self.seed}; it must lie between 0 and 4294967295.")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One application of QDG, whole."""

    name: str
    suite: SuiteConfig
    clustered: str  # key of the clustered checkpoint, "demo-793k/step3000"
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    similarity: SimilarityConfig = field(default_factory=SimilarityConfig)
    clustering: ClusteringConfig = field(default_factory=ClusteringConfig)
    map: MapConfig | None = field(default_factory=MapConfig)  # None leaves the maps out
    vectors: str = "gradients"  # what is compared
    gradient_scope: str = "default"
    precision: str = "auto"  # of losses: "auto" is bfloat16 for networks of a billion parameters on a GPU, else float32
    documents_per_shard: int | None = None  # losses of a checkpoint in so many pieces of work; None for one piece

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"name {self.name!r} may hold letters, digits, '.', '_' and '-' only, at most 80.")
        for name, choices in (
            ("gradient_scope", GRADIENT_SCOPES),
            ("vectors", VECTORS),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; choose among {list(choices)}.")
        if self.vectors == "activations" and self.gradient_scope != "default":
            raise ConfigError("Activations have no gradient scope: leave gradient_scope out.")
        if self.documents_per_shard is not None:
            _at_least("documents_per_shard", self.documents_per_shard, 1)
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
                similarity=SimilarityConfig(**data.get("similarity", {})),
                clustering=ClusteringConfig(**clustering),
                map=None if data.get("map", {}) is None else MapConfig(**data.get("map", {})),
                **{name: data[name] for name in _PLAIN_FIELDS if name in data},
            )
        except ConfigError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ConfigError(f"The run's settings cannot be read: {error!r}.") from error


_PLAIN_FIELDS = ("vectors", "gradient_scope", "precision", "documents_per_shard")


def _at_least(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least {least}.")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value

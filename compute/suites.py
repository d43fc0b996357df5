"""Which checkpoints a run looks at: the demo suite, or folders of a person's own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compute.config import (
    HUB,
    CheckpointRef,
    ClusteringConfig,
    CorpusConfig,
    HubRef,
    MapConfig,
    RunConfig,
    SelectionConfig,
    SimilarityConfig,
    SuiteConfig,
)
from compute.demo.suite import SUITE_FOLDER, DemoSuite
from compute.demo.suite import demo_suite as read_demo_suite
from compute.errors import ComputeError, ConfigError

DEMO = "demo:"  # paths that start so lie in the demo suite's own folder
_SECTIONS: dict[str, Any] = {
    "corpus": CorpusConfig,
    "selection": SelectionConfig,
    "similarity": SimilarityConfig,
    "clustering": ClusteringConfig,
    "map": MapConfig,
}
DEMO_CURVES = 20_000  # on the demo's map


def resolve(path: str) -> Path:
    """The folder or file that a path of the settings stands for."""
    if path.startswith(DEMO):
        inside = Path(path.removeprefix(DEMO))
        if inside.is_absolute() or ".." in inside.parts:
            raise ConfigError(f"{path!r} leaves the demo suite's folder; name one of its own files.")
        return SUITE_FOLDER / inside
    if path.startswith(HUB):
        from compute.hub.cache import folder_of

        return folder_of(HubRef.parse(path))
    return Path(path).expanduser()


def resolve_tokenizer(path: str) -> Path:
    """The tokenizer.json that a path of the settings stands for: that file, or its folder, or its repository."""
    if path.startswith(HUB):
        from compute.hub.cache import tokenizer_of

        return tokenizer_of(HubRef.parse(path))
    found = resolve(path)
    return found / "tokenizer.json" if found.is_dir() else found


def longer_than_read(config: RunConfig, ref: CheckpointRef) -> str:
    """A sentence where documents may be longer than a network reads at once; empty where not, or not known yet."""
    try:
        facts = json.loads((resolve(ref.path) / "config.json").read_bytes())
        reads = int(facts.get("max_position_embeddings") or facts["n_positions"])
    except (ComputeError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    if config.corpus.max_length <= reads + 1:
        return ""
    return (
        f"{ref.key} reads at most {reads:,} tokens, but documents are cut at {config.corpus.max_length:,}: lower that."
    )


def expected_sha256(ref: CheckpointRef) -> str | None:
    """Hash that the weights were shipped with; None for weights that are a person's own."""
    if not ref.path.startswith(DEMO) or ref.step is None:
        return None
    return read_demo_suite(is_checked=False).model(ref.lm).sha256.get(ref.step)


def demo_config(**changes: Any) -> RunConfig:
    """The demo run, or the demo run with other settings; changes are named as in `changed`."""
    demo = read_demo_suite(is_checked=False)
    config = RunConfig(
        name="demo",
        suite=_suite_of(demo),
        clustered=f"{demo.clustered}/step{demo.clustered_model.final_step}",
        corpus=CorpusConfig(source="demo", max_length=demo.max_length),
        map=MapConfig(n_curves=DEMO_CURVES),
    )
    return changed(config, **changes)


def folder_suite(folders: Sequence[str], *, tokenizer: str, name: str = "own") -> SuiteConfig:
    """A suite of local folders in Hugging Face's layout, each given as NAME=PATH or NAME/REVISION=PATH."""
    checkpoints = []
    for folder in folders:
        key, equals, path = folder.partition("=")
        lm, _, revision = key.partition("/")
        if not (equals and lm and path):
            raise ConfigError(f"{folder!r} names no checkpoint; write NAME=PATH or NAME/REVISION=PATH.")
        checkpoints.append(CheckpointRef(lm=lm, revision=revision or "main", path=path))
    return SuiteConfig(name=name, checkpoints=tuple(checkpoints), tokenizer=tokenizer)


def changed(config: RunConfig, **changes: Any) -> RunConfig:
    """The settings with some fields replaced.

    A change names a field of the run ("name", "clustered", "suite" …) or one of its corpus, selection, similarity,
    clustering or map ("n_tokens", "threshold_nats", "stride", "ks", "affinities", "n_init", "max_documents" …). "seed"
    is that of the clustering.
    """
    whole = {field.name for field in dataclasses.fields(RunConfig)}
    top = {name: value for name, value in changes.items() if name in whole}
    rest = {name: value for name, value in changes.items() if name not in whole}
    for section, kind in _SECTIONS.items():
        own = {field.name for field in dataclasses.fields(kind)}
        parts = {name: rest.pop(name) for name in sorted(own & rest.keys())}
        if parts:
            top[section] = dataclasses.replace(top.get(section, getattr(config, section)) or kind(), **parts)
    if rest:
        raise ConfigError(f"A run has no setting {sorted(rest)[0]!r}.")
    return dataclasses.replace(config, **top)


def _suite_of(demo: DemoSuite) -> SuiteConfig:
    checkpoints = tuple(
        CheckpointRef(lm=model.name, revision=f"step{step}", path=f"{DEMO}{model.name}/step{step}")
        for model in demo.models
        for step in model.steps
    )
    return SuiteConfig(name=demo.name, checkpoints=checkpoints, tokenizer=DEMO + demo.tokenizer.name)

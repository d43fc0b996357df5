"""What a job may be asked to do, by its kind: a run of QDG, or an experiment of the laboratory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from compute import pipeline
from compute.config import RunConfig
from compute.errors import ConfigError
from compute.labs import LABS, frame
from compute.labs.settings import LabConfig
from compute.steps.shards import ShardSpec
from compute.store.objects import Store

QDG = "qdg"
KINDS = (QDG, *LABS)


def read(kind: str, config: Mapping[str, Any]) -> RunConfig | LabConfig:
    """A job's settings from its row."""
    if kind == QDG:
        return RunConfig.from_json(dict(config))
    if kind not in LABS:
        raise ConfigError(f"This worker knows no work of kind {kind!r}; bring it to the version of the web host.")
    settings: LabConfig = LABS[kind].read(config)
    return settings


def plan(kind: str, config: RunConfig | LabConfig) -> list[ShardSpec]:
    """The shards of a job in order: pure and quick."""
    return pipeline.plan(config) if isinstance(config, RunConfig) else frame.plan(LABS[kind], config)


def run_shard(
    kind: str,
    config: RunConfig | LabConfig,
    spec: ShardSpec,
    workspace: Path,
    *,
    bundles: Path,
    report: Callable[[int, int], None],
    device: str = "cpu",
    store: Store | None = None,
) -> Path | None:
    """Do one shard; the last one gives the published bundle's path."""
    if isinstance(config, RunConfig):
        return pipeline.run_shard(config, spec, workspace, bundles=bundles, report=report, device=device, store=store)
    return frame.run_shard(
        LABS[kind], config, spec, workspace, bundles=bundles, report=report, device=device, store=store
    )

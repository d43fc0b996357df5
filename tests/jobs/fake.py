"""A pipeline of the right shape that computes nothing: for tests of who may do what, and when."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from compute.config import CheckpointRef, ClusteringConfig, RunConfig, SelectionConfig, SuiteConfig
from compute.pipeline import ShardSpec

PHASES = (("losses", 2), ("gradients", 3), ("bundle", 1))
STEPS = 10


def config(name: str = "small", **selection: Any) -> RunConfig:
    checkpoints = (
        CheckpointRef(lm="tiny", revision="step10", path="demo:tiny/step10"),
        CheckpointRef(lm="tiny", revision="step20", path="demo:tiny/step20"),
    )
    return RunConfig(
        name=name,
        suite=SuiteConfig(name="fake", checkpoints=checkpoints, tokenizer="demo:tokenizer.json"),
        clustered="tiny/step20",
        selection=SelectionConfig(**{"n_tokens": 40, **selection}),
        clustering=ClusteringConfig(ks=(2, 4)),
    )


def plan(config: RunConfig, phases: Sequence[tuple[str, int]] = PHASES) -> list[ShardSpec]:
    specs: list[ShardSpec] = []
    for phase, n in phases:
        for place in range(n):
            specs.append(ShardSpec(len(specs), phase, place, f"{phase} {place + 1}", "steps", STEPS))
    return specs


def run_shard(
    config: RunConfig,
    spec: ShardSpec,
    workspace: Path,
    *,
    bundles: Path,
    report: Callable[[int, int], None],
    device: str = "cpu",
    store: object = None,
    pause: float = 0.0,
) -> Path | None:
    """Count to STEPS, keeping the count on disk; every step is noted, so that tests see what was repeated."""
    if heavy := os.environ.get("TEST_IMPORTS"):
        importlib.import_module(heavy)
    workspace.mkdir(parents=True, exist_ok=True)
    kept = workspace / f"{spec.ordinal}.count"
    done = int(kept.read_text()) if kept.exists() else 0
    for step in range(done, STEPS):
        report(step, STEPS)
        time.sleep(pause)
        kept.with_suffix(".new").write_text(str(step + 1))
        kept.with_suffix(".new").replace(kept)
        with (workspace.parent / "steps.log").open("a") as log:
            log.write(f"{workspace.name} {spec.ordinal} {step}\n")
    report(STEPS, STEPS)
    return _publish(config, bundles) if spec.phase == "bundle" else None


def _publish(config: RunConfig, bundles: Path) -> Path:
    bundle = bundles / f"{config.name}-0123456789ab"
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / "manifest.json").write_text(json.dumps({"sha256": "0123456789ab" + "0" * 52}))
    return bundle

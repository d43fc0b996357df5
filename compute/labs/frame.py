"""How every lab's experiment is done: in pieces that workers share, published as a bundle.

A lab says what its pieces are (`plan`, pure and quick), does one (`do`, resumable), and gives what was found
(`results`). Everything else is here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from compute.bundle import Bundle, BundleWriter, open_bundle
from compute.errors import BundleError
from compute.labs.settings import LabConfig
from compute.steps.provenance import ShardLog, run_facts
from compute.steps.run import Work
from compute.steps.shards import ShardSpec, in_order
from compute.store.folders import fetch_bundle, push_bundle
from compute.store.objects import Store
from compute.workspace import Workspace, digest

BUNDLE = "bundle"  # the last phase
_MARKER, _STAMP = "published", "marker"


@dataclass(frozen=True)
class Piece:
    """A few minutes of an experiment; pieces of one phase may be done at once, in any order."""

    phase: str
    name: str
    unit: str
    n_total: int


@dataclass(frozen=True)
class Results:
    """What an experiment found.

    Attributes
    ----------
    found : dict
        JSON-safe and small: what was measured; it becomes a row of the site's database.
    arrays : iterable of (str, ndarray, str)
        Name, array and unit of everything else.
    """

    found: dict[str, Any]
    arrays: Iterable[tuple[str, np.ndarray, str]]


@dataclass(frozen=True)
class Preset:
    """Settings that are worth running as they are."""

    key: str
    title: str
    description: str  # a sentence: what it shows and what it costs
    config: LabConfig
    needs_gpu: bool = False


@dataclass(frozen=True)
class Lab:
    """One kind of experiment."""

    kind: str
    title: str
    read: Callable[[Mapping[str, Any]], Any]  # plain values → settings; ConfigError
    plan: Callable[[Any], list[Piece]]
    do: Callable[[Any, Work, str, int], None]  # settings, files and progress, phase, which piece of the phase
    results: Callable[[Any, Work], Results]
    presets: tuple[Preset, ...] = field(default=())

    def preset(self, key: str) -> Preset | None:
        return next((one for one in self.presets if one.key == key), None)


def plan(lab: Lab, config: LabConfig) -> list[ShardSpec]:
    """The shards of an experiment in order: pure and quick."""
    pieces = [(one.phase, one.name, one.unit, one.n_total) for one in lab.plan(config)]
    return in_order([*pieces, (BUNDLE, config.name, "arrays", 1)])


def run_lab(
    lab: Lab,
    config: LabConfig,
    workspace: Path,
    bundles: Path,
    *,
    report: Callable[[ShardSpec, int, int], None] = lambda spec, n_done, n_total: None,
    device: str = "cpu",
) -> Path:
    """Do a whole experiment and give the published bundle; called again after a kill, go on where that stopped."""
    path: Path | None = None
    for spec in plan(lab, config):
        told = _bound(report, spec)
        path = run_shard(lab, config, spec, workspace, bundles=bundles, report=told, device=device)
    assert path is not None  # noqa: S101  (the last shard publishes)
    return path


def run_shard(
    lab: Lab,
    config: LabConfig,
    spec: ShardSpec,
    workspace: Path,
    *,
    bundles: Path,
    report: Callable[[int, int], None],
    device: str = "cpu",
    store: Store | None = None,
) -> Path | None:
    """Do one shard; the last one gives the published bundle's path. `report` may raise to stop; what is saved is kept.

    With a store, shards may be done on hosts that share no disk.
    """
    files = Workspace(workspace, store)
    work = Work(files=files, report=report, device=device, n_total=spec.n_total)
    files.tell = work.keep_alive
    report(0, spec.n_total)
    path = _published(lab, config, work, bundles)
    if path is None:
        with ShardLog(files, spec.ordinal, spec.phase):
            if spec.phase == BUNDLE:
                path = _publish(lab, config, work, bundles, n_shards=spec.ordinal + 1)
            else:
                lab.do(config, work, spec.phase, spec.phase_ordinal)
    if store is not None and path is not None and spec.phase == BUNDLE:
        push_bundle(store, path, work.keep_alive)
    report(work.n_total, work.n_total)
    return path if spec.phase == BUNDLE else None


def lab_of(bundle: Bundle) -> str:
    """The kind of experiment that a bundle holds; empty where it holds a run of QDG."""
    return str(bundle.manifest.get("lab", ""))


def _publish(lab: Lab, config: LabConfig, work: Work, bundles: Path, *, n_shards: int) -> Path:
    since = time.monotonic()
    results = lab.results(config, work)
    with BundleWriter(bundles, config.name) as writer:
        for name, array, unit in results.arrays:
            writer.add_array(name, array, unit=unit)
            work.keep_alive()
        facts = run_facts(work.files, n_shards, work.device, config.to_json(), bundle_seconds=time.monotonic() - since)
        path = writer.publish({"lab": lab.kind, "config": config.to_json(), "found": results.found}, facts)
    marker = {"inputs": _inputs(lab, config), "name": path.name, "sha256": open_bundle(path).sha256}
    work.files.save_json(_MARKER, marker, _STAMP)
    return path


def _published(lab: Lab, config: LabConfig, work: Work, bundles: Path) -> Path | None:
    """The bundle that these very settings were published as, if it is still there and whole."""
    marker = work.files.load_json(_MARKER, _STAMP)
    if marker is None or marker["inputs"] != _inputs(lab, config):
        return None
    path = bundles / Path(marker["name"]).name
    try:
        if work.files.store is not None and not path.is_dir():  # another host has published it
            fetch_bundle(work.files.store, marker["sha256"], bundles, work.keep_alive)
        bundle = open_bundle(path)
        bundle.verify()
        return path if bundle.sha256 == marker["sha256"] else None
    except BundleError:
        return None


def _inputs(lab: Lab, config: LabConfig) -> str:
    return digest([lab.kind, config.to_json()])


def _bound(report: Callable[[ShardSpec, int, int], None], spec: ShardSpec) -> Callable[[int, int], None]:
    return lambda n_done, n_total: report(spec, n_done, n_total)

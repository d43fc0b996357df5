"""A real run, its worker killed again and again: the same bundle, byte for byte, and one run in the database."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusters.models import Run
from compute.bundle import Bundle, open_bundle
from compute.config import RunConfig
from compute.jobs import queue
from compute.models import Job, Shard
from compute.suites import changed
from tests.databases import Site
from tests.faults.breaking import PERIODS, end, kill, pid_of, wait_for, wait_for_state
from tests.small import small_config

SLOW_LEASE = {**PERIODS, "QW_LEASE_SECONDS": "60", "QW_STALLED_SECONDS": "30", "QW_LOG_LEVEL": "WARNING"}


@pytest.fixture
def runner(site: Site) -> Iterator[Any]:
    site.periods = dict(SLOW_LEASE)
    process = site.start("manage.py", "runner", "--skip-checks")
    yield process
    process.terminate()
    process.wait(70)
    end(process)


def _as_in(bundle: Bundle, config: RunConfig) -> RunConfig:
    """The same settings with the bundle's checkpoints: a suite in training may have grown since."""
    known = {(one["lm"], one["revision"]) for one in bundle.manifest["checkpoints"]}
    kept = tuple(one for one in config.suite.checkpoints if (one.lm, one.revision) in known)
    return changed(config, suite=dataclasses.replace(config.suite, checkpoints=kept))


def _kill_in(job: Job, phase: str, site: Site) -> None:
    """Kill the worker of a shard of this phase, as soon as there is one."""

    def found() -> Shard | None:
        job.refresh_from_db()
        assert job.is_open, f"{job.error}\n{site.log()}"
        return Shard.objects.filter(job=job, phase=phase, state="running").first()

    kill(pid_of(wait_for(found, f"work on {phase}", seconds=240, site=site)))


@pytest.mark.slow
@pytest.mark.timeout(900)  # the undisturbed bundle may have to be computed first
@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_run_whose_worker_is_killed_thrice_gives_the_undisturbed_bundle(
    site: Site, runner: Any, small_bundle: Path
) -> None:
    undisturbed = open_bundle(small_bundle)
    job = queue.enqueue(_as_in(undisturbed, small_config(site.data / "small")))
    for phase in ("losses", "gradients", "clustering"):
        _kill_in(job, phase, site)
    wait_for_state(job, "succeeded", site=site, seconds=240)
    assert job.bundle_sha256 == undisturbed.manifest["sha256"]
    assert Path(job.bundle_path).parent == site.data / "bundles"
    open_bundle(Path(job.bundle_path)).verify()
    assert [run.bundle_sha256 for run in Run.objects.all()] == [job.bundle_sha256]
    assert not list((site.data / "bundles").glob(".*partial*"))

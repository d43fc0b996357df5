"""The hundred kills, continued: whole workers of a real run are killed, local ones and Celery's, in every phase."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.jobs import wake
from compute.models import Job, Shard
from tests.databases import Site
from tests.faults.breaking import PERIODS, Redis, end, kill, pid_of, wait_for, wait_for_state
from tests.faults.figures import Measured
from tests.faults.test_kills import ROOT, _all_there, _enqueued, _is_as_undisturbed, labels, tiny_config

__all__ = ["labels"]
LONGEST = 0.6  # seconds from the first sight of a phase to the kill
LEASES = {**PERIODS, "QW_LEASE_SECONDS": "60", "QW_STALLED_SECONDS": "30", "QW_LOG_LEVEL": "WARNING"}


_IN_PEACE = """
import json, sys
from pathlib import Path
from compute.config import RunConfig
from compute.pipeline import run_qdg
folder = Path(sys.argv[2])
run_qdg(RunConfig.from_json(json.loads(sys.argv[1])), folder / "work", folder)
"""


@pytest.fixture(scope="session")
def undisturbed(tiny_suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the run, computed in peace by a process as workers are: in steps of their usual size."""
    folder = tmp_path_factory.mktemp("in-peace")
    plan = [json.dumps(tiny_config(tiny_suite).to_json()), str(folder)]
    subprocess.run([sys.executable, "-c", _IN_PEACE, *plan], cwd=ROOT, check=True, timeout=600)
    return next(folder.glob("tiny-*"))


class Local:
    """`manage.py runner`, which starts a child for each job."""

    def __init__(self, site: Site, settings: Any, folder: Path) -> None:
        self.site = site
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = self.site.start("manage.py", "runner", "--skip-checks")

    def kill(self, child: int) -> None:
        """Everything at once, so that nobody can put anything right."""
        assert self.process is not None
        self.process.kill()
        kill(child)
        self.process.wait()
        self.start()

    def end(self) -> None:
        assert self.process is not None
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        end(self.process)


class Celery(Local):
    """A Celery worker, which forks a child for each shard, and whoever sweeps beside it."""

    def __init__(self, site: Site, settings: Any, folder: Path) -> None:
        super().__init__(site, settings, folder)
        self.redis = Redis(folder)
        self.redis.start()
        self.sweeper: subprocess.Popen[bytes] | None = None
        self.own = {"QW_RUNNER": "celery", "QW_BROKER_URL": self.redis.url}
        settings.RUNNER, settings.CELERY_BROKER_URL = "celery", self.redis.url
        wake._producer.cache_clear()

    def start(self) -> None:
        if self.sweeper is None:
            self.sweeper = self.site.start("manage.py", "runner", "--skip-checks", **self.own)
        options = ["-P", "prefork", "-c", "1", "--max-tasks-per-child=1", "--without-mingle", "--without-gossip"]
        command = ["-m", "celery", "-A", "quantaweb", "worker", "-Q", "cpu,site", *options]
        self.process = self.site.start(*command, **self.own)

    def kill(self, child: int) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        super().kill(child)

    def end(self) -> None:
        super().end()
        if self.sweeper is not None:
            end(self.sweeper)
        self.redis.kill()
        wake._producer.cache_clear()


@pytest.fixture
def workers(request: pytest.FixtureRequest, site: Site, settings: Any, tmp_path: Path) -> Iterator[Local]:
    if request.param == "celery" and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    crew = {"local": Local, "celery": Celery}[request.param](site, settings, tmp_path)
    site.periods = dict(LEASES)
    yield crew
    for shard in Shard.objects.filter(state="running"):
        kill(pid_of(shard))
    crew.end()


def _at_work(job: Job, phase: str, site: Site) -> Shard:
    """A shard of this phase under way, or of a later one where this one was over too soon to be seen."""

    def found() -> Shard | None:
        job.refresh_from_db()
        assert job.is_open, f"{job.state}: {job.error}\n{site.log()[-2000:]}"
        number = job.shards.filter(phase=phase).values_list("phase_number", flat=True)[0]
        return Shard.objects.filter(job=job, state="running", phase_number__gte=number).first()

    shard = wait_for(found, f"work on {phase}", seconds=240, site=site)
    assert isinstance(shard, Shard)
    return shard


def _phase_of(job: Job) -> str:
    return Shard.objects.filter(job=job, state="running").values_list("phase", flat=True).first() or "between shards"


def _kill_everywhere(job: Job, site: Site, how: Callable[[Shard], None], phases: list[str]) -> Counter[str]:
    """One kill in each phase, at a moment drawn by chance; into which phases they fell."""
    rng, hit = random.Random(len(phases)), Counter[str]()
    for phase in phases:
        shard = _at_work(job, phase, site)
        time.sleep(rng.uniform(0, LONGEST))
        job.refresh_from_db()
        if not job.is_open:
            break
        hit[_phase_of(job)] += 1
        how(Shard.objects.filter(job=job, state="running").first() or shard)
    return hit


_CASES = [("sqlite", "local"), ("postgres", "local"), ("sqlite", "celery"), ("postgres", "celery")]


@pytest.mark.whole
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("site", "workers"), _CASES, indirect=True)
@pytest.mark.parametrize("victim", ["child", "all"])
def test_a_run_whose_workers_are_killed_in_every_phase_gives_the_undisturbed_bundle(
    request: pytest.FixtureRequest, site: Site, workers: Local, labels: Path, tiny_suite: Path, undisturbed: Path,
    victim: str, measured: Measured,
) -> None:  # fmt: skip
    job = _enqueued(site, tiny_suite)
    site.periods = dict(LEASES)
    workers.start()
    phases = list(dict.fromkeys(job.shards.order_by("ordinal").values_list("phase", flat=True)))
    how: Callable[[Shard], None] = lambda shard: kill(pid_of(shard))  # noqa: E731
    if victim == "all":
        phases, how = phases[::2], lambda shard: workers.kill(pid_of(shard))
    hit = _kill_everywhere(job, site, how, phases)
    wait_for_state(job, "succeeded", site=site, seconds=400)
    n_labels = _all_there(labels)
    _is_as_undisturbed(job, site, undisturbed)
    assert hit.total() >= len(phases) - 2
    what = "the process that computes" if victim == "child" else "a whole worker"
    runner = request.node.callspec.params["workers"]
    measured(1 if victim == "child" else 2, f"{what} of a real run, at random moments", runner=runner,
             kills=hit.total(), phases_hit=len(hit), phases=dict(hit), labels_written_meanwhile=n_labels,
             labels_lost=0, same_bundle=True)  # fmt: skip

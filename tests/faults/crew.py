"""Workers of either kind over the fake pipeline: the local runner, or Celery over a real redis-server."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.jobs import wake
from compute.models import Job, Shard
from tests.databases import Site
from tests.faults.breaking import PERIODS, Redis, end, kill, wait_for
from tests.faults.celery_site import CelerySite
from tests.jobs import fake

TENTH = {
    "QW_HEARTBEAT_SECONDS": "1",
    "QW_LEASE_SECONDS": "12",
    "QW_STALLED_SECONDS": "6",
    "QW_SWEEP_SECONDS": "6",
    "QW_GRACE_SECONDS": "5",
    "QW_POLL_SECONDS": "1",
    "QW_LOG_LEVEL": "INFO",
}
WHOLE = {"QW_LOG_LEVEL": "INFO"}  # the periods as they are set by default
ELSEWHERE = {"TEST_HOST": "another-machine"}  # whose processes nobody here can look at

QUICK = {**TENTH, "QW_LEASE_SECONDS": "4", "QW_SWEEP_SECONDS": "1", "QW_STALLED_SECONDS": "2"}
_ALL = (("sqlite", "local"), ("postgres", "celery"), ("postgres", "local"), ("sqlite", "celery"))


def everywhere(*short: tuple[str, str]) -> pytest.MarkDecorator:
    """Both databases and both runners; those named are in the short set, the others in the whole one only."""
    cases = [pytest.param(*case, marks=() if case in short else pytest.mark.whole) for case in _ALL]
    return pytest.mark.parametrize(("site", "crew"), cases, indirect=True)


BY_EITHER = pytest.mark.parametrize(("site", "crew"), _ALL[:2], indirect=True)


class Crew:
    """Starts workers and, for Celery, the process that sweeps beside them."""

    def __init__(self, kind: str, site: Site, settings: Any, folder: Path) -> None:
        self.kind, self.site, self.settings = kind, site, settings
        self.redis = Redis(folder) if kind == "celery" else None
        if self.redis is not None:
            self.redis.start()
            settings.RUNNER, settings.CELERY_BROKER_URL = "celery", self.redis.url
            wake._producer.cache_clear()
        self._members = CelerySite(site, self.redis.url if self.redis else "")
        self.use(PERIODS)

    def use(self, periods: dict[str, str]) -> None:
        """Waiting periods of every process that is started from now on, and of this one's own calls."""
        own = {} if self.redis is None else {"QW_RUNNER": "celery", "QW_BROKER_URL": self.redis.url}
        self.site.periods = {**periods, **own}

    def sweeper(self) -> None:
        """What `manage.py runner` does beside Celery's workers; a local runner sweeps by itself."""
        if self.kind == "celery":
            self._members.sweeper()

    def start(self, name: str = "one", **environment: str) -> subprocess.Popen[bytes]:
        """A worker that is ready."""
        if self.kind == "local":  # it sweeps, too
            return self._members.sweeper(**environment)
        return self._members.worker(name, **environment)

    def end_whole(self, worker: subprocess.Popen[bytes], child: int) -> None:
        """SIGKILL for a worker and the process that computes for it, at once."""
        kill(worker.pid)
        kill(child)
        end(worker)

    def close(self) -> None:
        self._members.end()
        if self.redis is not None:
            self.redis.kill()
        wake._producer.cache_clear()


@pytest.fixture(params=["local", "celery"])
def crew(
    request: pytest.FixtureRequest, site: Site, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Crew]:
    """Nobody works yet; jobs have two shards, and what is started here is killed when the test ends."""
    if request.param == "celery" and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    monkeypatch.setattr("compute.pipeline.plan", lambda config: fake.plan(config, [("losses", 1), ("bundle", 1)]))
    crew = Crew(request.param, site, settings, tmp_path)
    try:
        yield crew
    finally:
        crew.close()


def just_claimed(job: Job) -> Shard:
    """A shard whose worker has not been heard of yet."""
    running = Shard.objects.filter(job=job, state="running", heartbeat_at=None)
    shard = wait_for(running.first, f"a claim of job {job.pk}")
    assert isinstance(shard, Shard)
    return shard


class Watch:
    """What became of one shard, and when, counted from now."""

    def __init__(self, shard: Shard, site: Site) -> None:
        self.shard, self.site = shard, site
        self.since = time.monotonic()

    def until_queued(self, *, within: float) -> float:
        """Seconds until it could be claimed by others; also right where somebody has claimed it since."""
        rows = Shard.objects.filter(pk=self.shard.pk)
        wait_for(
            lambda: rows.exclude(state="running", lease_token=self.shard.lease_token).exists(),
            f"{self.shard} queued again", seconds=within, site=self.site,
        )  # fmt: skip
        return round(time.monotonic() - self.since, 2)

    def until_resumed(self, *, within: float) -> float:
        """Seconds until another worker had it, or was done with it."""
        rows = Shard.objects.filter(pk=self.shard.pk).exclude(lease_token=self.shard.lease_token)
        wait_for(
            rows.filter(state__in=("running", "succeeded")).exists,
            f"{self.shard} resumed", seconds=within, site=self.site,
        )  # fmt: skip
        return round(time.monotonic() - self.since, 2)

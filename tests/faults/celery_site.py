"""A site whose jobs are done by real Celery workers over the fake pipeline, and a sweeper beside them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from compute.jobs import wake
from compute.models import Job, Shard
from tests.databases import Site
from tests.faults.breaking import PERIODS, end, kill, pid_of, wait_for
from tests.jobs import fake

OPTIONS = ("-Q", "cpu", "-P", "prefork", "-c", "1", "--max-tasks-per-child=1", "--without-mingle", "--without-gossip")


class CelerySite:
    """Starts workers and sweepers that share the site's database, data folder and broker; ends them all."""

    def __init__(self, site: Site, broker: str, **periods: str) -> None:
        self.site = site
        self.name, self.app, self.n_workers = "celery", "tests.faults.celery_app", 0
        self.started: list[subprocess.Popen[bytes]] = []
        site.settings_module = "tests.faults.settings"
        site.periods = {**PERIODS, "QW_RUNNER": "celery", "QW_BROKER_URL": broker, "QW_LEASE_SECONDS": "6", **periods}

    def worker(self, name: str, *through: str, **environment: str) -> subprocess.Popen[bytes]:
        """A worker that consumes; `through` is a Python command that goes over into the worker's."""
        command = ["-m", "celery", "-A", self.app, "worker", "-n", name, *OPTIONS, "-l", "INFO"]
        ready = f"{name} ready."
        n_before = self.site.log().count(ready)
        self.started.append(self.site.start(*through, *command, **environment))
        self.n_workers += 1
        wait_for(lambda: self.site.log().count(ready) > n_before, f"worker {name}", seconds=60, site=self.site)
        return self.started[-1]

    def sweeper(self, **environment: str) -> subprocess.Popen[bytes]:
        self.started.append(self.site.start("-m", "tests.faults.worker", "runner", **environment))
        return self.started[-1]

    def end(self) -> None:
        """End every process, the workers' children too, which have process groups of their own."""
        end(*self.started)
        for shard in Shard.objects.filter(state="running"):
            if shard.worker.rpartition(":")[2].isdecimal():
                kill(pid_of(shard))


@contextmanager
def asking_through(broker: str, settings: Any) -> Iterator[None]:
    """Have this process ask for jobs as a web process over this broker does."""
    settings.RUNNER, settings.CELERY_BROKER_URL = "celery", broker
    wake._producer.cache_clear()
    yield
    wake._producer.cache_clear()


def use_plan(monkeypatch: pytest.MonkeyPatch, *phases: tuple[str, int]) -> None:
    monkeypatch.setattr("compute.pipeline.plan", lambda config: fake.plan(config, phases))


def states(jobs: Sequence[Job]) -> list[str]:
    return [Job.objects.values_list("state", flat=True).get(pk=job.pk) for job in jobs]

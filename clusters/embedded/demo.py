"""The demo run: found if it is there, else computed as a job whose rows say how far it is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from django.conf import settings
from django.db import close_old_connections

from clusters.embedded.terminal import JobProgress
from clusters.ingest import ingest
from clusters.models import Experiment, Run
from clusters.services.experiments import start_experiment
from clusters.stored.arrays import forget_bundles
from compute.bundle import open_bundle, put_aside
from compute.config import RunConfig
from compute.errors import BundleError, ComputeError, ConfigError
from compute.jobs import process, sweep
from compute.jobs.lease import claimable
from compute.jobs.queue import enqueue, resume
from compute.labs import LABS
from compute.models import Job, Shard
from compute.suites import demo_config, expected_sha256

LOOK_SECONDS = 0.5
MAX_FALLS = 5
GRACE_SECONDS = 60.0


class DemoError(Exception):
    """Why the demo run could not be made, and what to do."""


def whole_demo_run(config: RunConfig, say: Callable[[str], None]) -> Run | None:
    """The run of these settings and these weights, if its bundle is intact; a damaged one is put aside."""
    for run in Run.objects.order_by("-pk"):
        if not _is_made_of(run.manifest, config):
            continue
        try:
            open_bundle(run.bundle_path).verify()
        except BundleError as error:
            say(f"{error} It is computed again.")
            _put_aside(Path(run.bundle_path))
            continue
        return run
    return None


def _is_made_of(manifest: dict[str, object], config: RunConfig) -> bool:
    """Whether a bundle was made with these settings; what an older bundle does not name has its default."""
    settings_of = manifest.get("config")
    try:
        if not isinstance(settings_of, dict) or RunConfig.from_json(settings_of) != config:
            return False
    except ConfigError:
        return False
    listed = manifest.get("checkpoints")
    found = {f"{c['lm']}/{c['revision']}": c["weights_sha256"] for c in listed} if isinstance(listed, list) else {}
    shipped = {ref.key: expected_sha256(ref) for ref in config.suite.checkpoints}
    return all(sha256 is None or found.get(key) == sha256 for key, sha256 in shipped.items())


def _put_aside(folder: Path) -> None:
    """A new bundle of the same content wants the same name."""
    if folder.parent == Path(settings.BUNDLE_DIR) and folder.exists():
        put_aside(folder)
    forget_bundles()


def demo_job(config: RunConfig, say: Callable[[str], None]) -> Job:
    """The job that makes the demo run: the one that was cut short, or a new one."""
    wanted = config.to_json()
    for job in Job.objects.filter(name=config.name).exclude(state=Job.State.SUCCEEDED).order_by("-pk"):
        if job.config != wanted:
            continue
        if not job.is_open:
            resume(job)
        n_done = Shard.objects.filter(job=job, state=Shard.State.SUCCEEDED).count()
        say(f"Going on with job {job.pk}: {n_done} of {job.shards.count()} shards are done.")
        job.refresh_from_db()
        return job
    return enqueue(config)


def follow(job: Job, stream: TextIO) -> Job:
    """Work on the job in a child process and show its progress until it ends, whoever does the work."""
    progress, worker = JobProgress(stream), _Worker(job)
    try:
        while True:
            job.refresh_from_db()
            progress.show(job)
            if not job.is_open:
                return job
            worker.keep()
            time.sleep(LOOK_SECONDS)
            close_old_connections()
    finally:
        worker.stop()
        progress.close()


class _Worker:
    """The child process, started again while there is something to claim; it may fall a few times."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.child: subprocess.Popen[bytes] | None = None
        self.n_falls = 0
        self._swept = float("-inf")

    def keep(self) -> None:
        if self.child is not None and self.child.poll() is None:
            return
        if self.child is not None and self.child.returncode != 0:
            self.n_falls += 1
        if self.n_falls >= MAX_FALLS:
            raise DemoError(f"The worker process ended {self.n_falls} times; {_log(self.job)} says why.")
        self._free_lost_shards()
        self.child = _start(self.job) if claimable(self.job.pk).exists() else None

    def stop(self) -> None:
        if self.child is not None:
            process.stop(self.child, grace=GRACE_SECONDS)

    def _free_lost_shards(self) -> None:
        """What was killed on this machine is taken back at once, what was lost elsewhere when its lease ends."""
        sweep.requeue_dead_here()
        if time.monotonic() - self._swept >= settings.SWEEP_SECONDS:
            self._swept = time.monotonic()
            sweep.sweep()


def _start(job: Job) -> subprocess.Popen[bytes]:
    manage = str(Path(settings.BASE_DIR) / "manage.py")
    with process.append_log(_log(job)) as file:
        return process.start(
            [sys.executable, manage, "run_job", str(job.pk), "--parent", str(os.getpid())], stderr=file
        )


def _log(job: Job) -> Path:
    return Path(settings.DATA_DIR) / "logs" / f"job-{job.pk}.log"


def make_demo_run(config: RunConfig, say: Callable[[str], None], stream: TextIO) -> tuple[Run, bool]:
    """The demo run, and whether it had to be computed."""
    if known := whole_demo_run(config, say):
        return known, False
    job = follow(demo_job(config, say), stream)
    if job.state != Job.State.SUCCEEDED:
        raise DemoError(f"The demo run was not made: {job.error or f'job {job.pk} is {job.state}.'}")
    try:
        return ingest(job.bundle_path, job=job), True  # there already, unless someone deleted it meanwhile
    except ComputeError as error:
        raise DemoError(str(error)) from error


def default_config() -> RunConfig:
    return demo_config()


def queue_experiment() -> Experiment | None:
    """The laboratory's first experiment, for whoever serves the demo next to compute; None where it was asked for."""
    kind, preset = "parity", LABS["parity"].preset("two-core")
    if preset is None or Experiment.objects.filter(kind=kind, preset=preset.key).exists():
        return None
    return start_experiment(None, kind, preset.config, name=preset.title, preset=preset.key, priority=Job.Priority.LOW)

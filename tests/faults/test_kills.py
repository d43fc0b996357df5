"""The hundred kills: real work killed at moments drawn by chance, in every phase, and at the points that matter most.

Afterwards nothing is lost: the same bundle to the last bit, the same rows, no half-written file taken for a result, and
all labels that somebody wrote meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from clusters import models
from clusters.ingest import ingest
from clusters.models import LabelRevision, Run
from clusters.services import people
from compute.bundle import open_bundle
from compute.jobs import queue
from compute.models import Job
from tests.databases import ROOT, Site
from tests.factories import make_run
from tests.faults.breaking import PERIODS, end, wait_for
from tests.faults.figures import Measured
from tests.faults.killed import TOKENS_PER_SHARD
from tests.tiny import CLUSTERED, MAX_LENGTH, WIDTHS, tiny_config

POINTS = [
    ("compute.bundle:BundleWriter.publish", "before", "bundle"),  # all arrays are written, it has no manifest
    ("compute.bundle:manifest_sha256", "after", "bundle"),
    ("compute.bundle:sync_directory", "before", "bundle"),  # it has its name; nobody has noted that
    ("compute.pipeline:publish", "after", "bundle"),  # the workspace says so
    ("compute.jobs.run:_finish", "before", "bundle"),
    ("compute.jobs.lease:settle", "before", "bundle"),  # within the transaction that ends the shard
    ("compute.jobs.run:_finish", "after", "bundle"),  # nobody was told that there is more to do
    ("clusters.ingest:write_run", "before", "ingest"),
    ("clusters.ingest.writing:write_memberships", "before", "ingest"),  # half of the rows are written
    ("clusters.ingest:write_run", "after", "ingest"),  # all of them, and nothing is committed
    ("clusters.receivers:ingest", "after", "ingest"),
    ("clusters.services.verification:prepare", "after", "ingest"),
    ("clusters.services.verification:_verify", "after", "ingest"),
    ("compute.jobs.run:_finish", "before", "ingest"),
    ("compute.jobs.run:forget_files", "before", "ingest"),  # the job has succeeded
]
FROZEN = [
    ("compute.bundle:BundleWriter.publish", "before", "bundle"),
    ("compute.bundle:sync_directory", "before", "bundle"),
    ("compute.jobs.run:_finish", "before", "bundle"),
    ("clusters.ingest:read_rows", "after", "ingest"),
    ("compute.jobs.run:_finish", "before", "ingest"),
]  # where a worker is stopped until another has done all
N_COMMAND = 12
_ROWS = ("Run", "Corpus", "Checkpoint", "RunCheckpoint", "Token", "Clustering", "Cluster", "Membership")
_SHORT_AND_WHOLE = pytest.mark.parametrize(
    ("site", "n"),
    [("sqlite", 4), *(pytest.param(name, 20, marks=pytest.mark.whole) for name in ("sqlite", "postgres"))],
    indirect=["site"],
)


@pytest.fixture(scope="session")
def undisturbed(tiny_suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the run that is killed below, computed in peace."""
    folder = tmp_path_factory.mktemp("undisturbed")
    killed(kind="in peace", config=tiny_config(tiny_suite).to_json(), folder=str(folder), seed=0)
    return next(folder.glob("tiny-*"))


def killed(site: Site | None = None, **plan: Any) -> Counter[str]:
    """Carry out a plan of `tests.faults.killed`; how many kills fell into each phase."""
    command = [sys.executable, "-m", "tests.faults.killed", json.dumps(plan)]
    environment = None if site is None else site.environment
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, f"{done.stdout[-500:]}\n{done.stderr[-3000:]}"
    return Counter(json.loads(done.stdout.splitlines()[-1]))


def rows() -> dict[str, int]:
    """How many rows runs are made of."""
    return {name: getattr(models, name).objects.count() for name in _ROWS}


@pytest.fixture
def labels(site: Site, tmp_path: Path) -> Iterator[Path]:
    """Somebody labels another run all the while; the file lists what was saved."""
    people.make_roles()
    User.objects.create_superuser("labeler")
    run = make_run(site.data / "bundles", name="labelled")
    file = tmp_path / "saved"
    file.touch()
    process = site.start("-m", "tests.faults.labeler", run.slug, str(file))
    wait_for(lambda: file.stat().st_size, "a first label", site=site)
    yield file
    end(process)


def _all_there(file: Path) -> int:
    """How many labels were saved; every one of them is in the database."""
    saved = set(file.read_text().split("\n")[:-1])
    found = {content["name"] for content in LabelRevision.objects.values_list("content", flat=True)}
    assert saved <= found, f"lost: {sorted(saved - found)[:5]}"
    return len(saved)


@pytest.fixture(autouse=True)
def _in_small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute.pipeline.TOKENS_PER_SHARD", TOKENS_PER_SHARD)


def _enqueued(site: Site, tiny_suite: Path) -> Job:
    site.periods = {**PERIODS, "QW_LEASE_SECONDS": "60", "QW_STALLED_SECONDS": "30", "QW_LOG_LEVEL": "WARNING"}
    job = queue.enqueue(tiny_config(tiny_suite))
    Job.objects.filter(pk=job.pk).update(max_attempts=1000)  # the third loss of one shard would end it
    return job


def _is_as_undisturbed(job: Job, site: Site, undisturbed: Path) -> None:
    """The job succeeded with the same bundle and the same rows, and left nothing half done that could be seen."""
    job.refresh_from_db()
    assert job.state == "succeeded", f"{job.error}\n{list(job.log_lines.values_list('message', flat=True))[-5:]}"
    bundle = open_bundle(job.bundle_path)
    bundle.verify()
    assert bundle.sha256 == job.bundle_sha256 == open_bundle(undisturbed).sha256
    seen = {path.name for path in (site.data / "bundles").iterdir() if not path.name.startswith(".")}
    assert {name for name in seen if name.startswith("tiny-")} == {bundle.path.name}
    named = Run.objects.filter(bundle_sha256=bundle.sha256)
    wait_for(named.exclude(verified_at=None).exists, "all files checked", seconds=60, site=site)  # a runner's, maybe
    found = rows()
    named.delete()
    ingest(undisturbed)
    assert rows() == found


@pytest.mark.timeout(900)
@_SHORT_AND_WHOLE
def test_a_job_killed_at_random_moments_gives_the_undisturbed_bundle_and_rows(
    site: Site, n: int, labels: Path, tiny_suite: Path, undisturbed: Path, measured: Measured
) -> None:
    job = _enqueued(site, tiny_suite)
    hit = killed(site, kind="job", job=job.pk, kills=n, seed=n, seconds=0.2)
    assert hit.total() >= n // 2  # it may be done before
    n_labels = _all_there(labels)
    _is_as_undisturbed(job, site, undisturbed)
    measured(1, "the process of a real run, at random moments", runner="local", kills=hit.total(), phases_hit=len(hit),
             phases=dict(hit), labels_written_meanwhile=n_labels, labels_lost=0, same_bundle=True)  # fmt: skip


@pytest.mark.timeout(600)
@pytest.mark.parametrize("site", ["sqlite", pytest.param("postgres", marks=pytest.mark.whole)], indirect=True)
def test_a_job_killed_at_every_point_between_publishing_and_reading_in_publishes_once(
    site: Site, labels: Path, tiny_suite: Path, undisturbed: Path, measured: Measured
) -> None:
    job = _enqueued(site, tiny_suite)
    hit = killed(site, kind="job", job=job.pk, points=POINTS, seed=0, seconds=0.4)
    n_labels = _all_there(labels)
    _is_as_undisturbed(job, site, undisturbed)
    measured(1, "the process of a real run, at each point of publishing and reading in", runner="local",
             kills=hit.total(), phases=dict(hit), labels_written_meanwhile=n_labels, labels_lost=0,
             same_bundle=True, runs_in_the_database=1)  # fmt: skip


@_SHORT_AND_WHOLE
def test_reading_in_killed_at_random_moments_gives_the_same_rows(
    site: Site, n: int, undisturbed: Path, measured: Measured
) -> None:
    expected = open_bundle(undisturbed).sha256
    hit = killed(
        site, kind="manage", arguments=["ingest", str(undisturbed)], kills=n, seed=n, forget_run="tiny",
        remove=[str(site.data / "derived")],
    )  # fmt: skip
    found = rows()
    [run] = Run.objects.all()
    assert (run.bundle_sha256, run.damage) == (expected, "")
    assert run.verified_at is not None
    run.delete()
    ingest(undisturbed)
    assert rows() == found
    measured(2, "manage.py ingest, at random moments", kills=hit.total(), phases_hit=len(hit), phases=dict(hit),
             rows=sum(found.values()), rows_lost=0)  # fmt: skip


@pytest.mark.whole
@pytest.mark.timeout(600)
@pytest.mark.parametrize("site", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("point", FROZEN, ids=lambda point: f"{point[2]} {point[1]} {point[0].rpartition(':')[2]}")
def test_a_worker_frozen_at_a_point_of_publishing_or_reading_in_wakes_up_to_nothing(
    site: Site, tiny_suite: Path, undisturbed: Path, point: tuple[str, str, str], measured: Measured
) -> None:
    """Another worker ends the job, and its run is removed by hand; what the late one then writes is refused."""
    job = _enqueued(site, tiny_suite)
    before, after = (site.data / name for name in ("before", "after"))
    killed(site, kind="job", job=job.pk, frozen=point, before=str(before), after=str(after), seed=0, seconds=0.4)
    assert json.loads(before.read_text()) == json.loads(after.read_text())
    job.refresh_from_db()
    assert (job.state, job.bundle_sha256) == ("succeeded", open_bundle(undisturbed).sha256)
    assert not Run.objects.exists()
    open_bundle(job.bundle_path).verify()
    measured(10, f"a real run's worker, frozen in {point[2]} {point[1]} {point[0].rpartition(':')[2]}",
             runner="local", writes_taken=0)  # fmt: skip


@pytest.mark.whole
@pytest.mark.timeout(600)
@pytest.mark.parametrize("site", ["postgres"], indirect=True)
def test_a_worker_frozen_within_its_transaction_keeps_others_waiting_no_longer_than_a_lease(
    site: Site, tiny_suite: Path, undisturbed: Path, measured: Measured
) -> None:
    """All rows are written and not committed: another's wait for them until the database ends that transaction."""
    job = _enqueued(site, tiny_suite)
    site.periods["QW_LEASE_SECONDS"] = "12"
    before, after = (site.data / name for name in ("before", "after"))
    point = ("clusters.ingest:write_run", "after", "ingest")
    since = time.monotonic()
    killed(site, kind="job", job=job.pk, frozen=point, before=str(before), after=str(after), seed=0, seconds=0.4)
    assert json.loads(before.read_text()) == json.loads(after.read_text())
    job.refresh_from_db()
    assert (job.state, job.bundle_sha256) == ("succeeded", open_bundle(undisturbed).sha256)
    assert not Run.objects.exists()
    measured(10, "a real run's worker, frozen within the transaction that reads a bundle in, lease of 12 s",
             runner="local", writes_taken=0, seconds_of_all=round(time.monotonic() - since, 1))  # fmt: skip


@pytest.mark.whole
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", [("exact",), ("sketch", "--sketch-size", "1024")], ids=lambda mode: mode[0])
def test_a_command_killed_at_random_moments_leaves_the_same_bundle(
    tiny_suite: Path, tmp_path: Path, mode: tuple[str, ...], measured: Measured
) -> None:
    folders = [f"{lm}/step{step}={tiny_suite / lm / f'step{step}'}" for lm in WIDTHS for step in (0, 120)]
    arguments = [
        *("qdg", "--suite-folder", *folders, "--tokenizer", f"{tiny_suite}/tokenizer.json", "--mode", *mode),
        *("--clustered", CLUSTERED, "--corpus", f"{tiny_suite}/text.jsonl", "--max-length", str(MAX_LENGTH)),
        *("--tokens", "40", "--threshold", "0.5", "--ks", "2,3,5,9,12", "--n-init", "5"),
    ]
    hit = killed(kind="command", arguments=arguments, folder=str(tmp_path), kills=N_COMMAND, seed=1)
    whole, again = (next((tmp_path / name).glob("own-*")) for name in ("whole", "killed"))
    open_bundle(again).verify()
    assert open_bundle(again).sha256 == open_bundle(whole).sha256
    assert [path for path in again.parent.iterdir() if not path.name.startswith(".")] == [again]
    measured(1, f"python -m compute qdg, {mode[0]}, at random moments", kills=hit.total(), phases_hit=len(hit),
             phases=dict(hit), same_bundle=True)  # fmt: skip

"""What people type: each command does its work or says in a sentence why not."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from clusters.embedded import demo, startup
from clusters.embedded.terminal import JobProgress, clock
from clusters.ingest import ingest
from clusters.management.commands import doctor
from clusters.models import Run
from compute.bundle import open_bundle
from compute.config import RunConfig
from compute.errors import StorageError
from compute.jobs.queue import cancel, enqueue
from compute.models import Job, Shard
from tests.databases import ROOT, Site, postgres_template, site, sqlite_template  # noqa: F401  (fixtures)
from tests.factories import make_run, write_bundle
from tests.jobs import fake
from tests.postgres import postgres  # noqa: F401  (a fixture)


@pytest.fixture
def data(tmp_path: Path, settings: Any) -> Path:
    folder = tmp_path / "data"
    settings.DATA_DIR, settings.STATIC_ROOT = folder, folder / "static"
    settings.BUNDLE_DIR, settings.WORKSPACE_DIR = folder / "bundles", folder / "workspaces"
    startup.require_data_folder()
    return folder


def say(*arguments: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


# ── ingest ──


@pytest.mark.django_db
def test_ingest_says_what_it_read_and_where_it_is(tmp_path: Path) -> None:
    path = write_bundle(tmp_path)
    assert say("ingest", str(path), "--name", "My run") == (
        "My run: 40 tokens, 4 clusterings, 160 memberships. It can be read at /runs/my-run/ (after 0 s).\n"
        "Every file is as its hash says.\n"
    )
    assert "was read in before and is unchanged" in say("ingest", str(path))


@pytest.mark.django_db
def test_ingest_can_hide_a_run(tmp_path: Path) -> None:
    say("ingest", str(write_bundle(tmp_path)), "--private")
    assert Run.objects.get().is_private


@pytest.mark.django_db
def test_ingest_refuses_what_is_no_bundle_with_status_two(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is no bundle") as refused:
        call_command("ingest", str(tmp_path))
    assert refused.value.returncode == 2


# ── sign_in_link ──


@pytest.mark.django_db
def test_a_sign_in_link_makes_the_first_administrator() -> None:
    assert say("sign_in_link", "--base", "http://qw:1/").startswith("http://qw:1/sign-in/")
    assert get_user_model().objects.get().is_superuser


@pytest.mark.django_db
def test_a_link_for_nobody_says_who_is_known() -> None:
    with pytest.raises(CommandError, match=r"nobody called 'eve'. Known: admin"):
        call_command("sign_in_link", "--user", "eve")


@pytest.mark.django_db
def test_a_person_can_be_made_who_may_start_jobs() -> None:
    say("sign_in_link", "--user", "eve", "--create", "--runner")
    eve = get_user_model().objects.get(username="eve")
    assert (eve.is_superuser, eve.has_perm("compute.add_job")) == (False, True)


# ── startup ──


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path, settings: Any) -> None:
    file = tmp_path / "file"
    file.touch()
    settings.DATA_DIR = file / "inside"
    with pytest.raises(StorageError, match="cannot be written.*QW_DATA_DIR"):
        startup.require_data_folder()


def test_the_data_folder_is_its_owners_alone(data: Path) -> None:
    assert data.stat().st_mode & 0o077 == 0


def test_a_second_process_waits_for_the_lock(data: Path) -> None:
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(1)"
    )
    command = [sys.executable, "-c", code, str(data / "demo.lock")]
    waited: list[bool] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with startup.file_lock("demo", lambda: waited.append(True)):
            assert holder.wait(5) == 0
    assert waited


@pytest.mark.django_db
def test_a_current_database_is_left_alone() -> None:
    assert startup.unapplied_migrations() == []
    assert startup.migrate() is False


# ── doctor ──


@pytest.mark.django_db
def test_the_doctor_reports_every_check(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.CHECKS, "demo weights", lambda: "left out of this test")
    report = say("doctor")
    assert report.count("good") == len(doctor.CHECKS)


@pytest.mark.django_db
def test_the_doctor_says_how_to_mend_what_is_wrong(data: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(doctor, "GIGABYTES_NEEDED", 1e9)
    (data / "secret_key").touch(0o644)
    settings.RUNNER, settings.CELERY_BROKER_URL = "celery", "redis://127.0.0.1:1/0"
    out = io.StringIO()
    with pytest.raises(CommandError, match="found something to mend"):
        call_command("doctor", stdout=out)
    problems = [line for line in out.getvalue().splitlines() if line.startswith("PROBLEM")]
    assert {line.split()[1].rstrip(":") for line in problems} >= {"disk", "secret", "broker"}
    assert all(word in out.getvalue() for word in ("QW_DATA_DIR", "chmod 600", "QW_RUNNER=local"))


# ── the demo run ──


def config_of(path: Path | str) -> RunConfig:
    return RunConfig.from_json(open_bundle(path).manifest["config"])


@pytest.fixture
def nothing_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "expected_sha256", lambda ref: None)


@pytest.fixture
def finished_at_once(monkeypatch: pytest.MonkeyPatch, data: Path) -> list[int]:
    """Instead of computing, every job publishes the same made-up bundle."""
    followed: list[int] = []

    def follow(job: Job, stream: object) -> Job:
        followed.append(job.pk)
        path = write_bundle(data / "bundles")
        ingest(path, job=job)
        job.state, job.bundle_path = Job.State.SUCCEEDED, str(path)
        job.save()
        return job

    monkeypatch.setattr(demo, "follow", follow)
    return followed


@pytest.mark.django_db
@pytest.mark.usefixtures("nothing_shipped")
def test_a_demo_run_that_is_there_is_not_computed_again(data: Path, finished_at_once: list[int]) -> None:
    run = make_run(data / "bundles")
    assert demo.make_demo_run(config_of(run.bundle_path), print, io.StringIO()) == (run, False)
    assert not finished_at_once


@pytest.mark.django_db
@pytest.mark.usefixtures("nothing_shipped")
def test_other_settings_are_another_demo_run(data: Path) -> None:
    run = make_run(data / "bundles")
    other = RunConfig.from_json(config_of(run.bundle_path).to_json() | {"name": "other"})
    assert demo.whole_demo_run(other, print) is None


@pytest.mark.django_db
def test_weights_that_were_trained_again_make_another_demo_run(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(data / "bundles")
    monkeypatch.setattr(demo, "expected_sha256", lambda ref: "f" * 64)
    assert demo.whole_demo_run(config_of(run.bundle_path), print) is None


@pytest.mark.django_db
@pytest.mark.usefixtures("nothing_shipped")
def test_a_damaged_demo_bundle_is_put_aside_and_computed_again(data: Path, finished_at_once: list[int]) -> None:
    run = make_run(data / "bundles")
    config, said = config_of(run.bundle_path), []
    (Path(run.bundle_path) / "similarity/signed.npy").write_bytes(b"cut")
    again, is_new = demo.make_demo_run(config, said.append, io.StringIO())
    assert (again.pk, is_new, len(finished_at_once)) == (run.pk, True, 1)
    open_bundle(again.bundle_path).verify()
    assert "was altered or cut short" in said[0]
    assert len(list((data / "bundles").glob(".damaged-*"))) == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("nothing_shipped")
def test_a_demo_job_that_was_cut_short_goes_on(data: Path, finished_at_once: list[int]) -> None:
    config = config_of(write_bundle(data / "elsewhere"))
    job = enqueue(config)
    first = job.shards.first()
    Shard.objects.filter(pk=first.pk).update(state=Shard.State.SUCCEEDED)
    said: list[str] = []
    demo.make_demo_run(config, said.append, io.StringIO())
    assert finished_at_once == [job.pk]
    assert said == [f"Going on with job {job.pk}: 1 of {job.shards.count()} shards are done."]


@pytest.mark.django_db
@pytest.mark.usefixtures("nothing_shipped")
def test_a_cancelled_demo_job_is_resumed(data: Path, finished_at_once: list[int]) -> None:
    config = config_of(write_bundle(data / "elsewhere"))
    job = enqueue(config)
    cancel(job)
    demo.make_demo_run(config, lambda _: None, io.StringIO())
    assert finished_at_once == [job.pk]


@pytest.mark.django_db
@pytest.mark.usefixtures("nothing_shipped")
def test_a_demo_job_that_failed_says_why(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(job: Job, stream: object) -> Job:
        job.state, job.error = Job.State.FAILED, "The disk is full."
        return job

    monkeypatch.setattr(demo, "follow", fail)
    with pytest.raises(demo.DemoError, match=r"The disk is full\."):
        demo.make_demo_run(config_of(write_bundle(data / "elsewhere")), print, io.StringIO())


@pytest.fixture
def fake_worker(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:  # noqa: F811
    """Instead of the real method, a child counts to ten in every shard; gives the children that were started."""
    children: list[subprocess.Popen[bytes]] = []

    def start(job: Job) -> subprocess.Popen[bytes]:
        children.append(site.start("-m", "tests.faults.worker", "run_job", str(job.pk), "--parent", str(os.getpid())))
        return children[-1]

    monkeypatch.setattr("compute.pipeline.plan", fake.plan)
    monkeypatch.setattr(demo, "_start", start)
    return children


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_demo_is_computed_in_a_child_and_shown(fake_worker: list[subprocess.Popen[bytes]]) -> None:
    stream = io.StringIO()
    job = demo.follow(enqueue(fake.config()), stream)
    assert (job.state, len(fake_worker)) == (Job.State.SUCCEEDED, 1)
    assert "gradients    ████████████████████████ 100%  3 of 3, done in" in stream.getvalue()


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_worker_that_is_killed_is_replaced_at_once(
    site: Site,  # noqa: F811
    fake_worker: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def show(self: JobProgress, job: Job) -> None:
        if len(fake_worker) == 1 and job.shards.filter(state=Shard.State.SUCCEEDED).exists():
            fake_worker[0].kill()
            fake_worker[0].wait()

    monkeypatch.setattr(JobProgress, "show", show)
    job = demo.follow(enqueue(fake.config()), io.StringIO())
    steps = (site.data / "workspaces" / "steps.log").read_text().splitlines()
    assert (job.state, len(fake_worker)) == (Job.State.SUCCEEDED, 2)
    assert len(set(steps)) == 60
    assert len(steps) <= 61


# ── progress ──


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def two_phases() -> Job:
    job = Job.objects.create(name="demo", config={})
    for ordinal, (phase, number) in enumerate([("losses", 0), ("losses", 0), ("gradients", 1)]):
        Shard.objects.create(
            job=job, ordinal=ordinal, phase=phase, phase_number=number, phase_ordinal=ordinal % 2,
            name=f"part {ordinal}", unit="tokens", n_total=1000,
        )  # fmt: skip
    return job


@pytest.mark.django_db
def test_progress_shows_bar_count_rate_and_time_left() -> None:
    job, ticks, stream = two_phases(), Clock(), Terminal()
    progress = JobProgress(stream, ticks)
    progress.show(job)
    ticks.now += 10
    job.shards.filter(ordinal=0).update(state=Shard.State.RUNNING, n_done=500, samples=[[0, 0], [10, 500]])
    progress.show(job)
    last = stream.getvalue().rpartition("\x1b[2K")[2]
    assert last == ("losses       ██████··················  25%  0 of 2  part 0: 500 of 1,000 tokens  50/s  0:30 left")


@pytest.mark.django_db
def test_progress_writes_a_line_for_every_phase_that_ends() -> None:
    job, ticks, stream = two_phases(), Clock(), io.StringIO()
    progress = JobProgress(stream, ticks)
    progress.show(job)
    ticks.now += 5
    job.shards.filter(phase="losses").update(state=Shard.State.SUCCEEDED)
    progress.show(job)
    progress.show(job)
    assert stream.getvalue() == "losses       ████████████████████████ 100%  2 of 2, done in 0:05\n"


@pytest.mark.django_db
def test_progress_of_a_resumed_job_names_what_was_done_before() -> None:
    job, stream = two_phases(), io.StringIO()
    job.shards.filter(phase="losses").update(state=Shard.State.SUCCEEDED)
    JobProgress(stream, Clock()).show(job)
    assert stream.getvalue() == "already done: losses\n"


def test_a_terminal_of_another_encoding_gets_plain_signs() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    JobProgress(stream, Clock())._write("██··")
    stream.flush()
    assert raw.getvalue() == b"##.."


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61.4, "1:01"), (3725, "1:02:05"), (-1, "0:00")])
def test_times_are_written_as_clocks(seconds: float, text: str) -> None:
    assert clock(seconds) == text

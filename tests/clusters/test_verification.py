"""After a run is read in: pages prepared, hashes compared, the outcome kept and shown."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from clusters import receivers
from clusters.embedded.checking import CheckProgress
from clusters.embedded.errands import Errand
from clusters.ingest import ingest
from clusters.models import Run
from clusters.services import preparation, verification
from clusters.services.verification import check_again, finish, waiting_runs
from clusters.stored.derived import derived, has_derived
from clusters.stored.hashes import alone, n_checked
from compute.bundle import Bundle, open_bundle
from compute.errors import BundleError
from compute.jobs.signals import bundle_ready, swept
from compute.models import Job
from tests.factories import make_run, write_bundle

pytestmark = pytest.mark.django_db
COLUMN = "losses/syn-10k/step1000.npy"


@pytest.fixture(autouse=True)
def derived_dir(tmp_path: Path, settings: Any) -> Path:
    settings.DERIVED_DIR = tmp_path / "derived"
    return settings.DERIVED_DIR


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path)


def damage(run: Run, name: str = COLUMN) -> None:
    file = Path(run.bundle_path) / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read from now on."""
    read: list[str] = []
    real = Bundle.verify_file

    def verify_file(self: Bundle, name: str) -> None:
        read.append(name)
        real(self, name)

    monkeypatch.setattr(Bundle, "verify_file", verify_file)
    return read


def test_a_run_waits_until_every_file_is_found_right(run: Run) -> None:
    assert list(waiting_runs()) == [run]
    assert finish(run)
    run.refresh_from_db()
    assert run.verified_at is not None
    assert not run.damage
    assert not waiting_runs()


def test_a_damaged_column_is_named_and_no_longer_waits(run: Run) -> None:
    damage(run)
    finish(run)
    run.refresh_from_db()
    assert run.verified_at is None
    assert run.damage.startswith(f"The file {COLUMN} of this run’s bundle was altered or cut short")
    assert f"manage.py verify {run.slug}" in run.damage
    assert not waiting_runs()


def test_a_missing_file_is_said_to_be_missing(run: Run) -> None:
    (Path(run.bundle_path) / COLUMN).unlink()
    finish(run)
    assert f"{COLUMN} of this run’s bundle is missing" in run.damage


def test_a_bundle_that_went_away_is_damage(run: Run) -> None:
    (Path(run.bundle_path) / "manifest.json").unlink()
    finish(run)
    assert "cannot be opened" in run.damage


def test_what_was_worked_out_of_damaged_files_is_dropped(run: Run) -> None:
    derived(run, "some/thing", lambda: np.arange(3))
    damage(run)
    finish(run)
    assert not has_derived(run, "some/thing")


def test_a_mended_bundle_is_whole_after_another_check(run: Run) -> None:
    damage(run)
    finish(run)
    damage(run)  # the same bit again: as it was
    check_again(run)
    finish(run)
    run.refresh_from_db()
    assert run.verified_at is not None
    assert not run.damage


def test_reading_a_mended_bundle_in_again_has_it_checked_again(run: Run) -> None:
    damage(run)
    finish(run)
    assert ingest(run.bundle_path).is_verifying


def test_a_bundle_found_elsewhere_is_checked_there(run: Run, tmp_path: Path) -> None:
    finish(run)
    moved = tmp_path / "moved"
    Path(run.bundle_path).rename(moved)
    assert ingest(moved).is_verifying


def test_a_whole_run_that_is_read_in_again_stays_verified(run: Run) -> None:
    finish(run)
    assert ingest(run.bundle_path).verified_at == run.verified_at


def test_a_check_that_was_cut_goes_on_where_it_was(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "KEEP_SECONDS", 0.0)
    calls: list[int] = []

    def cut(what: str, n_done: int, n_total: int) -> None:
        calls.append(n_done)
        if what == "checking files" and n_done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finish(run, cut)
    assert n_checked(run) == 5
    assert Run.objects.get().is_verifying
    read = counting(monkeypatch)
    finish(run)
    assert run.verified_at is not None
    assert len(read) == len(open_bundle(run.bundle_path).hashes) - 5


def test_a_file_that_changed_since_it_was_found_right_is_read_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "KEEP_SECONDS", 0.0)
    names = list(open_bundle(run.bundle_path).hashes)

    def cut(what: str, n_done: int, n_total: int) -> None:
        if n_done == len(names) - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finish(run, cut)
    damage(run, names[0])
    finish(run)
    assert names[0] in run.damage


def test_two_processes_do_not_check_one_run(run: Run) -> None:
    with alone(run) as is_alone:
        assert is_alone
        assert not finish(run)
    assert Run.objects.get().is_verifying


def test_pages_are_prepared_before_and_one_that_fails_keeps_nothing_else_from_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def fail(run: Run) -> None:
        raise ValueError("made up")

    def refuse(run: Run) -> None:
        raise BundleError("no losses here")

    makers: list[tuple[str, Callable[[Run], object]]] = [
        ("nothing", fail), ("less", refuse), ("one thing", lambda run: made.append(run.slug)),
    ]  # fmt: skip
    monkeypatch.setattr(preparation, "MAKERS", makers)
    said: list[str] = []
    finish(run, lambda what, n_done, n_total: said.append(what))
    assert made == [run.slug]
    assert said[:3] == ["preparing nothing", "preparing less", "preparing one thing"]
    assert run.verified_at is not None


# ── pages ──


def test_every_page_says_that_files_are_being_checked_and_no_longer_once_they_are(run: Run, client: Client) -> None:
    said = "being compared with their hashes"
    assert said in client.get(f"/runs/{run.slug}/rank-frequency/").content.decode()
    finish(run)
    assert said not in client.get(f"/runs/{run.slug}/rank-frequency/").content.decode()


def test_every_page_warns_of_damage(run: Run, client: Client) -> None:
    damage(run)
    finish(run)
    page = client.get(f"/runs/{run.slug}/rank-frequency/").content.decode()
    assert COLUMN in page
    assert 'role="alert"' in page


def test_the_overview_says_how_far_the_check_is_and_when_it_ended(run: Run, client: Client) -> None:
    n_files = len(open_bundle(run.bundle_path).hashes)
    assert f"verifying, 0 of {n_files} files" in client.get(f"/runs/{run.slug}/").content.decode()
    finish(run)
    assert run.verified_at is not None
    day = f"{run.verified_at.day} {run.verified_at:%b %Y}"
    assert f"verified on {day}" in client.get(f"/runs/{run.slug}/").content.decode()


# ── who does it ──


def say(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def test_ingest_checks_the_files_after_saying_where_the_run_is(tmp_path: Path) -> None:
    said = say("ingest", str(write_bundle(tmp_path)))
    assert said.index("It can be read at /runs/synthetic/") < said.index("Every file is as its hash says.")
    assert Run.objects.get().verified_at is not None


def test_ingest_ends_with_status_two_where_a_column_is_damaged(tmp_path: Path) -> None:
    path = write_bundle(tmp_path)
    (path / COLUMN).write_bytes((path / COLUMN).read_bytes()[:-1] + b"\x7f")
    with pytest.raises(CommandError, match=COLUMN) as caught:
        say("ingest", str(path))
    assert caught.value.returncode == 2
    assert Run.objects.get().damage


def test_an_interrupted_ingest_says_who_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Bundle, name: str) -> None:
        if Run.objects.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(Bundle, "verify_file", interrupt)
    with pytest.raises(CommandError, match="job runner goes on.*manage.py verify"):
        say("ingest", str(write_bundle(tmp_path)))
    assert Run.objects.get().is_verifying


def test_verify_without_a_name_takes_what_waits(tmp_path: Path) -> None:
    first, second = make_run(tmp_path, seed=1, name="one"), make_run(tmp_path, seed=2, name="two")
    finish(first)
    said = say("verify")
    assert said.strip() == "two: every file is as it was."
    second.refresh_from_db()
    assert second.verified_at is not None


def test_verify_with_a_name_reads_every_file_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(run)
    damage(run)
    with pytest.raises(CommandError, match="1 of the runs checked is damaged"):
        say("verify", run.slug)
    assert COLUMN in Run.objects.get().damage


def test_verify_refuses_a_run_that_is_not_there() -> None:
    with pytest.raises(CommandError, match="no run 'nobody'"):
        say("verify", "nobody")


def test_a_jobs_own_bundle_is_checked_at_once(tmp_path: Path) -> None:
    job = Job.objects.create(name="mine", config={})
    bundle_ready.send(sender=Job, job=job, path=write_bundle(tmp_path))
    run = Run.objects.get()
    assert (run.job, run.verified_at is not None) == (job, True)


def test_a_job_fails_where_its_bundle_is_damaged(tmp_path: Path) -> None:
    job = Job.objects.create(name="mine", config={})
    path = write_bundle(tmp_path)
    (path / COLUMN).write_bytes((path / COLUMN).read_bytes()[:-1] + b"\x7f")
    with pytest.raises(BundleError, match=COLUMN):
        bundle_ready.send(sender=Job, job=job, path=path)


def test_the_runner_starts_a_check_only_where_one_waits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []
    monkeypatch.setattr(receivers.checker, "start", lambda: started.append(True))
    swept.send(sender=None)
    finish(run)
    swept.send(sender=None)
    assert started == [True]


def test_one_check_is_started_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "manage.py").write_text("import sys, time; print(sys.argv[1:], flush=True); time.sleep(60)")
    settings.BASE_DIR = tmp_path
    checker = Errand("verify", log="verify.log")
    checker.start()
    assert checker.child is not None
    try:
        first = checker.child.pid
        checker.start()
        assert checker.child.pid == first
        log = tmp_path / "logs" / "verify.log"
        deadline = time.monotonic() + 20
        while not log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert log.read_text().strip() == str(["verify", "--parent", str(os.getpid())])
    finally:
        checker.child.kill()
        checker.child.wait()
    checker.start()
    assert checker.child.pid != first
    checker.child.kill()
    checker.child.wait()


def test_what_is_kept_of_a_check_may_be_nonsense(run: Run, derived_dir: Path) -> None:
    folder = derived_dir / run.bundle_sha256
    folder.mkdir(parents=True, exist_ok=True)
    for content in ("{", "[1]", json.dumps({"../../etc": [1, 2]})):
        (folder / "checked.json").write_text(content)
        check_again(run)
        (folder / "checked.json").write_text(content)
        finish(run)
        assert run.verified_at is not None, sys.exc_info()


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_is_rewritten_and_wiped_in_the_end() -> None:
    out = Terminal()
    with CheckProgress(out) as progress:
        progress.show("checking files", 3, 1200)
        progress.show("checking files", 4, 1200)  # too soon to be seen
    assert out.getvalue() == "\r\x1b[2Kchecking files: 3 of 1,200\r\x1b[2K"


def test_a_command_leaves_no_line_of_progress_on_a_terminal(run: Run) -> None:
    out = Terminal()
    call_command("verify", stdout=out)
    assert out.getvalue().startswith("\r\x1b[2Kpreparing ")
    assert out.getvalue().endswith(f"\r\x1b[2K{run.name}: every file is as it was.\n")


def test_a_log_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    out, now = StringIO(), [0.0]
    monkeypatch.setattr("clusters.embedded.checking.time.monotonic", lambda: now[0])
    with CheckProgress(out) as progress:
        for now[0] in (1.0, 9.0, 10.5, 12.0):
            progress.show("checking files", int(now[0]), 20)
    assert out.getvalue() == "checking files: 10 of 20\n"

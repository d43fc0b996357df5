"""What nobody needs goes, what a row names stays, on both databases; a dry run touches nothing."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.utils import timezone

from clusters import receivers
from clusters.embedded.errands import Errand
from clusters.models import (
    ApiKey,
    AuditEvent,
    Export,
    IdempotentRequest,
    Import,
    Notice,
    RegisteredCorpus,
    Run,
    SignInLink,
)
from clusters.services import leftovers
from clusters.services.retention import KINDS, is_due, tidy
from compute.bundle import put_aside
from compute.models import Job, LogLine
from compute.workspace import Workspace
from tests.databases import Site, postgres_template, site, sqlite_template  # noqa: F401  (fixtures)
from tests.factories import UserFactory, make_run
from tests.postgres import postgres  # noqa: F401  (a fixture)

LONG_AGO = timezone.now() - timedelta(days=400)
OLD, RECENT = "old", "recent"


def aged(path: Path, days: float = 400) -> Path:
    os.utime(path, (time.time() - days * 86_400,) * 2)
    return path


def file_in(folder: Path, n_bytes: int = 1000) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(bytes(n_bytes))
    return folder


@pytest.fixture
def data(site: Site, settings: Any) -> Path:  # noqa: F811
    for name in ("export", "corpus", "derived"):
        setattr(settings, f"{name.upper()}_DIR", site.data / {"corpus": "corpora"}.get(name, f"{name}s"))
    settings.DERIVED_DIR = site.data / "derived"
    return site.data


@pytest.fixture
def run(data: Path) -> Run:
    return make_run(data / "bundles")


def paths(data: Path) -> set[str]:
    """All there is, but for the database and the bundle's files."""
    return {str(path.relative_to(data)) for path in data.rglob("*") if path.is_dir() or path.suffix == ".log"}


def by_kind(**options: Any) -> dict[str, tuple[int, int]]:
    return {one.kind: (one.n, one.n_bytes) for one in tidy(**options) if one.n}


def test_a_new_site_has_nothing_to_remove(run: Run, data: Path) -> None:
    before = paths(data)
    assert by_kind() == {}
    assert paths(data) == before


def closed_job(days: float = 400, **more: Any) -> Job:
    values = {"state": Job.State.FAILED, "finished_at": timezone.now() - timedelta(days=days), "config": {}} | more
    return Job.objects.create(name="job", **values)


# ── files ──


def test_exports_go_when_their_time_is_over_or_they_failed_long_ago(run: Run, data: Path) -> None:
    def export(days_left: float | None, **job: Any) -> Export:
        made = closed_job(**job)
        ends = None if days_left is None else timezone.now() + timedelta(days=days_left)
        path = f"exports/{made.pk}/table.csv" if ends else ""
        one = Export.objects.create(job=made, run=run, kind="clusters", format="csv", path=path, expires_at=ends)
        file_in(leftovers.folder_of(one))
        return one

    over, good = export(-1, state=Job.State.SUCCEEDED), export(5, state=Job.State.SUCCEEDED)
    failed, lately = export(None), export(None, days=1)
    waiting = export(None, state=Job.State.QUEUED, finished_at=None)
    nobodys = aged(file_in(data / "exports" / "99999"))
    assert by_kind(kinds=["exports"]) == {"exports": (3, 3000)}
    assert set(Export.objects.all()) == {good, lately, waiting}
    assert not any(path.exists() for path in (leftovers.folder_of(over), leftovers.folder_of(failed), nobodys))
    assert all(leftovers.folder_of(one).exists() for one in (good, lately, waiting))


def test_working_files_go_a_week_after_their_job_ended(data: Path, settings: Any) -> None:
    def job(name: str, **more: Any) -> Job:
        folder = aged(file_in(data / "workspaces" / f"job-{name}"))
        return closed_job(workspace=str(folder), **more)

    job("1"), job("2", days=1), job("3", state=Job.State.RUNNING, finished_at=None)
    aged(file_in(data / "workspaces" / "job-99"))  # of a job that is no more
    aged(file_in(data / "workspaces" / "columns"))  # what runs share
    assert by_kind(kinds=["working files"]) == {"working files": (2, 2000)}
    left = {path.name for path in (data / "workspaces").iterdir()}
    assert left == {"job-2", "job-3", "columns"}
    assert Job.objects.filter(workspace="").count() == 1


def test_losses_that_no_run_used_for_a_month_go(data: Path) -> None:
    columns = Workspace(data / "workspaces" / "columns")
    for name in ("old", "new"):
        columns.save(name, np.zeros(4), "stamp")
    aged(columns.root / "old.npy.note", 31), aged(columns.root / "new.npy.note", 29)
    [left] = leftovers.shared_losses()
    assert left.n_bytes > 100
    columns.touch("old")  # a run came meanwhile
    assert left.remove() == 0
    aged(columns.root / "old.npy.note", 31)
    assert by_kind(kinds=["working files"])["working files"][0] == 1
    assert (columns.has("old", "stamp"), columns.has("new", "stamp")) == (False, True)


def test_logs_of_jobs_that_ended_long_ago_go(data: Path) -> None:
    old, lately = closed_job(), closed_job(days=5)
    at_work = closed_job(state=Job.State.RUNNING, finished_at=None)
    for job in (old, lately, at_work):
        LogLine.objects.create(job=job, message="said")
        file = data / "logs" / f"job-{job.pk}.log"
        file.parent.mkdir(exist_ok=True)
        file.write_text("said")
        aged(file, 5 if job is lately else 400)
    aged(data / "logs", 400)
    (data / "logs" / "verify.log").write_text("kept")
    assert by_kind(kinds=["job logs"]) == {"job logs": (2, 4)}
    assert set(LogLine.objects.values_list("job", flat=True)) == {lately.pk, at_work.pk}
    assert {path.name for path in (data / "logs").iterdir()} == {
        f"job-{lately.pk}.log", f"job-{at_work.pk}.log", "verify.log",
    }  # fmt: skip


def test_what_was_derived_goes_with_its_run(run: Run, data: Path) -> None:
    used = aged(file_in(data / "derived" / run.bundle_sha256))
    unused = aged(file_in(data / "derived" / ("ab" * 32)))
    fresh = file_in(data / "derived" / ("cd" * 32))  # of a bundle that is being read in, say
    assert by_kind(kinds=["derived files"]) == {"derived files": (1, 1000)}
    assert (used.exists(), unused.exists(), fresh.exists()) == (True, False, True)


def test_uploads_that_are_no_corpus_go(data: Path) -> None:
    named, orphan = (aged(file_in(data / "corpora" / (letter * 32))) for letter in "ab")
    cut, at_work = (file_in(data / "corpora" / f".partial-{letter * 32}") for letter in "cd")
    by_hand = aged(file_in(data / "corpora" / "my own"))
    aged(cut, 1)
    RegisteredCorpus.objects.create(name="named", kind="upload", source=str(named / "file"))
    assert by_kind(kinds=["uploads"]) == {"uploads": (2, 2000)}
    assert [path.exists() for path in (named, orphan, cut, at_work, by_hand)] == [True, False, False, True, True]


def test_what_rows_of_another_host_name_stays(data: Path) -> None:
    text = aged(file_in(data / "corpora" / ("a" * 32)))
    RegisteredCorpus.objects.create(name="there", kind="upload", source=f"/elsewhere/corpora/{text.name}/file")
    work = aged(file_in(data / "workspaces" / "job-77"))
    closed_job(workspace="/elsewhere/workspaces/job-77", days=1)
    assert by_kind(kinds=["uploads", "working files"]) == {}
    assert text.exists()
    assert work.exists()


def test_what_was_sent_to_be_imported_goes_after_a_week(data: Path) -> None:
    folders = {name: file_in(data / "imports" / (name[0] * 32)) for name in ("a week", "b hours", "c waits", "d none")}
    for name, days in (("a week", 8), ("b hours", 0.5), ("c waits", 30), ("d none", 0.5)):
        aged(folders[name], days)
        job = closed_job(state=Job.State.QUEUED, finished_at=None) if name == "c waits" else None
        if name != "d none":
            Import.objects.create(kind="bundle", file_name="x", key=name[0] * 32, job=job)
    assert by_kind(kinds=["imports"]) == {"imports": (2, 2000)}
    assert {name for name, folder in folders.items() if folder.exists()} == {"b hours", "c waits"}


def test_bundles_of_deleted_runs_go_days_later_and_whole_ones_never(run: Run, data: Path) -> None:
    bundles = data / "bundles"
    old, new = file_in(bundles / ".trash-0123456789ab-x"), file_in(bundles / ".trash-ba9876543210-y")
    cut, at_work = file_in(bundles / ".z.partial-0123456789ab"), file_in(bundles / ".z.partial-ba9876543210")
    unknown = aged(file_in(bundles / "copied-here-by-hand"))
    aged(old, 8), aged(new, 6), aged(cut, 2), aged(Path(run.bundle_path))
    assert by_kind() == {"deleted runs": (1, 1000), "abandoned bundles": (1, 1000)}
    assert not any(path.exists() for path in (old, cut))
    assert all(path.exists() for path in (new, at_work, unknown, Path(run.bundle_path)))


def test_what_was_put_aside_and_removed_uploads_go_days_later(run: Run, data: Path) -> None:
    old, new = (aged(file_in(data / "bundles" / f"damaged-{letter}")) for letter in "on")
    put_aside(old), put_aside(new)
    [aside] = (data / "bundles").glob(".damaged-damaged-o-*")
    upload = file_in(data / "corpora" / ".damaged-u")
    removed, lately = file_in(data / "corpora" / ".trash-0123456789ab-r"), file_in(data / "corpora" / ".trash-0a-l")
    aged(aside, 8), aged(upload, 8), aged(removed, 8), aged(lately, 6)
    assert by_kind() == {"damaged folders": (2, 2000), "removed corpora": (1, 1000)}
    assert [path.exists() for path in (aside, upload, removed, lately)] == [False, False, False, True]
    assert len(list((data / "bundles").glob(".damaged-damaged-n-*"))) == 1


def test_what_gets_a_row_while_it_is_looked_at_stays(data: Path) -> None:
    folder = aged(file_in(data / "corpora" / ("a" * 32)))
    [left] = leftovers.uploads()
    RegisteredCorpus.objects.create(name="just now", kind="upload", source=str(folder / "file"))
    assert left.remove() == 0
    assert folder.exists()


# ── rows ──


def make_rows(at: Any, name: str) -> None:
    """One row of every kind that has a time, of this moment."""
    person: Any = UserFactory(username=name)
    Session.objects.create(session_key=name, session_data="", expire_date=at)
    SignInLink.objects.create(user=person, token_sha256=name, expires_at=at)
    key, _ = ApiKey.objects.create(person, name=name, scopes=[])
    ApiKey.objects.filter(pk=key.pk).update(expiry=at)
    AccessAttempt.objects.create(username=name, ip_address="203.0.113.7", user_agent="", http_accept="", path_info="",
                                 get_data="", post_data="", failures_since_start=1)  # fmt: skip
    AccessAttempt.objects.filter(username=name).update(attempt_time=at)
    for model, more in (
        (IdempotentRequest, {"user": person, "key": name, "fingerprint": "a"}),
        (Notice, {"user": person, "text": name}),
        (AuditEvent, {"action": name}),
    ):
        row = model.objects.create(**more)
        time_field = "created_at" if model is IdempotentRequest else "at"
        model.objects.filter(pk=row.pk).update(**{time_field: at})


def test_rows_go_when_their_time_is_over_but_the_audit_stays(data: Path) -> None:
    make_rows(LONG_AGO, OLD)
    make_rows(timezone.now() + timedelta(minutes=5), RECENT)
    ones = ("keys", "repeated requests", "sign-in attempts", "notices")
    expected = {"sessions": (2, 0), **dict.fromkeys(ones, (1, 0))}
    assert by_kind(is_dry=True) == expected
    assert Session.objects.count() == 2
    assert by_kind() == expected
    for model, name in ((Session, "session_key"), (ApiKey, "name"), (AccessAttempt, "username"), (Notice, "text")):
        assert list(model.objects.values_list(name, flat=True)) == [RECENT]
    assert AuditEvent.objects.filter(action=OLD).exists()


def test_the_audit_goes_only_where_days_are_set(data: Path, settings: Any) -> None:
    settings.KEEP_AUDIT_DAYS = 365
    make_rows(LONG_AGO, OLD)
    tidy(kinds=["audit"])
    assert not AuditEvent.objects.filter(action=OLD).exists()


def test_more_rows_than_one_statement_takes_all_go(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clusters.services.retention._BATCH", 7)
    Session.objects.bulk_create(Session(session_key=f"s{i}", session_data="", expire_date=LONG_AGO) for i in range(40))
    assert by_kind(kinds=["sessions"]) == {"sessions": (40, 0)}
    assert not Session.objects.exists()


# ── the command, and who calls it ──


def said(*arguments: str) -> str:
    out = io.StringIO()
    call_command("tidy", *arguments, stdout=out)
    return out.getvalue()


def test_a_dry_run_names_what_would_go_and_touches_nothing(data: Path) -> None:
    folder = aged(file_in(data / "derived" / ("ab" * 32)))
    text = said("--dry-run")
    assert f"derived/{folder.name}" in text
    assert "1 thing, 1 kB would go." in text
    assert folder.exists()
    assert is_due()
    assert "1 thing, 1 kB gone." in said()
    assert not folder.exists()
    assert AuditEvent.objects.get(action="site.tidy").detail == {"bytes": 1000, "derived files": 1}
    assert not is_due()


def test_an_unknown_kind_is_refused_with_those_there_are(data: Path) -> None:
    with pytest.raises(CommandError, match="There is no kind wishes; there are exports, "):
        said("wishes")


def test_what_cannot_be_removed_is_told_and_keeps_nothing_else(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[Any]:
        raise PermissionError(13, "Permission denied")
        yield

    monkeypatch.setitem(KINDS, "uploads", broken)
    folder = aged(file_in(data / ".." / "data" / "derived" / ("ab" * 32)))
    with pytest.raises(CommandError, match=r"uploads: not all could be removed \(Permission denied\)"):
        said()
    assert not folder.exists()


def test_the_sweeper_tidies_once_a_day(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    class Child:
        def poll(self) -> int:
            return 0

    def start(command: list[str], **_: Any) -> Child:
        started.append(command)
        return Child()

    tidier = Errand("tidy", log="tidy.log", rest_seconds=60)
    monkeypatch.setattr(receivers, "tidier", tidier)
    monkeypatch.setattr("clusters.embedded.errands.process.start", start)
    receivers.tidy_daily(None)
    receivers.tidy_daily(None)  # it may have failed: not again at once
    assert len(started) == 1
    assert started[0][2:4] == ["tidy", "--parent"]
    tidy()
    tidier._not_before = 0.0
    receivers.tidy_daily(None)
    assert len(started) == 1


def test_a_runner_without_the_sites_files_leaves_them_alone(
    data: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    started: list[bool] = []
    monkeypatch.setattr(receivers.tidier, "start", lambda: started.append(True))
    settings.QUEUES = ["gpu"]
    receivers.tidy_daily(None)
    assert not started
    settings.QUEUES = ["gpu", "cpu", "site"]
    receivers.tidy_daily(None)
    assert started == [True]

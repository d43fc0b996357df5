"""The doctor's findings: what is wrong is found, and the sentence says how to mend it."""

from __future__ import annotations

import io
import shutil
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.utils import timezone

from clusters.models import AuditEvent
from clusters.services import diagnosis, health
from clusters.services.backup import ACTION, back_up
from clusters.services.health import Problem
from compute.models import Job, Worker
from compute.store.address import store_address
from tests.databases import Site, postgres_template, site, sqlite_template  # noqa: F401  (fixtures)
from tests.postgres import postgres  # noqa: F401  (a fixture)


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest) -> None:
    """The tests' own, where a test has not its own site."""
    if "site" not in request.fixturenames:
        request.getfixturevalue("db")


@pytest.fixture(autouse=True)
def data(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path / "own"
    settings.DATA_DIR.mkdir(mode=0o700)
    settings.HAS_OWN_HOSTS = settings.BEHIND_TLS = False
    return settings.DATA_DIR


def worker(name: str = "w", **more: Any) -> Worker:
    values = {"kind": "celery", "version": diagnosis.code_version()[:40], "seen_at": timezone.now()} | more
    return Worker.objects.create(name=name, **values)


def problem(name: str) -> str:
    with pytest.raises(Problem) as raised:
        diagnosis.SITE[name]()
    return str(raised.value)


def test_workers_of_another_version_are_named(settings: Any) -> None:
    settings.RUNNER = "celery"
    worker("s", kind="sweeper")
    worker()
    assert diagnosis.workers() == "2 seen, of this version"
    worker("old", version="0.0.1")
    assert problem("workers").startswith("some run version 0.0.1, and this process ")
    assert "Restart those workers" in problem("workers")


def test_nobody_works_or_nobody_sweeps(settings: Any) -> None:
    assert diagnosis.workers() == "none is running (manage.py up starts one)"
    Job.objects.create(name="waits", config={})
    assert "1 jobs are open. Start one" in problem("workers")
    settings.RUNNER = "celery"
    worker("gone", seen_at=timezone.now() - timedelta(hours=1))
    assert "none was seen for two minutes" in problem("workers")
    worker()
    assert "Start manage.py runner" in problem("workers")


def test_jobs_for_a_gpu_need_a_worker_that_sees_one(settings: Any) -> None:
    assert diagnosis.gpus() == "not asked for (QW_DEVICE=cpu)"
    settings.DEVICE = "cuda:0"
    worker(device="cpu")
    assert "nvidia-smi" in problem("GPUs")
    card = worker("g", device="cuda:0", host="gpu-1", n_claimed=3)
    assert "workers on gpu-1 have taken shards and never saw" in problem("GPUs")
    Worker.objects.filter(pk=card.pk).update(vram_bytes=80e9, device_name="A card")
    assert diagnosis.gpus() == "1 workers: A card"


def test_clocks_that_disagree_are_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    assert "same clock" in diagnosis.clocks() or "agree within" in diagnosis.clocks()
    if site.url.startswith("sqlite"):
        return
    real = diagnosis.time.time
    monkeypatch.setattr(diagnosis.time, "time", lambda: real() - 3600)
    assert "3600 s before this one" in problem("clocks")
    assert "timedatectl" in problem("clocks")


def test_what_everybody_may_write_is_named(data: Path) -> None:
    assert diagnosis.permissions() == "kept from others"
    (data / "bundles").mkdir()
    (data / "bundles").chmod(0o777)
    assert problem("permissions") == (
        f"everybody on this host may write into {data / 'bundles'}; run: chmod o-w {data / 'bundles'}"
    )


def test_backups_that_are_missing_old_or_not_whole(settings: Any) -> None:
    assert diagnosis.backups().startswith("none yet")
    settings.HAS_OWN_HOSTS = True
    assert "there was none yet. Run manage.py backup FOLDER daily" in problem("backups")
    event = AuditEvent.objects.create(action=ACTION, detail={"problems": 0})
    assert diagnosis.backups().startswith("the last is of ")
    AuditEvent.objects.filter(pk=event.pk).update(at=timezone.now() - timedelta(hours=50))
    assert "50 hours old" in problem("backups")
    AuditEvent.objects.create(action=ACTION, detail={"problems": 2})
    assert "lacks 2 damaged or missing folders" in problem("backups")


def test_a_backup_is_noted_for_whoever_watches(site: Site, settings: Any, tmp_path: Path, monkeypatch: Any) -> None:  # noqa: F811
    from tests.postgres import find_binaries

    monkeypatch.setenv("PATH", str(find_binaries()), prepend=":")
    settings.CORPUS_DIR = site.data / "corpora"
    done = back_up(tmp_path / "backups")
    event = AuditEvent.objects.get(action=ACTION)
    assert event.target == done.path.name
    assert event.detail == {"files": 0, "new": 0, "problems": 0}


def test_a_site_that_others_reach_needs_tls(settings: Any) -> None:
    assert diagnosis.tls() == "only this machine reaches the site"
    settings.HAS_OWN_HOSTS = True
    assert "set QW_BEHIND_TLS=1" in problem("TLS")
    settings.INSECURE_HTTP = True
    assert "passwords pass in the clear" in problem("TLS")
    assert "With QW_PROXIES=0" in problem("TLS")
    settings.PROXIES = 1
    assert "With QW_PROXIES=0" not in problem("TLS")
    settings.INSECURE_HTTP, settings.BEHIND_TLS = False, True
    settings.SESSION_COOKIE_SECURE = settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 31_536_000
    assert diagnosis.tls() == "behind a proxy, HSTS 365 days"


def test_a_mail_server_that_is_away(settings: Any) -> None:
    assert diagnosis.mail().startswith("no server is named")
    settings.HAS_EMAIL, settings.EMAIL_HOST, settings.EMAIL_PORT = True, "127.0.0.1", 1
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert problem("mail").startswith("the server 127.0.0.1:1 does not take us (ConnectionRefusedError).")


def test_slips_in_names_of_settings(settings: Any) -> None:
    settings.UNKNOWN_VARIABLES = [("QW_HEARTBEATS", "QW_HEARTBEAT_SECONDS"), ("QW_X", "")]
    assert problem("settings").startswith("nothing reads QW_HEARTBEATS (meant: QW_HEARTBEAT_SECONDS?), QW_X;")


def test_a_cache_that_keeps_nothing(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CACHE_URL = "redis://127.0.0.1:1/0"
    assert health.shared_cache() == "answers"  # Django's own, which the tests have
    monkeypatch.setattr(health.cache, "get", lambda name: None)
    assert "mend QW_CACHE_URL" in problem("cache")


def test_a_folder_store_is_written_and_read(settings: Any, tmp_path: Path) -> None:
    assert diagnosis.store() == "not needed (QW_STORE_URL is empty)"
    folder = tmp_path / "store"
    folder.mkdir()
    settings.STORE = store_address(f"file://{folder}")
    assert diagnosis.store() == f"file://{folder} keeps what it is given"
    assert health.reach_store() == f"file://{folder} can be written"
    shutil.rmtree(folder)
    with pytest.raises(Problem, match="cannot be written; mount it"):
        health.reach_store()


def test_a_bucket_is_only_called_where_there_is_no_library_for_it(settings: Any, monkeypatch: Any) -> None:
    def missing(address: object) -> None:
        raise ImportError("s3fs")

    monkeypatch.setattr(diagnosis, "open_store", missing)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings.STORE = store_address("s3://bucket", endpoint=f"http://127.0.0.1:{port}", key="k", secret="s")
        assert diagnosis.store() == "s3://bucket can be reached"
    assert "mend QW_STORE_ENDPOINT" in problem("store")


def test_what_the_database_cannot_tell_is_a_finding() -> None:
    def broken() -> str:
        raise DatabaseError("no such table")

    with pytest.raises(Problem, match="mend that first"):
        diagnosis.on_database(broken)()


def test_the_doctor_runs_djangos_own_checks_when_asked(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SECURE_HSTS_SECONDS = 0
    out = io.StringIO()
    with pytest.raises(CommandError, match="found something to mend"):
        call_command("doctor", deploy=True, stdout=out)
    [line] = [line for line in out.getvalue().splitlines() if "deployment:" in line]
    assert line.startswith("PROBLEM")
    assert "security.W004" in line

"""What the web host sends, fetches and tidies, and what its pages say meanwhile."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from clusters.models import RegisteredCorpus, Run
from clusters.services import sharing
from clusters.services.experiments import receive
from clusters.stored.arrays import experiment_array, forget_bundles
from compute.bundle import open_bundle
from compute.config import RunConfig
from compute.errors import BundleError, CorpusError, StorageError
from compute.jobs import places
from compute.labs import frame
from compute.models import Job
from compute.store.folders import push_bundle, push_folder
from compute.store.objects import Store, object_key
from compute.texts.uploads import check_upload
from tests.compute.counting import COUNTING, Counting
from tests.factories import make_run, write_bundle
from tests.jobs import fake

pytestmark = pytest.mark.django_db


@pytest.fixture
def shared(files_store: Store, tmp_path: Path, settings: Any) -> Store:
    """A store in a folder, and the web host's own data folder."""
    from compute.store.address import store_address

    settings.STORE = store_address(f"file://{tmp_path / 'mounted'}")
    settings.DATA_DIR = tmp_path / "web"
    settings.BUNDLE_DIR, settings.CORPUS_DIR = tmp_path / "web" / "bundles", tmp_path / "web" / "corpora"
    settings.WORKSPACE_DIR = tmp_path / "web" / "workspaces"
    settings.SWEEP_SECONDS = 0
    return files_store


@pytest.fixture
def away(shared: Store, tmp_path: Path) -> Run:
    """A run that was computed and read in on another host."""
    run = make_run(tmp_path / "worker" / "bundles")
    push_bundle(shared, Path(run.bundle_path))
    shutil.rmtree(run.bundle_path)
    forget_bundles()
    return run


@pytest.fixture
def sent_text(shared: Store, settings: Any) -> Path:
    path = Path(settings.CORPUS_DIR) / ("ab" * 16) / "text.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"text": "one"}\n')
    facts = {"n_documents": 1, "n_bytes": 16, "sha256": check_upload(path).sha256}
    RegisteredCorpus.objects.create(name="sent", kind="upload", source=str(path), file_name="text.jsonl", **facts)
    return path


@pytest.mark.parametrize("address", ["/runs/{}/", "/runs/{}/losses/", "/api/v1/runs/{}/tokens/"])
def test_a_run_whose_files_are_away_says_so(away, client, address):
    said = client.get(address.format(away.slug))
    assert said.status_code == 503
    assert "on their way from the worker" in said.content.decode()
    assert int(said["Retry-After"]) > 0


def test_the_list_of_runs_stays(away, client):
    assert client.get("/").status_code == 200


def test_the_bundle_of_another_host_is_fetched(away, client, settings):
    assert sharing.has_work()
    sharing.exchange()
    away.refresh_from_db()
    assert Path(away.bundle_path).parent == settings.BUNDLE_DIR
    assert client.get(f"/runs/{away.slug}/").status_code == 200
    assert not sharing.has_work()


def test_a_bundle_that_the_store_lost_is_told_and_the_rest_goes_on(away, shared, sent_text):
    shared.remove([one.key for one in shared.listed("objects/")])
    told: list[str] = []
    sharing.exchange(told.append)
    assert any("not whole in the store" in line for line in told)
    assert shared.read(f"corpora/{sent_text.parent.name}.json") is not None


def test_a_bundle_that_nobody_has_is_looked_for_ever_more_rarely(away, shared, settings, monkeypatch):
    settings.QUEUES = ("site",)
    monkeypatch.setattr(sharing, "_is_untidy", lambda: False)
    record = shared.read(f"bundles/{away.bundle_sha256}.json")
    shared.remove([f"bundles/{away.bundle_sha256}.json"])
    told: list[str] = []
    clock, waited = time.time(), []
    for minute in range(0, 61):
        monkeypatch.setattr(sharing.time, "time", lambda now=clock + 60 * minute: now)
        if sharing.has_work():
            sharing.exchange(told.append)
            waited.append(minute)
            marker = next((settings.DATA_DIR / "sent").glob("*/failed-*"))
            os.utime(marker, (clock + 60 * minute,) * 2)
    assert waited == [0, 6, 17, 38]  # 5, 10 and 20 minutes have passed
    assert len(told) == 2 * len(waited)
    shared.write(f"bundles/{away.bundle_sha256}.json", record)
    call_command("store", "sync")
    assert not any(True for _ in sharing.missing())


def test_a_bundle_that_was_read_in_here_is_sent_once(shared, settings):
    run = make_run(Path(settings.BUNDLE_DIR))
    sharing.exchange()
    assert shared.read(f"bundles/{run.bundle_sha256}.json") is not None
    shared.remove([f"bundles/{run.bundle_sha256}.json"])
    sharing.exchange()
    assert shared.read(f"bundles/{run.bundle_sha256}.json") is None


def test_a_worker_takes_a_sent_text_from_the_store(sent_text, settings, tmp_path):
    sharing.exchange()
    settings.CORPUS_DIR = tmp_path / "worker" / "corpora"
    config = _reading(sent_text)
    sent_text.rename(sent_text.with_name("gone"))
    found = Path(places.with_text_here(config).corpus.source)
    assert found == settings.CORPUS_DIR / sent_text.parent.name / "text.jsonl"
    assert found.read_text() == '{"text": "one"}\n'


def test_another_text_than_was_asked_for_is_refused(shared, sent_text, settings, tmp_path):
    sharing.exchange()
    key = f"corpora/{sent_text.parent.name}.json"
    shared.write(key, shared.read(key).replace(sent_text.parent.name.encode(), b"c" * 32))
    settings.CORPUS_DIR = tmp_path / "worker" / "corpora"
    config = _reading(sent_text)
    sent_text.rename(sent_text.with_name("gone"))
    with pytest.raises(BundleError, match="another text"):
        places.with_text_here(config)
    assert not (settings.CORPUS_DIR / ("c" * 32)).exists()


@pytest.mark.parametrize("content", ['{"text": "two"}\n', "no text at all\n"])
def test_an_altered_text_with_a_record_of_its_own_is_refused(shared, sent_text, settings, tmp_path, content):
    """Who can write to the store can name any file there; what was sent is known to the database."""
    sharing.exchange()
    name = sent_text.parent.name
    other = tmp_path / name
    other.mkdir()
    (other / "text.jsonl").write_text(content)
    push_folder(shared, f"corpora/{name}.json", other)
    settings.CORPUS_DIR = tmp_path / "worker" / "corpora"
    config = _reading(sent_text)
    sent_text.rename(sent_text.with_name("gone"))
    with pytest.raises(BundleError, match="another text"):
        places.with_text_here(config)
    assert not (settings.CORPUS_DIR / name).exists()


def test_a_text_that_never_comes_is_told(shared, sent_text):
    sent_text.rename(sent_text.with_name("gone"))
    with pytest.raises(CorpusError, match="lies on the web host alone"):
        places.with_text_here(_reading(sent_text))


def test_a_worker_takes_a_bundle_from_the_store(away, settings, tmp_path):
    settings.BUNDLE_DIR = tmp_path / "worker2" / "bundles"
    path = places.bundle_here(away.bundle_path, away.bundle_sha256)
    assert path.parent == settings.BUNDLE_DIR
    with pytest.raises(BundleError, match="neither on this host nor whole in the store"):
        places.bundle_here("/elsewhere/other-1", "0" * 64)


def test_a_job_of_another_host_has_its_working_folder_here(shared, settings):
    job = Job(pk=7, workspace="/elsewhere/workspaces/job-7")
    assert places.workspace_of(job) == settings.WORKSPACE_DIR / "job-7"
    job.workspace = str(settings.WORKSPACE_DIR / "job-7")
    assert places.workspace_of(job) == settings.WORKSPACE_DIR / "job-7"
    job.workspace = "/etc"
    assert places.workspace_of(job) == Path("/etc")


def test_files_of_forgotten_jobs_go_here_and_in_the_store(shared, settings):
    kept, gone = (Job.objects.create(name="x", config={}, workspace=text) for text in ("/w/job", ""))
    for job in (kept, gone):
        (settings.WORKSPACE_DIR / f"job-{job.pk}").mkdir(parents=True)
        shared.write(f"work/job-{job.pk}/a.npy.note", b"{}")
    (settings.WORKSPACE_DIR / "columns").mkdir()
    assert places.forget_work_elsewhere() == 1
    assert sharing.tidy(shared)[0] == 1
    assert [one.key for one in shared.listed("work/")] == [f"work/job-{kept.pk}/a.npy.note"]
    assert sorted(path.name for path in settings.WORKSPACE_DIR.iterdir()) == ["columns", f"job-{kept.pk}"]


def test_only_old_objects_that_nothing_names_are_removed(away, shared, tmp_path, capsys):
    named = {one.key for one in shared.listed("objects/")}
    deleted = write_bundle(tmp_path / "b", seed=5, name="deleted")
    push_bundle(shared, deleted)
    own = {one.key for one in shared.listed("objects/")} - named
    young = object_key("f" * 64)
    shared.place.write(young, b"x")
    _make_old(tmp_path / "mounted", but=young)
    call_command("store", "remove-unused")
    assert f"{len(own)} objects" in capsys.readouterr().out
    assert {one.key for one in shared.listed("objects/")} == named | own | {young}
    call_command("store", "remove-unused", "--really")
    assert {one.key for one in shared.listed("objects/")} == named | {young}
    assert shared.read(f"bundles/{open_bundle(deleted).sha256}.json") is None
    assert shared.read(f"bundles/{away.bundle_sha256}.json") is not None


def test_the_command_checks_the_store(shared, capsys, settings):
    call_command("store", "check")
    assert "can be written and read" in capsys.readouterr().out
    settings.STORE = None
    with pytest.raises(CommandError, match="no store"):
        call_command("store", "check")


def test_without_a_store_nothing_is_sent_or_fetched(settings, tmp_path):
    settings.STORE = None
    settings.BUNDLE_DIR = tmp_path / "bundles"
    run = make_run(tmp_path / "bundles")
    assert not sharing.has_work()
    assert places.bundle_here(run.bundle_path, run.bundle_sha256) == Path(run.bundle_path)


def test_a_damaged_bundle_is_not_sent_and_keeps_nothing_else_back(shared, settings, sent_text, tmp_path):
    run = make_run(Path(settings.BUNDLE_DIR))
    file = next(Path(run.bundle_path).glob("losses/*/*.npy"))
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    told: list[str] = []
    sharing.exchange(told.append)
    assert any("is not sent" in line for line in told)
    assert shared.read(f"bundles/{run.bundle_sha256}.json") is None
    assert shared.read(f"corpora/{sent_text.parent.name}.json") is not None
    assert not sharing.has_work()  # for now
    write_bundle(tmp_path / "again").rename(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", run.bundle_path, dirs_exist_ok=True)
    sharing.exchange(again=True)
    assert shared.read(f"bundles/{run.bundle_sha256}.json") is not None


def test_what_may_still_be_about_to_be_named_is_not_removed(shared):
    with pytest.raises(CommandError, match="1 days are too few"):
        call_command("store", "remove-unused", "--days", "1")


def _reading(path: Path) -> RunConfig:
    import dataclasses

    config = fake.config()
    return dataclasses.replace(config, corpus=dataclasses.replace(config.corpus, source=str(path)))


def _make_old(folder: Path, *, but: str) -> None:
    old = time.time() - 8 * 86400
    for file in folder.rglob("*"):
        if file.is_file() and not str(file).endswith(but):
            os.utime(file, (old, old))


def test_another_site_removes_nothing_from_this_ones_store(shared, away, settings, tmp_path):
    """A copy of the site on a test machine, say: its rows tell nothing of what was made since."""
    sharing.tidy(shared)
    shared.write("work/job-987654/losses.npy.note", b"{}")
    settings.DATA_DIR = tmp_path / "copy"
    with pytest.raises(StorageError, match="another data folder"):
        sharing.tidy(shared)
    told: list[str] = []
    sharing.exchange(told.append)
    assert "Each site needs a store of its own" in told[-1]
    assert not sharing.has_work()
    assert shared.read("work/job-987654/losses.npy.note") == b"{}"
    settings.DATA_DIR = tmp_path / "web"
    assert sharing.tidy(shared)[0] == 1


def test_an_experiment_that_was_computed_elsewhere_is_fetched(shared: Store, tmp_path: Path) -> None:
    lab = dataclasses.replace(COUNTING, kind="parity")
    path = frame.run_lab(lab, Counting(name="far"), tmp_path / "worker" / "lab", tmp_path / "worker" / "bundles")
    push_bundle(shared, path)
    experiment = receive(path)
    shutil.rmtree(path)
    assert sharing.has_work()
    sharing.exchange()
    experiment.refresh_from_db()
    assert experiment_array(experiment, "counts").tolist() == [[0, 1, 2], [0, 2, 4]]
    assert not list(sharing.missing())
    assert not sharing.find_unused(shared, days=3).objects

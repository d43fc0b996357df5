"""Two hosts that share a database and a store, and no disk, do one run; the web host, a third, shows it."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from clusters.models import RegisteredCorpus, Run
from clusters.services.sharing import exchange, has_work
from compute.bundle import open_bundle
from compute.config import RunConfig
from compute.jobs import queue
from compute.jobs.places import forget_work_elsewhere
from compute.models import Job, Shard
from compute.pipeline import run_qdg
from compute.store.address import store_address
from tests.databases import Site
from tests.faults.breaking import end, wait_for
from tests.store.service import BUCKET, KEY, SECRET, Service
from tests.tiny import tiny_config

UPLOAD = "5f" * 16
LEASE = {"QW_HEARTBEAT_SECONDS": "1", "QW_LEASE_SECONDS": "60", "QW_STALLED_SECONDS": "30", "QW_SWEEP_SECONDS": "10"}


@pytest.fixture(params=["s3", pytest.param("file", marks=pytest.mark.whole)])
def environment(request: pytest.FixtureRequest, tmp_path: Path, settings: Any) -> dict[str, str]:
    """What each host is told of the store; the test's own process is the web host."""
    if request.param == "s3":
        service: Service = request.getfixturevalue("service")
        settings.STORE = service.address("two-hosts")
        return service.environment("two-hosts")
    (tmp_path / "mounted").mkdir()
    settings.STORE = store_address(f"file://{tmp_path / 'mounted'}")
    return {"QW_STORE_URL": f"file://{tmp_path / 'mounted'}"}


@pytest.fixture
def text_sent(site: Site, tiny_suite: Path, settings: Any) -> Path:
    """A text that somebody gave to the web host."""
    settings.CORPUS_DIR = site.data / "corpora"
    path = site.data / "corpora" / UPLOAD / "text.jsonl"
    path.parent.mkdir(parents=True)
    shutil.copyfile(tiny_suite / "text.jsonl", path)
    RegisteredCorpus.objects.create(
        name="sent", kind="upload", source=str(path), file_name="text.jsonl", n_documents=60,
        n_bytes=path.stat().st_size, sha256="0" * 64,
    )  # fmt: skip
    return path


@pytest.fixture
def config(tiny_suite: Path, text_sent: Path) -> RunConfig:
    config = dataclasses.replace(tiny_config(tiny_suite, ks=(2, 5)), map=None)  # maps take long to compile
    return dataclasses.replace(config, corpus=dataclasses.replace(config.corpus, source=str(text_sent)))


@pytest.fixture
def hosts(site: Site, environment: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    started: list[subprocess.Popen[bytes]] = []

    def start(job: Job) -> list[subprocess.Popen[bytes]]:
        for name in "ab":
            (tmp_path / name).mkdir()
            own = {**environment, **LEASE, "QW_DATA_DIR": str(tmp_path / name), "QW_QUEUES": "cpu"}
            started.append(site.start("-m", "tests.store.host", str(job.pk), str(tmp_path), **own))
        return started

    yield start
    end(*started)


@pytest.mark.slow
@pytest.mark.parametrize("site", ["postgres"], indirect=True)
def test_two_hosts_without_a_common_disk_publish_the_undisturbed_bundle(
    site: Site, config: RunConfig, hosts: Any, tmp_path: Path, settings: Any
) -> None:
    job = queue.enqueue(config)
    both = hosts(job)
    undisturbed = open_bundle(run_qdg(config, tmp_path / "alone" / "work", tmp_path / "alone"))
    wait_for(lambda: len(list(tmp_path.glob("ready-*"))) == 2, "both hosts", seconds=120, site=site)
    (tmp_path / "go").touch()
    assert has_work()
    exchange()  # the corpus shard waits for it
    for process in both:
        process.wait(120)
    job.refresh_from_db()
    assert (job.state, job.error) == ("succeeded", ""), site.log()[-3000:]
    assert len(set(Shard.objects.filter(job=job).values_list("worker", flat=True))) == 2
    assert job.bundle_sha256 == undisturbed.sha256
    _forgotten(tmp_path, settings)
    for name in "ab":  # no other host's folder can be seen from the web host
        (tmp_path / name).rename(tmp_path / f"unseen-{name}")
    run = Run.objects.get()
    said = Client().get(f"/runs/{run.slug}/")
    assert said.status_code == 503
    assert "on their way from the worker" in said.content.decode()
    exchange()
    run.refresh_from_db()
    assert Path(run.bundle_path).parent == site.data / "bundles"
    open_bundle(run.bundle_path).verify()
    assert Client().get(f"/runs/{run.slug}/").status_code == 200
    assert not has_work()
    told = site.log() + "".join(job.log_lines.values_list("message", flat=True))
    assert KEY not in told
    assert SECRET not in told
    assert BUCKET not in job.error


def _forgotten(tmp_path: Path, settings: Any) -> None:
    """A host that had nothing more to do forgets the job's files when it next has."""
    ours = settings.WORKSPACE_DIR
    for name in "ab":
        settings.WORKSPACE_DIR = tmp_path / name / "workspaces"
        forget_work_elsewhere()
        assert not list(settings.WORKSPACE_DIR.glob("job-*"))
        assert (settings.WORKSPACE_DIR / "columns").is_dir()
    settings.WORKSPACE_DIR = ours

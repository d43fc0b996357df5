"""Processes that are killed while they send or fetch, and how much memory a large file takes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compute.store.objects import Store, object_key, open_store
from compute.store.places import PART_BYTES
from tests.faults.breaking import wait_for
from tests.store.service import Service

ROOT = Path(__file__).resolve().parents[2]


def large_file(path: Path, n_bytes: int) -> tuple[Path, str]:
    hashed = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(0, n_bytes, 1 << 20):
            block = os.urandom(1 << 20)
            hashed.update(block)
            file.write(block)
    return path, hashed.hexdigest()


def start(service: Service, prefix: str, action: str, path: Path, sha256: str, n_bytes: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.store.mover", action, str(path), sha256, str(n_bytes)]
    own = {**os.environ, **service.environment(prefix), "DJANGO_SETTINGS_MODULE": "quantaweb.settings"}
    return subprocess.Popen(command, env=own, cwd=ROOT, stdout=subprocess.PIPE)


def kill_at(service: Service, process: list[subprocess.Popen[bytes]], method: str, n: int) -> None:
    """Kill it as it makes its n-th request of this method for the object's bytes."""
    seen: list[str] = []

    def before(verb: str, path: str) -> None:
        if verb == method and "/objects/" in path:
            seen.append(path)
            if len(seen) == n:
                wait_for(lambda: process, "the process")
                process[0].send_signal(signal.SIGKILL)

    service.before = before


@pytest.fixture
def store(service: Service, tmp_path: Path) -> Store:
    return open_store(service.address(tmp_path.name))


def test_an_upload_that_is_killed_shows_nothing(service, store, tmp_path):
    n_bytes = 3 * PART_BYTES
    file, sha256 = large_file(tmp_path / "file", n_bytes)
    process: list[subprocess.Popen[bytes]] = []
    kill_at(service, process, "PUT", 2)
    process.append(start(service, tmp_path.name, "put", file, sha256, n_bytes))
    assert process[0].wait(120) == -signal.SIGKILL
    assert not store.has_object(sha256, n_bytes)
    assert store.listed("objects/") == []
    assert store.place.remove_unfinished(time.time() + 1) == 1
    service.before = lambda method, path: None
    store.put(file, sha256)
    assert store.has_object(sha256, n_bytes)


def test_a_download_that_is_killed_leaves_no_result(service, store, tmp_path):
    n_bytes = 3 * PART_BYTES
    file, sha256 = large_file(tmp_path / "file", n_bytes)
    store.put(file, sha256)
    process: list[subprocess.Popen[bytes]] = []
    kill_at(service, process, "GET", 2)
    process.append(start(service, tmp_path.name, "fetch", tmp_path / "back.part", sha256, n_bytes))
    assert process[0].wait(120) == -signal.SIGKILL
    service.before = lambda method, path: None
    assert store.fetch(sha256, n_bytes, tmp_path / "back.part")
    assert (tmp_path / "back.part").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("megabytes", [100, pytest.param(300, marks=pytest.mark.whole)])
def test_a_large_file_takes_little_memory(service: Service, store: Store, tmp_path: Path, megabytes: int) -> None:
    n_bytes = megabytes << 20
    file, sha256 = large_file(tmp_path / "file", n_bytes)
    grown = {}
    for action, path in (("put", file), ("fetch", tmp_path / "back")):
        process = start(service, tmp_path.name, action, path, sha256, n_bytes)
        told = json.loads(process.communicate(timeout=280)[0])
        assert told["is_done"]
        grown[action] = told["grown_mb"]
    assert max(grown.values()) <= 64, grown
    assert store.place.facts(object_key(sha256)).n_bytes == n_bytes
    store.remove([object_key(sha256)])

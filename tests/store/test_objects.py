"""Blobs by hash, and records: whole or not at all, whatever the store does."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path

import pytest

from compute.errors import Cancelled, StorageError
from compute.store.objects import Store, object_key, open_store
from compute.store.places import PART_BYTES
from tests.store.service import KEY, SECRET


def written(path: Path, n_bytes: int = 1000) -> tuple[Path, str]:
    content = os.urandom(n_bytes)
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def put(store: Store, path: Path, n_bytes: int = 1000) -> tuple[str, bytes]:
    file, sha256 = written(path, n_bytes)
    store.put(file, sha256)
    return sha256, file.read_bytes()


@pytest.mark.parametrize("n_bytes", [0, 1000, PART_BYTES + 1])
def test_a_file_comes_back_as_it_was_put(store, tmp_path, n_bytes):
    sha256, content = put(store, tmp_path / "file", n_bytes)
    assert store.fetch(sha256, n_bytes, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_what_is_there_is_not_sent_again(service, tmp_path):
    store = open_store(service.address(tmp_path.name))
    file, sha256 = written(tmp_path / "file")
    store.put(file, sha256)
    service.seen.clear()
    store.put(file, sha256)
    assert [method for method, _ in service.seen] == ["HEAD"]


def test_an_absent_object_is_absent(store, tmp_path):
    assert not store.has_object("0" * 64, 5)
    assert not store.fetch("0" * 64, 5, tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("damage", ["a flipped bit", "a truncation"])
def test_a_damaged_object_is_put_aside_and_counts_as_absent(store, tmp_path, caplog, damage):
    sha256, content = put(store, tmp_path / "file")
    wrong = bytes([content[0] ^ 1]) + content[1:] if damage == "a flipped bit" else content[:-1]
    store.place.write(object_key(sha256), wrong)
    assert not store.fetch(sha256, len(content), tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert not store.has_object(sha256, len(wrong))
    assert [one.n_bytes for one in store.listed("damaged/")] == [len(wrong)]
    assert f"object {sha256}" in caplog.text
    store.put(tmp_path / "file", sha256)
    assert store.fetch(sha256, len(content), tmp_path / "back")


def test_a_file_that_was_altered_is_not_sent_under_its_old_hash(store, tmp_path):
    file, sha256 = written(tmp_path / "file")
    file.write_bytes(b"something else")
    with pytest.raises(StorageError, match="was altered or cut short"):
        store.put(file, sha256)
    assert store.listed("objects/") == []


def test_a_file_that_is_gone_is_no_fault_of_the_store(store, tmp_path):
    with pytest.raises(FileNotFoundError):
        store.put(tmp_path / "file", "0" * 64)


def test_records_are_read_as_they_were_written(store):
    assert store.read("work/job-1/a.npy.note") is None
    store.write("work/job-1/a.npy.note", b"{}")
    store.write("work/job-1/a.npy.note", b'{"n": 2}')
    assert store.read("work/job-1/a.npy.note") == b'{"n": 2}'
    store.remove(["work/job-1/a.npy.note", "work/job-1/never.npy.note"])
    assert store.read("work/job-1/a.npy.note") is None


def test_of_two_who_settle_the_first_is_heard(store):
    assert store.settle("work/job-1/precision", b"float32") == b"float32"
    assert store.settle("work/job-1/precision", b"bfloat16") == b"float32"


def test_a_store_is_checked_by_using_it(store):
    store.check()
    assert store.listed("probes/") == []


def test_three_refusals_are_waited_out(service, tmp_path):
    store = open_store(service.address(tmp_path.name))
    file, sha256 = written(tmp_path / "file", PART_BYTES + 5)
    service.refuse(3)
    store.put(file, sha256)
    assert service.n_refused == 3
    service.refuse(3, "GET")
    assert store.fetch(sha256, PART_BYTES + 5, tmp_path / "back")
    assert service.n_refused == 3


@pytest.mark.parametrize("what", ["put", "read"])
def test_a_store_that_is_down_is_told_in_a_sentence(service, tmp_path, what):
    store = open_store(service.address(tmp_path.name, patience=2))
    file, sha256 = written(tmp_path / "file")
    service.stop()
    since, n_told = time.monotonic(), []
    with pytest.raises(StorageError, match="did not answer for 2 s .* resume the job when the store is back"):
        if what == "put":
            store.put(file, sha256, lambda: n_told.append(1))
        else:
            store.read("work/x", lambda: n_told.append(1))
    assert time.monotonic() - since < 30
    assert len(n_told) > 1


def test_a_store_that_comes_back_in_time_is_used(service, tmp_path):
    store = open_store(service.address(tmp_path.name))
    file, sha256 = written(tmp_path / "file")
    service.stop()
    since = time.monotonic()

    def tell() -> None:
        if service._server is None and time.monotonic() - since > 1:
            service.start()

    store.put(file, sha256, tell)
    assert store.has_object(sha256, 1000)


def test_a_transfer_that_is_told_to_stop_leaves_nothing(store, tmp_path):
    file, sha256 = written(tmp_path / "file", 2 * PART_BYTES + 1)
    calls = []

    def tell() -> None:
        calls.append(1)
        if len(calls) > 3:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        store.put(file, sha256, tell)
        store.put(file, sha256, tell)
        store.fetch(sha256, 2 * PART_BYTES + 1, tmp_path / "back", tell)
    assert not (tmp_path / "back").exists()


def test_a_missing_bucket_is_told_at_once(service, tmp_path):
    address = service.address()
    store = open_store(type(address)(**{**vars(address), "bucket": "not-there"}))
    file, sha256 = written(tmp_path / "file")
    with pytest.raises(StorageError, match="is not there: make the bucket"):
        store.put(file, sha256)


def test_a_folder_that_is_not_mounted_is_not_written_below(tmp_path):
    from compute.store.address import store_address

    store = open_store(store_address(f"file://{tmp_path / 'away'}", patience=0.5))
    with pytest.raises(StorageError, match="did not answer"):
        store.write("work/x", b"{}")
    assert not (tmp_path / "away").exists()


def test_keys_stand_in_no_error_and_no_log(service, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    store = open_store(service.address(tmp_path.name, patience=1))
    put(store, tmp_path / "file")
    service.stop()
    with pytest.raises(StorageError) as raised:
        store.check()
    told = f"{raised.value!r} {raised.value.__cause__!r} {caplog.text} {service.address()!r} {service.address()}"
    assert SECRET not in told
    assert KEY not in told

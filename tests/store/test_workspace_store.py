"""Working files of two hosts that share a store."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from compute.errors import StorageError
from compute.store.objects import Store, object_key, open_store
from compute.workspace import Workspace

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def one(store: Store, tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "one" / "job-1", store)


@pytest.fixture
def other(store: Store, tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "other" / "job-1", store)


def damage(store: Store) -> None:
    for blob in store.listed("objects/"):
        store.place.write(blob.key, b"\0" * blob.n_bytes)


def test_what_one_saves_the_other_loads(one, other):
    one.save("losses/lm/step3", ARRAY, "stamp", next_chunk=7)
    found, facts = other.load_with_facts("losses/lm/step3", "stamp")
    assert np.array_equal(found, ARRAY)
    assert facts == {"next_chunk": 7}
    assert other.here.has("losses/lm/step3", "stamp")
    one.save_json("facts", {"n": 3}, "stamp")
    assert other.load_json("facts", "stamp") == {"n": 3}


def test_another_stamp_is_absent(one, other):
    one.save("a", ARRAY, "old inputs")
    assert other.load("a", "new inputs") is None
    assert not other.has("a", "new inputs")
    assert not other.is_known("a", "new inputs")


def test_what_is_known_is_not_fetched_to_know_it(one, other):
    one.save("a", ARRAY, "stamp")
    assert other.is_known("a", "stamp")
    assert not other.here.has("a", "stamp")
    assert other.has("a", "stamp")


def test_a_damaged_object_is_computed_again(one, other, store):
    one.save("a", ARRAY, "stamp")
    damage(store)
    assert other.load("a", "stamp") is None
    assert not other.is_known("a", "stamp")
    assert not list(other.root.glob(".*part"))
    other.save("a", ARRAY, "stamp")
    one.here.remove("a")
    assert np.array_equal(one.load("a", "stamp"), ARRAY)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"file": "../x.npy", "sha256": "0"}', b"\xff", b"[" * 200_000])
def test_a_damaged_note_in_the_store_is_absent(files_store, tmp_path, content):
    store = files_store
    one, other = (Workspace(tmp_path / name / "job-1", store) for name in ("one", "other"))
    one.save("a", ARRAY, "stamp")
    store.write("work/job-1/a.npy.note", content)
    assert other.load("a", "stamp") is None


@pytest.mark.parametrize("change", [{"bytes": "176"}, {"bytes": [176]}, {"facts": 1}, {"stamp": ["stamp"]}])
def test_a_note_in_the_store_of_other_types_is_absent(one, other, store, change):
    one.save("a", ARRAY, "stamp")
    note = json.loads(store.read("work/job-1/a.npy.note"))
    store.write("work/job-1/a.npy.note", json.dumps(note | change).encode())
    assert other.load("a", "stamp") is None


def test_a_note_names_no_file_elsewhere(one, other, store):
    one.save("a", ARRAY, "stamp")
    note = store.read("work/job-1/a.npy.note")
    name = next(one.root.glob("a.*.npy")).name.encode()
    store.write("work/job-1/a.npy.note", note.replace(name, b"../../" + name))
    assert other.load("a", "stamp") is None


def test_what_is_kept_here_is_not_sent(one, other):
    one.here.save("partial/a", ARRAY, "stamp")
    assert other.load("partial/a", "stamp") is None
    assert one.here.load("partial/a", "stamp") is not None


def test_what_is_removed_is_gone_for_both(one, other):
    one.save("gradients/rows0", ARRAY, "stamp")
    one.save("gradients/rows1", ARRAY + 1, "stamp")
    one.save("other", ARRAY, "stamp")
    one.remove("gradients")
    one.remove("never")
    assert other.load("gradients/rows0", "stamp") is None
    assert other.load("other", "stamp") is not None


def test_of_two_who_decide_the_first_is_heard(one, other):
    assert one.settle_json("precision/lm", "bfloat16", "stamp") == "bfloat16"
    assert other.settle_json("precision/lm", "float32", "stamp") == "bfloat16"
    assert other.load_json("precision/lm", "stamp") == "bfloat16"
    assert other.settle_json("precision/lm", "float32", "new inputs") == "float32"


def test_a_use_is_told_to_the_store_once_a_day(one, store):
    one.save("a", ARRAY, "stamp")
    store.remove(["work/job-1/a.npy.note"])
    one.touch("a")
    assert store.read("work/job-1/a.npy.note") is None
    old = time.time() - 2 * 86400
    os.utime(one.root / "a.npy.note", (old, old))
    one.touch("a")
    assert store.read("work/job-1/a.npy.note") == (one.root / "a.npy.note").read_bytes()


def test_a_store_that_is_down_keeps_what_is_done_here(service, tmp_path):
    files = Workspace(tmp_path / "job-1", open_store(service.address(tmp_path.name, patience=1)))
    service.stop()
    with pytest.raises(StorageError, match="did not answer"):
        files.save("a", ARRAY, "stamp")
    assert np.array_equal(files.load("a", "stamp"), ARRAY)
    assert object_key("ab" * 32).startswith("objects/ab/abab")

"""Bundles are whole or not there, and a single altered byte is noticed."""

from __future__ import annotations

import errno
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from compute.bundle import BundleWriter, open_array, open_bundle
from compute.errors import BundleError, StorageError


def write(directory: Path, *, name="small", values=(1.0, 2.0, 3.0), run=None) -> Path:
    with BundleWriter(directory, name) as writer:
        writer.add_array("losses/a/step1", np.array(values, dtype=np.float32), unit="nats")
        writer.add_lines("documents.jsonl", iter([{"source": "a.py", "kind": "python", "n_tokens": 3}]))
        return writer.publish({"config": {"name": "small"}}, run or {"host": "here"})


def test_a_published_bundle_gives_back_what_was_written(tmp_path):
    bundle = open_bundle(write(tmp_path))
    np.testing.assert_array_equal(bundle.array("losses/a/step1"), np.array([1, 2, 3], dtype=np.float32))
    assert bundle.documents() == [{"source": "a.py", "kind": "python", "n_tokens": 3}]
    assert bundle.run == {"host": "here"}
    bundle.verify()


def test_times_and_host_do_not_change_the_hash(tmp_path):
    first = open_bundle(write(tmp_path / "a", run={"host": "one"})).sha256
    assert open_bundle(write(tmp_path / "b", run={"host": "two"})).sha256 == first


def test_another_number_changes_the_hash(tmp_path):
    first = open_bundle(write(tmp_path / "a")).sha256
    assert open_bundle(write(tmp_path / "b", values=(1.0, 2.0, 4.0))).sha256 != first


def test_another_name_makes_another_bundle(tmp_path):
    first = open_bundle(write(tmp_path)).sha256
    assert open_bundle(write(tmp_path, name="mine")).sha256 != first


def test_publishing_twice_gives_the_same_folder(tmp_path):
    assert write(tmp_path) == write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [write(tmp_path).name]


def test_publishing_over_a_damaged_bundle_takes_its_place(tmp_path):
    path = write(tmp_path)
    (path / "losses/a/step1.npy").write_bytes(b"")
    assert write(tmp_path) == path
    open_bundle(path).verify()
    assert [folder.name[:15] for folder in tmp_path.iterdir() if folder != path] == [".damaged-small-"]


def test_nothing_is_left_when_writing_fails(tmp_path):
    with pytest.raises(RuntimeError), BundleWriter(tmp_path, "small") as writer:
        writer.add_array("a", np.zeros(3))
        raise RuntimeError("half-way")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_one_damaged_file_is_named(tmp_path, damage):
    path = write(tmp_path)
    file = path / "losses/a/step1.npy"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        file.write_bytes(content[:-2])
    else:
        file.unlink()
    with pytest.raises(BundleError, match="step1.npy"):
        open_bundle(path).verify()


def test_an_altered_manifest_is_refused(tmp_path):
    path = write(tmp_path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["config"]["name"] = "other"
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="altered"):
        open_bundle(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "quantaweb-bundle"}', "not json"])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match="manifest.json"):
        open_bundle(tmp_path)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match="no bundle"):
        open_bundle(tmp_path)


def test_an_array_name_cannot_leave_the_folder(tmp_path):
    with BundleWriter(tmp_path, "small") as writer, pytest.raises(BundleError):
        writer.add_array("../outside", np.zeros(1))


def test_a_pickled_array_is_refused(tmp_path):
    path = write(tmp_path)
    np.save(path / "losses/a/step1.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BundleError, match="step1.npy"):
        open_bundle(path).array("losses/a/step1")


def test_a_full_disk_is_said_so(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(StorageError, match="full"), BundleWriter(tmp_path, "small") as writer:
        writer.add_array("a", np.zeros(3))
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"), BundleWriter(tmp_path / "file", "small"):
        pass


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that makes no folders")
def test_a_place_where_no_folder_can_be_made_is_said_so():
    with pytest.raises(StorageError, match="cannot be written"), BundleWriter(Path("/proc/nowhere"), "small"):
        pass


def test_threads_open_arrays_one_after_the_other(tmp_path, monkeypatch) -> None:
    """CPython 3.11 fails now and then where two threads parse headers at once."""
    np.save(tmp_path / "a.npy", np.arange(6))
    inside, most = 0, 0

    def slow(path: Path, **_: object) -> np.ndarray:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        inside -= 1
        return np.zeros(1)

    monkeypatch.setattr(np, "load", slow)
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(open_array, [tmp_path / "a.npy"] * 16))) == 16
    assert most == 1

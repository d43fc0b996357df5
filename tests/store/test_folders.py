"""Bundles and texts as folders in the store: whole, under their own hashes, and never outside their place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compute.bundle import BundleWriter, folder_here, open_bundle
from compute.errors import BundleError, StorageError
from compute.store import objects
from compute.store.folders import fetch_bundle, fetch_folder, push_bundle, push_folder, record_key
from compute.store.objects import Store, object_key


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    import numpy as np

    with BundleWriter(tmp_path / "a", "little") as writer:
        writer.add_array("losses/x", np.arange(1000.0))
        writer.add_array("selection/y", np.arange(5))
        writer.add_lines("documents.jsonl", iter([{"source": "s"}]))
        return writer.publish({"config": {}}, {"host": "a"})


@pytest.fixture
def sent(store: Store, bundle: Path) -> str:
    push_bundle(store, bundle)
    return open_bundle(bundle).sha256


def record_of(store: Store, sha256: str) -> dict:
    return json.loads(store.read(record_key("bundles", sha256)))


def test_a_bundle_comes_back_whole(store, bundle, sent, tmp_path):
    path = fetch_bundle(store, sent, tmp_path / "b")
    assert path == tmp_path / "b" / bundle.name
    open_bundle(path).verify()
    assert open_bundle(path).run == {"host": "a"}
    assert not list((tmp_path / "b").glob(".*partial*"))


def test_a_bundle_that_nobody_sent_is_none(store, tmp_path):
    assert fetch_bundle(store, "0" * 64, tmp_path / "b") is None


def test_a_bundle_that_is_here_is_not_fetched_again(store, bundle, sent, tmp_path):
    first = fetch_bundle(store, sent, tmp_path / "b")
    store.remove([one.key for one in store.listed("objects/")])
    assert fetch_bundle(store, sent, tmp_path / "b") == first


def test_a_damaged_bundle_is_put_aside_and_fetched(store, bundle, sent, tmp_path):
    path = fetch_bundle(store, sent, tmp_path / "b")
    (path / "losses" / "x.npy").write_bytes(b"cut")
    assert fetch_bundle(store, sent, tmp_path / "b") == path
    open_bundle(path).verify()
    assert len(list((tmp_path / "b").glob(".damaged-*"))) == 1


def test_a_fetch_goes_on_after_the_files_that_came_whole(store, bundle, sent, tmp_path):
    gone = open_bundle(bundle).hashes["selection/y.npy"]
    content = store.place.read(object_key(gone), 10**6)
    store.remove([object_key(gone)])
    assert fetch_bundle(store, sent, tmp_path / "b") is None
    assert not (tmp_path / "b" / bundle.name).exists()
    store.place.write(object_key(gone), content)
    kept = open_bundle(bundle).hashes["losses/x.npy"]
    store.remove([object_key(kept)])  # came before
    assert fetch_bundle(store, sent, tmp_path / "b") is not None


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../etc"},
        {"name": "..", "files": {}},
        {"files": {"../../x": {"sha256": "0" * 64, "n_bytes": 1, "mtime_ns": 0}}},
        {"files": {"/etc/x": {"sha256": "0" * 64, "n_bytes": 1, "mtime_ns": 0}}},
        {"files": {"x": {"sha256": "../" + "0" * 61, "n_bytes": 1, "mtime_ns": 0}}},
        {"files": {"x": {"sha256": "0" * 64}}},
        {"files": {"x": {"sha256": "0" * 64, "n_bytes": "1", "mtime_ns": 0}}},
        {"files": {"x": {"sha256": "0" * 64, "n_bytes": 1.0, "mtime_ns": 0}}},
        {"files": {"x": {"sha256": "0" * 64, "n_bytes": 1, "mtime_ns": [0]}}},
        {"files": {"x": {"sha256": "0" * 64, "n_bytes": 1, "mtime_ns": 2**70}}},
        {"files": {"x": {"sha256": "0" * 64, "n_bytes": True, "mtime_ns": 0}}},
        {"files": []},
    ],
)
def test_a_record_that_leads_elsewhere_is_refused(files_store, bundle, tmp_path, change):
    store, sent = files_store, open_bundle(bundle).sha256
    push_bundle(store, bundle)
    store.write(record_key("bundles", sent), json.dumps(record_of(store, sent) | change).encode())
    with pytest.raises(StorageError, match="was altered"):
        fetch_bundle(store, sent, tmp_path / "b")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"name": "x", "files": {' + b'"a": {},' * 200_000, b"[]", b""])
def test_a_record_that_is_none_is_refused_at_once(store, tmp_path, content, monkeypatch):
    monkeypatch.setattr(objects, "MOST_RECORD_BYTES", 1_000_000)
    store.write(record_key("bundles", "0" * 64), content)
    assert len(store.read(record_key("bundles", "0" * 64))) == min(len(content), 1_000_000)
    with pytest.raises(StorageError, match="was altered"):
        fetch_bundle(store, "0" * 64, tmp_path / "b")


def test_a_record_with_other_files_is_refused(store, sent, tmp_path):
    record = record_of(store, sent)
    record["files"]["losses/x.npy"] = record["files"]["selection/y.npy"]
    store.write(record_key("bundles", sent), json.dumps(record).encode())
    with pytest.raises(BundleError, match="other files"):
        fetch_bundle(store, sent, tmp_path / "b")
    assert not list((tmp_path / "b").glob("little*"))


@pytest.mark.parametrize("files", ["own", "none"])
def test_a_record_with_another_bundles_name_takes_nothings_place(store, sent, tmp_path, files):
    with BundleWriter(tmp_path / "b", "other") as writer:
        writer.add_lines("documents.jsonl", iter([{"source": "other"}]))
        other = writer.publish({"config": {}}, {})
    record = record_of(store, sent) | {"name": other.name} | ({"files": {}} if files == "none" else {})
    store.write(record_key("bundles", sent), json.dumps(record).encode())
    with pytest.raises(BundleError, match="another bundle|other files"):
        fetch_bundle(store, sent, tmp_path / "b")
    open_bundle(other).verify()
    assert not list((tmp_path / "b").glob(".damaged-*"))


def test_a_text_keeps_its_time(store, tmp_path):
    folder = tmp_path / ("ab" * 16)
    folder.mkdir(parents=True)
    (folder / "text.jsonl").write_text('{"text": "x"}')
    push_folder(store, "corpora/t.json", folder)
    found = fetch_folder(store, "corpora/t.json", tmp_path / "other")
    assert found is not None
    assert (found / "text.jsonl").stat().st_mtime_ns == (folder / "text.jsonl").stat().st_mtime_ns


def test_links_are_not_followed(store, tmp_path):
    folder = tmp_path / "sent"
    folder.mkdir()
    (folder / "own").write_text("own")
    (folder / "link").symlink_to("/etc/hostname")
    push_folder(store, "corpora/t.json", folder)
    assert list(json.loads(store.read("corpora/t.json"))["files"]) == ["own"]


def test_a_folder_that_a_row_names_is_found_beside_this_hosts_own(tmp_path):
    (tmp_path / "here" / "run-1").mkdir(parents=True)
    assert folder_here("/elsewhere/bundles/run-1", tmp_path / "here") == tmp_path / "here" / "run-1"
    assert folder_here(tmp_path / "here" / "run-1", tmp_path / "x") == tmp_path / "here" / "run-1"
    assert folder_here("/elsewhere/..", tmp_path / "here") == Path("/elsewhere/..")

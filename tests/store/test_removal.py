"""Somebody removes what nothing names while somebody else puts the same bytes again and names them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from compute.errors import StorageError
from compute.store import removal
from compute.store.folders import push_folder, read_record
from compute.store.objects import Store, object_key
from compute.store.removal import KEY, outlast, removing
from compute.store.unused import unused

DAYS = 7 * 86_400.0


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_LOOK_EVERY", 0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.mkdir()
    (path / "one.jsonl").write_bytes(b"one")
    (path / "two.jsonl").write_bytes(b"two")
    return path


@pytest.fixture
def left(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with the folder's objects, which nothing names and which have been there for long."""
    for file in folder.iterdir():
        store.put(file, hashlib.sha256(file.read_bytes()).hexdigest())
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + DAYS + 60)  # for all but the store, and what it renews
    return store


def _remove(store: Store, meanwhile: Callable[[], object] = lambda: None) -> None:
    with removing(store) as one:
        found = unused(store, seconds=DAYS, keep={"corpora": ["text"]}, tell=one.go_on)
        meanwhile()
        one.remove(found.objects)


def _is_whole(store: Store) -> bool:
    found = read_record(store, "corpora/text.json")
    assert found is not None
    return all(store.has_object(entry.sha256, entry.n_bytes) for entry in found[1].values())


def test_old_objects_that_nothing_names_go(left: Store) -> None:
    _remove(left)
    assert left.listed("objects/") == []
    assert left.read(KEY) is None


def test_what_is_named_again_while_it_is_removed_is_put_again(left: Store, folder: Path) -> None:
    pusher = threading.Thread(target=lambda: push_folder(left, "corpora/text.json", folder))

    def push() -> None:
        pusher.start()
        pusher.join(0.5)  # it waits for the removal, or has put nothing and named all

    _remove(left, push)
    pusher.join(20)
    assert not pusher.is_alive()
    assert _is_whole(left)


def test_what_is_named_again_before_the_removal_is_spared(left: Store, folder: Path) -> None:
    push_folder(left, "corpora/text.json", folder)
    _remove(left)
    assert _is_whole(left)


def test_an_old_object_is_sent_again_and_a_young_one_is_not(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    upload = store.place.upload
    monkeypatch.setattr(store.place, "upload", lambda key, *rest: (sent.append(key), upload(key, *rest)))
    file, sha256 = folder / "one.jsonl", hashlib.sha256(b"one").hexdigest()
    for _ in range(2):
        store.put(file, sha256)
    assert sent == [object_key(sha256)]
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 1.1 * removal.YOUNG_SECONDS)
    store.put(file, sha256)
    assert len(sent) == 2


def test_a_removal_that_was_killed_keeps_nobody_waiting_for_ever(
    files_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "DEAD_SECONDS", 0.1)
    files_store.write(KEY, b"somebody who is gone")
    assert outlast(files_store)
    assert files_store.read(KEY) is None
    assert not outlast(files_store)


def test_a_removal_that_was_taken_for_dead_removes_nothing_more(
    files_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "_SAY_EVERY", 0.0)
    key = object_key("a" * 64)
    files_store.place.write(key, b"a")
    with pytest.raises(StorageError, match="took too long"), removing(files_store) as one:
        one.remove([object_key("b" * 64)])
        files_store.remove([KEY])
        one.remove([key])
    assert [found.key for found in files_store.listed("objects/")] == [key]


def test_two_remove_one_after_the_other(files_store: Store) -> None:
    order: list[str] = []

    def second() -> None:
        with removing(files_store):
            order.append("second")

    with removing(files_store):
        other = threading.Thread(target=second)
        other.start()
        other.join(0.2)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]

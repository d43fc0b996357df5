"""Files of an unfinished run: whole and right, or as good as absent."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from compute.errors import StorageError
from compute.workspace import Workspace, digest

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def files(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work")


def only_file(files: Workspace, pattern: str) -> Path:
    (path,) = files.root.rglob(pattern)
    return path


def test_an_array_comes_back_as_it_was_saved(files):
    files.save("losses/demo/step3", ARRAY, "stamp")
    loaded = files.load("losses/demo/step3", "stamp")
    assert loaded.dtype == ARRAY.dtype
    assert np.array_equal(loaded, ARRAY)


def test_facts_come_back_with_their_array(files):
    files.save("sums", ARRAY, "stamp", next_chunk=7)
    _, facts = files.load_with_facts("sums", "stamp")
    assert facts == {"next_chunk": 7}


def test_a_json_value_comes_back_as_it_was_saved(files):
    files.save_json("facts", {"n": 3, "text": "é"}, "stamp")
    assert files.load_json("facts", "stamp") == {"n": 3, "text": "é"}


def test_an_array_of_another_stamp_is_as_good_as_absent(files):
    files.save("a", ARRAY, "old inputs")
    assert files.load("a", "new inputs") is None


def test_an_absent_array_is_none(files):
    assert files.load("a", "stamp") is None


def test_an_altered_byte_makes_an_array_absent(files):
    files.save("a", ARRAY, "stamp")
    path = only_file(files, "a.*.npy")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert files.load("a", "stamp") is None


def test_a_truncated_array_is_absent(files):
    files.save("a", ARRAY, "stamp")
    path = only_file(files, "a.*.npy")
    path.write_bytes(path.read_bytes()[:-4])
    assert files.load("a", "stamp") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"file": "a.npy"}', b"\xff"])
def test_a_damaged_note_makes_an_array_absent(files, content):
    files.save("a", ARRAY, "stamp")
    only_file(files, "a.npy.note").write_bytes(content)
    assert files.load("a", "stamp") is None


def test_saving_again_leaves_one_file(files):
    files.save("a", ARRAY, "stamp")
    files.save("a", ARRAY + 1, "stamp")
    assert np.array_equal(files.load("a", "stamp"), ARRAY + 1)
    assert len(list(files.root.iterdir())) == 2


def test_saving_one_step_leaves_the_files_of_another_alone(files):
    files.save("k1", ARRAY, "stamp")
    files.save("k1.5", ARRAY, "stamp")
    files.save("k10", ARRAY, "stamp")
    files.save("k1", ARRAY + 1, "stamp")
    assert files.has("k1.5", "stamp")
    assert files.has("k10", "stamp")


def test_a_kill_between_array_and_note_keeps_the_earlier_array(files, monkeypatch):
    files.save("a", ARRAY, "stamp")
    replace = Path.replace

    def die_at_the_note(self: Path, target: Path) -> Path:
        if str(target).endswith(".note"):
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", die_at_the_note)
    with pytest.raises(KeyboardInterrupt):
        files.save("a", ARRAY + 1, "stamp")
    assert np.array_equal(files.load("a", "stamp"), ARRAY)


def test_a_full_disk_is_a_sentence_and_leaves_no_partial_file(files, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("compute.workspace.os.fsync", full)
    with pytest.raises(StorageError, match="is full"):
        files.save("a", ARRAY, "stamp")
    assert list(files.root.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        Workspace(tmp_path / "file" / "work")


def test_a_file_in_the_place_of_the_folder_is_a_sentence(tmp_path):
    (tmp_path / "work").write_text("")
    with pytest.raises(StorageError, match="is a file"):
        Workspace(tmp_path / "work")


def test_too_little_space_is_refused_with_the_amount_needed(files):
    with pytest.raises(StorageError, match=r"need 1000000\.0 GB"):
        files.require_space(10**15, "The gradients")


def test_removing_a_folder_removes_what_is_in_it(files):
    files.save("gradients/rows0", ARRAY, "stamp")
    files.remove("gradients")
    assert not files.has("gradients/rows0", "stamp")


def test_a_digest_depends_on_every_fact():
    assert digest(["a", 1]) != digest(["a", 2])
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_removing_spares_names_that_begin_alike(tmp_path):
    files = Workspace(tmp_path)
    for name in ("lm/v1", "lm/v1.5", "lm/v1.5/0"):
        files.save(name, np.arange(3), "stamp")
        files.save_json(name, [3], "stamp")
    files.remove("lm/v1")
    assert not files.has("lm/v1", "stamp")
    assert files.load_json("lm/v1", "stamp") is None
    assert all(files.has(name, "stamp") for name in ("lm/v1.5", "lm/v1.5/0"))
    assert files.load_json("lm/v1.5", "stamp") == [3]


def test_a_folder_that_is_removed_while_a_file_is_written_is_made_again(tmp_path, monkeypatch):
    files = Workspace(tmp_path)
    replace = Path.replace
    n_removed = 0

    def removed(self: Path, target: Path) -> Path:
        nonlocal n_removed
        if not n_removed:
            n_removed = 1
            files.remove("partial")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", removed)
    files.save("partial/0", np.arange(3), "stamp")
    assert n_removed == 1
    assert files.has("partial/0", "stamp")


def test_a_lock_keeps_others_out_and_can_be_shared(tmp_path):
    first, second = Workspace(tmp_path), Workspace(tmp_path)

    def refuse() -> None:
        raise TimeoutError

    with first.alone("run", is_shared=True), second.alone("run", is_shared=True, tell=refuse):
        with pytest.raises(TimeoutError), second.alone("run", tell=refuse):
            pass
        with second.alone("other", tell=refuse):
            pass
    with second.alone("run", tell=refuse):
        pass


def test_what_was_not_used_for_long_is_dropped_and_what_was_touched_stays(tmp_path):
    files = Workspace(tmp_path)
    for name in ("old", "used"):
        files.save(name, np.arange(3), "stamp")
        os.utime(tmp_path / f"{name}.npy.note", (0, 0))
    files.touch("used")
    files.remove_unused(3600)
    assert files.load("old", "stamp") is None
    assert files.load("used", "stamp") is not None
    assert not list(tmp_path.glob("old.*"))

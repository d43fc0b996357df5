"""What pages work out once is kept whole, or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from django.http import HttpResponse
from filelock import FileLock

from clusters.models import Run
from clusters.stored import derived as module
from clusters.stored.derived import derived
from clusters.stored.recent import Recent
from clusters.views.errors import Unprepared
from compute.errors import BeingPrepared
from tests.factories import make_run


@pytest.fixture
def run(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(module, "_unsaved", Recent(4))
    module._warn.cache_clear()
    settings.DERIVED_DIR = tmp_path
    return Run(bundle_sha256="ab" * 32)


def files(tmp_path: Path) -> list[str]:
    return sorted(file.name for file in tmp_path.rglob("*") if file.is_file())


def test_it_is_made_once(run: Run, tmp_path: Path) -> None:
    made: list[int] = []
    for _ in range(2):
        kept = derived(run, "page/table", lambda: made.append(1) or np.arange(3))
        assert kept.tolist() == [0, 1, 2]
    assert made == [1]
    assert files(tmp_path) == ["table.npy", "table.npy.lock"]


def test_on_a_full_disk_the_array_is_given_unsaved_and_nothing_left_behind(run, tmp_path, monkeypatch, caplog) -> None:
    def full(file, array):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.np, "save", full)
    made: list[int] = []
    for _ in range(2):
        kept = derived(run, "page/table", lambda: made.append(1) or np.arange(3))
        assert kept.tolist() == [0, 1, 2]
        assert not kept.flags.writeable
    assert made == [1]
    assert files(tmp_path) == ["table.npy.lock"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left on device" in caplog.text


def test_what_is_large_and_cannot_be_written_is_not_kept_in_memory(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 8)
    monkeypatch.setattr(module, "_write", lambda path, array: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    made: list[int] = []
    for _ in range(2):
        assert derived(run, "page/table", lambda: made.append(1) or np.arange(3)).tolist() == [0, 1, 2]
    assert made == [1, 1]


def test_where_no_folder_can_be_made_the_array_is_given_all_the_same(run, settings, tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    settings.DERIVED_DIR = tmp_path / "file"
    assert derived(run, "page/table", lambda: np.arange(3)).tolist() == [0, 1, 2]


def test_who_waits_too_long_for_another_maker_is_told_to_come_again(run, tmp_path, monkeypatch, rf) -> None:
    monkeypatch.setattr(module, "LONGEST_WAIT_S", 0.05)
    folder = tmp_path / run.bundle_sha256 / "page"
    folder.mkdir(parents=True)
    with FileLock(folder / "table.npy.lock"), pytest.raises(BeingPrepared) as raised:
        derived(run, "page/table", lambda: pytest.fail("made twice"))
    answer = Unprepared(lambda request: HttpResponse()).process_exception(rf.get("/runs/a.json"), raised.value)
    assert answer is not None
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "Try again in a moment" in answer.content.decode()


@pytest.mark.django_db
def test_a_page_that_is_being_prepared_says_so(client, tmp_path, monkeypatch) -> None:
    def others_make(*args):
        raise BeingPrepared("Somebody asked for it first.")

    make_run(tmp_path)
    monkeypatch.setattr("clusters.views.scaling.losses.distributions", others_make)
    response = client.get("/runs/synthetic/scaling/")
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "is being prepared" in response.content.decode()


def test_what_a_killed_writer_left_is_written_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / run.bundle_sha256 / "page").mkdir(parents=True)
    (tmp_path / run.bundle_sha256 / "page" / "table.npy.partial").write_bytes(b"half of it")
    assert derived(run, "page/table", lambda: np.arange(3)).tolist() == [0, 1, 2]
    assert files(tmp_path) == ["table.npy", "table.npy.lock"]

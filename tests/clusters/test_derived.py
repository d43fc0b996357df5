"""What pages work out once is kept whole, or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from clusters import derived as module
from clusters.derived import derived
from clusters.models import Run
from compute.errors import StorageError


@pytest.fixture
def run(settings, tmp_path: Path) -> Run:
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


def test_a_full_disk_leaves_nothing_behind(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file, array):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(module.np, "save", full)
        with pytest.raises(StorageError, match="Free some space"):
            derived(run, "page/table", lambda: np.arange(3))
    assert files(tmp_path) == ["table.npy.lock"]
    assert derived(run, "page/table", lambda: np.arange(3)).tolist() == [0, 1, 2]


def test_what_a_killed_writer_left_is_written_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / run.bundle_sha256 / "page").mkdir(parents=True)
    (tmp_path / run.bundle_sha256 / "page" / "table.npy.partial").write_bytes(b"half of it")
    assert derived(run, "page/table", lambda: np.arange(3)).tolist() == [0, 1, 2]
    assert files(tmp_path) == ["table.npy", "table.npy.lock"]

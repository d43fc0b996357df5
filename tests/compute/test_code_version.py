"""Which code computed something: a commit, or a hash of the sources where there is none."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from compute.steps.provenance import PARTS, ROOT, code_version


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Some of the project, as an image holds it: without its history."""
    for part in PARTS:
        (tmp_path / part).mkdir()
        for file in sorted((ROOT / part).glob("*.py")):
            shutil.copy(file, tmp_path / part)
    return tmp_path


def copied(folder: Path, name: str) -> Path:
    return Path(shutil.copytree(folder, folder.parent / name))


def test_equal_sources_are_one_version_and_others_another(image: Path, tmp_path: Path) -> None:
    version = code_version(image)
    assert re.fullmatch("sources-[0-9a-f]{12}", version)
    same, other, moved = (copied(image, f"{tmp_path.name}-{name}") for name in ("same", "other", "moved"))
    (same / "compute" / "weights.safetensors").write_bytes(b"the web image has none")
    (other / "compute" / "errors.py").write_text("# another\n")
    (moved / "compute" / "errors.py").rename(moved / "compute" / "mistakes.py")
    assert code_version(same) == version
    assert len({version, code_version(other), code_version(moved)}) == 3


def test_a_checkout_is_called_by_its_commit() -> None:
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("This is no checkout.")
    assert re.fullmatch(r"(.+-g)?[0-9a-f]{7,40}(-dirty)?|v?\d.*", code_version())

"""What the computing side reads from the environment, without Django."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compute import environment
from compute.errors import ConfigError
from compute.hub.cache import converted_cache
from compute.steps.checkpoints import n_threads

OURS = ("QW_THREADS", "QW_THREADS_FILE", "OMP_NUM_THREADS", "QW_HUB_CACHE", "QW_HUB_CACHE_FILE", "QW_X", "QW_X_FILE")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OURS:
        monkeypatch.delenv(name, raising=False)


def test_a_file_is_read_rather_than_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.text("QW_X", "else") == "else"
    monkeypatch.setenv("QW_X", "variable")
    assert environment.text("QW_X", "else") == "variable"
    (file := tmp_path / "x").write_text("file\n")
    monkeypatch.setenv("QW_X_FILE", str(file))
    assert environment.text("QW_X", "else") == "file"


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QW_X_FILE", str(tmp_path / "x"))
    with pytest.raises(ConfigError, match="QW_X_FILE names .*x, which cannot be read: No such file"):
        environment.text("QW_X")
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="QW_X_FILE names .*x, which is no text"):
        environment.text("QW_X")


def test_threads_are_those_of_the_site_then_those_of_openmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert n_threads() >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert n_threads() == 5
    monkeypatch.setenv("QW_THREADS", "")
    assert n_threads() == 5
    monkeypatch.setenv("QW_THREADS", "4")
    assert n_threads() == 4
    (file := tmp_path / "threads").write_text("3\n")
    monkeypatch.setenv("QW_THREADS_FILE", str(file))
    assert n_threads() == 3


@pytest.mark.parametrize("value", ["four", "0", "-1", "1.5"])
def test_what_is_no_number_of_threads_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("QW_THREADS", value)
    with pytest.raises(ConfigError, match=f"QW_THREADS is '{value}'; it must be a whole number of at least 1"):
        n_threads()


def test_the_folder_of_converted_weights_may_be_named_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file := tmp_path / "folder").write_text(f"{tmp_path / 'own'}\n")
    monkeypatch.setenv("QW_HUB_CACHE_FILE", str(file))
    assert converted_cache() == tmp_path / "own"


def test_reading_needs_no_django() -> None:
    code = "import sys, compute.environment; raise SystemExit('django' in sys.modules or 'quantaweb' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

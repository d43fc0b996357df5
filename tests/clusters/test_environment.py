"""Settings read from the environment, in a process of its own."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from quantaweb import env

ROOT = Path(__file__).resolve().parents[2]
SAY_WHERE = "from django.conf import settings; print(settings.DATABASES['default']['NAME'])"


@pytest.mark.parametrize("name", ["with space", "a#b", "a?b", "50%25", "ä"])
def test_the_database_lies_in_the_data_folder_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    own = {"QW_DATA_DIR": str(tmp_path / name), "DJANGO_SETTINGS_MODULE": "quantaweb.settings", "PYTHONUTF8": "1"}
    rest = {key: value for key, value in os.environ.items() if not key.startswith("QW_")}
    said = subprocess.run([sys.executable, "-c", SAY_WHERE], env=rest | own, cwd=ROOT, capture_output=True, check=True)
    assert said.stdout.decode().strip() == str(tmp_path / name / "quantaweb.sqlite3")


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QW_SECRET_KEY", raising=False)
    file = tmp_path / "data" / "secret_key"
    first = env.secret_key(file)
    assert len(first) >= 50
    assert env.secret_key(file) == first
    env._make_secret(file)  # as by another process at the same moment
    assert file.read_text() == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("value", ["cpu", "cuda", "cuda:1"])
def test_a_device_is_taken(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("QW_DEVICE", value)
    assert env.device("QW_DEVICE") == value


@pytest.mark.parametrize("value", ["gpu", "cuda:", "cuda:x", "CUDA"])
def test_what_is_no_device_is_refused_with_what_would_be_one(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("QW_DEVICE", value)
    with pytest.raises(env.ImproperlyConfigured, match="cpu, cuda"):
        env.device("QW_DEVICE")

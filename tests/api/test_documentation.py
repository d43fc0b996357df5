"""What docs/api.md shows is run as it stands there, in its order, against a live server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import Group

from clusters.models import Tag
from clusters.services.keys import make_key
from tests import factories
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db(transaction=True)
DOCUMENT = Path(__file__).parents[2] / "docs/api.md"
FENCED = re.compile(r"^```(python|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[int, str, str]]:
    """Line, language and source of every fenced block that can be run."""
    text = DOCUMENT.read_text()
    return [(text[: found.start(2)].count("\n") + 1, found[1], found[2]) for found in FENCED.finditer(text)]


@pytest.fixture
def key(live_server, tmp_path, monkeypatch, settings) -> str:
    """A run called demo with clusterings at 100, and the key of somebody who may label and start runs."""
    settings.DATA_DIR, settings.EXPORT_DIR = tmp_path / "data", tmp_path / "exports"
    monkeypatch.setattr(factories, "N_DOCUMENTS", 40)
    monkeypatch.setattr(factories, "N_SELECTED", 400)
    monkeypatch.setattr(factories, "KS", (50, 100, 200))
    make_run(tmp_path / "bundles", name="demo")
    for slug in ("lexical", "syntactic"):  # tests against a live server empty the tables behind them
        Tag.objects.get_or_create(slug=slug, defaults={"name": slug})
    ana = UserFactory(username="ana")
    ana.groups.set(Group.objects.filter(name__in=["labeler", "runner"]))
    _, secret = make_key(ana, name="notebook", scopes=["read", "label", "run"])
    monkeypatch.setenv("QUANTAWEB_URL", live_server.url)
    monkeypatch.setenv("QUANTAWEB_KEY", secret)
    monkeypatch.chdir(tmp_path)
    return secret


def test_the_python_of_the_document_runs_as_it_stands(key):
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for line, language, source in blocks():
        if language == "python":
            padded = "\n" * (line - 1) + source  # so that errors name the document's own lines
            exec(compile(padded, str(DOCUMENT), "exec"), namespace)
    said = namespace
    assert (said["run"]["run"], said["k"]) == ("demo", 100)
    assert len(said["clusters"]) == 100
    assert said["losses"]["mean_loss_nats"].is_monotonic_decreasing
    assert said["over_steps"].shape == (len(said["monogenic"]), 3)
    assert (said["block"].shape, said["own"] < 0) == ((32, 32), True)
    assert (said["late"].status_code, said["revised"]["version"]) == (412, 3)
    assert (said["revised"]["state"], said["revised"]["tags"]) == ("submitted", ["lexical", "syntactic"])
    assert said["labels"]["name"].tolist() == ["closing brackets"]
    assert said["job"]["state"] == "cancelled"
    assert (len(said["memberships"]), set(said["memberships"]["k"])) == (400, {100})
    assert said["plan"]["counts"] == {"new": 0, "changed": 1, "same": 0, "refused": 0}
    assert said["applied"].json()["counts"]["changed"] == 1
    assert len(said["measures"]) > 0
    assert list(said["near"].columns) == ["index", "answer", "cosine", "affinity", "cluster"]


def test_the_error_that_the_document_shows_is_the_one_that_comes(client):
    [shown] = re.findall(r"^```json\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert client.get("/api/v1/runs/?foo=1").json() == json.loads(shown)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed; `apt-get install curl` brings it.")
def test_the_curl_of_the_document_runs_as_it_stands(key, tmp_path):
    for line, language, source in blocks():
        if language == "bash":
            done = subprocess.run(
                ["bash", "-eu", "-c", source], cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, f"{DOCUMENT.name}:{line}: {done.stderr}"
    assert np.load(tmp_path / "curves.npy").shape == (100, len(factories.NETWORKS))

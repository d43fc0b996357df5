"""The whole method on networks that lie on the Hub: fetched once, pinned to commits, then computed without it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from compute.bundle import open_bundle
from compute.cli import REFUSED, main
from compute.config import RunConfig
from compute.errors import CheckpointError
from compute.pipeline import plan, run_qdg
from compute.registry import find_checkpoint, hub_suite
from tests.hub.fake import FakeHub
from tests.tiny import MAX_LENGTH, WIDTHS, tiny_config


@pytest.fixture
def hub(fake_hub: FakeHub, tiny_suite: Path) -> FakeHub:
    """The very small networks as repositories, a branch for each step."""
    tokenizer = (tiny_suite / "tokenizer.json").read_bytes()
    for name in WIDTHS:
        for step in ("step0", "step120"):
            files = {path.name: path.read_bytes() for path in (tiny_suite / name / step).iterdir()}
            fake_hub.add(f"me/{name}", files | {"tokenizer.json": tokenizer}, revision=step)
    return fake_hub


@pytest.fixture
def config(tiny_suite: Path) -> RunConfig:
    suite = hub_suite([f"me/{name}@{step}" for name in WIDTHS for step in ("step0", "step120")])
    return dataclasses.replace(
        tiny_config(tiny_suite), suite=suite, clustered=find_checkpoint(suite, "me/tiny-l@step120").key
    )


def test_a_run_fetches_what_it_needs_and_tells_the_commits(hub, config, tmp_path):
    assert [spec.phase for spec in plan(config)][:7] == ["weights"] * 7
    manifest = open_bundle(run_qdg(config, tmp_path / "work", tmp_path / "bundles")).manifest
    for entry in manifest["checkpoints"]:
        commit = hub.repositories["models", f"me/{entry['lm']}"].branches[entry["revision"]]
        assert entry["hub"] == {"id": f"me/{entry['lm']}", "revision": entry["revision"], "commit": commit}


def test_the_numbers_are_those_of_local_folders(hub, config, tiny_suite, tmp_path):
    remote = open_bundle(run_qdg(config, tmp_path / "a", tmp_path / "bundles"))
    local = open_bundle(run_qdg(tiny_config(tiny_suite), tmp_path / "b", tmp_path / "bundles"))
    for name in ("losses/tiny-s/step0", "similarity/signed", "clustering/signed/k5"):
        assert np.array_equal(remote.array(name), local.array(name))


def test_what_was_fetched_needs_no_network(hub, config, tmp_path, monkeypatch):
    run_qdg(config, tmp_path / "a", tmp_path / "bundles")
    n_requests = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again = dataclasses.replace(config, name="again")
    assert run_qdg(again, tmp_path / "b", tmp_path / "bundles").is_dir()
    assert len(hub.requests) == n_requests


def test_a_revision_that_is_not_there_stops_the_run_before_any_computing(hub, config, tmp_path):
    suite = hub_suite(["me/tiny-l@step121", "me/tiny-s@step120"])
    wanted = dataclasses.replace(config, suite=suite, clustered="tiny-l/step121")
    with pytest.raises(CheckpointError, match="step121"):
        run_qdg(wanted, tmp_path / "work", tmp_path / "bundles")
    assert not (tmp_path / "columns").exists()


def test_losses_of_a_network_of_the_hub_by_one_command(hub, tiny_suite, tmp_path, capsys):
    text = ["--corpus", f"{tiny_suite}/text.jsonl", "--max-length", str(MAX_LENGTH), "--out", str(tmp_path)]
    assert main(["losses", "--model", "me/tiny-l@step120", *text]) == 0
    assert np.load(tmp_path / "losses.npy").shape == (2818,)
    assert main(["losses", "--model", "me/absent", *text]) == REFUSED
    assert "me/absent" in capsys.readouterr().err


def test_fetch_says_where_it_is(hub, capsys):
    assert main(["fetch", "me/tiny-s@step0"]) == 0
    printed = capsys.readouterr().out
    assert hub.repositories["models", "me/tiny-s"].branches["step0"] in printed


@pytest.mark.parametrize("name", ["../../etc/passwd", "me/..%2f..", "me\\net", "me/net@refs/../x", "me/net@"])
def test_names_are_refused_before_any_request(hub, tiny_suite, tmp_path, capsys, name):
    text = ["--corpus", f"{tiny_suite}/text.jsonl", "--out", str(tmp_path)]
    assert main(["losses", "--model", name, *text]) == REFUSED
    assert capsys.readouterr().err.strip()
    assert hub.requests == []

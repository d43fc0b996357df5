"""A run whose shards are done in turn on two hosts that share a store and no disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compute.bundle import open_bundle
from compute.config import RunConfig, SimilarityConfig
from compute.pipeline import plan, run_qdg, run_shard
from compute.registry import find_checkpoint, hub_suite
from compute.steps import losses, similarity
from compute.store.objects import Store
from tests.hub.conftest import fake_hub
from tests.hub.fake import FakeHub
from tests.tiny import WIDTHS, tiny_config

__all__ = ["fake_hub"]


@pytest.fixture(scope="module")
def config(tiny_suite: Path) -> RunConfig:
    return dataclasses.replace(tiny_config(tiny_suite, ks=(2, 5)), map=None)  # maps take long to compile


@pytest.fixture(scope="module")
def undisturbed(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Hash of the bundle that one host alone makes."""
    folder = tmp_path_factory.mktemp("alone")
    return open_bundle(run_qdg(config, folder / "work", folder)).sha256


def in_turn(
    config: RunConfig, store: Store, folder: Path, *, arrive: Callable[[int], None] = lambda host: None
) -> tuple[Path, int]:
    """Do the shards by turns on two hosts; the bundle, and on which host it lies."""
    path = None
    for turn, spec in enumerate(plan(config)):
        host = turn % 2
        arrive(host)
        path = run_shard(
            config, spec, folder / f"{host}" / "work" / "job-1", bundles=folder / f"{host}" / "bundles",
            report=lambda n_done, n_total: None, store=store,
        )  # fmt: skip
    assert path is not None
    return path, host


def test_the_bundle_is_that_of_one_host(config, undisturbed, store, tmp_path):
    shared, _ = in_turn(config, store, tmp_path)
    assert open_bundle(shared).sha256 == undisturbed
    open_bundle(shared).verify()


def test_nothing_is_computed_on_both_hosts(config, files_store, tmp_path, monkeypatch):
    computed = []
    evaluate, compare = losses._evaluate, similarity._compared
    monkeypatch.setattr(losses, "_evaluate", lambda run, ref, *a: (computed.append(ref.key), evaluate(run, ref, *a))[1])
    monkeypatch.setattr(similarity, "_compared", lambda *a: (computed.append("cosines"), compare(*a))[1])
    in_turn(config, files_store, tmp_path)
    assert sorted(computed) == sorted([*(ref.key for ref in config.suite.checkpoints), "cosines"])


@pytest.mark.parametrize("damage", ["altered", pytest.param("missing", marks=pytest.mark.whole)])
def test_what_the_store_lost_is_computed_again(config, undisturbed, files_store, tmp_path, damage, measured):
    store = files_store
    n_calls, lost = [], []

    def arrive(host: int) -> None:
        n_calls.append(host)
        if len(n_calls) == len(plan(config)) - 4:  # before the clusterings: losses, gradients and cosines are there
            lost.extend(store.listed("objects/"))
            for one in lost:
                if damage == "altered":
                    store.place.write(one.key, b"\0" * one.n_bytes)
                else:
                    store.remove([one.key])

    shared, _ = in_turn(config, store, tmp_path, arrive=arrive)
    assert open_bundle(shared).sha256 == undisturbed
    open_bundle(shared).verify()
    assert lost
    measured(11, f"every object in the store {damage}, in the middle of a run", n_objects=len(lost))


def test_blocks_without_stored_gradients_are_shared_too(config, files_store, tmp_path):
    wanted = dataclasses.replace(config, similarity=SimilarityConfig(mode="exact", block_tokens=16))  # of 40 tokens
    shared, _ = in_turn(wanted, files_store, tmp_path)
    alone = run_qdg(wanted, tmp_path / "alone" / "work", tmp_path / "alone")
    assert open_bundle(shared).sha256 == open_bundle(alone).sha256


def test_a_bundle_that_another_host_published_is_fetched_not_made_again(config, files_store, tmp_path, monkeypatch):
    store = files_store
    path, host = in_turn(config, store, tmp_path)
    other = tmp_path / f"{1 - host}" / "bundles"
    monkeypatch.setattr("compute.pipeline.publish", lambda *a, **k: pytest.fail("published again"))
    again = run_shard(
        config, plan(config)[-1], tmp_path / f"{1 - host}" / "work" / "job-1", bundles=other,
        report=lambda n_done, n_total: None, store=store,
    )  # fmt: skip
    assert again == other / path.name
    open_bundle(again).verify()


def test_each_host_fetches_only_the_networks_that_it_needs(
    fake_hub: FakeHub, config: RunConfig, tiny_suite: Path, files_store: Store, tmp_path: Path, monkeypatch: Any
) -> None:
    tokenizer = (tiny_suite / "tokenizer.json").read_bytes()
    for name in WIDTHS:
        for step in ("step0", "step120"):
            files = {path.name: path.read_bytes() for path in (tiny_suite / name / step).iterdir()}
            fake_hub.add(f"me/{name}", files | {"tokenizer.json": tokenizer}, revision=step)
    suite = hub_suite([f"me/{name}@{step}" for name in WIDTHS for step in ("step0", "step120")])
    clustered = find_checkpoint(suite, "me/tiny-l@step120").key
    config = dataclasses.replace(config, suite=suite, clustered=clustered)

    def arrive(host: int) -> None:
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / f"hub-{host}"))
        monkeypatch.setenv("QW_HUB_CACHE", str(tmp_path / f"converted-{host}"))

    shared, _ = in_turn(config, files_store, tmp_path, arrive=arrive)
    arrive(2)
    alone = run_qdg(config, tmp_path / "alone" / "work", tmp_path / "alone")
    assert open_bundle(shared).sha256 == open_bundle(alone).sha256
    n_networks = [len(list((tmp_path / f"hub-{host}").glob("models--*/snapshots/*"))) for host in (0, 1)]
    assert max(n_networks) < len(config.suite.checkpoints), n_networks

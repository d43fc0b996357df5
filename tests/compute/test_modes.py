"""The method in its other forms: sketches, blocks without a store, other vectors, losses in parts, other families."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from compute.bundle import Bundle, open_bundle
from compute.config import RunConfig
from compute.errors import Cancelled, ConfigError
from compute.pipeline import ShardSpec, plan, run_qdg, run_shard
from compute.steps import curves as curves_step
from compute.steps import losses as losses_step
from compute.steps.checkpoints import precision_of
from compute.steps.run import Run
from compute.suites import changed, folder_suite
from compute.workspace import Workspace
from tests.tiny import MAX_LENGTH, tiny_config

N_GRADIENT = 14_256  # of the largest very small network


@pytest.fixture(scope="module", autouse=True)
def short_steps() -> Iterator[None]:
    """Save and report at every chance, and cut the little work there is into several pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compute.steps.run.REPORT_EVERY", 0.0)
        patch.setattr("compute.steps.run.SAVE_EVERY", 0.0)
        patch.setattr("compute.steps.losses.PREDICTIONS_PER_BLOCK", 700)
        patch.setattr("compute.steps.gradients.NUMBERS_PER_FILE", N_GRADIENT * 10)
        patch.setattr("compute.steps.blocks.TOKENS_PER_CHUNK", 8)
        patch.setattr("compute.steps.blocks.REFINED_BLOCK_BYTES", 2 * N_GRADIENT * 15)
        patch.setattr("compute.pipeline.TOKENS_PER_SHARD", 20)
        yield


@pytest.fixture(scope="module")
def config(tiny_suite: Path) -> RunConfig:
    return tiny_config(tiny_suite)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Workspaces side by side, so that losses are computed once."""
    return tmp_path_factory.mktemp("modes")


@pytest.fixture(scope="module")
def exact(config: RunConfig, folder: Path) -> Bundle:
    return computed(config, folder, "exact")


def computed(config: RunConfig, folder: Path, name: str) -> Bundle:
    return open_bundle(run_qdg(changed(config, name=name), folder / name, folder / "bundles"))


def stopping(phase: str, n_calls: int) -> object:
    calls = 0

    def report(spec: ShardSpec, n_done: int, n_total: int) -> None:
        nonlocal calls
        calls += spec.phase == phase
        if calls > n_calls:
            raise Cancelled("A person asked to stop.")

    return report


def cosines(bundle: Bundle, kind: str = "signed") -> np.ndarray:
    return np.array(bundle.array(f"similarity/{kind}"))


# Sketches.


@pytest.fixture(scope="module")
def sketched(config: RunConfig, folder: Path) -> Bundle:
    return computed(changed(config, mode="sketch", sketch_size=2048), folder, "sketched")


@pytest.mark.parametrize("kind", ["signed", "absolute"])
def test_sketched_cosines_are_near_the_exact_ones(exact, sketched, kind):
    apart = ~np.eye(len(cosines(exact)), dtype=bool)
    error = (cosines(sketched, kind) - cosines(exact, kind))[apart]
    assert 0 < np.sqrt((error**2).mean()) <= 1.1 / np.sqrt(2048)
    assert np.abs(error).max() <= np.sqrt(4 * np.log(len(cosines(exact))) / 2048)


def test_sketches_stay_in_the_bundle_with_their_size_seed_and_error(sketched):
    facts = sketched.manifest["similarity"]
    assert facts["mode"] == "sketch"
    assert facts["sketch_size"] == 2048
    assert sketched.manifest["clustered"]["n_gradient"] == N_GRADIENT
    assert facts["rms"] == pytest.approx(1 / np.sqrt(2048))
    rows = np.array(sketched.array("sketches/signed"), np.float32)
    assert rows.shape == (sketched.manifest["selection"]["n_selected"], 2048)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(unit @ unit.T, cosines(sketched), atol=1e-4)


def test_a_probe_is_told_which_sketches_there_are(exact, sketched):
    assert exact.manifest["probe"] == {"table": "sketches/signed", "size": 8192, "seed": 0}
    assert sketched.manifest["probe"] == {"table": "sketches/signed", "size": 2048, "seed": 0}


def check_probe_sketches(bundle: Bundle, wanted: np.ndarray) -> None:
    """Cosines of sketches are off by 1/√8192 on average."""
    rows = np.asarray(bundle.array("sketches/signed"), np.float32)
    assert rows.shape == (len(wanted), 8192)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    error = (unit @ unit.T - wanted)[~np.eye(len(rows), dtype=bool)]
    assert 0 < np.sqrt((error**2).mean()) < 1.1 / np.sqrt(8192)


def test_an_exact_bundle_holds_short_sketches_for_probes(exact):
    assert exact.manifest["similarity"] == {"vectors": "gradients", "mode": "exact"}
    check_probe_sketches(exact, cosines(exact))
    assert not exact.has("sketches/absolute")


def test_refined_neighbours_have_exact_cosines(config, folder, exact, sketched):
    refined = computed(changed(config, mode="sketch", sketch_size=2048, refine=5), folder, "refined")
    for kind in ("signed", "absolute"):
        found, wanted, rough = (cosines(bundle, kind).copy() for bundle in (refined, exact, sketched))
        np.fill_diagonal(rough, -2)
        nearest = np.argsort(-rough, axis=1)[:, :5]
        rows = np.arange(len(found))[:, None]
        assert np.abs(found - wanted)[rows, nearest].max() < 5e-4
        assert np.array_equal(found, found.T)
        second_furthest = np.argsort(rough, axis=1)[:, 1]
        assert np.mean(found[rows[:, 0], second_furthest] == rough[rows[:, 0], second_furthest]) > 0.5


# Blocks without a store.


@pytest.mark.parametrize("block_tokens", [7, 16, 1000])
def test_blocks_give_the_cosines_of_the_store(config, folder, exact, block_tokens):
    blocked = computed(changed(config, block_tokens=block_tokens), folder, f"blocks-{block_tokens}")
    for kind in ("signed", "absolute"):
        found = cosines(blocked, kind)
        assert np.abs(found - cosines(exact, kind)).max() <= 5e-5
        assert np.array_equal(found, found.T)
        assert (found.diagonal() == 1).all()
    check_probe_sketches(blocked, cosines(exact))


def test_blocks_store_no_gradients_and_have_a_shard_each(config):
    specs = plan(changed(config, block_tokens=16))
    assert [spec.phase for spec in specs].count("gradients") == 0
    assert [spec.name for spec in specs if spec.phase == "similarity"] == [
        "tokens 1-16 with all after",
        "tokens 17-32 with all after",
        "tokens 33-40 with all after",
    ]


# Stopped and resumed.

MODES = {
    "sketch": {"mode": "sketch", "sketch_size": 2048},
    "blocks": {"block_tokens": 16},
    "refined": {"mode": "sketch", "sketch_size": 2048, "refine": 5},
    "fast": {"effort": "fast"},
    "parts": {"documents_per_shard": 20, "max_documents": 60},
}


@pytest.mark.parametrize("mode", MODES)
def test_a_stopped_run_goes_on_to_the_same_hash(config, folder, tmp_path, mode):
    wanted = changed(config, **MODES[mode])
    whole = open_bundle(run_qdg(wanted, folder / f"whole-{mode}", folder / f"whole-{mode}-bundles"))
    for phase in ("losses", "gradients", "similarity", "clustering"):
        if any(spec.phase == phase for spec in plan(wanted)):
            with pytest.raises(Cancelled):
                run_qdg(wanted, tmp_path / "work", tmp_path / "bundles", report=stopping(phase, 3))
    resumed = open_bundle(run_qdg(wanted, tmp_path / "work", tmp_path / "bundles"))
    assert resumed.sha256 == whole.sha256


# Losses.


def test_losses_in_parts_are_the_losses(config, folder, exact):
    parts = computed(changed(config, documents_per_shard=17, max_documents=60), folder, "parts")
    for entry in exact.manifest["checkpoints"]:
        np.testing.assert_allclose(parts.array(entry["column"]), exact.array(entry["column"]), atol=1e-5)


def test_parts_are_shards_that_workers_can_share(config):
    names = [spec.name for spec in plan(changed(config, documents_per_shard=17, max_documents=60))]
    assert "tiny-s/step0, part 1 of 4" in names
    assert "tiny-s/step0, part 4 of 4" in names


def test_a_second_run_takes_the_losses_of_the_first(config, tmp_path, monkeypatch):
    run_qdg(config, tmp_path / "first", tmp_path / "bundles")

    def computed_again(*args: object, **options: object) -> None:
        raise AssertionError("the losses were there already")

    monkeypatch.setattr("compute.numerics.losses.token_losses", computed_again)
    again = changed(config, name="again", ks=(2, 3))
    assert open_bundle(run_qdg(again, tmp_path / "second", tmp_path / "bundles")).manifest["name"] == "again"


def test_mean_quantiles_and_histogram_are_kept_with_each_column(exact):
    edges = np.array(exact.array("losses/log_histogram_edges"))
    counts = np.array(exact.array("losses/log_histogram"))
    for row, entry in zip(counts, exact.manifest["checkpoints"], strict=True):
        column = np.array(exact.array(entry["column"]), np.float64)
        assert entry["mean_loss_nats"] == pytest.approx(column.mean(), rel=1e-12)
        assert row.sum() == len(column)
        assert len(row) == len(edges) + 1
        assert entry["quantiles_nats"]["0.5"] == pytest.approx(np.quantile(column, 0.5, method="inverted_cdf"))


def test_curves_over_steps_are_columns_side_by_side(exact):
    table = np.array(exact.array("curves/steps/tiny-l"), np.float32)
    assert table.shape == (exact.manifest["corpus"]["n_predictions"], 2)
    for place, step in enumerate((0, 120)):
        np.testing.assert_allclose(table[:, place], exact.array(f"losses/tiny-l/step{step}"), rtol=1e-3, atol=1e-6)


def test_tables_that_are_too_large_for_memory_are_the_same(config, exact, folder, monkeypatch):
    monkeypatch.setattr("compute.steps.curves.TABLE_BYTES_IN_MEMORY", 0)
    run = run_on("cpu", changed(config, name="exact"), folder / "large-tables")
    tables = curves_step.curves(run)
    for name in ("losses", "steps/tiny-l"):
        assert np.array_equal(tables[name], exact.array(f"curves/{name}"))
    assert not [file for file in run.files.root.iterdir() if file.is_file() and not file.name.startswith(".")]


# Other vectors.


@pytest.mark.parametrize(("vectors", "n_columns"), [("activations", 2 * 4 * 24), ("sparsified", N_GRADIENT)])
def test_other_vectors_go_the_same_way(config, folder, exact, vectors, n_columns):
    other = computed(changed(config, vectors=vectors), folder, vectors)
    assert other.manifest["clustered"]["n_gradient"] == n_columns
    assert other.manifest["similarity"]["vectors"] == vectors
    assert np.abs(cosines(other) - cosines(exact)).max() > 1e-3
    assert other.array("clustering/signed/k5").max() == 4


def test_all_parameters_can_be_compared(config, folder):
    everything = computed(changed(config, gradient_scope="all"), folder, "all")
    assert everything.manifest["clustered"]["n_gradient"] == everything.manifest["checkpoints"][-1]["n_parameters"]


def test_activations_have_no_scope(config):
    with pytest.raises(ConfigError, match="no gradient scope"):
        changed(config, vectors="activations", gradient_scope="all")


# Other families.


def other_family(name: str, folder: Path) -> Path:
    import torch
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config

    shapes = {
        "gpt2": GPT2Config(vocab_size=320, n_embd=16, n_layer=2, n_head=2, n_positions=MAX_LENGTH),
        "llama": LlamaConfig(
            vocab_size=320, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            intermediate_size=32, max_position_embeddings=MAX_LENGTH,
        ),
        "qwen2": Qwen2Config(
            vocab_size=320, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            intermediate_size=32, max_position_embeddings=MAX_LENGTH, tie_word_embeddings=True,
        ),
    }  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(shapes[name]).save_pretrained(folder / name)
    return folder / name


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
def test_other_families_go_through_the_whole_method(config, tiny_suite, tmp_path, family):
    path = other_family(family, tmp_path)
    suite = folder_suite(
        [f"own={path}", f"tiny-s/step120={tiny_suite / 'tiny-s' / 'step120'}"], tokenizer=f"{tiny_suite}/tokenizer.json"
    )
    wanted = dataclasses.replace(changed(config, threshold_nats=50.0), suite=suite, clustered="own/main", name=family)
    bundle = open_bundle(run_qdg(wanted, tmp_path / "work", tmp_path / "bundles"))
    bundle.verify()
    assert bundle.manifest["clustered"]["lm"] == "own"
    assert np.isfinite(cosines(bundle)).all()


# Parts of a run by many hands.


def test_every_other_shard_by_two_hands_is_the_whole_run(config, tmp_path, exact):
    for spec in plan(changed(config, name="exact")):
        for _ in range(2):  # both hands may do the same shard
            last = run_shard(
                changed(config, name="exact"), spec, tmp_path / "work", bundles=tmp_path, report=lambda *_: None
            )
    assert last is not None
    assert open_bundle(last).sha256 == exact.sha256


def test_the_settings_of_a_run_are_json(config):
    wanted = changed(config, mode="sketch", sketch_size=64, effort="fast", vectors="sparsified", precision="float32")
    assert RunConfig.from_json(json.loads(json.dumps(wanted.to_json()))) == wanted


def run_on(device: str, config: RunConfig, work: Path) -> Run:
    return Run(config=config, files=Workspace(work), bundles=work, report=lambda *_: None, device=device)


def test_a_machine_without_a_gpu_takes_the_number_format_that_a_gpu_began_with(config, tmp_path, monkeypatch):
    monkeypatch.setattr("compute.steps.checkpoints.BFLOAT16_FROM", 1)
    large, clustered = config.suite.checkpoints[0], config.clustered_checkpoint
    assert precision_of(run_on("cpu", config, tmp_path / "cpu"), large) == "float32"
    assert precision_of(run_on("cuda", config, tmp_path / "both"), large) == "bfloat16"
    assert precision_of(run_on("cpu", config, tmp_path / "both"), large) == "bfloat16"
    assert precision_of(run_on("cuda", config, tmp_path / "both"), clustered) == "float32"


def test_a_large_network_on_a_cpu_is_saved_after_fewer_predictions(config, tmp_path, monkeypatch):
    ref = config.clustered_checkpoint
    monkeypatch.setattr(losses_step, "PARAMETERS_OF_WHOLE_BLOCKS", 1000)
    n_parameters = losses_step.checkpoint_facts(run_on("cpu", config, tmp_path), ref)["n_parameters"]
    assert losses_step._predictions_per_block(run_on("cpu", config, tmp_path), ref) == 700 * 1000 // n_parameters
    assert losses_step._predictions_per_block(run_on("cuda", config, tmp_path), ref) == 700

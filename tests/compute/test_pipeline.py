"""The method from end to end: whole, resumed, damaged, refused."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from compute.bundle import Bundle, open_bundle
from compute.config import CheckpointRef, RunConfig
from compute.errors import (
    Cancelled,
    CheckpointError,
    ClusteringError,
    ConfigError,
    CorpusError,
    GradientError,
    SelectionError,
    StorageError,
)
from compute.pipeline import PHASES, ShardSpec, plan, run_qdg, run_shard
from compute.steps import checkpoints
from compute.suites import changed
from tests.tiny import MAX_LENGTH, WIDTHS, tiny_config, write_corpus

LOCAL_PHASES = PHASES[1:]  # nothing is fetched from the Hub


@pytest.fixture(scope="module", autouse=True)
def short_steps() -> Iterator[None]:
    """Save and report at every chance, and cut the little work there is into several pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compute.steps.run.REPORT_EVERY", 0.0)
        patch.setattr("compute.steps.run.SAVE_EVERY", 0.0)
        patch.setattr("compute.steps.losses.PREDICTIONS_PER_BLOCK", 700)
        patch.setattr("compute.steps.gradients.BYTES_PER_FILE", 2 * 14_256 * 10)
        patch.setattr("compute.steps.similarity.COLUMNS_PER_CHUNK", 4096)
        patch.setattr("compute.pipeline.TOKENS_PER_SHARD", 20)
        yield


@pytest.fixture(scope="module")
def config(tiny_suite: Path) -> RunConfig:
    return tiny_config(tiny_suite)


@pytest.fixture(scope="module")
def finished(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run that was never disturbed: work and bundles."""
    folder = tmp_path_factory.mktemp("finished")
    run_qdg(config, folder / "work", folder / "bundles")
    return folder


@pytest.fixture(scope="module")
def bundle(finished: Path) -> Bundle:
    (path,) = (finished / "bundles").glob("tiny-*")
    return open_bundle(path)


@pytest.fixture(scope="module")
def almost(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Workspace of a run that lacks nothing but its bundle; to be copied."""
    work = tmp_path_factory.mktemp("almost") / "work"
    run_until(config, work, "bundle")
    return work


def run_until(config: RunConfig, work: Path, phase: str) -> None:
    """Do every shard before the phase."""
    for spec in plan(config):
        if spec.phase == phase:
            return
        run_shard(config, spec, work, bundles=work.parent / "bundles", report=lambda n_done, n_total: None)


def run_again(config: RunConfig, work: Path) -> str:
    """Finish the run; give the bundle's hash."""
    return open_bundle(run_qdg(config, work, work.parent / "bundles")).sha256


def stops_at(phase: str, n_calls: int) -> Callable[[ShardSpec, int, int], None]:
    """A report that stops the work at its n-th call within a phase."""
    calls = 0

    def report(spec: ShardSpec, n_done: int, n_total: int) -> None:
        nonlocal calls
        calls += spec.phase == phase
        if calls > n_calls:
            raise Cancelled("A person asked to stop.")

    return report


def counting(monkeypatch: pytest.MonkeyPatch, target: str) -> list[int]:
    """Count the calls of a function of numerics, in a list that grows."""
    module, _, name = target.rpartition(".")
    original = getattr(importlib.import_module(module), name)
    calls: list[int] = []

    def counted(*args: object, **options: object) -> object:
        calls.append(1)
        return original(*args, **options)

    monkeypatch.setattr(target, counted)
    return calls


# Weights.


def test_weights_are_hashed_once_for_all_processes_of_a_run(config, almost, tmp_path, monkeypatch):
    work = shutil.copytree(almost, tmp_path / "work")
    checkpoints._computed_hashes.cache_clear()  # as in another process
    calls = counting(monkeypatch, "compute.numerics.checkpoints.weights_sha256")
    run_again(config, work)
    assert not calls
    os.utime(Path(config.clustered_checkpoint.path) / "model.safetensors")
    run_again(config, work)
    assert len(calls) == 1


# The plan.


def test_the_plan_goes_through_the_phases_in_order(config):
    specs = plan(config)
    assert [spec.ordinal for spec in specs] == list(range(len(specs)))
    assert list(dict.fromkeys(spec.phase for spec in specs)) == list(LOCAL_PHASES)


def test_every_checkpoint_affinity_and_piece_of_the_tokens_has_its_shard(config):
    phases = [spec.phase for spec in plan(config)]
    assert [phases.count(phase) for phase in LOCAL_PHASES] == [1, 6, 1, 1, 2, 1, 2, 2, 1]


def test_gradient_shards_hold_all_tokens(config):
    assert sum(spec.n_total for spec in plan(config) if spec.phase == "gradients") == config.selection.n_tokens


def test_a_plan_reads_no_file():
    ref = CheckpointRef(lm="absent", revision="step1", path="/nowhere")
    config = tiny_config(Path("/nowhere"))
    suite = dataclasses.replace(config.suite, checkpoints=(ref,))
    assert plan(dataclasses.replace(config, suite=suite, clustered=ref.key))


def test_planning_imports_no_heavy_library():
    heavy = ("torch", "transformers", "sklearn", "django")
    code = f"import sys, compute.pipeline; print([name for name in {heavy} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


# The result.


def test_the_bundle_is_whole(bundle):
    bundle.verify()


def test_the_bundle_holds_what_the_contract_names(bundle, config):
    n = bundle.manifest["corpus"]["n_predictions"]
    expected = {
        "corpus/offsets": ("int64", [61]),
        "losses/tiny-l/step120": ("float32", [n]),
        "losses/fine_histogram": ("int32", [6, 15_001]),
        "losses/fine_histogram_edges": ("float64", [15_001]),
        "curves/losses": ("float32", [n, 3]),
        "curves/monogenicity": ("float32", [n]),
        "curves/class": ("uint8", [n]),
        "curves/density": ("int64", [40, 40]),
        "selection/induced": ("bool", [n]),
        "selection/flat_index": ("int64", [40]),
        "similarity/signed": ("float32", [40, 40]),
        "similarity/absolute": ("float32", [40, 40]),
        "clustering/signed/k5": ("int32", [40]),
        "sketches/signed": ("float16", [40, 8192]),
        "map/gradients": ("float32", [40, 2]),
    }
    found = {
        name: (bundle.manifest["arrays"][name]["dtype"], bundle.manifest["arrays"][name]["shape"]) for name in expected
    }
    assert found == expected


def test_the_map_of_curves_holds_predictions_from_all_over_and_the_clustered_ones(bundle, config):
    n, index = bundle.manifest["corpus"]["n_predictions"], bundle.array("map/curves_index")
    assert np.isin(bundle.array("selection/flat_index"), index).all()
    assert np.isin(np.linspace(0, n - 1, 60).round().astype(int), index).all()
    assert (np.diff(index) > 0).all()
    assert len(index) <= 100
    assert bundle.array("map/curves").shape == (len(index), 2)


def test_the_maps_state_their_settings(bundle):
    facts = bundle.manifest["map"]
    assert (facts["n_neighbors"], facts["min_dist"], facts["seed"]) == (5, 0.1, 0)
    assert facts["gradients"] == {"array": "map/gradients", "n_points": 40, "affinity": "signed"}
    curves = facts["curves"]
    assert (curves["n_sizes"], curves["n_steps"], curves["n_checkpoints"]) == (3, 6, 9)  # two steps of each size
    assert facts["curves"]["n_points"] == len(bundle.array("map/curves_index"))


def test_a_run_without_maps_has_neither_their_shards_nor_their_arrays(config, almost, tmp_path):
    shutil.copytree(almost, tmp_path / "work")
    without = dataclasses.replace(config, map=None)
    assert "map" not in {spec.phase for spec in plan(without)}
    result = open_bundle(attempt(without, tmp_path))
    assert not result.has("map/curves")
    assert "leave the maps out" in result.manifest["map"]["gradients"]["reason"]


def test_maps_without_their_package_are_refused_at_once(config, tmp_path, monkeypatch):
    monkeypatch.setattr("compute.steps.maps.find_spec", lambda name: None)
    calls = counting(monkeypatch, "compute.numerics.losses.token_losses")
    with pytest.raises(ConfigError, match="umap-learn"):
        attempt(config, tmp_path)
    assert not calls


def test_too_few_tokens_for_a_map_are_a_reason_not_a_failure(config, almost, tmp_path):
    shutil.copytree(almost, tmp_path / "work")
    result = open_bundle(attempt(changed(config, n_neighbors=40), tmp_path))
    assert not result.has("map/gradients")
    assert "there are only 40" in result.manifest["map"]["gradients"]["reason"]
    assert result.has("map/curves")


def test_checkpoints_stand_by_size_then_step(bundle):
    keys = [(entry["lm"], entry["step"]) for entry in bundle.manifest["checkpoints"]]
    assert keys == [(lm, step) for lm in WIDTHS for step in (0, 120)]


def test_only_the_last_checkpoint_of_each_network_is_final(bundle):
    assert [entry["step"] for entry in bundle.manifest["checkpoints"] if entry["is_final"]] == [120, 120, 120]


def test_sizes_are_the_columns_of_the_curves(bundle):
    entries = bundle.manifest["sizes"]
    columns = [bundle.array(f"losses/{entry['lm']}/{entry['revision']}") for entry in entries]
    assert np.array_equal(bundle.array("curves/losses"), np.column_stack(columns))


def test_slopes_and_r_squared_are_those_of_a_line_in_nats(bundle):
    ln_scale = np.log([entry["n_non_embedding"] for entry in bundle.manifest["sizes"]])
    table = np.asarray(bundle.array("curves/losses"), np.float64)
    slope, level = np.polyfit(ln_scale, table.T, 1)
    assert bundle.array("curves/slope") == pytest.approx(slope, abs=1e-5)
    left = ((table - level[:, None] - slope[:, None] * ln_scale) ** 2).sum(axis=1)
    total = ((table - table.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    assert bundle.array("curves/r_squared") == pytest.approx(1 - left / total, abs=1e-5)
    assert bundle.manifest["arrays"]["curves/slope"]["unit"] == "nats per unit of ln non-embedding parameters"


def test_mean_losses_are_those_of_the_columns(bundle):
    for entry in bundle.manifest["checkpoints"]:
        assert entry["mean_loss_nats"] == pytest.approx(bundle.array(entry["column"]).mean(dtype=np.float64))


def test_every_loss_is_counted_in_fine_bins(bundle):
    edges, table = bundle.array("losses/fine_histogram_edges"), bundle.array("losses/fine_histogram")
    for counts, entry in zip(table, bundle.manifest["checkpoints"], strict=True):
        column = bundle.array(entry["column"])
        assert counts.tolist() == [*np.histogram(column, edges)[0], np.count_nonzero(column > edges[-1])]


def test_the_clustered_tokens_pass_the_filters(bundle, config):
    chosen = bundle.array("selection/flat_index")
    assert (bundle.array("losses/tiny-l/step120")[chosen] < config.selection.threshold_nats).all()
    assert not bundle.array("selection/induced")[chosen].any()
    assert (np.diff(chosen) > 0).all()


def test_counts_of_the_selection_add_up(bundle):
    facts = bundle.manifest["selection"]
    assert facts["n_candidates"] == facts["n_below"] - facts["n_induced"]
    assert facts["n_selected"] == 40


def test_every_clustering_has_its_k_clusters(bundle):
    for entry in bundle.manifest["clusterings"]:
        assert len(np.unique(bundle.array(entry["array"]))) == entry["k"]


def test_labels_are_those_of_scikit_learn(bundle):
    from sklearn.cluster import SpectralClustering

    from compute.numerics.similarity import affinity_matrix

    affinity = affinity_matrix(np.asarray(bundle.array("similarity/signed")), "signed").astype(np.float64)
    expected = SpectralClustering(5, affinity="precomputed", n_init=3, random_state=0).fit(affinity).labels_
    labels = bundle.array("clustering/signed/k5")
    assert len(set(zip(labels.tolist(), expected.tolist(), strict=True))) == 5


def test_the_manifest_names_no_folder_of_this_machine(bundle, tiny_suite):
    assert str(tiny_suite) not in json.dumps(bundle.manifest)


def test_the_settings_can_be_read_back_from_the_manifest(bundle, config):
    assert RunConfig.from_json(bundle.manifest["config"]).selection == config.selection


def test_the_run_file_tells_seconds_versions_and_attempts(bundle):
    assert set(bundle.run["seconds"]) == set(LOCAL_PHASES)
    assert bundle.run["libraries"]["torch"]
    assert bundle.run["attempts"] == 1


def test_documents_are_listed_with_their_lengths(bundle):
    rows = bundle.documents()
    assert [row["n_tokens"] for row in rows] == np.diff(bundle.array("corpus/offsets")).tolist()


def test_gradients_are_dropped_once_the_bundle_is_published(bundle, finished):
    assert not (finished / "work" / "gradients").exists()


# Again, and from where it stopped.


def test_a_finished_run_computes_nothing_again(bundle, config, finished, monkeypatch):
    def fail(*args: object, **options: object) -> None:
        raise AssertionError("computed again")

    for name in ("losses.token_losses", "gradients.gradient_rows", "spectral.cluster_k"):
        monkeypatch.setattr(f"compute.numerics.{name}", fail)
    assert run_again(config, finished / "work") == bundle.sha256


def test_the_same_settings_give_the_same_hash_elsewhere(bundle, config, tmp_path):
    assert run_again(config, tmp_path / "work") == bundle.sha256


def test_another_seed_gives_another_hash(bundle, config, almost, tmp_path):
    shutil.copytree(almost, tmp_path / "work")
    assert run_again(changed(config, seed=1), tmp_path / "work") != bundle.sha256


def test_the_size_of_shards_does_not_matter(bundle, config, tmp_path, monkeypatch):
    monkeypatch.setattr("compute.pipeline.TOKENS_PER_SHARD", 13)
    assert run_again(config, tmp_path / "work") == bundle.sha256


def test_losses_are_kept_when_other_tokens_are_asked_for(config, almost, tmp_path, monkeypatch):
    copied(almost, tmp_path)
    calls = counting(monkeypatch, "compute.numerics.losses.token_losses")
    run_qdg(changed(config, n_tokens=30), tmp_path / "work", tmp_path / "bundles")
    assert not calls


@pytest.mark.parametrize("n_calls", [0, 2])
@pytest.mark.parametrize("phase", LOCAL_PHASES)
def test_a_run_stopped_in_any_phase_goes_on_to_the_same_hash(bundle, config, tmp_path, phase, n_calls):
    work = tmp_path / "work"
    with pytest.raises(Cancelled):
        run_qdg(config, work, tmp_path / "bundles", report=stops_at(phase, n_calls))
    assert not list((tmp_path / "bundles").glob("*"))
    assert run_again(config, work) == bundle.sha256


def test_losses_go_on_from_the_last_block(config, tmp_path, monkeypatch):
    with pytest.raises(Cancelled):
        run_qdg(config, tmp_path / "work", tmp_path / "bundles", report=stops_at("losses", 5))
    calls = counting(monkeypatch, "compute.numerics.losses.token_losses")
    run_until(config, tmp_path / "work", "curves")
    assert 0 < len(calls) < 5 * 6


def test_clusterings_go_on_from_the_saved_embedding(config, almost, tmp_path, monkeypatch):
    work = shutil.copytree(almost, tmp_path / "work")
    shutil.rmtree(work / "clustering")
    calls = counting(monkeypatch, "compute.numerics.spectral.spectral_embedding")
    run_until(config, work, "bundle")
    assert not calls


# What is damaged is computed again.


@pytest.mark.parametrize("damage", ["altered", "cut short", "gone"])
@pytest.mark.parametrize(
    "name",
    [
        "corpus/token_ids",
        "../columns/*",
        "curves/monogenicity",
        "selection/induced",
        "similarity/signed",
        "clustering/signed/k5",
    ],
)
def test_a_damaged_file_of_the_workspace_is_computed_again(bundle, config, almost, tmp_path, name, damage):
    work = copied(almost, tmp_path)
    hurt(work, name, damage)
    assert run_again(config, work) == bundle.sha256


@pytest.mark.parametrize("damage", ["altered", "cut short", "gone"])
def test_damaged_gradients_are_computed_again_before_they_are_compared(bundle, config, tmp_path, damage):
    work = tmp_path / "work"
    run_until(config, work, "similarity")
    hurt(work, "gradients/rows000010", damage)
    assert run_again(config, work) == bundle.sha256


def test_a_damaged_partial_result_is_not_used(bundle, config, tmp_path):
    work = tmp_path / "work"

    def stop_once_saved(spec: ShardSpec, n_done: int, n_total: int) -> None:
        if list(work.glob("partial/sums/rows.*")):
            raise Cancelled("A person asked to stop.")

    with pytest.raises(Cancelled):
        run_qdg(config, work, tmp_path / "bundles", report=stop_once_saved)
    hurt(work, "partial/sums/rows", "altered")
    assert run_again(config, work) == bundle.sha256


def copied(work: Path, folder: Path) -> Path:
    """A copy of a workspace and of the losses beside it."""
    shutil.copytree(work.parent / "columns", folder / "columns")
    return shutil.copytree(work, folder / "work")


def hurt(work: Path, name: str, damage: str) -> None:
    path = work / name
    file = min(path.parent.glob(f"{path.name}.*.npy"))
    data = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    elif damage == "cut short":
        file.write_bytes(data[: len(data) // 2])
    else:
        data[-3] ^= 64
        file.write_bytes(data)


# What is refused, and how.


@pytest.fixture
def own_suite(tiny_suite: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return shutil.copytree(tiny_suite, tmp_path / "suite")


def attempt(config: RunConfig, folder: Path, **options: object) -> Path:
    return run_qdg(config, folder / "work", folder / "bundles", **options)


def test_a_missing_checkpoint_is_refused_at_once(own_suite, tmp_path, monkeypatch):
    shutil.rmtree(own_suite / "tiny-m" / "step120")
    calls = counting(monkeypatch, "compute.numerics.losses.token_losses")
    with pytest.raises(CheckpointError, match="tiny-m/step120"):
        attempt(tiny_config(own_suite), tmp_path)
    assert not calls


def test_weights_cut_short_are_refused_by_name(own_suite, tmp_path):
    weights = own_suite / "tiny-s" / "step0" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="tiny-s/step0.*damaged"):
        attempt(tiny_config(own_suite), tmp_path)


def test_weights_that_are_no_numbers_are_refused_by_name(own_suite, tmp_path):
    from safetensors.torch import load_file, save_file

    weights = own_suite / "tiny-s" / "step0" / "model.safetensors"
    tensors = load_file(weights)
    next(iter(tensors.values())).fill_(float("nan"))
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="tiny-s/step0"):
        attempt(tiny_config(own_suite), tmp_path)


def test_losses_that_are_no_numbers_are_refused_by_name(config, tmp_path, monkeypatch):
    def broken(*args: object, **options: object) -> np.ndarray:
        raise CheckpointError("The loss at flat index 3 is nan.")

    monkeypatch.setattr("compute.numerics.losses.token_losses", broken)
    with pytest.raises(CheckpointError, match="tiny-s/step0: The loss"):
        attempt(config, tmp_path)


def test_other_weights_in_the_same_place_are_evaluated_anew(own_suite, bundle, tmp_path):
    config = tiny_config(own_suite)
    attempt(config, tmp_path)
    shutil.copy(own_suite / "tiny-s" / "step0" / "model.safetensors", own_suite / "tiny-s" / "step120")
    assert open_bundle(attempt(config, tmp_path)).sha256 != bundle.sha256


def test_text_that_the_networks_do_not_know_is_refused(own_suite, tmp_path):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(own_suite / "tokenizer.json"))
    tokenizer.add_tokens([f"filler{i}" for i in range(64)] + ["total_of", "count_of"])
    tokenizer.save(str(own_suite / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="tiny-s/step0.*knows 320 tokens"):
        attempt(tiny_config(own_suite), tmp_path)


def test_documents_longer_than_the_networks_read_are_refused(config, tmp_path):
    with pytest.raises(CheckpointError, match="at most 48 tokens"):
        attempt(changed(config, max_length=2 * MAX_LENGTH), tmp_path)


def test_a_missing_tokenizer_is_refused(own_suite, tmp_path):
    (own_suite / "tokenizer.json").unlink()
    with pytest.raises(CorpusError, match="no tokenizer"):
        attempt(tiny_config(own_suite), tmp_path)


def test_a_damaged_tokenizer_is_refused(own_suite, tmp_path):
    (own_suite / "tokenizer.json").write_text("{")
    with pytest.raises(CorpusError, match="not JSON"):
        attempt(tiny_config(own_suite), tmp_path)


def test_text_of_single_tokens_is_refused(own_suite, tmp_path):
    write_corpus(own_suite / "text.jsonl", ["a", "b", ""])
    with pytest.raises(CorpusError, match="nothing to predict"):
        attempt(tiny_config(own_suite), tmp_path)


def test_text_that_tokenises_to_nothing_is_refused(own_suite, tmp_path):
    from tokenizers import Regex, Tokenizer, normalizers

    tokenizer = Tokenizer.from_file(str(own_suite / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Replace(Regex(r"[\s\S]"), "")
    tokenizer.save(str(own_suite / "tokenizer.json"))
    with pytest.raises(CorpusError, match="nothing to predict"):
        attempt(tiny_config(own_suite), tmp_path)


def test_documents_of_no_or_one_token_are_passed_over(own_suite, tmp_path):
    texts = [json.loads(line)["text"] for line in (own_suite / "text.jsonl").read_text().splitlines()]
    write_corpus(own_suite / "text.jsonl", ["", "a", *texts])
    result = open_bundle(attempt(tiny_config(own_suite), tmp_path))
    assert result.manifest["corpus"]["n_documents"] == len(texts) + 2


def test_fewer_candidates_than_asked_for_is_said(config, tmp_path):
    with pytest.raises(SelectionError, match="pass the filters, but 5,000 were asked for"):
        attempt(changed(config, n_tokens=5000), tmp_path)


def without_gradient(monkeypatch: pytest.MonkeyPatch, is_zero: Callable[[np.ndarray], np.ndarray]) -> None:
    """Make the gradients of some flat indices vanish."""
    from compute.numerics import gradients

    original = gradients.gradient_rows

    def rows(model: object, corpus: object, indices: np.ndarray, **options: object) -> tuple[np.ndarray, np.ndarray]:
        table, norms = original(model, corpus, indices, **options)
        zero = is_zero(indices)
        table[zero], norms[zero] = 0, 0
        return table, norms

    monkeypatch.setattr(gradients, "gradient_rows", rows)


def test_tokens_without_gradient_are_dropped_and_counted(bundle, config, tmp_path, monkeypatch):
    dropped = np.asarray(bundle.array("selection/flat_index"))[[3, 17]]
    without_gradient(monkeypatch, lambda indices: np.isin(indices, dropped))
    result = open_bundle(attempt(config, tmp_path))
    assert result.manifest["selection"]["n_zero_gradients"] == 2
    assert result.manifest["selection"]["n_selected"] == 38
    assert not np.isin(dropped, result.array("selection/flat_index")).any()
    assert result.array("similarity/signed").shape == (38, 38)


def test_k_beyond_the_tokens_that_have_a_gradient_is_refused(config, tmp_path, monkeypatch):
    without_gradient(monkeypatch, lambda indices: indices % 10 > 0)
    with pytest.raises(ClusteringError, match=r"The largest k is 40, but only \d+ of 40"):
        attempt(changed(config, ks=(2, 40)), tmp_path)


def test_a_run_without_any_gradient_is_refused(config, tmp_path, monkeypatch):
    without_gradient(monkeypatch, lambda indices: indices >= 0)
    with pytest.raises(GradientError, match="All 40 gradients are zero"):
        attempt(config, tmp_path)


def test_too_little_space_for_the_gradients_is_said_before_they_are_computed(config, tmp_path, monkeypatch):
    run_until(config, tmp_path / "work", "gradients")
    usage = shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr("compute.workspace.shutil.disk_usage", lambda path: usage)
    calls = counting(monkeypatch, "compute.numerics.gradients.gradient_rows")
    with pytest.raises(StorageError, match="The gradients of 40 tokens need"):
        attempt(config, tmp_path)
    assert not calls


def test_gradients_that_are_stored_already_need_no_further_space(config, tmp_path, monkeypatch):
    work = tmp_path / "work"
    run_until(config, work, "similarity")
    hurt(work, "gradients/rows000000", "gone")
    of_one_file = 2 * 14_256 * 10
    usage = shutil._ntuple_diskusage(10**9, 10**9 - of_one_file, of_one_file)
    monkeypatch.setattr("compute.workspace.shutil.disk_usage", lambda path: usage)
    calls = counting(monkeypatch, "compute.numerics.gradients.gradient_rows")
    run_until(config, work, "similarity")
    assert len(calls) == 1


@pytest.mark.parametrize("module", ["compute.workspace", "compute.bundle"])
def test_a_full_disk_stops_the_run_which_later_goes_on(bundle, config, almost, tmp_path, monkeypatch, module):
    import errno

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    work = shutil.copytree(almost, tmp_path / "work")
    hurt(work, "clustering/absolute/k9", "gone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{module}.os.fsync", full)
        with pytest.raises(StorageError, match="is full"):
            attempt(config, tmp_path)
    assert not list((tmp_path / "bundles").glob("*")) if (tmp_path / "bundles").exists() else True
    assert run_again(config, work) == bundle.sha256


def test_a_folder_for_bundles_that_cannot_be_made_is_refused_at_once(config, tmp_path, monkeypatch):
    (tmp_path / "bundles").write_text("a file")
    calls = counting(monkeypatch, "compute.numerics.losses.token_losses")
    with pytest.raises(StorageError, match="is a file"):
        attempt(config, tmp_path)
    assert not calls


def test_two_sizes_give_curves_without_scores(config, tmp_path):
    suite = dataclasses.replace(config.suite, checkpoints=config.suite.checkpoints[2:])
    result = open_bundle(attempt(dataclasses.replace(config, suite=suite), tmp_path))
    assert result.array("curves/losses").shape[1] == len(result.manifest["sizes"]) == 2
    assert not result.has("curves/monogenicity")


def test_one_checkpoint_makes_no_map_of_curves(config, tmp_path):
    suite = dataclasses.replace(config.suite, checkpoints=config.suite.checkpoints[-1:])
    result = open_bundle(attempt(dataclasses.replace(config, suite=suite), tmp_path))
    assert "two checkpoints or more, but this run has 1" in result.manifest["map"]["curves"]["reason"]
    assert result.has("map/gradients")


def test_signed_similarity_alone_is_enough(config, almost, tmp_path):
    shutil.copytree(almost, tmp_path / "work")
    result = open_bundle(attempt(changed(config, affinities=("signed",)), tmp_path))
    assert result.has("similarity/signed")
    assert not result.has("similarity/absolute")


# Progress.


def test_progress_rises_to_its_total_in_every_shard(config, tmp_path):
    heard: dict[int, list[tuple[int, int]]] = {}
    attempt(
        config,
        tmp_path,
        report=lambda spec, n_done, n_total: heard.setdefault(spec.ordinal, []).append((n_done, n_total)),
    )
    assert list(heard) == [spec.ordinal for spec in plan(config)]
    assert all(calls[-1][0] == calls[-1][1] > 0 for calls in heard.values())


def test_progress_of_losses_counts_predictions(config, tmp_path, bundle):
    spec = plan(config)[1]
    heard: list[tuple[int, int]] = []
    run_until(config, tmp_path / "work", "losses")
    run_shard(
        config, spec, tmp_path / "work", bundles=tmp_path / "bundles", report=lambda *counts: heard.append(counts)
    )
    n = bundle.manifest["corpus"]["n_predictions"]
    assert heard[-1] == (n, n)
    assert len(heard) > 4

"""The made-up bundle is a whole bundle, the same every time, and agrees with itself."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.paper import Plan, make_bundle
from benchmarks.paper.bundle import require_room
from benchmarks.paper.plan import N_PREDICTIONS, SIZES
from compute.bundle import Bundle, open_bundle
from compute.config import RunConfig
from compute.errors import StorageError
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.curves import classify, curve_scores
from compute.numerics.loss_summary import loss_summary

PLAN = Plan(scale=0.002)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(make_bundle(tmp_path_factory.mktemp("paper"), PLAN))


def test_every_hash_is_right(bundle: Bundle) -> None:
    bundle.verify()


def test_the_same_seed_gives_the_same_bundle(bundle: Bundle, tmp_path: Path) -> None:
    assert open_bundle(make_bundle(tmp_path, PLAN)).sha256 == bundle.sha256
    assert open_bundle(make_bundle(tmp_path, Plan(0.002, seed=1))).sha256 != bundle.sha256


def test_at_full_size_it_has_the_papers_counts() -> None:
    plan = Plan()
    assert (plan.n_predictions, plan.n_documents, plan.n_selected) == (10_658_635, 20_000, 10_000)
    assert (len(plan.ks), len(SIZES), len(plan.columns)) == (30, 7, 5 + 2 * 143)


def test_the_corpus_has_as_many_predictions_as_asked_and_some_empty_documents(bundle: Bundle) -> None:
    corpus = TokenizedCorpus(bundle.array("corpus/token_ids"), bundle.array("corpus/offsets"))
    assert corpus.n_predictions == PLAN.n_predictions == round(0.002 * N_PREDICTIONS)
    assert corpus.lengths.max() <= 1024
    assert (corpus.lengths < 2).any()


def test_final_losses_stand_in_columns_and_tables_alike(bundle: Bundle) -> None:
    table = np.asarray(bundle.array("curves/losses"))
    for place, size in enumerate(bundle.manifest["sizes"]):
        assert np.array_equal(bundle.array(f"losses/{size['lm']}/{size['revision']}"), table[:, place])
    for lm in PLAN.stepped:
        over_steps = np.asarray(bundle.array(f"curves/steps/{lm}"))
        assert np.array_equal(over_steps[:, -1], table[:, [s.lm for s in SIZES].index(lm)].astype(np.float16))
        assert over_steps[:, 0].mean() > over_steps[:, -1].mean()


def test_scores_are_those_of_the_curves(bundle: Bundle) -> None:
    bits = np.asarray(bundle.array("curves/losses"), np.float64) / math.log(2)
    scores = curve_scores(bits, np.log([size.n_non_embedding for size in SIZES]))
    assert np.allclose(bundle.array("curves/monogenicity"), scores.monogenicity, atol=1e-6)
    assert np.array_equal(bundle.array("curves/class"), classify(scores))
    assert set(np.unique(bundle.array("curves/class"))) == {0, 1, 2, 3}


def test_means_quantiles_and_histograms_are_those_of_the_columns(bundle: Bundle) -> None:
    for ordinal, entry in list(enumerate(bundle.manifest["checkpoints"]))[::5]:
        column = np.asarray(bundle.array(entry["column"]))
        found = loss_summary(column)
        assert entry["mean_loss_nats"] == pytest.approx(found.mean)
        assert entry["quantiles_nats"] == pytest.approx(found.quantiles)
        assert bundle.array("losses/log_histogram")[ordinal].tolist() == found.log_counts
        assert bundle.array("losses/fine_histogram")[ordinal].tolist() == found.fine_counts


def test_clustered_tokens_are_predicted_well_and_not_induced(bundle: Bundle) -> None:
    flat = np.asarray(bundle.array("selection/flat_index"))
    clustered = bundle.manifest["clustered"]
    assert (bundle.array(f"losses/{clustered['lm']}/{clustered['revision']}")[flat] < 0.1).all()
    assert not bundle.array("selection/induced")[flat].any()


def test_every_clustering_has_its_clusters_and_cosines_are_higher_within(bundle: Bundle) -> None:
    for entry in bundle.manifest["clusterings"]:
        labels, cosine = bundle.array(entry["array"]), np.asarray(bundle.array(f"similarity/{entry['affinity']}"))
        assert np.array_equal(np.unique(labels), np.arange(entry["k"]))
        same = labels[:, None] == labels
        assert np.array_equal(cosine, cosine.T)
        assert cosine[same].mean() > cosine[~same].mean()


def test_its_settings_can_be_read_as_a_runs(bundle: Bundle) -> None:
    config = RunConfig.from_json(bundle.manifest["config"])
    assert config.clustering.ks == PLAN.ks


def test_too_small_a_disk_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="takes .* GB, but only .* are free"):
        require_room(tmp_path, Plan(scale=1000))

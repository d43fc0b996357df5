"""Two clusterings side by side: measures, matched pairs, what split and merged; of one run and of two."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from django.contrib.auth.models import User
from sklearn.metrics import adjusted_rand_score, completeness_score, homogeneity_score, normalized_mutual_info_score

from clusters.models import Corpus
from clusters.queries import compare as reads
from clusters.queries.compare import Side
from clusters.stored.arrays import array_of
from clusters.stored.recent import Recent
from compute.errors import BundleError
from compute.numerics.ranks import default_window, fit_envelope
from tests.factories import KS, N_SELECTED, make_run

pytestmark = pytest.mark.django_db
PATH = "/runs/synthetic/compare/"


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(reads, "_compared", Recent(4))


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def other(tmp_path, run):
    """A run over the same text whose last ten clustered tokens are others."""
    flat = np.array(array_of(run, "selection/flat_index"))
    free = np.setdiff1d(np.arange(300), flat)[-10:]
    return make_run(tmp_path / "other", name="other", seed=0, arrays={"selection/flat_index": np.sort(
        np.concatenate([flat[:30], free])).astype(np.int64)})  # fmt: skip


def page(client, path=PATH, status=200, **query) -> str:
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode() if not response.streaming else b"".join(response.streaming_content).decode()


def twin(client, **query):
    return json.loads(page(client, "/runs/synthetic/compare.json", **query))


def labels(run, name: str) -> np.ndarray:
    affinity, k = name.split("-")
    return np.asarray(array_of(run, f"clustering/{affinity}/k{k}"))


@pytest.mark.parametrize(("a", "b"), [("signed-6", "absolute-6"), ("signed-3", "signed-6"), ("absolute-6", "signed-3")])
def test_measures_are_those_of_the_labels(client, run, a, b):
    found = twin(client, a=a, b=b)
    pair = labels(run, a), labels(run, b)
    assert found["adjusted_rand_index"] == pytest.approx(adjusted_rand_score(*pair))
    assert found["normalized_mutual_information"] == pytest.approx(normalized_mutual_info_score(*pair))
    assert found["homogeneity"] == pytest.approx(homogeneity_score(*pair))
    assert found["completeness"] == pytest.approx(completeness_score(*pair))
    assert found["n_tokens"] == N_SELECTED


def test_a_clustering_agrees_with_itself(client, run):
    found = twin(client, a="signed-6", b="signed-6")
    assert found["adjusted_rand_index"] == 1
    assert found["n_matched_tokens"] == N_SELECTED
    assert [one["n_clusters"] for one in found["fates_of_the_first"]] == [6, 0, 0, 0]


@pytest.mark.parametrize(("n_clusters", "title"), [(1, "Sizes over rank in both"), (2, "Sizes fall with rank in both")])
def test_sizes_that_all_tie_are_not_said_to_fall(client, tmp_path, n_clusters, title):
    labels = np.minimum(np.arange(N_SELECTED, dtype=np.int32), n_clusters - 1)
    make_run(tmp_path, arrays={f"clustering/{a}/k{k}": labels for a in ("signed", "absolute") for k in KS})
    figure = {"figure": "sizes", "a": "signed-6", "b": "absolute-6"}
    assert title in page(client, "/runs/synthetic/compare.html", **figure)


def test_unrelated_clusterings_share_what_chance_gives(client, run):
    found = twin(client, a="signed-6", b="absolute-6")  # both made at random
    gap = found["normalized_mutual_information"] - found["normalized_mutual_information_by_chance"]
    assert abs(gap) < 0.12
    assert abs(found["adjusted_rand_index"]) < 0.12


def test_matched_pairs_share_the_tokens_they_are_said_to(client, run):
    a, b = labels(run, "signed-6"), labels(run, "absolute-6")
    for pair in twin(client, a="signed-6", b="absolute-6")["matched"]:
        is_a, is_b = a == pair["label in the first"], b == pair["label in the second"]
        assert pair["tokens in the first"] == is_a.sum()
        assert pair["tokens in the second"] == is_b.sum()
        assert pair["shared"] == (is_a & is_b).sum()
        assert pair["jaccard"] == pytest.approx((is_a & is_b).sum() / (is_a | is_b).sum())


def test_fates_count_every_cluster_and_token(client, run):
    found = twin(client, a="signed-3", b="absolute-6")
    for side, n_clusters in (("fates_of_the_first", 3), ("fates_of_the_second", 6)):
        assert sum(one["n_clusters"] for one in found[side]) == n_clusters
        assert sum(one["n_tokens"] for one in found[side]) == N_SELECTED


def test_what_splits_and_what_merges_is_listed(client, tmp_path):
    coarse = np.arange(N_SELECTED, dtype=np.int32) % 3
    fine = (coarse * 2 + (np.arange(N_SELECTED) // 3) % 2).astype(np.int32)
    arrays = {"clustering/signed/k3": coarse, "clustering/signed/k6": fine}
    make_run(tmp_path, arrays=arrays)
    found = twin(client, a="signed-3", b="signed-6")
    assert sorted(len(one["parts"]) for one in found["splits"]) == [2] * len(found["splits"])
    assert found["splits"]
    assert not found["merges"]
    assert found["homogeneity"] == pytest.approx(1)
    back = twin(client, a="signed-6", b="signed-3")
    assert back["merges"] == found["splits"]
    html = page(client, a="signed-3", b="signed-6")
    assert "No cluster of the second is made of clusters of the first" in html
    assert "Merged in the second" in page(client, a="signed-6", b="signed-3")


def test_without_choices_the_affinities_are_compared(client, run):
    found = twin(client)
    assert (found["first"]["affinity"], found["second"]["affinity"]) == ("signed", "absolute")
    assert found["first"]["k"] == found["second"]["k"]


@pytest.mark.parametrize("query", [{"a": "signed-7"}, {"b": "absolute-4"}, {"a": "other-3"}, {"a": "signed"},
                                   {"b": "x" * 500}, {"a": "signed-3-3"}])  # fmt: skip
def test_clusterings_that_are_not_there_are_refused_with_those_that_are(client, run, query):
    assert "signed-3" in page(client, status=400, **query)


def test_numbers_of_clusters_that_differ_are_spoken_of(client, run):
    assert "even a perfect refinement" in page(client, a="signed-3", b="signed-6")
    assert "even a perfect refinement" not in page(client, a="signed-6", b="absolute-6")


def test_clusters_link_to_their_pages(client, run):
    html = page(client, a="signed-6", b="absolute-6")
    for pair in twin(client, a="signed-6", b="absolute-6")["matched"]:
        assert f'href="/runs/synthetic/k/6/clusters/{pair["label in the first"]}/"' in html
        assert f'href="/runs/synthetic/k/6/clusters/{pair["label in the second"]}/?affinity=absolute"' in html


def test_hostile_answers_are_harmless(client, run):
    assert "<script>alert" not in page(client, a="signed-6", b="absolute-6")


# ── two runs ──


def test_tokens_of_two_runs_over_one_text_are_matched_by_flat_index(client, run, other):
    flat = [array_of(one, "selection/flat_index") for one in (run, other)]
    common, in_a, in_b = np.intersect1d(*flat, return_indices=True)
    assert 0 < len(common) < N_SELECTED
    found = twin(client, a="signed-6", b="signed-6", **{"with": "other"})
    assert found["n_tokens"] == len(common)
    expected = adjusted_rand_score(labels(run, "signed-6")[in_a], labels(other, "signed-6")[in_b])
    assert found["adjusted_rand_index"] == pytest.approx(expected)
    html = page(client, a="signed-6", b="signed-6", **{"with": "other"})
    assert f"Only the {len(common)} tokens that both hold" in html


def test_runs_over_different_texts_keep_their_sizes_and_say_why(client, run, other):
    other.corpus = Corpus.objects.create(
        sha256="ff" * 32, name="another", n_documents=1, n_tokens=2, n_predictions=1, max_length=2, tokenizer_sha256="a"
    )
    other.save()
    html = page(client, **{"with": "other"})
    assert "were computed on different texts" in html
    assert "/runs/synthetic/compare.html?with=other&amp;figure=sizes" in html
    assert 'id="fig-shares"' not in html
    assert "<svg" in page(client, "/runs/synthetic/compare.svg", figure="sizes", **{"with": "other"})
    assert twin(client, **{"with": "other"})["comparable"] is False
    assert page(client, "/runs/synthetic/compare.csv", **{"with": "other"}).count("\n") == 1


def test_a_k_that_only_the_other_run_lacks_gives_way_with_a_sentence(client, run, other):
    other.manifest["clusterings"] = [one for one in other.manifest["clusterings"] if one["k"] == 3]
    other.save()
    html = page(client, a="signed-6", b="signed-6", **{"with": "other"})
    assert "no clustering signed-6; signed-3 is shown instead" in html


def test_swapping_turns_the_comparison_round(client, run, other):
    html = page(client, a="signed-6", b="absolute-3", **{"with": "other"})
    href = re.search(r'href="([^"]*)">Swap', html)[1].replace("&amp;", "&")
    assert href.startswith("/runs/other/compare/")
    swapped = json.loads(page(client, href.replace("/compare/", "/compare.json")))
    straight = twin(client, a="signed-6", b="absolute-3", **{"with": "other"})
    assert swapped["first"] == straight["second"]
    assert swapped["adjusted_rand_index"] == pytest.approx(straight["adjusted_rand_index"])
    assert swapped["homogeneity"] == pytest.approx(straight["completeness"])


def test_a_private_run_is_neither_offered_nor_compared_with(client, run, tmp_path):
    ana = User.objects.create_user("ana")
    make_run(tmp_path / "p", name="secret", seed=5, owner=ana, private=True)
    assert "secret" not in page(client)
    page(client, status=404, **{"with": "secret"})
    page(client, status=404, **{"with": "no-such-run"})
    page(client, status=404, **{"with": "a\0b"})
    client.force_login(ana)
    assert "secret" in page(client)
    page(client, **{"with": "secret"})


# ── figures and cost ──


def test_rows_of_the_figure_are_whole_clusters(run):
    found = reads.compare(reads.Side(run, "signed", 6), reads.Side(run, "absolute", 6))
    rows, columns, shares = reads.shares(found, 4)
    assert rows == [0, 1, 2, 3]
    assert len(columns) == len(set(columns))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    a, b = labels(run, "signed-6"), labels(run, "absolute-6")
    own = b[a == found.labels_a[rows[0]]]
    assert shares[0, 0] == pytest.approx(np.mean(own == found.labels_b[columns[0]]))


def test_one_affinity_has_one_envelope(client, run):
    path = "/runs/synthetic/compare.html"
    assert "under one envelope" in page(client, path, figure="sizes", a="signed-3", b="signed-6")
    assert "under one envelope" not in page(client, path, figure="sizes", a="signed-6", b="absolute-6")


def test_the_envelopes_slopes_are_those_of_the_rank_frequency_page(client, run):
    stated = {one["name"]: one["fit"]["slope"] for one in twin(client, a="signed-6", b="absolute-6")["envelopes"]}
    for affinity, slope in stated.items():
        there = json.loads(page(client, "/runs/synthetic/rank-frequency.json", affinity=affinity))
        assert slope == pytest.approx(fit_envelope(there["envelope"], *default_window(there["envelope"])).slope)
    assert set(stated) == {"signed", "absolute"}


@pytest.mark.parametrize("figure", ["shares", "sizes"])
def test_figures_have_their_files(client, run, figure):
    assert "<svg" in page(client, "/runs/synthetic/compare.svg", figure=figure)
    assert page(client, "/runs/synthetic/compare.csv", figure=figure).count("\n") > 3


def test_reads_do_not_grow_with_the_clusters(client, run, django_assert_max_num_queries):
    page(client)
    counts = []
    for a, b in (("signed-3", "absolute-3"), ("signed-6", "absolute-6")):
        with django_assert_max_num_queries(10) as found:
            page(client, a=a, b=b)
        counts.append(len(found))
    assert counts[0] == counts[1]


def test_a_run_without_clusterings_says_so(client, run):
    run.manifest["clusterings"] = []
    run.save()
    assert "holds no clustering" in page(client)
    assert twin(client) == {"comparable": False}


def test_labels_that_could_not_be_read_once_are_read_when_they_are_back(run, monkeypatch):
    a, b = Side(run, "signed", 6), Side(run, "absolute", 6)

    def gone(*_):
        raise BundleError("the bundle was moved away")

    with monkeypatch.context() as moved:
        moved.setattr(reads, "labels_of", gone)
        assert reads.compare(a, b) is None
    assert reads.compare(a, b) is not None

"""Cosines through the API: those of the bundle's matrix, however they are asked for."""

from __future__ import annotations

import io

import numpy as np
import pytest

from clusters.queries.similarity import Matrix
from clusters.stored.arrays import array_of
from tests.factories import KS, N_SELECTED, UserFactory, make_run

pytestmark = pytest.mark.django_db
BASE = "/api/v1/runs/synthetic/similarity/"
NPY = {"Accept": "application/x-npy"}


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def flat(run) -> list[int]:
    return array_of(run, "selection/flat_index").tolist()


def get(client, path: str, *, status: int = 200) -> dict:
    response = client.get(BASE + path)
    assert response.status_code == status, response.content[:500]
    return response.json()


def npy(client, path: str) -> np.ndarray:
    response = client.get(BASE + path, headers=NPY)
    assert response.status_code == 200, response.content[:500]
    return np.load(io.BytesIO(response.content), allow_pickle=False)


def message(client, path: str, status: int) -> str:
    return get(client, path, status=status)["error"]["message"]


@pytest.mark.parametrize("affinity", ["signed", "absolute"])
def test_pairs_have_the_matrix_s_cosines(client, run, flat, affinity):
    cosines = array_of(run, f"similarity/{affinity}")
    query = f"pairs/?a={flat[3]},{flat[0]}&b={flat[7]},{flat[0]}&affinity={affinity}"
    found = get(client, query)
    assert (found["a"], found["b"]) == ([flat[3], flat[0]], [flat[7], flat[0]])
    assert found["cosines"] == pytest.approx([float(cosines[3, 7]), float(cosines[0, 0])])
    np.testing.assert_array_equal(npy(client, query), cosines[[3, 0], [7, 0]])


def test_the_affinity_of_signed_gradients_is_angular_and_of_absolute_ones_their_cosine(client, run, flat):
    signed = get(client, f"pairs/?a={flat[3]}&b={flat[7]}")
    assert signed["affinities"] == pytest.approx([1 - np.arccos(signed["cosines"][0]) / np.pi])
    absolute = get(client, f"pairs/?a={flat[3]}&b={flat[7]}&affinity=absolute")
    assert absolute["affinities"] == absolute["cosines"]


def test_one_token_is_paired_with_all_of_the_other_side(client, run, flat):
    cosines = array_of(run, "similarity/signed")
    others = ",".join(map(str, flat))
    np.testing.assert_array_equal(npy(client, f"pairs/?a={flat[5]}&b={others}"), cosines[5])
    assert "give as many" in message(client, f"pairs/?a={flat[0]},{flat[1]}&b={flat[0]},{flat[1]},{flat[2]}", 400)


def test_a_token_that_was_not_clustered_is_refused_naming_the_nearest(client, run, flat):
    other = next(i for i in range(flat[4], flat[-1]) if i not in flat)
    for query in (f"pairs/?a={other}&b={flat[0]}", f"neighbours/?token={other}", f"block/?rows={flat[0]},{other}"):
        said = message(client, query, 400)
        assert f"token {other}, whose gradient was not clustered" in said
        assert any(str(near) in said for near in flat)


def test_neighbours_are_the_most_alike_with_their_clusters(client, run, flat):
    cosines = np.array(array_of(run, "similarity/signed")[8])
    cosines[8] = -2
    best = np.argsort(-cosines)[:5]
    found = get(client, f"neighbours/?token={flat[8]}&n=5&k=6")
    assert [one["index"] for one in found["neighbours"]] == [flat[row] for row in best]
    assert [one["cosine"] for one in found["neighbours"]] == pytest.approx(cosines[best].tolist())
    labels = array_of(run, "clustering/signed/k6")
    assert [one["cluster"]["label"] for one in found["neighbours"]] == labels[best].tolist()
    assert found["cluster"]["label"] == int(labels[8])
    assert found["cluster"]["size"] == int((labels == labels[8]).sum())
    clusters = run.clusterings.get(affinity="signed", k=6).clusters
    assert found["cluster"]["rank"] == clusters.get(label=int(labels[8])).rank


def test_a_block_of_named_tokens(client, run, flat):
    cosines = array_of(run, "similarity/absolute")
    query = f"block/?rows={flat[2]},{flat[9]}&columns={flat[1]},{flat[4]},{flat[2]}&affinity=absolute&k=3"
    expected = cosines[np.ix_([2, 9], [1, 4, 2])]
    np.testing.assert_array_equal(npy(client, query), expected)
    found = get(client, query)
    np.testing.assert_allclose(found["values"], expected)
    labels = array_of(run, "clustering/absolute/k3")
    assert found["row_labels"] == labels[[2, 9]].tolist()
    assert found["column_labels"] == labels[[1, 4, 2]].tolist()


def test_a_block_of_places_stands_in_the_order_of_clusters_by_rank(client, run, flat):
    ordering = Matrix(run, "signed", 6).ordering
    cosines = array_of(run, "similarity/signed")
    query = f"block/?rows=0-{N_SELECTED - 1}&columns=10-19&by=place&k=6"
    np.testing.assert_array_equal(npy(client, query), cosines[np.ix_(ordering.rows, ordering.rows[10:20])])
    found = get(client, query)
    ranks = [ordering.labels.tolist().index(label) for label in found["row_labels"]]
    assert ranks == sorted(ranks)
    assert found["columns"] == [flat[row] for row in ordering.rows[10:20]]


def test_a_block_shows_affinities_instead(client, run, flat):
    cosines = npy(client, "block/?rows=0-9&by=place")
    shown = npy(client, "block/?rows=0-9&by=place&show=affinity")
    np.testing.assert_allclose(shown, 1 - np.arccos(np.clip(cosines, -1, 1)) / np.pi, atol=1e-6)


IMPOSSIBLE = (
    "pairs/", "pairs/?a=1", "pairs/?a=1&b=2&affinity=both", "pairs/?a=1&b=2&x=1", "neighbours/", "neighbours/?token=-1",
    "neighbours/?token=0&n=101", "neighbours/?token=" + "9" * 40, "block/", "block/?rows=40-50&by=place",
    "block/?rows=0-512&by=place", "block/?rows=1&by=row", "block/?rows=0-1&by=place&k=7",
)  # fmt: skip


@pytest.mark.parametrize("query", IMPOSSIBLE)
def test_impossible_questions_are_answered_400(client, run, query):
    assert message(client, query, 400)


def test_large_blocks_travel_as_arrays_only(client, run, monkeypatch):
    monkeypatch.setattr("clusters.api.similarity.MAX_JSON", 99)
    assert "Accept: application/x-npy" in message(client, "block/?rows=0-9&by=place", 400)
    assert npy(client, "block/?rows=0-9&by=place").shape == (10, 10)


def test_a_run_without_similarities_says_so(client, tmp_path, monkeypatch):
    make_run(tmp_path)
    monkeypatch.setattr("clusters.queries.similarity.affinities_with_matrix", lambda run: {"absolute": list(KS)})
    said = message(client, "pairs/?a=1&b=2", 404)
    assert "came without signed similarities of its tokens; it has absolute ones" in said


def test_a_private_run_s_similarities_are_its_owner_s(client, tmp_path):
    owner = UserFactory()
    make_run(tmp_path, owner=owner, private=True)
    assert "There is no run" in message(client, "block/?rows=0-3&by=place", 404)
    client.force_login(owner)
    assert get(client, "block/?rows=0-3&by=place")

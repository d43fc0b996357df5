"""Clusterings and clusters through the API: filtered, ordered, with members, contexts, curves and what they become."""

from __future__ import annotations

import io

import numpy as np
import pytest

from clusters.models import Cluster, Clustering
from clusters.queries.clusters import flat_indices, member_rows
from clusters.services.labels import Content, save_label
from clusters.stored.arrays import array_of, corpus_of, vocabulary_of
from tests.api.seeds import bearer, make_key
from tests.factories import KS, NETWORKS, STEPS, UserFactory, make_run

pytestmark = pytest.mark.django_db
RUN = "/api/v1/runs/synthetic/"
AT6 = f"{RUN}clusterings/signed/6/"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def clustering(run):
    found = Clustering.objects.get(run=run, affinity="signed", k=6)
    found.run = run
    return found


def get(client, address: str, status: int = 200, **how) -> dict:
    response = client.get(address, **how)
    assert response.status_code == status, response.content[:300]
    return response.json()


def everything(client, address: str) -> list[dict]:
    found = []
    while address:
        page = get(client, address)
        found += page["results"]
        address = page["next"]
    return found


def test_clusterings_come_by_affinity_and_k_with_their_sizes(client, run):
    found = get(client, f"{RUN}clusterings/")["results"]
    assert [(one["affinity"], one["k"]) for one in found] == [(a, k) for a in ("signed", "absolute") for k in KS]
    for one in found:
        row = run.clusterings.get(affinity=one["affinity"], k=one["k"])
        assert (one["sizes"], one["n_singletons"]) == (row.sizes, row.n_singletons)
        assert get(client, f"{RUN}clusterings/{one['affinity']}/{one['k']}/") == one


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("signed/7/", "It has k = 3, 6"),
        ("cosine/6/", "Choose of signed, absolute"),
        ("signed/1" + "0" * 40 + "/", "It has k = 3, 6"),
        ("signed/six/clusters/", "It has k = 3, 6"),
        ("signed/6/clusters/6/", "from 0 to 5"),
        ("signed/6/clusters/-1/members/", "from 0 to 5"),
        ("signed/6/clusters/1" + "0" * 40 + "/curves/", "from 0 to 5"),
    ],
)
def test_what_there_is_not_is_404_and_says_what_there_is(client, run, part, said):
    assert said in get(client, f"{RUN}clusterings/{part}", 404)["error"]["message"]


# ── the list of clusters ──


@pytest.mark.parametrize("sort", ["size", "coherence", "rank", "monogenicity"])
@pytest.mark.parametrize("order", ["usual", "reversed"])
def test_every_order_goes_on_where_it_stopped(client, run, sort, order):
    address = f"{AT6}clusters/?sort={sort}&order={order}&fields=label,rank,coherence"
    whole = get(client, f"{address}&limit=100")["results"]
    assert everything(client, f"{address}&limit=4") == whole
    assert len({one["label"] for one in whole}) == 6
    if sort == "coherence":
        values = [one["coherence"] for one in whole if one["coherence"] is not None]
        assert values == sorted(values, reverse=order == "usual")


def test_clusters_are_found_by_size_answer_and_context(client, run, clustering):
    sizes = clustering.sizes
    found = get(client, f"{AT6}clusters/?least={sizes[1]}&most={sizes[1]}")["results"]
    assert {one["size"] for one in found} == {sizes[1]}
    answer = run.tokens.order_by("row")[0].answer
    named = get(client, f"{AT6}clusters/", data={"answer": answer, "limit": 100})["results"]
    with_it = Cluster.objects.filter(clustering=clustering, memberships__token__answer__icontains=answer).distinct()
    assert {one["label"] for one in named} == {one.label for one in with_it}
    assert get(client, f"{AT6}clusters/?text=nowhere+to+be+found")["results"] == []


def test_a_cursor_of_another_order_is_refused(client, run):
    following = get(client, f"{AT6}clusters/?limit=2")["next"]
    cursor = following.partition("cursor=")[2].partition("&")[0]
    said = get(client, f"{AT6}clusters/?sort=rank&cursor={cursor}", 400)["error"]["message"]
    assert "another list" in said


@pytest.mark.parametrize("query", ["sort=name", "order=up", "least=-1", "most=x", "most=1" + "0" * 40, "answer=%00"])
def test_impossible_filters_are_refused(client, run, query):
    get(client, f"{AT6}clusters/?{query}", 400)


def test_a_long_list_costs_no_more_queries(client, run, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        assert len(get(client, f"{AT6}clusters/")["results"]) == 6


# ── one cluster ──


def test_a_cluster_says_what_the_page_says(client, run, clustering):
    cluster = clustering.clusters.get(label=2)
    found = get(client, f"{AT6}clusters/2/")
    assert (found["run"], found["affinity"], found["k"], found["label"]) == ("synthetic", "signed", 6, 2)
    assert (found["rank"], found["size"]) == (cluster.rank, cluster.size)
    assert [[one["text"], one["count"]] for one in found["top_answers"]] == cluster.top_answers
    assert found["mean_curve_nats"] == pytest.approx(cluster.mean_curve)
    assert [[one["label"], one["cosine"]] for one in found["nearest"]] == cluster.nearest
    assert found["coherence"] == pytest.approx(cluster.similarity_within - cluster.similarity_across)
    assert (found["name"], found["labels"]) == (None, [])


def test_a_cluster_has_the_names_that_one_may_see(client, run, clustering):
    person = UserFactory(is_superuser=True)
    cluster = clustering.clusters.get(label=2)
    label = save_label(person, cluster, Content(name="draft"), version=0)
    own = {"headers": bearer(make_key(person, "read"))}
    assert get(client, f"{AT6}clusters/2/")["labels"] == []
    [seen] = get(client, f"{AT6}clusters/2/", **own)["labels"]
    assert (seen["id"], seen["state"], seen["author"]) == (label.pk, "draft", person.get_username())
    save_label(person, cluster, Content(name="closing brackets"), version=label.version, submit=True)
    assert get(client, f"{AT6}clusters/2/")["name"] == "closing brackets"
    listed = {one["label"]: one["name"] for one in get(client, f"{AT6}clusters/")["results"]}
    assert listed == {label: "closing brackets" if label == 2 else None for label in range(6)}


def test_members_come_in_the_order_of_the_corpus(client, run, clustering):
    rows = member_rows(clustering, 0)
    found = everything(client, f"{AT6}clusters/0/members/?limit=3")
    flat = flat_indices(run)[rows]
    documents, positions = corpus_of(run).locate(flat)
    assert [one["index"] for one in found] == flat.tolist()
    assert [(one["document"], one["position"]) for one in found] == list(
        zip(documents.tolist(), positions.tolist(), strict=True)
    )
    losses = array_of(run, "losses/syn-800k/step1000")[flat]
    assert [one["loss_nats"] for one in found] == pytest.approx(losses.tolist())


def test_contexts_hold_the_text_as_it_is_and_losses_where_they_are_asked_for(client, run, clustering):
    corpus, vocabulary = corpus_of(run), vocabulary_of(run)
    found = everything(client, f"{AT6}clusters/0/contexts/?reach=4&losses=true&limit=5")
    assert len(found) == len(member_rows(clustering, 0))
    for one in found:
        start = int(corpus.offsets[one["document"]])
        ids = corpus.token_ids[start + max(one["position"] - 4, 0) : start + one["position"]].tolist()
        assert one["text"] == b"".join(map(vocabulary.token_bytes, ids)).decode("utf-8", "replace")
        assert one["is_cut"] == (one["position"] > 4)
        assert [token["token_id"] for token in one["tokens"][:-1]] == ids
        assert one["tokens"][-1]["loss_nats"] == pytest.approx(one["loss_nats"])
    assert "tokens" not in get(client, f"{AT6}clusters/0/contexts/?limit=1")["results"][0]


def test_curves_over_sizes_are_the_losses_of_the_members(client, run, clustering):
    flat = flat_indices(run)[member_rows(clustering, 0)]
    found = get(client, f"{AT6}clusters/0/curves/")
    assert found["x"] == [size for _, size in NETWORKS]
    assert found["indices"] == flat.tolist()
    expected = array_of(run, "curves/losses")[flat]
    assert np.allclose(found["losses_nats"], expected)
    assert (found["over"], found["lm"], found["next"]) == ("sizes", None, None)


def test_curves_over_steps_come_as_pages_or_as_one_file(client, run, clustering):
    flat = flat_indices(run)[member_rows(clustering, 0)]
    expected = array_of(run, "curves/steps/syn-800k")[flat].astype(np.float32)
    address, rows = f"{AT6}clusters/0/curves/?over=steps&limit=3", []
    while address:
        page = get(client, address)
        assert (page["lm"], page["x"]) == ("syn-800k", list(STEPS))
        rows += page["losses_nats"]
        address = page["next"]
    assert np.allclose(rows, expected)
    file = client.get(f"{AT6}clusters/0/curves/?over=steps", headers={"Accept": "application/x-npy"})
    array = np.load(io.BytesIO(file.content), allow_pickle=False)
    assert array.dtype == np.float32
    assert np.array_equal(array, expected)
    part = client.get(f"{AT6}clusters/0/curves/?over=steps&limit=2", headers={"Accept": "application/x-npy"})
    assert np.load(io.BytesIO(part.content), allow_pickle=False).shape == (2, len(STEPS))
    assert 'rel="next"' in part["Link"]


@pytest.mark.parametrize(
    ("query", "said"), [("over=steps&lm=gpt", "syn-800k"), ("lm=syn-800k", "over=steps"), ("over=time", "time")]
)
def test_curves_of_what_was_not_measured_are_refused(client, run, query, said):
    assert said in get(client, f"{AT6}clusters/0/curves/?{query}", 400)["error"]["message"]


def test_a_run_without_curves_says_what_is_missing(client, tmp_path):
    make_run(tmp_path, networks=NETWORKS[-1:], curves=False, manifest={"sizes": []})
    said = get(client, f"{AT6}clusters/0/curves/", 404)["error"]["message"]
    assert said.startswith("“synthetic” holds no losses of networks of several sizes")


def test_the_crosswalk_says_where_every_member_went(client, run, clustering):
    found = get(client, f"{AT6}clusters/0/crosswalk/")
    n_members = len(member_rows(clustering, 0))
    assert [rung["k"] for rung in found["rungs"]] == list(KS)
    for rung in found["rungs"]:
        assert sum(part["n_shared"] for part in rung["parts"]) == n_members
    assert sum(n for _, _, n in found["rungs"][0]["flows"]) == n_members
    assert len(found["best_matches"]) == 2 * len(KS)
    own = next(one for one in found["best_matches"] if (one["affinity"], one["k"]) == ("signed", 6))
    assert (own["label"], own["jaccard"]) == (0, 1.0)

"""Any token of the corpus has a page; the clustered ones a list."""

from __future__ import annotations

import json

import pytest

from tests.factories import make_run, n_predictions

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def token(run):
    return run.tokens.order_by("row")[5]


@pytest.fixture
def unclustered(run) -> int:
    taken = set(run.tokens.values_list("flat_index", flat=True))
    return next(i for i in range(n_predictions()) if i not in taken)


def page(client, path: str, status: int = 200, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode()


def test_a_clustered_token_names_its_cluster_at_every_k_and_affinity(client, token):
    html = page(client, f"/runs/synthetic/tokens/{token.flat_index}/")
    for membership in token.memberships.select_related("cluster__clustering"):
        cluster, clustering = membership.cluster, membership.cluster.clustering
        tail = "?affinity=absolute" if clustering.affinity == "absolute" else ""
        assert f"/runs/synthetic/k/{clustering.k}/clusters/{cluster.label}/{tail}" in html


def test_a_token_that_was_not_clustered_has_a_page_that_says_why(client, unclustered):
    html = page(client, f"/runs/synthetic/tokens/{unclustered}/")
    assert "This token was not clustered" in html


def test_first_and_last_token_of_the_corpus_have_pages(client, run):
    page(client, "/runs/synthetic/tokens/0/")
    page(client, f"/runs/synthetic/tokens/{n_predictions() - 1}/")


def test_scores_come_with_what_they_mean(client, token):
    html = page(client, f"/runs/synthetic/tokens/{token.flat_index}/")
    for name in ("M", "effective steps", "bits lost", "linearity", "breakthroughness"):
        assert f'<th scope="row">{name}<span class="note">' in html


def test_curves_over_parameters_and_steps_are_drawn(client, token):
    html = page(client, f"/runs/synthetic/tokens/{token.flat_index}/")
    assert 'id="fig-loss-over-parameters"' in html
    assert 'id="fig-loss-over-steps"' in html


def test_the_neighbours_in_the_document_are_linked(client, run):
    html = page(client, "/runs/synthetic/tokens/1/")
    assert 'rel="prev" href="/runs/synthetic/tokens/0/"' in html
    assert 'rel="next" href="/runs/synthetic/tokens/2/"' in html


def test_the_last_token_of_a_document_has_no_next(client, run):
    assert 'rel="next"' not in page(client, "/runs/synthetic/tokens/28/")
    assert 'rel="prev"' not in page(client, "/runs/synthetic/tokens/29/")


@pytest.mark.parametrize("index", ["348", "-1", "abc", "1" * 41, "%00", "0x1", "1.0"])
def test_an_unknown_token_is_answered_with_those_there_are(client, run, index):
    assert "count from 0 to 347" in page(client, f"/runs/synthetic/tokens/{index}/", 404)


def test_a_bundle_without_scores_still_has_token_pages(client, tmp_path):
    run = make_run(tmp_path, curves=False)
    html = page(client, f"/runs/{run.slug}/tokens/3/")
    assert "unknown" in html


def test_the_json_holds_scores_and_clusters(client, token):
    facts = json.loads(page(client, f"/runs/synthetic/tokens/{token.flat_index}.json"))
    assert facts["index"] == token.flat_index
    assert len(facts["clusters"]) == 4
    assert facts["loss_nats"] == pytest.approx(token.loss_nats)


def test_reads_do_not_depend_on_the_token(client, token, django_assert_max_num_queries):
    with django_assert_max_num_queries(6):
        page(client, f"/runs/synthetic/tokens/{token.flat_index}/")


def test_the_list_finds_tokens_by_their_answer(client, run):
    found = json.loads(page(client, "/runs/synthetic/tokens.json", answer="cat"))["tokens"]
    assert found
    assert all("cat" in token["answer"] for token in found)


def test_an_answer_that_nothing_reads_has_an_empty_state(client, run):
    assert "No clustered token reads so" in page(client, "/runs/synthetic/tokens/", answer="nowhere")


@pytest.mark.parametrize(
    ("sort", "key", "falls"),
    [("monogenic", "monogenicity", True), ("polygenic", "monogenicity", False), ("loss", "loss_nats", False)],
)
def test_the_list_can_be_sorted(client, run, sort, key, falls):
    tokens = json.loads(page(client, "/runs/synthetic/tokens.json", sort=sort))["tokens"]
    values = [token[key] for token in tokens]
    assert values == sorted(values, reverse=falls)


def test_the_list_is_paged_without_counting(client, run):
    html = page(client, "/runs/synthetic/tokens/")
    assert 'rel="next" href="/runs/synthetic/tokens/?page=2#h-l"' in html
    last = page(client, "/runs/synthetic/tokens/", page="2")
    assert 'rel="next"' not in last


def test_reads_of_the_list_do_not_grow_with_its_rows(client, run, django_assert_max_num_queries):
    with django_assert_max_num_queries(4) as many:
        page(client, "/runs/synthetic/tokens/")
    with django_assert_max_num_queries(4) as none:
        page(client, "/runs/synthetic/tokens/", answer="nowhere")
    assert len(many) == len(none)

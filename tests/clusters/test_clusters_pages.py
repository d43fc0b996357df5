"""The list of clusters: cards with contexts, every choice in the address, few reads."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
LIST = "/runs/synthetic/k/6/clusters/"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def page(client: Client, path: str, status: int = 200, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode()


def test_a_card_shows_label_rank_size_and_up_to_three_contexts(client, run):
    html = page(client, LIST)
    first = run.clusterings.get(k=6, affinity="signed").clusters.get(rank=1)
    assert f'href="/runs/synthetic/k/6/clusters/{first.label}/">Cluster {first.label}</a>' in html
    assert "<b>rank 1</b>" in html
    assert f"{first.size} tokens" in html
    assert html.count('class="ctx"') <= 18


def test_every_k_and_affinity_can_be_chosen(client, run):
    html = page(client, LIST)
    assert '<option value="3">k = 3</option>' in html
    assert '<option value="6" selected>k = 6</option>' in html
    assert "<option>absolute</option>" in html


def test_the_form_s_k_leads_to_the_list_at_that_k(client, run):
    response = client.get(LIST, {"k": "3", "sort": "within", "after": "d2l0aGluLzI"})
    assert response.status_code == 302
    assert response["Location"] == "/runs/synthetic/k/3/clusters/?sort=within"


def test_a_k_in_the_form_that_does_not_exist_is_answered_with_the_ks_there_are(client, run):
    response = client.get(LIST, {"k": "7"}, follow=True)
    assert response.status_code == 404
    assert "It has k = 3, 6." in response.content.decode()


def test_absolute_clusters_lead_to_absolute_pages(client, run):
    assert "/?affinity=absolute" in page(client, LIST, affinity="absolute")


@pytest.mark.parametrize("sort", ["size", "within", "dominant", "monogenicity", "rank"])
def test_clusters_can_be_sorted(client, run, sort):
    answered = json.loads(page(client, "/runs/synthetic/k/6/clusters.json", sort=sort))
    key = {"size": "size", "within": "similarity_within", "dominant": "dominant_share",
           "monogenicity": "mean_monogenicity", "rank": "rank"}[sort]  # fmt: skip
    values = [cluster[key] for cluster in answered["clusters"]]
    assert values == sorted(values, reverse=True)


def test_an_answer_leaves_only_clusters_that_hold_it(client, run):
    clusters = json.loads(page(client, "/runs/synthetic/k/6/clusters.json", answer="cat"))["clusters"]
    signed = run.clusterings.get(k=6, affinity="signed")
    holding = signed.clusters.filter(memberships__token__answer__contains="cat").distinct().count()
    assert len(clusters) == holding > 0


def test_an_answer_that_no_cluster_holds_gets_an_empty_state_with_a_way_back(client, run):
    html = page(client, LIST, answer="nowhere")
    assert "No cluster matches" in html
    assert f'href="{LIST}">Show all clusters</a>' in html


def test_corpus_text_is_inert(client, run):
    html = page(client, LIST)
    assert "<script>alert" not in html
    assert "\u202e" not in html


@pytest.mark.parametrize("k", ["4", "-3", "abc", "9" * 41, "3%00", "1e3"])
def test_an_unknown_k_is_answered_with_a_sentence_that_names_the_ks(client, run, k):
    html = page(client, f"/runs/synthetic/k/{k}/clusters/", 404)
    assert "It has k = 3, 6." in html


def test_an_unknown_run_is_answered_with_a_sentence(client, run):
    assert "There is no run “nothing”" in page(client, "/runs/nothing/k/6/clusters/", 404)


@pytest.mark.parametrize(
    "query", [{"view": "list"}, {"order": "up"}, {"sort": "owner__password"}, {"affinity": "x' OR 1=1"}]
)
def test_what_the_list_does_not_know_is_refused_with_a_sentence(client, run, query):
    assert "choose one of" in page(client, LIST, 400, **query)


def test_a_search_for_nul_and_lone_surrogates_finds_nothing_and_breaks_nothing(client, run):
    assert client.get(LIST + "?answer=%00%ed%a0%80zz").status_code == 200


def test_a_private_run_is_not_there_for_others(client, tmp_path):
    make_run(tmp_path, owner=UserFactory(), private=True)
    page(client, LIST, 404)


def test_the_csv_lists_the_same_clusters(client, run):
    lines = client.get("/runs/synthetic/k/6/clusters.csv").getvalue().decode().splitlines()
    assert lines[0].startswith("label,rank,size")
    assert len(lines) == 7


def test_reads_do_not_grow_with_the_number_of_clusters(client, run, django_assert_max_num_queries):
    page(client, LIST)
    with django_assert_max_num_queries(8) as few:
        page(client, "/runs/synthetic/k/3/clusters/")
    with django_assert_max_num_queries(8) as many:
        page(client, LIST)
    assert len(few) == len(many)


def test_a_run_whose_bundle_was_moved_away_says_so(client, run):
    run.bundle_path += "-moved"
    run.save()
    assert "cannot be read" in page(client, LIST, 404)

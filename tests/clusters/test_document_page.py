"""A whole document, shaded by the losses of a chosen checkpoint."""

from __future__ import annotations

import json

import pytest

from tests.factories import LENGTH, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def page(client, path: str, status: int = 200, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode()


def test_every_token_but_the_first_links_to_its_page(client, run):
    html = page(client, "/runs/synthetic/documents/2/")
    assert html.count('tabindex="-1" data-tip') == LENGTH - 1
    assert 'href="/runs/synthetic/tokens/58/" id="t-58"' in html


def test_source_and_kind_are_shown(client, run):
    html = page(client, "/runs/synthetic/documents/2/")
    assert "<bdi>lib/2.py</bdi>" in html
    assert "python" in html


def test_clustered_tokens_are_marked(client, run):
    token = run.tokens.first()
    html = page(client, f"/runs/synthetic/documents/{token.document}/")
    n_clustered = run.tokens.filter(document=token.document).count()
    assert html.count('clustered" tabindex') == n_clustered


def test_shades_follow_the_chosen_checkpoint(client, run):
    early = page(client, "/runs/synthetic/documents/2/", checkpoint="syn-800k/step0")
    assert '<option value="syn-800k/step0" selected>' in early
    assert early != page(client, "/runs/synthetic/documents/2/")


def test_the_checkpoint_is_kept_on_the_way_to_the_next_document(client, run):
    html = page(client, "/runs/synthetic/documents/2/", checkpoint="syn-800k/step0")
    assert 'href="/runs/synthetic/documents/3/?checkpoint=syn-800k%2Fstep0"' in html


def test_an_unknown_checkpoint_is_refused_with_a_sentence(client, run):
    assert "no checkpoint" in page(client, "/runs/synthetic/documents/2/", 400, checkpoint="../../etc")


def test_the_ends_of_the_corpus_have_one_neighbour(client, run):
    assert 'rel="prev"' not in page(client, "/runs/synthetic/documents/0/")
    assert 'rel="next"' not in page(client, "/runs/synthetic/documents/11/")


@pytest.mark.parametrize("number", ["12", "-1", "abc", "1" * 41, "%00"])
def test_an_unknown_document_is_answered_with_those_there_are(client, run, number):
    assert "count from 0 to 11" in page(client, f"/runs/synthetic/documents/{number}/", 404)


def test_a_page_after_the_end_has_a_way_back(client, run):
    assert "The document ends before page 9" in page(client, "/runs/synthetic/documents/2/", page="9")


def test_the_json_holds_every_predicted_token(client, run):
    facts = json.loads(page(client, "/runs/synthetic/documents/2.json"))
    assert facts["source"] == "lib/2.py"
    assert len(facts["tokens"]) == LENGTH - 1


def test_corpus_text_is_inert(client, run):
    shown = "".join(page(client, f"/runs/synthetic/documents/{i}/") for i in range(12))
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert not set("\u202e\u200b\x00\x85") & set(shown)


def test_a_document_takes_one_read_of_the_database(client, run, django_assert_max_num_queries):
    with django_assert_max_num_queries(2):
        page(client, "/runs/synthetic/documents/2/")

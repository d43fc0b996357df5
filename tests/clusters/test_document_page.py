"""A whole document, shaded by the losses of a chosen checkpoint."""

from __future__ import annotations

import json

import numpy as np
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


@pytest.fixture
def short(tmp_path):
    """A run whose first document holds no token and whose second holds one: neither has a prediction."""
    lengths = [0, 1, *[36] * 9, 34]
    offsets = np.cumsum([0, *lengths])
    facts = {"name": "short", "sha256": "5b" * 32, "n_documents": 12, "n_tokens": 359, "n_predictions": 348,
             "max_length": 36, "tokenizer_sha256": "ab" * 32}  # fmt: skip
    arrays = {"corpus/offsets": offsets, "corpus/token_ids": np.arange(359, dtype=np.uint16) % 3}
    return make_run(tmp_path, arrays=arrays, manifest={"corpus": facts})


def test_a_document_of_no_token_says_so(client, short):
    html = page(client, "/runs/synthetic/documents/0/")
    assert "This document holds no tokens." in html
    assert "<small>unknown</small>" in html


def test_a_document_of_one_token_shows_it_without_a_link(client, short):
    html = page(client, "/runs/synthetic/documents/1/")
    assert "/tokens/0/" not in html
    assert json.loads(page(client, "/runs/synthetic/documents/1.json"))["tokens"] == []


def test_the_first_prediction_lies_after_documents_without_any(client, short):
    facts = json.loads(page(client, "/runs/synthetic/tokens/0.json"))
    assert (facts["document"], facts["position"]) == (2, 1)


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

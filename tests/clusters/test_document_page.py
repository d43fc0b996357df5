"""A whole document, shaded by the losses of a chosen checkpoint."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clusters.charts.document import strip
from clusters.contexts import signed_shade
from clusters.stored.columns import losses_under
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


ELSEWHERE = {"checkpoint": "syn-800k/step1000", "against": "syn-800k/step0"}


def test_the_difference_of_two_checkpoints_says_which_is_better_and_by_how_much(client, run):
    html = page(client, "/runs/synthetic/documents/2/", **ELSEWHERE)
    assert "syn-800k predicts this document better than syn-800k at step0" in html
    facts = json.loads(page(client, "/runs/synthetic/documents/2.json", **ELSEWHERE))
    losses = [
        np.load(f"{run.bundle_path}/losses/syn-800k/{step}.npy")[58:87].astype(float) for step in ("step1000", "step0")
    ]
    assert facts["mean_difference_nats"] == pytest.approx(float((losses[0] - losses[1]).mean()), rel=1e-6)
    low, high = facts["interval_nats"]
    assert low < facts["mean_difference_nats"] < high


def test_the_other_way_round_has_the_other_sign(client, run):
    there = json.loads(page(client, "/runs/synthetic/documents/2.json", **ELSEWHERE))
    turned = {"checkpoint": ELSEWHERE["against"], "against": ELSEWHERE["checkpoint"]}
    back = json.loads(page(client, "/runs/synthetic/documents/2.json", **turned))
    assert there["mean_difference_nats"] == pytest.approx(-back["mean_difference_nats"])
    assert "syn-800k predicts this document better" in page(client, "/runs/synthetic/documents/2/", **turned)


def test_a_checkpoint_against_itself_differs_nowhere(client, run):
    same = {"checkpoint": "syn-800k/step0", "against": "syn-800k/step0"}
    assert "about equally well" in page(client, "/runs/synthetic/documents/2/", **same)


@pytest.mark.parametrize(
    ("difference", "shade"),
    [(-3, "d-3"), (-2, "d-3"), (-0.6, "d-2"), (-0.1, "d-1"), (0.05, "l0"), (0.1, "d1"), (2.5, "d3"), (None, "l0")],
)
def test_a_difference_has_a_shade_of_its_sign(difference, shade):
    assert signed_shade(difference) == shade


def test_the_strip_shows_every_token_of_a_short_document():
    drawn = strip(np.array([0.0, 12.0, 6.0]), ["l0", "l7", "l6"], is_signed=False, page=1, page_size=2048, place=1)
    assert drawn is not None
    assert (drawn["width"], drawn["token_x"]) == (3, 1.5)
    assert {bar["css"] for bar in drawn["bars"]} == {"fl0", "fl7", "fl6"}


def test_a_bar_of_the_strip_that_holds_several_tokens_shows_the_strongest():
    values = np.zeros(1200)
    values[7] = -5.0
    shades = ["l0"] * 1200
    shades[7] = "d-3"
    drawn = strip(values, shades, is_signed=True, page=1, page_size=600, place=None)
    assert drawn is not None
    assert drawn["width"] == 600
    assert {"fd-3"} == {bar["css"] for bar in drawn["bars"]} - {"fl0"}
    assert [page["is_here"] for page in drawn["pages"]] == [True, False]


def test_no_strip_where_no_loss_is_known():
    assert strip(np.array([np.nan]), ["l0"], is_signed=False, page=1, page_size=10, place=None) is None


def test_the_chosen_token_stands_beside_the_text(client, run):
    html = page(client, "/runs/synthetic/documents/2/", token="60")
    assert '<div class="found" data-token="60">' in html
    assert '<div class="found"' not in page(client, "/runs/synthetic/documents/3/", token="60")


def test_classes_can_be_marked(client, tmp_path):
    classes = np.zeros(348, np.uint8)
    classes[[58, 60]] = (1, 2)
    make_run(tmp_path, arrays={"curves/class": classes})
    html = page(client, "/runs/synthetic/documents/2/", mark="class")
    assert (html.count('is-monogenic"'), html.count('is-polygenic"')) == (1, 1)


def test_moving_the_slider_brings_the_reading_alone(client, run):
    part = client.get("/runs/synthetic/documents/2/", headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<div id="reading">')


def test_another_network_is_offered_at_the_nearest_step(client, run):
    html = page(client, "/runs/synthetic/documents/2/", checkpoint="syn-800k/step32")
    assert "checkpoint=syn-10k%2Fstep1000" in html  # its only one


def test_losses_come_from_the_curves_where_a_bundle_has_no_column(run):
    early = next(c for c in run.manifest["checkpoints"] if c["revision"] == "step32")
    column = losses_under(run, early)
    from_steps = losses_under(run, early | {"column": "losses/not-there"})
    assert from_steps is not None
    assert column is not None
    assert np.allclose(from_steps, column, rtol=1e-3)
    final = next(c for c in run.manifest["checkpoints"] if c["lm"] == "syn-10k")
    from_sizes = losses_under(run, final | {"column": ""})
    assert from_sizes is not None
    assert np.array_equal(from_sizes, losses_under(run, final))
    assert losses_under(run, early | {"column": "", "lm": "elsewhere"}) is None


def test_a_bundle_without_text_says_what_is_missing(client, run, monkeypatch):
    monkeypatch.setattr("clusters.views.documents.has_text", lambda run: False)
    assert "The text is not here" in page(client, "/runs/synthetic/documents/2/")


def test_a_bundle_without_losses_shows_the_text_unshaded(client, run, monkeypatch):
    monkeypatch.setattr("clusters.contexts.losses_under", lambda run, checkpoint: None)
    html = page(client, "/runs/synthetic/documents/2/")
    assert "holds no losses under this checkpoint" in html
    assert html.count('tabindex="-1" data-tip') == LENGTH - 1


def test_a_document_takes_one_read_of_the_database(client, run, django_assert_max_num_queries):
    with django_assert_max_num_queries(2):
        page(client, "/runs/synthetic/documents/2/")

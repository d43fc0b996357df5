"""The rank-frequency page: every choice in the address, every bad one answered with a sentence."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clusters.charts.numbers import fixed
from clusters.charts.rank_choices import doubt, toy_reading
from clusters.models import Clustering, Run
from clusters.queries.rank_frequency import toy_slopes
from clusters.stored.arrays import array_of, forget_bundles
from clusters.stored.derived import forget_derived
from compute.numerics.ranks import adjusted_rand_index, fit_envelope
from compute.numerics.resampling import resampled_envelopes, slope_interval
from compute.numerics.scaling import fit_power_law
from tests.factories import make_run

pytestmark = pytest.mark.django_db
PATH = "/runs/synthetic/rank-frequency/"
SIZES = {3: [20, 12, 8], 6: [14, 9, 6, 5, 3, 3]}
ENVELOPE = [20, 12, 8, 5, 3, 3]


@pytest.fixture
def run(tmp_path):
    run = make_run(tmp_path)
    for clustering in run.clusterings.all():
        Clustering.objects.filter(pk=clustering.pk).update(sizes=SIZES[clustering.k])
    return run


def page(client, path=PATH, status=200, **query):
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode() if not response.streaming else b"".join(response.streaming_content).decode()


def twin(client, **query):
    return json.loads(page(client, "/runs/synthetic/rank-frequency.json", **query))


def test_the_slope_is_that_of_the_envelope_over_the_ranks_asked_for(client, run):
    fit = twin(client, first="2", last="5")["fit"]
    assert fit["slope"] == pytest.approx(fit_envelope(ENVELOPE, 2, 5).slope)
    assert "over ranks 2–5" in page(client, first="2", last="5")


def test_the_slope_stands_with_the_paper_s_caveat(client, run):
    assert "±0.2" in page(client)


def test_the_reference_is_the_run_s_own_exponent_and_one(client, run):
    finals = run.run_checkpoints.filter(is_final=True).select_related("checkpoint")
    fit = fit_power_law([one.checkpoint.n_non_embedding for one in finals], [one.mean_loss_nats for one in finals])
    assert twin(client)["reference_slope"] == pytest.approx(-(1 + fit.alpha))


@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [
        ("x", "5", "“x” is no rank"),
        ("2", "1.5", "“1.5” is no rank"),
        ("5", "2", "lies after the last"),
        ("1", "900", "do not lie within"),
        ("2", "3", "a slope needs at least 3"),
        ("0", "4", "do not lie within"),
    ],
)
def test_ranks_that_cannot_be_fitted_are_answered_beside_the_form(client, run, first, last, sentence):
    html = page(client, first=first, last=last)
    assert sentence in html
    assert "are shown instead" in html


def test_what_was_typed_stays_in_the_fields(client, run):
    html = page(client, first='"><b>', last="5")
    assert 'value="&quot;&gt;&lt;b&gt;"' in html


def test_without_choices_every_k_of_a_short_ladder_is_shown(client, run):
    html = page(client)
    assert html.count('name="k"') == 2
    assert 'id="rf-k3" value="3" form="rf" checked' in html


def test_an_unticked_k_is_not_drawn_but_stays_in_the_envelope(client, run):
    html = page(client, set="1", k="6", envelope="on")
    assert 'id="rf-k3" value="3" form="rf" data-submit' in html
    assert twin(client, set="1", k="6")["envelope"] == ENVELOPE


def test_the_envelope_can_be_left_out(client, run):
    assert 'class="env"' in page(client)
    assert 'class="env"' not in page(client, set="1", k="6")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"k": "77"}, "k is &#x27;77&#x27;; choose of 3, 6"),
        ({"k": "x"}, "choose of 3, 6"),
        ({"affinity": "other"}, "signed, absolute, both"),
        ({"reference": "mine"}, "choose of theory, paper"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_what_can(client, run, query, sentence):
    assert sentence in page(client, status=400, **query)


def test_the_affinity_is_chosen_in_the_address(client, run):
    Clustering.objects.filter(affinity="absolute", k=3).update(sizes=[30, 5, 5])
    assert twin(client, affinity="absolute")["envelope"][0] == 30


def test_the_csv_holds_every_rank_of_every_k_and_the_envelope(client, run):
    rows = list(csv.reader(io.StringIO(page(client, "/runs/synthetic/rank-frequency.csv"))))
    assert rows[0] == ["affinity", "k", "rank", "tokens"]
    assert len(rows) == 1 + 3 + 6 + 6
    assert [int(row[3]) for row in rows if row[1] == "envelope"] == ENVELOPE


def test_the_page_takes_few_reads_and_no_memberships(client, run):
    page(client)
    with CaptureQueriesContext(connection) as reads:
        page(client)
    assert len(reads) <= 15
    assert not any("membership" in query["sql"].lower() for query in reads)


def test_a_run_with_too_few_ranks_says_so(client, run):
    Clustering.objects.filter(k=6).delete()
    Clustering.objects.filter(k=3).update(sizes=[39, 1])
    assert "too few ranks for a slope" in page(client)


def test_a_run_without_clusterings_says_so(client, run):
    run.clusterings.all().delete()
    assert "no curve to draw" in page(client)


def test_other_choices_stand_beside_the_fit(client, run):
    choices = twin(client, first="1", last="6")["other_choices"]
    assert {choice["affinity"] for choice in choices} == {"signed", "absolute"}
    assert 'id="fig-other-choices"' in page(client, first="1", last="6")


@pytest.fixture
def whole(tmp_path):
    """A run whose sizes are those of its labels."""
    return make_run(tmp_path)


def test_the_interval_is_that_of_resampled_tokens(client, whole):
    fit = twin(client, first="1", last="6")["fit"]
    labels = [array_of(whole, f"clustering/signed/k{k}") for k in (3, 6)]
    expected = slope_interval(fit["slope"], resampled_envelopes(labels), 1, 6)
    assert fit["interval"] == pytest.approx(vars(expected))
    assert f"{fixed(expected.low)} to {fixed(expected.high)}" in page(client, first="1", last="6")


def test_labels_that_cannot_be_read_leave_the_slope_without_an_interval(client, whole):
    Run.objects.update(bundle_path="/nowhere")
    forget_bundles()
    forget_derived(whole.bundle_sha256)
    assert twin(client, first="1", last="6")["fit"]["interval"] is None
    assert "the labels cannot be read" in page(client, first="1", last="6")


def test_both_affinities_stand_on_one_chart_with_their_agreement(client, whole):
    html = page(client, affinity="both", first="1", last="6")
    assert html.count('<div class="readout-of">') == 2
    assert ">signed r<" in html
    assert ">absolute r<" in html
    found = twin(client, affinity="both", first="1", last="6")
    labels = [array_of(whole, f"clustering/{affinity}/k6") for affinity in ("signed", "absolute")]
    assert found["agreement"][1] == {"k": 6, "adjusted_rand_index": pytest.approx(adjusted_rand_index(*labels))}
    assert [fit["affinity"] for fit in found["fits"]] == ["signed", "absolute"]


def test_both_affinities_of_a_run_with_one_are_not_there(client, whole):
    whole.clusterings.filter(affinity="absolute").delete()
    assert "no clustering with absolute affinity" in page(client, affinity="both")


def test_the_paper_s_line_is_offered_where_there_are_as_many_tokens(client, run):
    assert 'id="rf-paper"' not in page(client)
    Run.objects.update(n_tokens=10_000)
    assert 'id="rf-paper"' in page(client)
    assert "paper’s 4,800 · r<" in page(client, reference="paper")


def test_what_is_dragged_is_fitted_as_the_page_fits_it(client, run):
    dragged = json.loads(page(client, f"{PATH}fit", affinity="signed", first="2", last="5"))
    assert dragged["fits"][0] == twin(client, first="2", last="5")["fit"]
    html = page(client, first="2", last="5")
    for name, text in dragged["texts"].items():
        assert re.search(rf'data-fit="{name}">{re.escape(text)}<', html), name
    whole_line = next(line for line in dragged["lines"] if line["css"] == "fitl")
    assert whole_line["points"][0] == pytest.approx(
        [2, dragged["fits"][0]["intercept"] * 2 ** dragged["fits"][0]["slope"]]
    )


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"first": "5", "last": "2"}, "lies after the last"),
        ({"first": "x", "last": "2"}, "is no rank"),
        ({"affinity": "none"}, "choose one of signed, absolute, both"),
    ],
)
def test_a_window_that_cannot_be_dragged_to_is_refused(client, run, query, sentence):
    assert sentence in page(client, f"{PATH}fit", status=400, **query)


def test_the_slope_is_read_backwards_through_the_toy_model(client, run):
    found = twin(client, first="1", last="6")
    assert "figure=toy-slopes" in page(client, first="1", last="6")
    html = page(client, "/runs/synthetic/rank-frequency.html", first="1", last="6", figure="toy-slopes")
    assert "The toy is small: 200 subtasks in 200 dimensions" in html
    assert found["toy"]["setting"]["noise"] == 2.0


def test_a_toy_s_own_mean_slope_leads_back_to_its_exponent():
    toy = toy_slopes()
    for exponent, slope in zip(toy.exponents, toy.means, strict=True):
        low, high = toy.compatible(slope)
        assert low <= exponent <= high
    assert toy.compatible(-9.0) is None


def test_a_slope_that_the_toy_model_reads_otherwise_says_so_in_one_sentence():
    toy = toy_slopes()
    assert doubt(toy, -1.03, (0.62, 0.91)) == (
        "Taken at face value the exponent is 1.03; the toy model, over its own ranks (10–100 of 200), would measure "
        "this slope if the truth were 0.62 to 0.91."
    )
    assert doubt(toy, -0.8, (0.62, 0.91)) == ""
    assert "for no exponent that was tried" in doubt(toy, -9.0, None)


def test_the_large_figure_and_the_toy_s_say_the_same(client, run, monkeypatch):
    flat = [[slope + 2 for slope in row] for row in toy_slopes().slopes]
    toy = dataclasses.replace(toy_slopes(), slopes=flat)
    monkeypatch.setattr("clusters.queries.rank_frequency.toy_slopes", lambda: toy)
    found = twin(client, first="1", last="6")
    said = doubt(toy, found["fits"][0]["slope"], found["toy"]["compatible_exponents"])
    assert said.startswith("Taken at face value")
    for figure in ("rank-frequency", "toy-slopes"):
        assert said in page(client, "/runs/synthetic/rank-frequency.html", first="1", last="6", figure=figure)


def test_one_figure_stands_alone(client, run):
    html = page(client, figure="other-choices", embed="true")
    assert 'id="fig-other-choices"' in html
    assert 'id="fig-rank-frequency"' not in html


def test_an_exponent_below_one_leaves_the_theory_no_alpha():
    toy = toy_slopes()
    said = toy_reading(toy, -1.0, (0.62, 0.91))
    assert "so α would be −0.38 to −0.09, below all that the theory knows: its α is above 0." in said
    assert "the theory knows" not in toy_reading(toy, -1.2, (0.9, 1.3))

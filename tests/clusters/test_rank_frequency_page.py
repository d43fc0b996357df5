"""The rank-frequency page: every choice in the address, every bad one answered with a sentence."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clusters.models import Clustering
from compute.numerics.ranks import fit_envelope
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


def test_a_k_that_the_run_has_not_draws_nothing(client, run):
    n_lines = [page(client, set="1", k=ks).count("<path") for ks in (["6"], ["6", "77", "x"], ["6", "3"])]
    assert n_lines[0] == n_lines[1] < n_lines[2]


def test_the_affinity_is_chosen_in_the_address(client, run):
    Clustering.objects.filter(affinity="absolute", k=3).update(sizes=[30, 5, 5])
    assert twin(client, affinity="absolute")["envelope"][0] == 30
    page(client, status=400, affinity="other")


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

"""The Q Sequence's page: when clusters are learned, their order against frequency, and what the address may ask."""

from __future__ import annotations

import csv
import io
import json
import math
import re

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from scipy.stats import spearmanr

from clusters.charts.chart import SIZES
from clusters.charts.draw import draw
from clusters.charts.sequence import Theory, filters_chart, sequence_chart, sequence_title, shares_chart
from clusters.models import Cluster, Run
from clusters.queries import sequence
from clusters.queries.sequence import KEPT, cluster_means, scales
from clusters.stored.arrays import array_of
from clusters.stored.recent import Recent
from clusters.values.facts import Emergence, LearnedCluster, Scale
from compute.numerics.correlation import RankCorrelation
from compute.numerics.emergence import BELOW_FROM_START, CROSSED, NEVER
from tests.factories import N_SELECTED, NETWORKS, make_run, n_predictions

pytestmark = pytest.mark.django_db
PATH = "/runs/synthetic/sequence/"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(sequence, "_found", Recent(KEPT))  # tests change rows that never change elsewhere
    return make_run(tmp_path)


def page(client, path=PATH, status=200, **query):
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode() if not response.streaming else b"".join(response.streaming_content).decode()


def twin(client, **query):
    return json.loads(page(client, "/runs/synthetic/sequence.json", **query))


def learned(rank, scale, *, state=CROSSED, size=None, share=0.1):
    return LearnedCluster(
        rank + 7,
        rank,
        1000 - rank if size is None else size,
        share,
        "the",
        scale if state == CROSSED else math.nan,
        state,
        0.2,
    )


def emergence(clusters, values=(1e3, 1e4, 1e5, 1e6), over="parameters"):
    return Emergence(Scale(over, "", values), 0.5, clusters)


# ── numbers ──


def test_means_are_those_of_the_members(run):
    scale = scales(run)[0]
    labels = array_of(run, "clustering/signed/k6")
    curves = array_of(run, "curves/losses")[array_of(run, "selection/flat_index")]
    means = cluster_means(run, "signed", 6, scale)
    for label in range(6):
        assert means[label] == pytest.approx(curves[labels == label].mean(axis=0), rel=1e-5)


def test_a_run_can_be_read_over_parameters_and_over_steps(run):
    found = scales(run)
    assert [(one.over, one.lm) for one in found] == [("parameters", ""), ("steps", "syn-800k")]
    assert found[0].values == (10_000, 40_000, 200_000, 800_000)
    assert found[1].values == (0, 32, 1000)


def test_rho_is_that_of_sizes_and_scales_with_ties_at_the_edges(client, run):
    found = twin(client, over="parameters", threshold="0.3", k="6")
    place = {"crossed": lambda one: one["scale"], "below from the start": lambda one: 0, "never": lambda one: 1e12}
    y = [place[one["state"]](one) for one in found["clusters"]]
    expected = spearmanr([-one["size"] for one in found["clusters"]], y).statistic
    assert found["correlation"]["rho"] == pytest.approx(expected)
    assert sum(found["n_by_state"].values()) == 6


def test_a_lower_threshold_is_reached_no_earlier(client, run):
    low, high = (twin(client, over="parameters", threshold=text, k="6")["n_by_state"] for text in ("0.2", "3"))
    assert low["never"] >= high["never"]
    assert low["below from the start"] <= high["below from the start"]


def test_bits_and_nats_ask_the_same(client, run):
    nats = twin(client, threshold="0.6", k="6")
    bits = twin(client, threshold=str(0.6 / math.log(2)), unit="bits", k="6")
    assert bits["threshold_nats"] == pytest.approx(0.6)
    assert [one["state"] for one in bits["clusters"]] == [one["state"] for one in nats["clusters"]]


def test_the_theory_s_line_has_as_many_crossings_above_as_below():
    clusters = [learned(rank, 50.0 * rank**1.3 * math.exp(0.02 * ((rank * 7) % 41 - 20.5))) for rank in range(1, 41)]
    shown = emergence(clusters)
    constant = shown.theory_constant(1.3)
    above = sum(one.scale > constant * one.rank**1.3 for one in clusters)
    below = sum(one.scale < constant * one.rank**1.3 for one in clusters)
    assert constant == pytest.approx(50, rel=0.02)
    assert above == below
    assert emergence([learned(1, 0, state=NEVER)]).theory_constant(1.3) is None


def test_medians_beyond_the_scales_are_left_out():
    early = [learned(rank, 0, state=BELOW_FROM_START) for rank in range(8, 16)]
    late = [learned(rank, 5e3) for rank in range(16, 32)]
    assert [scale for _, scale in emergence([*early, *late]).medians()] == [5e3]


# ── words ──


@pytest.mark.parametrize(
    ("rho", "p", "words"),
    [
        (0.6, 0.001, "Frequent clusters are learned first: ρ = 0.60"),
        (0.2, 0.01, "Frequent clusters are learned first, but only just: ρ = 0.20"),
        (-0.4, 0.01, "Frequent clusters are learned last, against the hypothesis: ρ = −0.40"),
        (0.3, 0.2, "No sign that frequent clusters are learned first: ρ = 0.30"),
    ],
)
def test_the_title_says_what_the_data_say(rho, p, words):
    shown = emergence([learned(rank, 1e4) for rank in (1, 2, 3)])
    assert sequence_title(shown, RankCorrelation(rho, rho - 0.1, rho + 0.1, p, 40)) == words


def test_of_few_clusters_no_rho_is_put_into_a_headline(client, run):
    html = page(client, over="parameters", threshold="0.3", k="6")
    assert "6 clusters are too few to say whether frequent ones are learned first" in html
    assert '<dd>–</dd><dd class="sub">6 clusters are too few</dd>' in html
    assert "ρ = " in html  # in the reading, with its interval


def test_figures_are_numbered_as_they_are_read(client, run):
    """Six clusters have no thirds, so the figure of filters is the second."""
    html = page(client, over="parameters", threshold="0.3", k="6")
    later = page(client, "/runs/synthetic/sequence.html", over="parameters", threshold="0.3", k="6", figure="filters")
    assert re.findall(r"<i>Fig. (\d)</i>", html + later) == ["1", "2"]


def test_texts_stand_beside_their_lines_where_few_clusters_are():
    crowd = [learned(rank, 1e4 * math.exp(0.01 * (rank % 7))) for rank in range(30, 200)]
    shown = emergence([*crowd, learned(1, 2e3), learned(2, 9e5)])
    chart = sequence_chart(shown, None, "too few", Theory(1.0, 200.0, None, ""), "/", "/")
    theory = next(one for one in chart["series"] if one["name"] == "theory")
    x, y = theory["label_at"]
    assert y == pytest.approx(200 * x)
    assert abs(math.log(y / 1e4)) > 0.2  # off the crowd


def test_scales_in_the_table_are_written_in_one_way(client, run):
    cells = re.findall(r'<td class="num">([^<]*)</td><td class="num">[\d.]+</td></tr>', page(client, threshold="3"))
    assert cells
    assert all(re.fullmatch(r"[\d,]+|from the start|not yet", cell) for cell in cells)


def test_clusters_that_all_stand_at_one_edge_have_no_order(client, run):
    html = page(client, over="parameters", threshold="20", k="6")
    assert "All 6 clusters are below 20 nats from the start: no order to see" in html
    assert "There is no ρ: all clusters stand at one edge" in html
    assert 'id="fig-filters"' not in html


def test_shares_end_where_all_learned_clusters_are_counted():
    clusters = [learned(rank, 1e3 * 1.01**rank) for rank in range(1, 601)] + [learned(601, 0, state=NEVER)] * 5
    chart = shares_chart(emergence(clusters))
    assert [series["points"][-1][1] for series in chart["series"]] == pytest.approx([1, 1, 196 / 201], abs=0.006)
    assert all(len(series["points"]) < 200 for series in chart["series"])


def test_the_filters_title_counts_what_survives():
    clear, unclear = RankCorrelation(0.5, 0.3, 0.7, math.nan, 50), RankCorrelation(0.2, -0.1, 0.5, math.nan, 9)
    assert filters_chart([("all", 50, clear), ("few", 9, clear)])["title"] == "The order survives every filter"
    assert filters_chart([("all", 50, clear), ("few", 9, unclear)])["title"] == "The order survives 0 of 1 filters"
    assert filters_chart([("all", 50, unclear), ("few", 9, unclear)])["title"] == "No filter brings an order out"


def test_three_clusters_in_order_are_no_order_however_narrow_the_interval():
    three = RankCorrelation(1.0, 1.0, 1.0, math.nan, 3)
    assert filters_chart([("all", 3, three), ("few", 3, three)])["title"] == "No filter brings an order out"


def test_clusters_of_one_size_have_no_order_by_frequency():
    clusters = [learned(rank, 100.0 * rank, size=1) for rank in range(1, 41)]
    assert sequence_title(emergence(clusters), None) == "All 40 clusters are of one size: no order to see"
    assert shares_chart(emergence(clusters)) is None


# ── page ──


def test_the_steps_of_the_clustered_network_come_first(client, run):
    html = page(client)
    assert "over training steps of syn-800k" in html
    assert "learned at training step" in html
    assert 'id="fig-sequence"' in html


def test_over_parameters_the_theory_s_line_grows_with_rank(client, run):
    found = twin(client, over="parameters", threshold="0.3", k="6")
    assert found["theory"]["exponent"] == 1.0
    assert found["theory"]["alpha"] is None


def test_over_steps_the_line_takes_alpha_from_the_run(client, run):
    found = twin(client, threshold="0.3", k="6")
    assert found["theory"] is None or found["theory"]["exponent"] == pytest.approx(1 + found["theory"]["alpha"])


def test_points_are_links_to_their_clusters(client, run):
    html = page(client, affinity="absolute", over="parameters", k="6", threshold="0.3")
    clusters = Cluster.objects.filter(clustering__affinity="absolute", clustering__k=6)
    for cluster in clusters:
        assert f'href="/runs/synthetic/k/6/clusters/{cluster.label}/?affinity=absolute"' in html


def test_filters_leave_out_small_and_lexical_clusters(client, run):
    everything = twin(client, k="6")["clusters"]
    kept = twin(client, k="6", least="6", share="40")["clusters"]
    assert kept == [one for one in everything if one["size"] >= 6 and one["dominant_share"] <= 0.4]


def test_filters_that_leave_nothing_offer_a_way_back(client, run):
    html = page(client, least=str(N_SELECTED + 1))
    assert "No cluster passes" in html
    assert "Show all clusters" in html


def test_the_figure_of_filters_comes_later_and_alone(client, run):
    html = page(client, k="6", threshold="0.3", over="parameters")
    assert 'hx-get="/runs/synthetic/sequence.html?' in html
    alone = page(client, "/runs/synthetic/sequence.html", k="6", threshold="0.3", over="parameters", figure="filters")
    assert 'id="fig-filters"' in alone
    assert "5 tokens or more" in alone


def test_the_csv_has_a_row_a_cluster(client, run):
    rows = list(csv.reader(io.StringIO(page(client, "/runs/synthetic/sequence.csv", k="6"))))
    assert rows[0][:3] == ["rank", "cluster", "tokens"]
    assert len(rows) == 7


def test_the_table_can_be_ordered_by_learning(client, run):
    found = twin(client, k="6", threshold="0.3", over="parameters")["clusters"]
    place = {"crossed": 1, "below from the start": 0, "never": 2}
    expected = [
        one["label"] for one in sorted(found, key=lambda one: (place[one["state"]], one["scale"] or 0, one["rank"]))
    ]
    html = page(client, k="6", threshold="0.3", over="parameters", sort="learned")
    assert [int(label) for label in re.findall(r">cluster (\d+)</a>", html)] == expected


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"threshold": "0"}, "above 0 and up to 20 nats"),
        ({"threshold": "nan"}, "above 0 and up to 20 nats"),
        ({"threshold": "x", "unit": "bits"}, "up to 28.85 bits"),
        ({"least": "0"}, "least is"),
        ({"share": "101"}, "from 1 to 100"),
        ({"over": "steps:other"}, "parameters, steps:syn-800k"),
        ({"alpha": "mine"}, "scaling, envelope"),
        ({"sort": "size"}, "rank, learned"),
        ({"affinity": "none"}, "signed, absolute"),
    ],
)
def test_impossible_values_are_refused_with_the_possible_ones(client, run, query, sentence):
    assert sentence in page(client, status=400, **query)


def test_a_k_that_is_not_there_is_404_with_those_that_are(client, run):
    assert "k = 3, 6" in page(client, status=404, k="5")


def test_a_run_without_losses_says_what_is_missing(client, run):
    Run.objects.update(manifest=run.manifest | {"sizes": run.manifest["sizes"][:1], "checkpoints": []})
    html = page(client)
    assert "No sequence to see" in html
    assert "bring a bundle that holds the losses" in html


def test_losses_that_are_no_numbers_are_said_and_not_drawn(client, tmp_path):
    n = n_predictions()
    make_run(tmp_path, seed=5, arrays={"curves/losses": np.full((n, len(NETWORKS)), np.nan, np.float32)})
    assert "holds a loss that is no finite number" in page(client, over="parameters")


def test_answers_are_text_whatever_they_hold(client, run):
    Cluster.objects.update(top_answers=[['"><script>alert(1)</script>', 3]])
    html = page(client, k="6")
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_an_answer_that_reads_like_a_number_stays_text(client, run):
    Cluster.objects.update(top_answers=[["5", 3]])
    assert {one["answer"] for one in twin(client, k="6")["clusters"]} == {"5"}


def test_reads_do_not_grow_with_k(client, run):
    counts = []
    for k in ("3", "6"):
        page(client, k=k)
        with CaptureQueriesContext(connection) as reads:
            page(client, k=k)
        counts.append(len(reads.captured_queries))
    assert counts[0] == counts[1] <= 15


def test_many_linked_points_are_one_group_and_no_stops_of_the_tab_key():
    shown = emergence([learned(rank, 1e3 * rank, size=100 - rank) for rank in range(1, 81)])
    chart = sequence_chart(shown, None, "why", None, "/clusters/", "/")
    wide, narrow = SIZES[chart["size"]]
    links = [mark for mark in draw(chart, wide).marks if mark["tag"] == "links"]
    assert [len(mark["linked"]) for mark in links] == [80]
    assert links[0]["linked"][0][0] == "/clusters/8/"
    assert not any(mark["tag"] == "links" for mark in draw(chart, narrow).marks)
    assert np.isfinite([float(x) for x in re.findall(r"M([\d.]+) ", links[0]["d"])]).all()

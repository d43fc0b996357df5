"""A run's page on dynamics: exponents over steps, what the theory expects of them, clusters by rank and step."""

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

from clusters.charts.chart import SIZES
from clusters.charts.draw import draw
from clusters.charts.dynamics import exponents_title, laws_title, local_title
from clusters.charts.dynamics_heat import heat_chart, heat_title
from clusters.charts.sequence import Theory
from clusters.models import Cluster, Run, RunCheckpoint
from clusters.queries import dynamics as queries
from clusters.queries import sequence
from clusters.queries.losses import distributions
from clusters.queries.sequence import KEPT
from clusters.stored.arrays import array_of
from clusters.stored.recent import Recent
from clusters.values.dynamics import PUBLISHED, Heat, above_law, expected_of, over_steps
from clusters.values.facts import Emergence, LearnedCluster, Scale
from clusters.values.laws import NetworkLaw, Point, Window
from compute.numerics.correlation import RankCorrelation
from compute.numerics.emergence import CROSSED, NEVER
from compute.numerics.scaling import fit_power_law
from tests.factories import NETWORKS, make_run

pytestmark = pytest.mark.django_db
PATH = "/runs/synthetic/dynamics/"
STEPS = (0, *range(1000, 144_000, 5000))
FEW_STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128)
V0 = (("pythia-70m-v0", 18_915_328), ("pythia-160m-v0", 85_056_000))
MIXED = (("pythia-70m", 18_915_328), ("pythia-410m", 302_311_424), ("pythia-160m-v0", 85_056_000))


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(sequence, "_found", Recent(KEPT))  # tests change rows that never change elsewhere


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A network with nine steps, the last of four by size; its mean falls as S^(−0.2) from step 1 on."""
    monkeypatch.setattr("tests.factories.STEPS", FEW_STEPS)
    return with_means(make_run(tmp_path), 0.2, 0.5)


def with_means(run: Run, over_steps: float, over_sizes: float) -> Run:
    """Mean losses that are exact powers of the step, and at the end of the size."""
    for row in run.run_checkpoints.select_related("checkpoint"):
        one = row.checkpoint
        last = 3 * (one.n_non_embedding / 1e4) ** -over_sizes
        final = RunCheckpoint.objects.filter(run=run, checkpoint__lm=one.lm, is_final=True).get().checkpoint.step
        mean = last * (max(one.step, 0.5) / final) ** -over_steps
        RunCheckpoint.objects.filter(pk=row.pk).update(mean_loss_nats=mean)
    return run


def page(client, path=PATH, status=200, **query):
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode() if not response.streaming else b"".join(response.streaming_content).decode()


def told(client, **query):
    return json.loads(page(client, "/runs/synthetic/dynamics.json", **query))


def law_of(lm, alpha, *, n=9, size=1000, noise=0.0, amplitude=5.0):
    points = tuple(
        Point(2.0**i, amplitude * (2.0**i) ** -alpha * (1 + noise * (-1) ** i), f"step {2**i}") for i in range(n)
    )
    fit = fit_power_law([p.x for p in points], [p.mean_nats for p in points])
    return NetworkLaw(lm, size, points, Window(1, 2.0**n), fit)


def theory_of(alpha):
    return expected_of(fit_power_law([1, 10, 100, 1000], [10 * x**-alpha for x in (1, 10, 100, 1000)]))


# ── exponents ──


def test_the_exponent_that_made_the_losses_is_found_and_the_theory_s_follows_from_sizes(client, run):
    found = told(client)
    (network,) = found["networks"]
    assert network["lm"] == NETWORKS[-1][0]
    assert network["alpha_s"] == pytest.approx(0.2)
    assert network["r_squared"] == pytest.approx(1)
    assert network["above_the_law"] == pytest.approx(0, abs=1e-9)
    assert found["theory"]["alpha_n"]["alpha"] == pytest.approx(0.5)
    assert found["theory"]["alpha_s"] == pytest.approx(0.5 / 1.5)
    assert "The exponent lies below the theory’s 0.333" in page(client)


def test_an_interval_of_alpha_becomes_one_of_the_theory_s_exponent():
    expected = expected_of(fit_power_law([1, 10, 100, 1000], [9, 7.2, 5, 4.1]))
    assert expected.low < expected.alpha < expected.high
    assert expected.high == pytest.approx(expected.alpha_n.high / (1 + expected.alpha_n.high))
    assert math.isnan(over_steps(-1.5))
    assert expected_of(fit_power_law([1, 10], [1, 2])) is None


def test_steps_outside_the_window_change_nothing(client, run):
    row = run.run_checkpoints.get(checkpoint__step=128, checkpoint__lm=NETWORKS[-1][0])
    RunCheckpoint.objects.filter(pk=row.pk).update(mean_loss_nats=row.mean_loss_nats * 2)
    (network,) = told(client, first="1", last="64")["networks"]
    assert network["alpha_s"] == pytest.approx(0.2)
    assert (network["first_step"], network["last_step"], network["n_points"]) == (1, 64, 7)
    assert network["above_the_law"] == pytest.approx(1)
    assert told(client)["networks"][0]["alpha_s"] < 0.19


def test_the_largest_two_thirds_are_fitted_unless_the_paper_s_steps_are_there(client, tmp_path, monkeypatch, run):
    assert told(client)["window"] == [8, 128]
    monkeypatch.setattr("tests.factories.STEPS", STEPS)
    with_means(make_run(tmp_path, name="many", networks=V0), 0.05, 0.08)
    many = json.loads(page(client, "/runs/many/dynamics.json"))
    assert many["window"] == [11_000, 100_000]
    assert many["networks"][0]["n_points"] == 18
    assert many["networks"][0]["alpha_s"] == pytest.approx(0.05)


def test_published_exponents_stand_beside_the_same_weights_and_the_same_steps_only(client, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.factories.STEPS", STEPS)
    with_means(make_run(tmp_path, networks=V0), 0.05, 0.08)
    html = page(client)
    assert "0.0368" in html
    assert told(client)["networks"][0]["published_alpha_s"] == PUBLISHED["pythia-160m-v0"].alpha
    marks = {one["name"] for one in chart_of(told(client), "exponents")["series"]}
    assert marks == {"measured", "published"}
    other = chart_of(told(client, first="1000", last="141000"), "exponents")
    assert {one["name"] for one in other["series"]} == {"measured"}


def test_releases_are_never_mixed(client, tmp_path, monkeypatch):
    """Weights from before January 2023 and later ones of the same size are different trainings."""
    monkeypatch.setattr("tests.factories.STEPS", FEW_STEPS)
    with_means(make_run(tmp_path, networks=MIXED), 0.2, 0.3)
    found = told(client)
    assert found["family"] == "pythia-v0"
    assert [one["lm"] for one in found["networks"]] == ["pythia-160m-v0"]
    assert found["theory"] is None  # one size of its release: the two others give it no law
    assert "choose one of pythia-v0" in page(client, status=400, family="pythia")


def test_published_facts_name_weights_of_both_releases():
    assert {name.endswith("-v0") for name in PUBLISHED} == {True, False}
    assert PUBLISHED["pythia-1.4b-v0"].alpha == 0.06044
    assert PUBLISHED["pythia-410m"].alpha == 0.04369


def test_a_window_of_two_checkpoints_gives_no_law(client, run):
    html = page(client, first="64", last="128")
    assert "2 of 3 points" in html
    assert "No network has three checkpoints in this window" in html
    assert "Too few steps in the window for a law" in html


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"first": "soon"}, "first is &#x27;soon&#x27;; give a training step"),
        ({"first": "1,5"}, "first is &#x27;1,5&#x27;; give a training step"),
        ({"threshold": "1_0"}, "threshold is &#x27;1_0&#x27;; give a loss above 0"),
        ({"first": "900", "last": "20"}, "first is step 900 and last 20"),
        ({"threshold": "0"}, "threshold is &#x27;0&#x27;; give a loss above 0"),
        ({"threshold": "nan"}, "threshold is &#x27;nan&#x27;"),
        ({"lm": "gpt"}, "lm is &#x27;gpt&#x27;; choose one of syn-800k"),
        ({"unit": "bit"}, "unit is &#x27;bit&#x27;"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(client, run, query, sentence):
    assert sentence in page(client, status=400, **query)


@pytest.mark.parametrize(
    ("alphas", "words"),
    [
        ((0.05, 0.08), "powers from −0.050 to −0.080, steeper the larger the network"),
        ((0.08, 0.05), "powers from −0.050 to −0.080"),
        ((0.05,), "The loss falls with steps to the power −0.050"),
        ((-0.02,), "Over these steps the loss does not fall: exponents from −0.020"),
        ((-0.02, 0.05), "Over these steps 1 of 2 losses do not fall"),
    ],
)
def test_the_title_says_what_the_exponents_are(alphas, words):
    title = laws_title([law_of(f"n{i}", alpha) for i, alpha in enumerate(alphas)])
    assert words in title
    assert ("steeper" in title) == ("steeper" in words)


@pytest.mark.parametrize(
    ("alphas", "words"),
    [
        ((0.05, 0.08), "All 2 exponents lie below the theory’s 0.286"),
        ((0.5, 0.8), "All 2 exponents lie above the theory’s 0.286"),
        ((0.2, 0.8), "1 of 2 exponents lie above the theory’s 0.286, the others below"),
        ((0.2,), "The exponent lies below the theory’s 0.286"),
    ],
)
def test_the_title_says_where_the_theory_lies(alphas, words):
    laws = [law_of(f"n{i}", alpha) for i, alpha in enumerate(alphas)]
    assert exponents_title(laws, theory_of(0.4)) == words
    assert exponents_title(laws, None).startswith("Exponents of")


def test_local_exponents_are_level_under_a_power_law_and_not_under_a_floor():
    level = queries.local_exponents(law_of("a", 0.3))
    assert [alpha for _, alpha in level] == pytest.approx([0.3] * 7)
    assert "One exponent for a: 0.30 to 0.30" in local_title({"a": level})
    floor = tuple(Point(2.0**i, 1 + 2.0**-i, f"step {2**i}") for i in range(9))
    falling = queries.local_exponents(NetworkLaw("b", 1, floor, Window(1, 256), None))
    assert [alpha for _, alpha in falling] == sorted((alpha for _, alpha in falling), reverse=True)
    assert "No one exponent for b" in local_title({"b": falling})


def test_the_last_loss_is_set_against_the_law():
    law = law_of("a", 0.3)
    assert above_law(law) == pytest.approx(0)
    higher = (*law.points[:-1], Point(law.points[-1].x, 1.5 * law.points[-1].mean_nats, "step 256"))
    assert above_law(NetworkLaw("a", 1, higher, law.window, law.fit)) == pytest.approx(0.5)


# ── near zero ──


def test_what_lies_near_zero_is_counted_in_the_bundle_s_bins(client, run):
    rows = queries.near_zero(run, distributions(run))
    losses = array_of(run, f"losses/{NETWORKS[-1][0]}/step128")
    width = 0.006 * math.log(2)
    assert rows[-1, 0] == pytest.approx((losses < width).mean() / width, rel=0.02)
    assert rows[-1, 2] <= rows[-1, 1] <= rows[-1, 3]
    density = chart_of(told(client), "density")["series"][-1]
    assert density["points"][-1] == pytest.approx([128, rows[-1, 0]])


def test_a_bundle_without_histograms_says_so(client, run, monkeypatch):
    monkeypatch.setattr("clusters.queries.losses._histograms", lambda run: (None, np.empty((0, 0), np.int64)))
    assert "This run’s bundle holds no histograms of its losses." in page(client)
    assert {one["slug"] for one in told(client)["figures"]} == {"laws", "exponents", "local", "heat"}


# ── clusters ──


def heat_of(n=60, steps=(1, 2, 4, 8), sizes=None):
    means = np.linspace(4, 0, n * len(steps)).reshape(n, len(steps)).astype(np.float32)
    sizes = np.arange(n, 0, -1) if sizes is None else np.array(sizes)
    return Heat(list(range(1, n + 1)), list(range(n)), sizes, np.array(steps, float), means)


def emergence(n, state=CROSSED):
    clusters = [LearnedCluster(i, i + 1, n - i, 0.1, "the", 2.0 + i % 3, state, 0.2) for i in range(n)]
    return Emergence(Scale("steps", "a", (0, 1, 2, 4, 8)), 0.5, clusters)


def test_neighbours_are_put_together_by_their_tokens():
    heat = heat_of(3, steps=(1, 2), sizes=[6, 3, 1])
    grouped = heat.grouped([0, 1, 3])
    assert grouped[0] == pytest.approx(heat.means[0])
    assert grouped[1] == pytest.approx((3 * heat.means[1] + heat.means[2]) / 4)


def test_every_cluster_s_mean_stands_by_rank(client, run):
    found = told(client, k="6", affinity="absolute")["clusters"]
    rows = {one.rank: one for one in Cluster.objects.filter(clustering__k=6, clustering__affinity="absolute")}
    assert found["labels"] == [rows[rank].label for rank in found["ranks"]]
    assert found["steps"] == list(FEW_STEPS[1:])
    labels = array_of(run, "clustering/absolute/k6")
    curves = np.asarray(array_of(run, f"curves/steps/{NETWORKS[-1][0]}"), np.float32)
    curves = curves[array_of(run, "selection/flat_index")]
    for label, means in zip(found["labels"], found["means_nats"], strict=True):
        assert means == pytest.approx(curves[labels == label].mean(axis=0)[1:], rel=1e-3)


def test_the_map_has_one_cell_a_column_and_step_within_its_axes():
    heat = heat_of(400, steps=2.0 ** np.arange(10))
    theory = Theory(1.4, 0.05, 0.4, "made up")
    chart = heat_chart(heat, emergence(400), None, theory, unit="nats", factor=1.0, number=1)
    cells, *lines = chart["series"]
    columns = {(x0, x1) for x0, x1, *_ in cells["points"]}
    assert len(cells["points"]) == 10 * len(columns) <= 720
    assert min(x0 for x0, _ in columns) == 0.5
    assert max(x1 for _, x1 in columns) == 400.5
    for line in lines:
        for x, y, *_ in line["points"]:
            assert chart["x"]["lo"] <= x <= chart["x"]["hi"] * (1 + 1e-9)
            assert chart["y"]["lo"] * (1 - 1e-9) <= y <= chart["y"]["hi"] * (1 + 1e-9)
    assert draw(chart, SIZES["wide"][0]).marks


@pytest.mark.parametrize(
    ("rho", "p", "words"),
    [
        (0.6, 0.001, ", frequent ones first (ρ = 0.60)"),
        (-0.6, 0.001, ", rare ones first (ρ = −0.60)"),
        (0.1, 0.4, ", in no order of their size (ρ = 0.10)"),
    ],
)
def test_the_map_s_title_says_whether_the_order_is_that_of_size(rho, p, words):
    title = heat_title(emergence(40), RankCorrelation(rho, rho - 0.1, rho + 0.1, p, 40))
    assert title == f"All 40 clusters are learned by step 8{words}"
    assert heat_title(emergence(5, NEVER), None) == "0 of 5 clusters are learned by step 8"


def test_a_lower_threshold_is_reached_by_no_more_clusters(client, run):
    def n_learned(threshold):
        return int(
            re.search(r"(\d+)(?: of 6)? clusters are learned by step", page(client, k="6", threshold=threshold))[1]
        )

    assert n_learned("0.05") <= n_learned("0.4") <= n_learned("9") == 6


def test_the_sequence_is_linked_with_the_same_choice(client, run):
    html = page(client, k="6", affinity="absolute", threshold="0.7", unit="bits")
    href = re.search(r'href="(/runs/synthetic/sequence/[^"]+)"', html)[1].replace("&amp;", "&")
    assert client.get(href).status_code == 200
    assert all(part in href for part in ("k=6", "affinity=absolute", "over=steps%3Asyn-800k", "threshold=0.7"))


# ── the page ──


def test_every_figure_is_there_and_numbered_as_it_is_read(client, run):
    found = told(client)["figures"]
    assert [chart["slug"] for chart in found] == ["laws", "exponents", "local", "density", "peak", "heat"]
    assert [chart["number"] for chart in found] == [1, 2, 3, 4, 5, 6]
    for chart in found:
        assert "<svg" in page(client, "/runs/synthetic/dynamics.svg", figure=chart["slug"])


def chart_of(found, slug):
    return next(chart for chart in found["figures"] if chart["slug"] == slug)


def test_bits_are_nats_by_another_unit(client, run):
    nats, bits = (chart_of(told(client, unit=unit), "laws")["series"][0]["points"] for unit in ("nats", "bits"))
    assert [y / math.log(2) for _, y, *_ in nats] == pytest.approx([y for _, y, *_ in bits])


def test_the_table_has_a_row_a_network(client, run):
    rows = list(csv.reader(io.StringIO(page(client, "/runs/synthetic/dynamics.csv"))))
    assert len(rows) == 2
    assert float(rows[1][rows[0].index("alpha_S")]) == pytest.approx(0.2)


def test_a_run_without_steps_says_what_is_missing(client, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.factories.STEPS", (1000,))
    make_run(tmp_path)
    html = page(client)
    assert "holds mean losses of no network at two training steps or more" in html
    assert 'href="/runs/synthetic/"' in html


def test_the_number_of_queries_does_not_grow_with_clusters(client, run):
    for k in ("3", "6"):
        page(client, k=k)  # what is worked out once is known from now on
    counts = []
    for k in ("3", "6"):
        with CaptureQueriesContext(connection) as captured:
            page(client, k=k)
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 15

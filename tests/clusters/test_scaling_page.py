"""The page on scaling: laws fitted to a run's means over windows that the address names."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clusters.charts.scaling import clusters_chart, networks_chart, quantiles_chart, spread
from clusters.models import Clustering, Run, RunCheckpoint
from clusters.queries import scaling as queries
from clusters.stored.derived import forget_derived
from clusters.stored.recent import Recent
from clusters.values.laws import (
    ClusterLaws,
    Fitted,
    NetworkLaw,
    Point,
    QuantileLaw,
    Window,
    default_steps,
    packed,
    unpacked,
)
from clusters.views.law_tables import law_rows
from compute.numerics.bnsl import Break, BrokenPowerLaw
from compute.numerics.laws import Comparison, Trial, compare_laws
from compute.numerics.scaling import fit_power_law
from tests.factories import KS, NETWORKS, make_run

pytestmark = pytest.mark.django_db
PATH = "/runs/synthetic/scaling/"
PYTHIA = (
    ("pythia-70m", 18_915_328), ("pythia-160m", 85_056_000), ("pythia-410m", 302_311_424), ("pythia-1b", 805_736_448),
    ("pythia-1.4b", 1_208_602_624), ("pythia-2.8b", 2_517_652_480), ("pythia-6.9b", 6_444_163_072),
)  # fmt: skip
MEAN_BITS = (4.222, 3.672, 3.296, 3.074, 2.983, 2.806, 2.692)  # the paper's Figure 3
STEPS = (0, *range(1000, 41_000, 1000))
SHARES = ("0.05", "0.25", "0.5", "0.75", "0.95")


@pytest.fixture(autouse=True)
def nothing_fitted_yet(monkeypatch, settings, tmp_path):
    settings.DERIVED_DIR = tmp_path / "derived"
    monkeypatch.setattr(queries, "_recent", Recent(256))


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A network with many steps, whose mean follows a power law above a floor."""
    monkeypatch.setattr("tests.factories.STEPS", STEPS)
    run = make_run(tmp_path)
    for row in run.run_checkpoints.select_related("checkpoint"):
        step = max(row.checkpoint.step, 1)
        if row.checkpoint.lm == NETWORKS[-1][0]:
            RunCheckpoint.objects.filter(pk=row.pk).update(mean_loss_nats=1.5 + 9 * step**-0.3)
    return run


@pytest.fixture
def paper(tmp_path):
    """The paper's networks with the paper's means."""
    run = make_run(tmp_path, networks=PYTHIA)
    means = dict(zip((lm for lm, _ in PYTHIA), MEAN_BITS, strict=True))
    for row in run.run_checkpoints.filter(is_final=True).select_related("checkpoint"):
        RunCheckpoint.objects.filter(pk=row.pk).update(mean_loss_nats=means[row.checkpoint.lm] * np.log(2))
    return run


def page(client, path=PATH, status=200, **query):
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode() if not response.streaming else b"".join(response.streaming_content).decode()


def twin(client, **query):
    return json.loads(page(client, "/runs/synthetic/scaling.json", **query))


def law(payload, name, over="over_parameters"):
    return next(one for one in payload[over]["laws"] if one["name"] == name)


def test_the_paper_s_first_six_means_fall_with_its_exponent(client, paper):
    six = twin(client, largest=str(PYTHIA[5][1]))
    assert law(six, "power")["law"]["exponent"] == pytest.approx(0.083, abs=0.002)
    assert law(twin(client), "power")["law"]["exponent"] == pytest.approx(0.078, abs=5e-4)
    assert "<dd>0.083</dd>" in page(client, largest=str(PYTHIA[5][1]))


def test_the_exponent_depends_on_no_unit_but_the_figure_does(client, paper):
    nats, bits = twin(client), twin(client, unit="bits")
    assert nats["over_parameters"]["laws"] == bits["over_parameters"]["laws"]
    tops = [max(p[1] for s in one["figures"][0]["series"] for p in s["points"]) for one in (nats, bits)]
    assert tops[1] == pytest.approx(tops[0] / np.log(2))


def test_laws_with_more_numbers_than_points_say_what_they_need(client, paper):
    html = page(client, breaks="true")
    assert "needs 10 points; the window holds 7" in html
    assert "needs 7 other points; has 6" in html  # one break, without the point that is held out
    assert law(twin(client), "break-2")["law"] is None


def test_what_was_held_out_is_named(client, paper):
    assert twin(client)["over_parameters"]["held_out"] == ["pythia-6.9b"]
    assert "Judged by pythia-6.9b: dashed, what fits without it foretold there." in page(client)


def test_the_fits_that_were_judged_are_drawn_and_tabled(client, paper):
    payload = twin(client)
    xs, ys = np.array([point[:2] for point in payload["over_parameters"]["points"]]).T
    judged = fit_power_law(xs[:-1], ys[:-1])
    figure = next(one for one in payload["figures"] if one["slug"] == "sizes")
    drawn = next(s for s in figure["series"] if s["name"] == "power law fitted without the held-out points")
    assert drawn["css"].endswith(" dash")
    assert drawn["points"][0][:2] == pytest.approx([xs[-2], judged.predict(xs[-2])])
    assert drawn["points"][-1][:2] == pytest.approx([xs[-1], judged.predict(xs[-1])])
    last = dict(zip(figure["table"]["head"], figure["table"]["rows"][-1], strict=True))
    assert last["held out from the judged fits"] is True
    assert last["power law fitted without the held-out points, nats"] == pytest.approx(float(judged.predict(xs[-1])))
    whole = fit_power_law(xs, ys).predict(xs[-1])
    assert last["power law fitted to the window, nats"] == pytest.approx(float(whole))
    missed = next(one for one in payload["figures"] if one["slug"] == "size-residuals")["table"]
    row = dict(zip(missed["head"], missed["rows"][-1], strict=True))
    foretold = row["share above: power law fitted without the held-out points"]
    assert foretold == pytest.approx(float(np.log(ys[-1] / judged.predict(xs[-1]))))
    assert abs(foretold) == pytest.approx(law(payload, "power")["held_out_rms"])


def test_the_rival_reading_stands_beside_the_exponent_over_parameters(client, paper):
    told = twin(client, largest=str(PYTHIA[5][1]))
    manifold = told["over_parameters"]["manifold_dimension"]
    assert manifold["value"] == pytest.approx(48.2, abs=1)  # 4/0.083
    assert manifold["low"] < manifold["value"] < manifold["high"]
    html = page(client, largest=str(PYTHIA[5][1]))
    assert f"<dd>{manifold['value']:.1f}</dd>" in html
    assert f"{manifold['low']:.1f} to {manifold['high']:.1f}<br>" in html


def test_over_steps_no_dimension_is_read(client, trained):
    told, html = twin(client), page(client)
    assert "manifold_dimension" not in told["over_steps"]
    assert html.count("the rival reading") == bool(told["over_parameters"]["manifold_dimension"])


def test_figures_are_numbered_as_they_are_read(client, tmp_path):
    make_run(tmp_path, networks=NETWORKS[:2])
    figures = twin(client)["figures"]
    assert figures[0]["slug"] == "networks"  # two sizes allow no law over size
    assert [one["number"] for one in figures] == list(range(1, len(figures) + 1))


def test_a_number_that_is_not_determined_is_left_out():
    law = BrokenPowerLaw(0.0, math.log(5), 0.1, (Break(0.4, 2e6, 0.5),))
    known = {"c0": (0.09, 0.11), "a": (0.0, 0.1), "c1": (-3.0, 3.0), "d1": (1.0, 1e9), "f1": (0.4, 0.6)}
    trial = Trial("break-1", law, known, 0.01, math.nan, 7)
    points = tuple(Point(10.0**i, 5.0, "") for i in range(3, 12))
    found = Fitted(points, Window(1e3, 1e12), Comparison((trial,), 9, 2))
    stated = {one["name"]: one for one in law_rows(found, "nats")[0]["parameters"]}
    assert [stated[name]["value"] for name in ("c₀", "c₁", "d₁", "f₁")] == ["0.100", "", "", "0.50"]
    assert stated["d₁"]["interval"] == "not determined"


def test_over_steps_the_law_that_made_the_losses_is_found(client, trained):
    payload = twin(client)
    assert payload["over_steps"]["best"] in ("offset", "break-1", "break-2", "break-3")
    floor = law(payload, "offset", "over_steps")
    assert floor["law"]["offset"] == pytest.approx(1.5, rel=1e-3)
    assert floor["law"]["exponent"] == pytest.approx(0.3, rel=1e-3)
    assert floor["held_out_rms"] < law(payload, "power", "over_steps")["held_out_rms"]


def test_step_zero_has_no_place_on_a_logarithmic_axis(client, trained):
    assert twin(client, first="1", last="40000")["over_steps"]["points"][0][0] == 1000


def test_the_usual_window_is_the_largest_two_thirds_in_the_logarithm(client, trained):
    first, last = twin(client)["over_steps"]["window"]
    assert last == 40_000
    assert first == default_steps(STEPS).first == 4000  # 1000 · 40^(1/3) = 3420
    assert "largest two thirds" in page(client)


def test_the_paper_s_window_is_offered_where_its_steps_are(client, trained):
    assert "first=11000&amp;last=100000" in page(client)
    chosen = twin(client, first="11000", last="100000")
    assert chosen["over_steps"]["window"] == [11_000, 100_000]
    xs = np.arange(11_000, 41_000, 1000.0)
    expected = fit_power_law(xs, 1.5 + 9 * xs**-0.3)
    assert chosen["networks"][0]["fit"]["alpha"] == pytest.approx(expected.alpha)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"first": "abc"}, "“abc” is no whole number"),
        ({"first": "4,5"}, "“4,5” is no whole number"),
        ({"first": "9000", "last": "2000"}, "lies after its end"),
        ({"first": "39500", "last": "40500"}, "lie 1 points; a law needs 3"),
        ({"smallest": "1", "largest": "2"}, "lie 0 points; a law needs 3"),
    ],
)
def test_a_window_that_does_not_suit_is_answered_with_a_sentence_and_the_usual_one(client, trained, query, sentence):
    html = page(client, **query)
    assert sentence in html
    assert "is shown instead" in html
    assert twin(client, **query)["over_steps"]["window"] == [4000, 40_000]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"lm": "nobody"}, "choose one of syn-800k"),
        ({"unit": "x"}, "choose one of nats, bits"),
        ({"sort": "x"}, "choose one of rank, steep, flat"),
        ({"family": "x"}, "choose one of syn"),
    ],
)
def test_values_that_cannot_be_are_refused_with_those_that_can(client, trained, query, words):
    assert words in page(client, status=400, **query)


def test_a_k_that_the_run_has_not_is_answered_with_those_it_has(client, run):
    assert "It has k = 3, 6" in page(client, status=404, k="7")


def test_networks_of_other_families_have_their_own_law(client, tmp_path):
    make_run(tmp_path, networks=(*NETWORKS, ("other-1m", 1_000_000), ("other-2m", 2_000_000)))
    assert twin(client)["family"] == "syn"
    assert len(twin(client)["over_parameters"]["points"]) == 4
    assert len(twin(client, family="all")["over_parameters"]["points"]) == 6
    assert "all networks" in page(client)
    assert "needs three sizes; this run measured 2" in page(client, family="other")


def test_every_cluster_has_the_exponent_of_its_own_mean(client, run):
    payload = twin(client, k="6")["clusters"]
    clusters = list(Clustering.objects.get(affinity="signed", k=6).clusters.order_by("rank"))
    assert payload["labels"] == [one.label for one in clusters]
    sizes = [size for _, size in NETWORKS]
    for one, alpha in zip(clusters, payload["alpha"], strict=True):
        assert alpha == pytest.approx(fit_power_law(sizes, one.mean_curve).alpha)


def test_clusters_are_listed_in_the_order_asked_for_and_linked(client, run):
    alpha = np.array(twin(client, k="6")["clusters"]["alpha"])
    labels = twin(client, k="6")["clusters"]["labels"]
    html = page(client, k="6", sort="steep")
    places = [html.index(f"/runs/synthetic/k/6/clusters/{labels[i]}/") for i in np.argsort(-alpha)]
    assert places == sorted(places)
    assert "?affinity=absolute" in page(client, k="3", affinity="absolute")


def test_quantiles_that_a_bundle_states_have_a_law_each(client, tmp_path):
    run = make_run(tmp_path)
    stated = run.manifest
    for entry in stated["checkpoints"]:
        entry["quantiles_nats"] = {s: float(s) * entry["n_non_embedding"] ** -float(s) for s in SHARES}
    Run.objects.filter(pk=run.pk).update(manifest=stated)
    fits = twin(client)["quantiles"]
    assert [one["share"] for one in fits] == [float(share) for share in SHARES]
    assert [one["fit"]["alpha"] for one in fits] == pytest.approx([float(share) for share in SHARES])
    later = page(client, "/runs/synthetic/scaling.html", figure="quantiles")
    assert "Low losses fall less steeply than high ones" in later


def test_a_bundle_without_quantiles_says_so(client, run):
    RunCheckpoint.objects.filter(is_final=False).delete()
    stated = run.manifest
    for entry in stated["checkpoints"]:
        entry.pop("quantiles_nats", None)
    Run.objects.filter(pk=run.pk).update(manifest=stated)
    html = page(client)
    assert "states no quantiles" in html
    assert "looked at one step of each network" in html


def test_a_run_of_one_size_or_without_losses_keeps_its_page(client, tmp_path):
    make_run(tmp_path, networks=NETWORKS[-1:], curves=False)
    assert "A law over size needs three sizes; this run measured 1" in page(client)
    RunCheckpoint.objects.all().delete()
    assert "This run came without losses" in page(client)


def test_laws_are_fitted_once_and_kept(client, run, monkeypatch):
    forget_derived(run.bundle_sha256)
    calls = []
    monkeypatch.setattr(queries, "compare_laws", lambda x, y: calls.append(x) or compare_laws(x, y))
    page(client)
    once = len(calls)
    page(client)
    page(client, unit="bits")
    assert len(calls) == once > 0


def test_what_is_worked_out_ahead_is_what_a_bare_address_shows(client, trained, monkeypatch):
    forget_derived(trained.bundle_sha256)
    queries.prepare(trained)
    monkeypatch.setattr(queries, "compare_laws", lambda x, y: pytest.fail("fitted again"))
    assert "Laws with breaks are fitted" not in page(client)


def test_a_typed_window_is_answered_with_the_quick_laws_and_the_rest_comes_later(client, trained, monkeypatch):
    tried = []

    def counted(x, y, **names):
        if len(x) > len(NETWORKS):  # over steps
            tried.append(names)
        return compare_laws(x, y, **names)

    monkeypatch.setattr(queries, "compare_laws", counted)
    window = {"first": "7000", "last": "39000"}
    html = page(client, **window)
    assert tried.count({}) == 0
    assert html.count("not fitted yet") == 3
    assert "of 2 laws" in html
    assert 'hx-get="/runs/synthetic/scaling.html?first=7000&amp;last=39000&amp;figure=step-laws"' in html
    later = page(client, "/runs/synthetic/scaling.html", figure="step-laws", **window)
    assert tried.count({}) == 1
    assert "not fitted yet" not in later
    assert later.count("<figure") == 2
    again = page(client, **window)
    assert tried.count({}) == 1
    assert "not fitted yet" not in again


def test_without_javascript_the_page_itself_fits_every_law(client, trained):
    window = {"first": "7000", "last": "39000"}
    assert "?first=7000&amp;last=39000&amp;breaks=true" in page(client, **window)
    assert "not fitted yet" not in page(client, **window, breaks="true")


def test_every_twin_that_states_the_laws_states_them_all(client, trained):
    window = {"first": "8000", "last": "38000"}
    assert len(twin(client, **window)["over_steps"]["laws"]) == 5
    assert "two breaks" in page(client, "/runs/synthetic/scaling.svg", figure="steps", first="9000", last="37000")


@pytest.mark.parametrize(
    ("alphas", "words"),
    [([0.1], "falls as a power with exponent 0.100"), ([-0.1], "does not fall"), ([-0.2, -0.1], "−0.200 to −0.100")],
)
def test_the_title_of_the_networks_is_true_of_any_run(alphas, words):
    laws = [
        NetworkLaw(
            f"net-{i}",
            10 ** (i + 4),
            points,
            Window(1, 100),
            fit_power_law([1, 10, 100], [p.mean_nats for p in points]),
        )
        for i, alpha in enumerate(alphas)
        for points in [tuple(Point(x, x**-alpha, "") for x in (1.0, 10.0, 100.0))]
    ]
    title = networks_chart(laws, number=3, unit="nats")["title"]
    assert words in title
    assert "steeper" not in title


@pytest.mark.parametrize(
    ("alphas", "title"),
    [
        ([0.3], "The one cluster falls more steeply than the mean of all tokens"),
        ([0.1], "The one cluster does not fall more steeply than the mean of all tokens"),
        ([0.1, 0.3], "1 of 2 clusters falls more steeply than the mean of all tokens"),
    ],
)
def test_the_title_of_the_clusters_counts_in_grammar(alphas, title):
    values, labels = np.array(alphas), list(range(len(alphas)))
    laws = ClusterLaws("signed", len(alphas), labels, [5] * len(alphas), values, values, values, values)
    whole = fit_power_law([1, 10, 100], [1, 10**-0.2, 100**-0.2])
    chart = clusters_chart(laws, whole, number=7, lm="net")
    assert chart is not None
    assert chart["title"] == title


@pytest.mark.parametrize(
    ("low", "high", "title"),
    [
        (0.5, 0.01, "Low losses fall 50 times as steeply as high ones"),
        (0.3, 0.1, "Low losses fall 3.0 times as steeply as high ones"),
        (0.1, 0.095, "Low losses fall about as steeply as high ones"),
        (0.1, 0.4, "Low losses fall less steeply than high ones"),
        (0.1, -0.1, "Low losses fall, high ones do not"),
        (-0.1, -0.2, "Neither low nor high losses fall"),
    ],
)
def test_the_title_of_the_quantiles_is_true_of_any_run(low, high, title):
    laws = [
        QuantileLaw(share, tuple(Point(x, x**-alpha, "") for x in (1.0, 10.0)), fit_power_law([1, 10], [1, 10**-alpha]))
        for share, alpha in (("0.05", low), ("0.95", high))
    ]
    assert quantiles_chart(laws, number=6, unit="nats")["title"] == title


def test_marks_that_would_lie_on_one_another_are_left_out():
    points = [Point(float(x), 1.0, "") for x in range(1000, 144_000, 1000)]
    shown = spread(points, np.log(143) / 60)
    assert shown[-1] is points[-1]
    assert min(np.diff(np.log([point.x for point in shown]))) >= np.log(143) / 60
    assert spread(points[:3], 0.01) == points[:3]


def test_kept_laws_come_back_as_they_were():
    x = np.geomspace(1, 1e4, 16)
    found = compare_laws(x, 1 + 3 * x**-0.4)
    back = unpacked(packed(found))
    assert back.n_held_out == found.n_held_out
    for one, other in zip(back.trials, found.trials, strict=True):
        assert one.law == other.law
        assert one.rms == other.rms
        assert one.intervals.keys() == other.intervals.keys()


def test_a_window_of_one_step_is_that_step():
    assert default_steps([0, 500]) == Window(500, 500)


def test_every_mean_is_in_the_csv(client, run):
    rows = list(csv.reader(io.StringIO(page(client, "/runs/synthetic/scaling.csv"))))
    assert rows[0] == ["over", "network", "x", "mean loss, nats"]
    assert [row[1] for row in rows if row[0] == "parameters"] == [lm for lm, _ in NETWORKS]
    assert sum(row[0] == "steps" for row in rows) == 3


def test_the_page_takes_few_reads_whatever_the_k(client, run):
    page(client)
    counted = []
    for k in KS:
        with CaptureQueriesContext(connection) as reads:
            page(client, k=str(k))
        counted.append(len(reads))
    assert counted[0] == counted[1] <= 15

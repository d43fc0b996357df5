"""The figures of sparse parity: values worked out by hand, and titles that are true whatever the data say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clusters.charts.chart import SIZES
from clusters.charts.draw import draw
from clusters.charts.parity_curves import fall_factor, named_ranks, spread_logs, sum_title, tasks_title
from clusters.charts.parity_exponents import exponents_chart, exponents_title
from clusters.charts.parity_heat import (
    chosen_columns,
    column_edges,
    heat_chart,
    heat_title,
    row_edges,
    row_means,
    shade_indices,
)
from clusters.charts.parity_laws import Theory, finite_curve, law_chart, law_title
from clusters.charts.parity_learned import convergence_chart, convergence_title, learned_chart, learned_title
from clusters.charts.parity_samples import grokking_chart, grokking_title, overfit_chart, overfit_title, stopping_title
from clusters.queries import parity as queries
from clusters.values.parity import LN2, Law, Measured, Network, Point, Window, network_name
from compute.numerics.parity_measures import growth_law
from compute.numerics.scaling import fit_power_law
from compute.numerics.theory import expected_loss

THEORY = Theory(0.4, 500)


def points(pairs) -> tuple[Point, ...]:
    return tuple(Point(float(x), float(y), f"{x}") for x, y in pairs)


def measured(pairs, *, law: Law, resource="N") -> Measured:
    known = points(pairs)
    fit = fit_power_law([one.x for one in known], [one.y for one in known])
    return Measured(resource, known, Window(known[0].x, known[-1].x), law, fit)


def network(**changes) -> Network:
    values = {
        "index": 0, "alpha": 0.4, "width": 8, "n_parameters": 100, "n_samples": 1000, "seed": 0, "test_loss_nats": 0.5,
        "best_test_loss_nats": 0.4, "best_step": 100, "n_learned": 2, "diverged_at": None,
    }  # fmt: skip
    return Network(**values | changes)


def series(chart, name):
    return next(one for one in chart["series"] if one["name"] == name)


# ── curves ──


def test_a_fall_is_measured_from_nine_tenths_of_a_bit_to_one_tenth():
    steps = np.array([0, 10, 20, 40, 80])
    losses = np.array([[LN2, LN2], [0.8 * LN2, LN2], [0.5 * LN2, LN2], [0.05 * LN2, 0.85 * LN2], [0.0, 0.5 * LN2]])
    assert fall_factor(steps, losses) == 4.0  # the first task, from step 10 to 40; the second never ends
    assert fall_factor(steps, losses[:, 1:]) is None


def test_curves_reach_a_little_beyond_the_learned_tasks():
    drawn, named = named_ranks(10, 500)
    assert (drawn[0], drawn[-1]) == (1, 18)
    assert set(named) <= set(drawn)
    assert named[0] == 1
    assert named_ranks(0, 4)[0] == [1, 2, 3, 4]
    assert named_ranks(3, 1) == ([1], [1])


def test_few_steps_are_all_kept_and_many_keep_their_ends():
    few, many = np.array([0, 1, 5]), np.arange(0, 100_001, 100)
    assert spread_logs(few).tolist() == [0, 1, 2]
    kept = spread_logs(many)
    assert (kept[0], kept[-1], len(kept) <= 90) == (0, 1000, True)
    assert (np.diff(kept) > 0).all()


@pytest.mark.parametrize(
    ("n", "n_tasks", "rho", "title"),
    [
        (0, 40, None, "No task is learned within 500 steps"),
        (1, 40, None, "1 of 40 tasks is learned"),
        (9, 40, 0.95, "9 of 40 tasks are learned, frequent ones first"),
        (9, 40, 0.5, "9 of 40 tasks are learned"),
        (9, 40, -1.0, "9 of 40 tasks are learned"),
        (40, 40, 1.0, "All 40 tasks are learned, frequent ones first"),
        (1, 1, None, "The only task is learned"),
    ],
)
def test_the_title_of_curves(n, n_tasks, rho, title):
    assert tasks_title(n, n_tasks, np.array([0, 500]), rho) == title


def test_the_title_of_a_sum_that_does_not_fall():
    law = Law(0.4)
    assert (
        sum_title(measured([(1, 0.5), (10, 0.6)], law=law))
        == "The loss over all data does not fall over the fitted steps"
    )
    assert (
        sum_title(measured([(1, 0.5), (10, 0.05)], law=law))
        == "Their weighted sum falls about as steps to the power −1.00"
    )
    assert sum_title(Measured("S", (), None, law, None)) == "The loss over all data"


# ── laws ──


@pytest.mark.parametrize(
    ("law", "title"),
    [
        (Law(0.4, exponent=0.38, low=0.3, high=0.45, theory=0.4), "Exponent 0.38 agrees with the theory’s 0.40"),
        (Law(0.4, exponent=0.5, low=0.45, high=0.55, theory=0.4), "Exponent 0.50, above the theory’s 0.40"),
        (Law(0.8, exponent=0.6, low=0.55, high=0.65, theory=0.8), "Exponent 0.60, below the theory’s 0.80"),
        (Law(0.4, exponent=0.5, theory=0.4), "Exponent 0.50; the theory says 0.40"),
        (Law(0.4, exponent=-0.1, low=-0.2, high=0.0, theory=0.4), "The loss does not fall with parameters"),
        (Law(0.4, theory=0.4, reason="too few"), "No power law over parameters"),
    ],
)
def test_the_title_of_a_law(law, title):
    assert law_title(measured([(1, 0.5), (10, 0.1)], law=law)) == title


def test_the_finite_theory_goes_through_points_that_it_made():
    n = np.array([1.0, 3, 10, 30, 100])
    losses = expected_loss(n, 0.4, 500, 0.0, LN2)
    for resource, xs in (("N", 7 * n), ("S", 50 * n**1.4), ("D", 3 * n**1.4)):
        found = finite_curve(points(zip(xs, losses, strict=True)), THEORY, resource, xs)
        assert found == pytest.approx(losses, rel=0.01)


def test_the_infinite_theory_s_line_has_its_slope():
    for resource, slope in (("N", -0.4), ("S", -0.4 / 1.4)):
        pairs = [(10.0, 0.5), (1000.0, 0.1)]
        chart = law_chart(
            measured(pairs, law=Law(0.4, exponent=0.35), resource=resource), THEORY, unit="nats", number=1
        )
        (x0, y0), (x1, y1) = series(chart, "theory")["points"][0], series(chart, "theory")["points"][-1]
        assert math.log(y1 / y0) / math.log(x1 / x0) == pytest.approx(slope)


def test_the_fitted_line_stays_within_the_axes():
    chart = law_chart(
        measured([(1, 0.65), (10, 0.6), (100, 0.1)], law=Law(0.4, exponent=0.4)), THEORY, unit="bits", number=1
    )
    ys = [y for _, y in series(chart, "fit")["points"]]
    assert chart["y"]["lo"] < min(ys) < max(ys) < chart["y"]["hi"]
    assert chart["table"]["rows"][0][:3] == [1.0, pytest.approx(0.65 / LN2), True]


# ── learned ──


def test_learned_tasks_are_drawn_with_the_theory_s_power():
    pairs = points([(1e3, 0), (1e4, 2), (1e5, 8), (1e6, 40)])
    chart = learned_chart("D", pairs, THEORY, None, number=1)
    (x0, y0), (x1, y1) = series(chart, "theory")["points"]
    assert math.log(y1 / y0) / math.log(x1 / x0) == pytest.approx(1 / 1.4)
    assert "1 networks with no" not in chart["reading"]
    assert "One network with no learned task" in chart["reading"]
    assert len(chart["table"]["rows"]) == 4


def test_the_title_of_learned_tasks():
    grows, flat = points([(1, 1), (10, 10)]), points([(1, 5), (10, 5)])
    assert (
        learned_title("N", grows, growth_law([1, 10], [1, 10]), THEORY)
        == "Tasks learned grow as N to the power 1.00; theory 1.00"
    )
    assert learned_title("N", flat, growth_law([1, 10], [5, 5]), THEORY) == "5 of 500 tasks are learned at most"
    assert learned_title("N", points([(1, 0)]), None, THEORY) == "No task is learned"


def test_convergence_is_fitted_over_learned_tasks_alone():
    p = np.array([0.4, 0.2, 0.1, 0.05])
    chart = convergence_chart(p, np.array([100, 200, 400, -1]), name="width 8", number=1)
    assert chart["title"] == "Steps of learning go as frequency to the power −1.00; theory −1"
    assert [row[0] for row in chart["table"]["rows"]] == [1, 2, 3]
    assert convergence_title(0.2, 5) == "Rarer tasks are not learned later"
    assert convergence_title(-1.0, 2) == "2 learned tasks are too few for a slope"
    assert convergence_title(None, 1) == "1 learned task is too few for a slope"


# ── the map of tasks ──


def test_few_tasks_have_a_row_each_and_many_share_rows_further_down():
    assert row_edges(3) == [0, 1, 2, 3]
    edges = row_edges(500)
    assert (edges[0], edges[1], edges[-1]) == (0, 1, 500)
    assert len(edges) <= 73
    assert (np.diff(edges) > 0).all()
    assert np.diff(edges)[-1] > 10


def test_rows_are_means_over_what_is_known():
    losses = np.array([[1.0, 3.0, np.nan], [2.0, np.nan, np.nan]])
    assert row_means(losses, [0, 2, 3])[:, 0].tolist() == [2.0, 2.0]
    assert np.isnan(row_means(losses, [0, 2, 3])[:, 1]).all()


def test_shades_run_from_learned_to_a_guess_and_beyond():
    means = np.array([[0.0, 0.49 * LN2, LN2, 1.3 * LN2, np.nan]])
    assert shade_indices(means).tolist() == [[0, 3, 7, 8, -1]]


def test_columns_meet_halfway_in_the_logarithm():
    assert column_edges(np.array([10.0, 1000.0])) == pytest.approx([1, 100, 10_000])
    assert len(chosen_columns(np.arange(1, 1000))) <= 64
    assert chosen_columns(np.array([1, 2, 3])).tolist() == [0, 1, 2]


def test_the_boundary_runs_under_the_learned_tasks_and_rank_one_is_on_top():
    losses = np.array([[0.01, LN2, LN2], [0.01, 0.02, LN2]])
    chart = heat_chart("N", np.array([10.0, 1000.0]), losses, THEORY, unit="nats", number=1)
    assert [y for _, y in series(chart, "tasks learned")["points"]] == [1.5, 1.5, 2.5, 2.5]
    assert chart["y"]["lo"] > chart["y"]["hi"]
    cells = series(chart, "loss")["points"]
    assert {cell[4] for cell in cells} == {"h7", "h0"}
    assert sum(cell[4] == "h7" for cell in cells) == 2  # rank 1 is one cell over both columns
    drawing = draw(chart, SIZES["wide"][0])
    assert all(0 <= mark["x"] <= drawing.width for mark in drawing.marks if mark["tag"] == "text")


@pytest.mark.parametrize(
    ("learned", "title"),
    [
        ([0, 0], "No task of 9 is learned with any number of parameters"),
        ([1, 4], "With more parameters more tasks are learned: from 1 to 4 of 9"),
        ([4, 4], "With more parameters no more tasks are learned: 4 of 9 at both ends"),
        ([4, 1], "With more parameters fewer tasks are learned: from 4 to 1 of 9"),
    ],
)
def test_the_title_of_the_map(learned, title):
    assert heat_title("N", np.array(learned), 9) == title


# ── exponents ──


def law(alpha, exponent, spread=0.01, finite=None):
    return Law(alpha, exponent=exponent, low=exponent - spread, high=exponent + spread, finite_k=finite)


def test_exponents_say_on_which_side_of_the_theory_both_ends_lie():
    assert exponents_title("N", [law(0.1, 0.23), law(0.8, 0.61)]) == (
        "Over parameters: above the theory at the smallest α, below it at the largest"
    )
    assert exponents_title("N", [law(0.1, 0.1), law(0.8, 0.8)]) == (
        "Over parameters: in agreement with the theory at the smallest and the largest α"
    )
    assert exponents_title("S", [law(0.1, 0.5), law(0.8, 0.6)]).endswith(
        "above the theory at the smallest and the largest α"
    )


def test_the_paper_s_values_are_drawn_where_they_are_asked_for():
    laws = [law(0.2, 0.3, finite=0.31), law(0.4, 0.4, finite=0.44)]
    chart = exponents_chart("N", laws, with_paper=True, number=1)
    assert len(series(chart, "paper")["points"]) == 8
    assert chart["table"]["rows"][1] == [0.4, 0.4, pytest.approx(0.39), pytest.approx(0.41), 0.4, 0.44, 0.3781]
    assert "text says the reverse" in chart["reading"]
    assert "paper" not in {one["name"] for one in exponents_chart("N", laws, with_paper=False, number=1)["series"]}


# ── samples ──


def test_the_gap_is_that_of_tasks_which_were_fitted_and_generalised():
    train, test = np.array([10, 20, 10, -1]), np.array([30, 60, -1, 5])
    chart = grokking_chart(train, test, name="x", number=1)
    assert [row[3] for row in chart["table"]["rows"]] == [3.0, 3.0]
    assert "1 more was fitted and never generalised" in chart["reading"]
    assert grokking_chart(np.array([-1]), np.array([5]), name="x", number=1) is None


def test_the_title_of_the_gap():
    assert grokking_title(3.0, 5) == "Tasks generalise 3.0 times as late as they are fitted"
    assert grokking_title(1.0, 5) == "Tasks generalise when they are fitted, without delay"
    assert grokking_title(0.5, 5) == "Tasks generalise before their samples are fitted"
    assert grokking_title(3.0, 1) == "1 task was fitted and generalised: too few to compare"


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "Test loss is lowest at step 100 of 500, then it rises"),
        (
            {"test_loss_nats": 0.4, "best_step": 500},
            "Test loss is still lowest at the end: nothing is gained by stopping early",
        ),
        (
            {"test_loss_nats": 0.405},
            "Test loss is hardly above its lowest at the end: nothing is gained by stopping early",
        ),
        ({"best_step": 0}, "Test loss is lowest before the first step: nothing is learned that holds for fresh data"),
        ({"diverged_at": 40}, "Training diverged at step 40"),
        ({"test_loss_nats": None}, "Test loss over training"),
    ],
)
def test_the_title_of_stopping(changes, title):
    assert stopping_title(network(**changes), np.array([0, 100, 500])) == title


def test_the_title_of_overfitting():
    small, large = network(test_loss_nats=1.2, n_samples=1000), network(test_loss_nats=0.3, n_samples=9000)
    assert overfit_title([small, large]) == "Up to 1 k samples networks end worse than a guess"
    assert overfit_title([large]) == "No network ends worse than a guess"
    assert overfit_title([small]) == "Every network ends worse than a guess"
    odd = network(test_loss_nats=1.2, n_samples=10_000)
    assert overfit_title([large, odd]) == "1 of 2 networks ends worse than a guess"
    rows = overfit_chart([large, small], unit="bits", number=1)["table"]["rows"]
    assert [row[0] for row in rows] == [1000, 9000]
    assert rows[0][5] == pytest.approx(1.2 / LN2)


def test_a_network_is_named_by_what_tells_it_from_the_others():
    online, finite = network(n_samples=None), network(seed=1)
    assert network_name(online, [online]) == "width 8"
    assert network_name(online, [online, finite]) == "width 8, new batches, seed 0"
    assert network_name(finite, [finite]) == "width 8, 1,000 samples"


def test_the_line_of_an_experiment_s_own_steep_law_goes_through_its_points():
    points = [Point(52_002.0, 0.3, "a"), Point(52_015.0, 0.2, "b")]
    steep = math.log(1.5) / math.log(52_015 / 52_002)
    line = queries._through(Law(0.4, exponent=steep, n_points=2), points)
    assert line.predict([one.x for one in points]) == pytest.approx([0.3, 0.2])

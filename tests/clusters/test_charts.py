"""Charts: geometry that one can check by hand, and payloads that no browser chokes on."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from django.template import Context, Template
from hypothesis import example, given
from hypothesis import strategies as st

from clusters.charts import numbers
from clusters.charts.chart import category_axis, curve_chart, linear_axis, log_axis, make_chart, make_series, sparkline
from clusters.charts.draw import draw
from clusters.charts.geometry import (
    Box,
    Scale,
    closed_path,
    line_path,
    linear_ticks,
    log_ticks,
    place_labels,
    rect_path,
    step_path,
    thin,
    tick_text,
)
from clusters.charts.overview import density_chart, distribution_chart, scaling_chart
from clusters.charts.rank_choices import other_choices
from clusters.charts.rank_frequency import Reference, corners, rank_frequency_chart, shade_of
from clusters.charts.standalone import standalone_svg
from clusters.values.facts import LOSS_EDGES, FinalCheckpoint, RankCurves, Sizes


def final(lm: str, size: int, loss: float, *, histogram=(), below=0.1, clustered=False) -> FinalCheckpoint:
    return FinalCheckpoint(lm, "step9", size, loss, below, f"losses/{lm}/step9", clustered, tuple(histogram))


def power_law(alpha: float = 0.5) -> list[FinalCheckpoint]:
    return [final(f"lm{n}", n, 8.0 * n**-alpha) for n in (100, 1_000, 10_000)]


def drawn(chart, size=(410, 284)):
    return draw(chart, size).marks


def test_a_linear_scale_takes_the_middle_to_the_middle():
    assert Scale("linear", 0, 10, 100, 200)(5) == 150


def test_a_log_scale_gives_every_decade_the_same_room():
    scale = Scale("log", 1, 100, 0, 200)
    assert [round(scale(v), 9) for v in (1, 10, 100)] == [0, 100, 200]


def test_a_scale_may_run_upwards():
    assert Scale("linear", 0, 4, 240, 40)(1) == 190


def test_a_log_axis_keeps_a_place_for_step_zero_before_its_break():
    scale = Scale("log", 1, 100, 30, 230, has_zero=True)
    assert scale(0) == 30
    assert scale(1) == 58


def test_a_scale_of_one_value_puts_it_in_the_middle():
    assert Scale("linear", 3, 3, 0, 10)(3) == 5


@pytest.mark.parametrize(
    ("lo", "hi", "ticks"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-1, 1, [-1, -0.5, 0, 0.5, 1])],
)
def test_linear_ticks_are_round_numbers(lo, hi, ticks):
    assert linear_ticks(lo, hi, 5) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("lo", "hi", "ticks"),
    [
        (1, 10, [1, 2, 3, 5, 10]),
        (1, 1000, [1, 10, 100, 1000]),
        (1e4, 3e6, [1e4, 3e4, 1e5, 3e5, 1e6, 3e6]),
        (2, 6, [2, 3, 4, 5]),
    ],
)
def test_log_ticks_are_as_dense_as_there_is_room(lo, hi, ticks):
    assert log_ticks(lo, hi, 6) == pytest.approx(ticks)


def test_log_ticks_over_many_decades_skip_powers():
    assert len(log_ticks(1e-12, 1e12, 6)) <= 6


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (-1.5, "−1.5"),
        (1000, "1,000"),
        (30_000, "30 k"),
        (3e6, "3 M"),
        (1e-4, "10⁻⁴"),
        (1e12, "1 T"),
        (1.5e-4, "1.5·10⁻⁴"),
        (2e15, "2·10¹⁵"),
    ],
)
def test_ticks_read_like_numbers_in_print(value, text):
    assert tick_text(value) == text


def test_paths_are_what_the_points_say():
    assert line_path([(0, 1), (2, 3.25)]) == "M0 1L2 3.2"
    assert step_path([(0, 1), (2, 3)]) == "M0 1H2V3"
    assert rect_path([(1, 2, 3, 4)]) == "M1 2h3v4h-3z"
    assert closed_path([(0, 0), (1, 0)], [(0, 2), (1, 2)]) == "M0 0L1 0L1 2L0 2Z"


def test_points_that_fall_on_the_one_before_are_left_out_but_never_the_last():
    assert thin([(0, 0), (0.1, 0), (0.2, 0.1), (5, 5), (5.1, 5)]) == [(0, 0), (5, 5), (5.1, 5)]


def test_labels_that_want_the_same_place_do_not_overlap():
    frame = Box(0, 0, 400, 300)
    placed = place_labels([("envelope", (200, 100), ""), ("k = 10", (200, 100), ""), ("fit", (201, 101), "")], frame)
    pairs = [(a, b) for i, a in enumerate(placed) for b in placed[i + 1 :]]
    assert all(a.box.overlap(b.box) == 0 for a, b in pairs)


def test_a_label_at_the_right_edge_turns_back_into_the_frame():
    (placed,) = place_labels([("a long label", (395, 100), "")], Box(0, 0, 400, 300))
    assert placed.anchor == "e"
    assert placed.box.right <= 400


def test_a_label_may_be_fixed_at_its_place():
    (placed,) = place_labels([("here", (50, 60), "m")], Box(0, 0, 400, 300))
    assert (placed.x, placed.y, placed.anchor) == (50, 64, "m")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_no_payload_holds_what_is_no_number(bad):
    chart = make_chart(
        slug="s", number=1, title="t", x=log_axis([1, 10], "x"), y=linear_axis([0, bad or 0, 1], "y"),
        series=[make_series("line", [[1, 0.5], [2, bad], [3, 1.0]])], table={"head": ["a"], "rows": [[bad], [1.0]]},
    )  # fmt: skip
    text = json.dumps(chart, allow_nan=False, default=list)
    assert "NaN" not in text
    assert len(chart["series"][0]["points"]) == 2
    assert chart["table"]["rows"][0] == [None]


def test_an_axis_without_values_is_still_an_axis():
    axis = log_axis([], "x")
    assert axis["lo"] < axis["hi"]


NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4)


@given(values=NUMBERS, from_zero=st.booleans(), n=st.integers(2, 8))
@example(values=[1e-12], from_zero=True, n=4)
@example(values=[3e-20, 1.2e-20], from_zero=True, n=4)
@example(values=[1e20], from_zero=False, n=5)
@example(values=[1.0, 1 + 2e-16], from_zero=False, n=5)
@example(values=[-1e308, 1e308], from_zero=False, n=5)
def test_any_numbers_have_axes_with_ticks_that_can_be_drawn(values, from_zero, n):
    axes = [linear_axis(values, "y", from_zero=from_zero, n=n), log_axis([abs(v) for v in values], "x", n=n)]
    for axis in axes:
        ticks = [value for value, _ in axis["ticks"]]
        assert axis["lo"] < axis["hi"]
        assert ticks
        assert all(a < b for a, b in pairwise(ticks))
        assert all(map(math.isfinite, (*ticks, axis["lo"], axis["hi"])))
    points = [[abs(v), v] for v in values]
    drawn(make_chart(slug="s", number=1, title="t", x=axes[1], y=axes[0], series=[make_series("line", points)]))


@pytest.mark.parametrize("top", [1e-12, 1e-20, 1e-30, 1e30])
def test_ticks_of_tiny_and_huge_values_are_round_too(top):
    assert linear_ticks(0, top, 5) == pytest.approx([top * share for share in (0, 0.2, 0.4, 0.6, 0.8, 1)], rel=1e-9)


def test_a_curve_over_steps_breaks_its_axis_for_step_zero():
    curve = {"points": [[0, 5.0], [16, 4.0], [256, 3.0]], "css": "mean"}
    chart = curve_chart([curve], over="steps", slug="s", number=1, title="t")
    assert chart["x"]["with_zero"]
    paths = [m for m in drawn(chart) if m["tag"] == "path" and m["css"] == "mean"]
    assert paths[0]["d"].count("L") == 1  # nothing joins step 0 to the rest


def test_a_curve_in_bits_is_the_curve_in_nats_over_ln_2():
    chart = curve_chart([{"points": [[10, math.log(2)], [100, 0.0]]}], over="parameters", slug="s", number=1, title="t",
                        unit="bits")  # fmt: skip
    assert chart["series"][0]["points"][0][1] == pytest.approx(1.0)
    assert chart["y"]["label"] == "loss, bits"


def test_a_sparkline_skips_what_is_missing():
    assert sparkline([3.0, None, 1.0], width=104, height=56)["path"].count("L") == 1


def test_corners_draw_the_same_line_with_fewer_points():
    assert corners([9, 4, 4, 4, 4, 1]) == [[1, 9], [2, 4], [5, 4], [6, 1]]


def test_shades_run_from_dark_to_light_over_the_ks_shown():
    assert [shade_of(k, [10, 50, 100]) for k in (10, 50, 100)] == ["v0", "v4", "v7"]


def test_the_power_law_of_exact_losses_is_found_and_said():
    chart = scaling_chart(power_law(0.5), number=1)
    assert chart["title"] == "Ten times the parameters, 68% less loss"
    assert chart["reading"].startswith("Exponent 0.500")


def test_losses_that_rise_with_size_are_not_called_falling():
    chart = scaling_chart([final("a", 10, 2.0), final("b", 100, 2.5), final("c", 1000, 1.0)], number=1)
    assert chart["title"] == "Mean loss does not fall at one of two steps of size"


def test_two_networks_give_an_exponent_without_an_interval():
    assert "no interval" in scaling_chart(power_law()[:2], number=1)["reading"]


def test_one_network_gives_no_curve_over_size():
    assert scaling_chart(power_law()[:1], number=1) is None


def test_shares_of_a_histogram_are_of_all_its_predictions():
    counts = [2, *[0] * 50, 1, 1, 4][: len(LOSS_EDGES) - 1]
    chart = distribution_chart([final("a", 10, 2.0, histogram=counts)], 0.1, number=2)
    assert [y for _, y in chart["series"][0]["points"]][-3:] == [0.125, 0.125, 0.5]


def test_without_histograms_there_is_no_distribution():
    assert distribution_chart(power_law(), 0.1, number=2) is None


def test_classes_of_curves_are_counted_with_their_shares():
    density = {"counts": [[0, 3], [1, 0]], "monogenicity": [-1, 1], "n_eff": [1, 6],
               "classes": {"flat": 5, "monogenic": 10, "polygenic": 30, "mixed": 5}}  # fmt: skip
    chart = density_chart(density, 7, number=4)
    assert chart["title"] == "3.0 times as many losses fall gradually as in one step"
    assert {"monogenic 20%", "polygenic 60%"} <= {s["label"] for s in chart["series"]}


def test_unscored_curves_give_no_density():
    assert density_chart({}, 2, number=4) is None


def power_curves(slope: float = -1.5, n: int = 60) -> RankCurves:
    sizes = [round(1e6 * rank**slope) for rank in range(1, n + 1)]
    return RankCurves("signed", [Sizes(10, sizes[:10], 0), Sizes(n, sizes, 0)])


def test_the_fit_of_a_power_law_is_its_slope():
    assert power_curves(-1.5).fit(5, 50).slope == pytest.approx(-1.5, abs=1e-3)


def test_a_title_compares_the_slope_with_the_theory_s():
    curves = power_curves(-1.5)
    fit = curves.fit(5, 50)
    assert (
        "steeper than the theory’s −1.10" in rank_frequency_chart(curves, [], fit, [Reference(-1.1, "theory")])["title"]
    )
    assert "close to the theory’s −1.48" in rank_frequency_chart(curves, [], fit, [Reference(-1.48, "theory")])["title"]
    assert "ranks 5–50 is −1.50" in rank_frequency_chart(curves, [], fit, [])["title"]


def test_windows_that_no_slope_can_be_fitted_to_are_left_out():
    curves = RankCurves("signed", [Sizes(4, [9, 5, 3, 2], 0)])
    assert all(choice.last_rank - choice.first_rank >= 2 for choice in other_choices({"signed": curves}, 1, 4))


def test_rows_of_a_category_axis_run_downwards():
    axis = category_axis(["first", "second"])
    scale = Scale(axis["scale"], axis["lo"], axis["hi"], 200, 0)
    assert scale(0) < scale(1)


def test_every_chart_has_a_name_a_description_and_a_table():
    html = Template("{% load charts %}{% chart c %}").render(Context({"c": scaling_chart(power_law(), number=1)}))
    assert 'role="img"' in html
    assert "<title" in html
    assert "<desc" in html
    assert "<summary>Table</summary>" in html
    assert "style=" not in html


def test_text_in_a_chart_is_escaped():
    chart = make_chart(
        slug="s", number=1, title="<script>x</script>", x=linear_axis([0, 1], "<b>"), y=linear_axis([0], ""),
        series=[make_series("points", [[0, 0, "<i>"]], label="<u>")],
    )  # fmt: skip
    html = Template("{% load charts %}{% chart c %}").render(Context({"c": chart}))
    for tag in ("<script>", "<b>", "<i>", "<u>"):
        assert tag not in html.replace("<i>Fig. 1</i>", "")


def test_the_file_of_a_chart_stands_alone():
    svg = standalone_svg(scaling_chart(power_law(), number=1))
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert b"class=" not in svg
    assert b"var(" not in svg


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0004, "under 0.1%"), (0.004, "0.4%"), (0.333, "33%"), (1.0, "100%"), (0.0, "0%")],
)
def test_shares_are_rounded_to_what_they_mean(value, text):
    assert numbers.percent(value) == text


@pytest.mark.parametrize(("value", "text"), [(9872, "9.87 k"), (793_344, "793 k"), (3_159_040, "3.16 M"), (12, "12")])
def test_sizes_of_networks_read_short(value, text):
    assert numbers.compact(value) == text


def test_a_negative_nothing_has_no_sign():
    assert numbers.fixed(-0.001, 2) == "0.00"

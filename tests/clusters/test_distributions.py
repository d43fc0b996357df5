"""Densities and what is read off them, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clusters.charts.losses import Look, density_by_size, integrand_by_size, mean_by_size
from clusters.charts.losses_by_step import integrand_by_step, spread_steps
from clusters.values.distributions import FINE_EDGES, Binning, Distribution, Histogram, Learned, even_places, log_places

LN2 = math.log(2)


def distribution(counts, edges, *, n=None, lm="net-1k", size=1000, step=9, mean=1.0, below=0.1) -> Distribution:
    return Distribution(
        lm, f"step{step}", step, size, True, False, mean, below, n_predictions=n or sum(counts),
        binning=Binning.plain(np.array(edges, float)), row=np.array(counts),
    )  # fmt: skip


HAND = distribution([2, 1, 1], [0, 1, 2, 4], n=5)


def test_a_density_is_normalised_over_what_lies_within_the_bins():
    assert HAND.by_size.density.tolist() == [0.5, 0.25, 0.125]
    assert float(HAND.by_size.density @ HAND.by_size.bins.widths) == 1
    assert (HAND.by_size.n_inside, HAND.n_outside) == (4, 1)
    assert HAND.first_share == 0.5


def test_the_integrand_s_area_is_the_mean_of_the_middles():
    # middles .5, 1.5, 3 → area (2·.5 + 1.5 + 3) / 4
    found = HAND.integrand
    assert float(found.integrand @ found.bins.widths) == found.reached[-1] == pytest.approx(5.5 / 4)
    assert found.half_mass == 3.0  # 1 and 2.5 of 5.5 lie below
    assert found.mass_below(1.0) == pytest.approx(1 / 5.5)
    assert (found.mass_below(0.5), found.mass_below(9)) == pytest.approx((0.5 / 5.5, 1))


def test_merged_bins_keep_every_count():
    bins = HAND.by_size.bins.merged([0, 2])
    assert bins.middles.tolist() == [1.0, 3.0]
    assert Histogram(bins, HAND.row).density.tolist() == [3 / 4 / 2, 1 / 4 / 2]


def test_bins_are_merged_evenly_or_by_decades():
    assert even_places(10, 5) == [0, 2, 4, 6, 8]
    assert even_places(10, 3) == [0, 4, 8]
    edges = np.linspace(0, 1, 101)
    places = log_places(edges, decade=5)
    assert places[:4] == [0, 1, 2, 3]  # one bin each, where bins are wide in the logarithm
    per_decade = np.bincount(np.floor(np.log10(edges[places[1:]]) + 2 + 1e-9).astype(int))
    assert per_decade.tolist() == [5, 5]


def test_the_peak_is_the_middle_of_the_window_that_holds_most():
    counts = np.exp(-((np.arange(200) + 0.5 - 80) ** 2) / 50) * 1e6
    one = distribution(counts.astype(int), np.linspace(0, 20, 201))
    peak = one.integrand.peak
    assert peak.window == pytest.approx(0.4)
    assert peak.at == pytest.approx(8, abs=0.1)
    assert peak.low <= peak.at <= peak.high


def test_the_fewer_losses_are_counted_the_less_is_known_of_where_the_peak_is():
    edges, shape = np.linspace(0, 20, 201), np.exp(-((np.arange(200) + 0.5 - 80) ** 2) / 5000)
    rng = np.random.default_rng(0)
    spans = []
    for n in (1e3, 1e5, 1e7):
        peaks = [distribution(rng.poisson(n * shape / 100), edges).integrand.peak for _ in range(40)]
        inside = [peak.low - peak.window / 2 <= 10.4 <= peak.high + peak.window / 2 for peak in peaks]
        assert np.mean(inside) > 0.9
        spans.append(np.mean([peak.high - peak.low for peak in peaks]))
    assert spans[0] > 1.5 * spans[1] > 2 * spans[2]


def test_a_high_bin_by_chance_is_no_peak():
    counts = np.exp(-((np.arange(200) + 0.5 - 80) ** 2) / 5000) * 1e4
    counts[120] *= 1.15
    found = distribution(counts.astype(int), np.linspace(0, 20, 201)).integrand
    assert found.integrand.argmax() == 120
    assert found.peak.at == pytest.approx(10.4, abs=0.2)  # where L exp(−(L − 8)² / 50) is largest


def test_fine_bins_give_the_paper_s_three_kinds():
    rng = np.random.default_rng(0)
    losses = rng.gamma(1, 2.5, 20_000).astype(np.float32)
    row = np.append(np.histogram(losses, FINE_EDGES)[0], np.count_nonzero(losses > FINE_EDGES[-1])).astype(np.int32)
    one = Distribution("net", "s", 1, 9, True, False, 1.0, 0.1, n_predictions=len(losses), row=row,
                       binning=Binning.fine(FINE_EDGES))  # fmt: skip
    for found, n, bits in ((one.by_size, 1000, 18), (one.by_step, 3000, 18), (one.integrand, 3000, 30)):
        edges = np.linspace(0, bits, n + 1) * LN2
        assert np.allclose(found.bins.edges, edges, rtol=1e-14)
        assert found.counts.tolist() == np.histogram(losses, edges)[0].tolist()
    assert one.first_share == np.count_nonzero(losses < 0.018 * LN2) / np.count_nonzero(losses <= 18 * LN2)
    assert one.n_outside == np.count_nonzero(losses > 18 * LN2) > 0
    assert one.integrand.mass_below(0.1) == pytest.approx(losses[losses < 0.1].sum() / losses.sum(), rel=0.03)
    assert one.integrand.peak.window == pytest.approx(0.36 * LN2)


def test_counts_of_more_than_a_row_s_numbers_can_hold_are_summed_as_larger_ones():
    row = np.full(15_001, 2**30, np.int32)
    one = Distribution("net", "s", 1, 9, True, False, 1.0, 0.1, row=row, binning=Binning.fine(FINE_EDGES))
    assert one.by_size.n_inside == 9000 * 2**30
    assert set(one.integrand.counts) == {5 * 2**30}


def test_losses_beyond_the_integrand_s_bins_are_counted():
    row = np.zeros(15_001, np.int32)
    row[[0, 10_004]] = 5
    one = Distribution("net", "s", 1, 9, True, False, 1.0, 0.1, n_predictions=12, row=row,
                       binning=Binning.fine(FINE_EDGES))  # fmt: skip
    chart = integrand_by_size([one], Look("bits"), number=3)
    assert chart["x"]["hi"] == pytest.approx(30)
    assert "At most 2 of a network’s losses lie over 30" in chart["reading"]
    assert "older kind" not in chart["reading"]
    assert "older kind" in integrand_by_size([HAND], Look(), number=3)["reading"]


def test_the_paper_s_first_bin_is_a_share_of_in_range_predictions():
    # 1000 bins on [0, 18] bits: a density of 4.84 per bit in the first is a share of .087
    edges = np.linspace(0, 18, 1001) * LN2
    counts = np.full(1000, 913)
    counts[0] = 87_000
    one = distribution(counts, edges)
    assert one.by_size.density[0] * LN2 == pytest.approx(one.first_share / 0.018)


def test_bits_stretch_the_axis_and_the_density_alike():
    nats, bits = (density_by_size([HAND], Look(unit), number=2)["series"][0]["points"] for unit in ("nats", "bits"))
    for (x, p), (x_bits, p_bits) in zip(nats, bits, strict=True):
        assert (x_bits, p_bits) == pytest.approx((x / LN2, p * LN2))
    areas = [integrand_by_size([HAND], Look(u), number=3)["series"][0]["points"] for u in ("nats", "bits")]
    assert [y for _, y in areas[0]] == pytest.approx([y for _, y in areas[1]])


def test_titles_name_how_many_networks_have_their_density_near_zero():
    flat = distribution([1, 2, 1], [0, 1, 2, 3], lm="net-2k", size=2000)
    assert density_by_size([HAND, flat], Look(), number=2)["title"].startswith("For 1 of 2 networks")
    assert density_by_size([flat, flat], Look(), number=2)["title"].startswith("For no network")
    assert density_by_size([HAND], Look(), number=2)["title"] == "No loss is as common as one near zero"


def test_without_histograms_there_is_no_figure_but_the_mean():
    bare = [Distribution(f"net-{n}k", "s", 1, 1000 * n, True, False, 3.0 / n, 0.1) for n in (1, 2, 4)]
    assert density_by_size(bare, Look(), number=2) is None
    assert integrand_by_size(bare, Look(), number=3) is None
    assert "Exponent 1.000" in mean_by_size(bare, Look(), number=1)["reading"]


def test_a_logarithmic_axis_leaves_empty_bins_out():
    gap = distribution([4, 0, 4], [0, 1, 2, 3])
    points = density_by_size([gap], Look(is_log=True), number=2)["series"][0]["points"]
    assert [x for x, _ in points] == [0.5, 2.5]


def test_steps_are_spread_over_their_logarithm_ends_included():
    steps = [distribution([1], [0, 1], step=s) for s in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)]
    shown = [one.step for one in spread_steps(steps, 4)]
    assert shown[0] == 0
    assert shown[-1] == 256
    assert len(shown) == 4


def test_early_steps_that_tower_over_the_others_are_cut_and_named():
    edges = np.linspace(0, 10, 101)
    early = distribution([0] * 80 + [1000] + [0] * 19, edges, step=1, lm="net-1k")
    late = [distribution([100] * 100, edges, step=s) for s in (10, 100, 1000)]
    integrand = integrand_by_step([early, *late], 0, Look(), number=6)
    assert "One early step" in integrand["reading"]
    top = integrand["y"]["hi"]
    assert all(y <= top for series in integrand["series"] for _, y in series["points"])
    assert [series["name"] for series in integrand["series"]][:-1] == [one.name for one in late]


def test_nothing_learned_has_no_share():
    assert math.isnan(Learned("net-1k", 1000, 0, 0).share)

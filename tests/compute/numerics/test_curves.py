"""Scores of loss curves: published tokens, hand cases, invariances, synthetic classes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics.curves import (
    FLAT,
    MIXED,
    MONOGENIC,
    POLYGENIC,
    classify,
    curve_scores,
    paper_monogenic,
    paper_polygenic,
    plateau_monogenic,
)

NON_EMBEDDING = (18915328, 85056000, 302311424, 805736448, 1208602624, 2517652480, 6444163072)
LN_SCALE = np.log(NON_EMBEDDING)

# Figures 4 and 12, bits: curve; M, amplitude, split, n_eff, S1, R², slope (bits), linearity, breakthroughness
TOKENS = {
    "Sir(sa)": (
        [11.616, 12.540, 12.500, 11.297, 0.422, 0.223, 0.056],
        (0.968, 11.755, 4, 1.301, 0.871, 0.626, -2.479, 2.784, 18.679),
    ),
    "Marshall": (
        [10.547, 9.842, 9.873, 0.221, 0.072, 0.034, 0.211],
        (0.973, 9.953, 3, 1.187, 0.915, 0.762, -2.312, 2.66, 64.26),
    ),
    "V(TB)": (
        [9.524, 8.228, 7.774, 8.951, 8.703, 8.513, 0.117],
        (0.906, 8.498, 6, 1.546, 0.793, 0.358, -0.97, 2.681, 10.546),
    ),
    "inf(estation)": (
        [9.134, 7.681, 5.683, 4.366, 4.116, 3.219, 1.680],
        (-0.917, 4.595, 2, 5.018, 0.268, 0.995, -1.281, 5.487, 5.375),
    ),
    "normal": (
        [6.744, 5.545, 4.527, 3.648, 3.243, 2.774, 1.354],
        (-0.856, 2.851, 3, 5.145, 0.263, 0.989, -0.889, 5.556, 5.667),
    ),
    "consumer": (
        [9.252, 7.311, 6.309, 5.248, 5.180, 4.363, 3.965],
        (-0.800, 3.269, 2, 4.155, 0.367, 0.981, -0.909, 4.993, 5.783),
    ),
}
PUBLISHED = np.array([curve for curve, _ in TOKENS.values()])
PUBLISHED_NATS = PUBLISHED * math.log(2)


def test_the_published_curves_have_the_published_scores():
    found = curve_scores(PUBLISHED, LN_SCALE)
    names = ["monogenicity", "amplitude_bits", "split", "n_eff", "largest_step"]
    names += ["r_squared", "slope", "linearity", "breakthroughness"]
    tolerance = dict.fromkeys(names, 1e-3) | {"breakthroughness": 5e-3}
    for name, expected in zip(names, zip(*[scores for _, scores in TOKENS.values()], strict=True), strict=True):
        assert getattr(found, name) == pytest.approx(np.array(expected), abs=tolerance[name]), name


def test_the_published_curves_are_told_apart():
    classes = classify(curve_scores(PUBLISHED, LN_SCALE))
    assert classes.dtype == np.uint8
    assert classes.tolist() == [MONOGENIC] * 3 + [POLYGENIC] * 3


def test_the_published_polygenic_curves_pass_the_papers_criterion():
    in_nats = curve_scores(PUBLISHED_NATS, LN_SCALE)
    assert in_nats.slope[3:] == pytest.approx([-0.888, -0.616, -0.630], abs=5.1e-4)
    assert in_nats.r_squared[3:] == pytest.approx([0.9946, 0.9886, 0.9814], abs=5.1e-5)
    assert paper_polygenic(PUBLISHED_NATS, LN_SCALE).tolist() == [False] * 3 + [True] * 3


def test_the_published_monogenic_curves_pass_the_papers_criterion():
    # 0.422 bits, where Sir(sa) arrives, are 0.293 nats: just below the limit of 0.3
    assert paper_monogenic(PUBLISHED_NATS).tolist() == [4, 3, 6, 0, 0, 0]


def test_an_exact_step_by_hand():
    one = curve_scores([[9.0, 9, 9, 1, 1]], [0, 1, 2, 3, 4])
    # line: slope -2.4, residual 19.2 of 76.8 - 57.6; step: none
    assert one.monogenicity[0] == pytest.approx(19.2 / (19.2 + 5 * 0.0625), rel=1e-6)
    assert (one.split[0], one.amplitude_bits[0], one.n_eff[0], one.largest_step[0]) == (3, 8, 1, 1)
    assert one.linearity[0] == pytest.approx(math.sqrt(4))
    assert one.breakthroughness[0] == 100
    assert (one.slope[0], one.r_squared[0]) == pytest.approx((-2.4, 0.75))


def test_an_exact_line_by_hand():
    one = curve_scores([[8.0, 6, 4, 2]], [0, 1, 2, 3])
    # best step 2 | 2: residual 4
    assert one.monogenicity[0] == pytest.approx(-4 / 4.25)
    assert (one.split[0], one.amplitude_bits[0]) == (2, 4)
    assert (one.n_eff[0], one.linearity[0], one.breakthroughness[0]) == pytest.approx((3, 3, 3))
    assert one.r_squared[0] == pytest.approx(1)


def test_a_rising_curve_has_no_step():
    one = curve_scores([[1.0, 2, 3, 4]], [0, 1, 2, 3])
    assert (one.monogenicity[0], one.split[0], one.amplitude_bits[0]) == (-1, 0, 0)
    assert (one.n_eff[0], one.largest_step[0]) == (0, 0)
    assert (one.linearity[0], one.breakthroughness[0]) == pytest.approx((-3, -3))
    assert classify(one).tolist() == [FLAT]


def test_a_rising_step_caps_its_breakthroughness_below():
    assert curve_scores([[1.0, 1, 1, 4]], [0, 1, 2, 3]).breakthroughness[0] == -100


def test_a_constant_curve_is_flat_and_scores_nothing():
    one = curve_scores([[3.0] * 6], np.arange(6.0))
    assert classify(one).tolist() == [FLAT]
    assert (one.monogenicity[0], one.split[0], one.n_eff[0]) == (-1, 0, 0)
    assert (one.linearity[0], one.breakthroughness[0], one.slope[0], one.r_squared[0]) == (0, 0, 0, 0)


def test_what_is_neither_is_mixed_and_thresholds_can_be_chosen():
    scores = curve_scores([[9.0, 9, 5, 5, 1, 1]], np.arange(6.0))
    assert classify(scores).tolist() == [MIXED]
    assert classify(scores, monogenic_above=-1, monogenic_n_eff=2.5).tolist() == [MONOGENIC]
    assert classify(scores, min_amplitude_bits=20).tolist() == [FLAT]
    assert classify(scores, polygenic_below=1, polygenic_n_eff=1).tolist() == [POLYGENIC]


def random_curves(n: int = 300, m: int = 7, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 4, (n, m)) + np.sort(rng.uniform(0, 10, (n, m)), axis=1)[:, ::-1]


def scores_table(scores, *names: str) -> np.ndarray:
    return np.column_stack([getattr(scores, name) for name in names or scores.__dataclass_fields__])


def test_a_shifted_curve_keeps_its_scores():
    y = random_curves()
    one, other = curve_scores(y, LN_SCALE), curve_scores(y + 5, LN_SCALE)
    assert scores_table(one) == pytest.approx(scores_table(other), rel=1e-4, abs=1e-5)


def test_a_stretched_curve_keeps_its_shape_scores():
    y = random_curves()
    names = ("split", "n_eff", "largest_step", "linearity", "breakthroughness", "r_squared")
    one, other = curve_scores(y, LN_SCALE), curve_scores(3 * y, LN_SCALE)
    assert scores_table(one, *names) == pytest.approx(scores_table(other, *names), rel=1e-4, abs=1e-5)
    assert other.amplitude_bits == pytest.approx(3 * one.amplitude_bits, rel=1e-5)
    assert np.all(np.abs(other.monogenicity) >= np.abs(one.monogenicity) - 1e-6)


def test_the_unit_of_size_does_not_matter():
    y = random_curves()
    names = [name for name in curve_scores(y, LN_SCALE).__dataclass_fields__ if name != "slope"]
    one, other = curve_scores(y, LN_SCALE), curve_scores(y, 4 * LN_SCALE - 70)
    assert scores_table(one, *names) == pytest.approx(scores_table(other, *names), rel=1e-4, abs=1e-5)
    assert other.slope == pytest.approx(one.slope / 4, rel=1e-4, abs=1e-6)


def test_scores_stay_within_their_ranges():
    scores = curve_scores(random_curves(2000), LN_SCALE)
    assert -1 <= scores.monogenicity.min() <= scores.monogenicity.max() < 1
    falling = scores.n_eff > 0
    assert np.all((scores.n_eff[falling] >= 1 - 1e-6) & (scores.n_eff[falling] <= 6 + 1e-5))
    assert np.all((scores.split >= 0) & (scores.split <= 6))
    assert np.all(np.abs(scores.breakthroughness) <= 100)


def test_the_chunk_changes_nothing():
    y = random_curves(101)
    one, other = curve_scores(y, LN_SCALE, chunk=7), curve_scores(y, LN_SCALE)
    assert np.array_equal(scores_table(one), scores_table(other))


def test_float32_losses_score_like_float64_ones():
    y = random_curves()
    one, other = curve_scores(y.astype(np.float32), LN_SCALE), curve_scores(y, LN_SCALE)
    assert one.monogenicity == pytest.approx(other.monogenicity, abs=1e-5)
    assert one.monogenicity.dtype == np.float32


def test_no_curves_have_no_scores():
    scores = curve_scores(np.zeros((0, 7)), LN_SCALE)
    assert scores.split.shape == scores.monogenicity.shape == classify(scores).shape == (0,)


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a positive scores above a negative, ties counting half."""
    ordered = np.sort(negative)
    below, at_most = np.searchsorted(ordered, positive, "left"), np.searchsorted(ordered, positive, "right")
    return float(np.mean(below + at_most) / 2 / len(negative))


def synthetic(n: int, sigma: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One-step, linear and four-step (at four different sizes) curves at the seven sizes, with noise in bits."""
    m = len(LN_SCALE)
    at = np.arange(m)
    step = np.where(at >= rng.integers(1, m, (n, 1)), 0.0, rng.uniform(4, 10, (n, 1)))
    share = (LN_SCALE - LN_SCALE[0]) / (LN_SCALE[-1] - LN_SCALE[0])
    line = -rng.uniform(3, 8, (n, 1)) * share
    positions = rng.permuted(np.tile(at[1:], (n, 1)), axis=1)[:, :4]
    heights = rng.dirichlet([4] * 4, n) * rng.uniform(4, 10, (n, 1))
    four = -np.sum(heights[:, :, None] * (at >= positions[:, :, None]), axis=1)
    noise = rng.normal(0, sigma, (3, n, m))
    return {"step": step + noise[0], "line": line + noise[1], "four": four + noise[2]}


@pytest.mark.parametrize(
    ("sigma", "of_m", "of_breakthroughness", "of_linearity"),
    [
        (0.1, 1.0, 1.0, 1.0),
        (0.3, 1.0, 0.9964, 0.9998),
        (0.6, 0.9992, 0.8841, 0.9707),
        (1.0, 0.9749, 0.7322, 0.8016),
    ],
)
def test_scores_tell_synthetic_steps_from_lines(sigma, of_m, of_breakthroughness, of_linearity):
    curves = synthetic(20_000, sigma, np.random.default_rng(0))  # the chance in an area is 0.003 then
    step, line = (curve_scores(curves[name], LN_SCALE) for name in ("step", "line"))
    assert auc(step.monogenicity, line.monogenicity) == pytest.approx(of_m, abs=0.01)
    assert auc(step.breakthroughness, line.breakthroughness) == pytest.approx(of_breakthroughness, abs=0.01)
    assert auc(-step.linearity, -line.linearity) == pytest.approx(of_linearity, abs=0.01)


@pytest.mark.parametrize(("sigma", "expected"), [(0.1, 1.0), (0.3, 0.9999), (0.6, 0.9944), (1.0, 0.9481)])
def test_monogenicity_tells_one_step_from_four(sigma, expected):
    curves = synthetic(20_000, sigma, np.random.default_rng(1))
    step, four = (curve_scores(curves[name], LN_SCALE).monogenicity for name in ("step", "four"))
    assert auc(step, four) == pytest.approx(expected, abs=0.01)


def test_at_little_noise_the_threshold_finds_every_step_and_no_line():
    curves = synthetic(4000, 0.3, np.random.default_rng(2))
    share = {name: np.mean(curve_scores(y, LN_SCALE).monogenicity > 0.5) for name, y in curves.items()}
    assert share["step"] > 0.995
    assert share["line"] < 0.005
    assert share["four"] == pytest.approx(0.028, abs=0.02)


def test_the_papers_monogenic_criterion_by_hand():
    curves = [[6, 7, 0.1], [6, 0.1, 0.2], [6, 1, 0.1], [4, 0.1, 0.1], [6, 6, 6], [0.1, 0.1, 0.1], [6, 0.1, 6]]
    assert paper_monogenic(curves).tolist() == [2, 1, 0, 0, 0, 0, 0]
    assert paper_monogenic([[5.0, 0.1]]).tolist() == paper_monogenic([[5.1, 0.3]]).tolist() == [0]


def plateaus_by_scan(curve: np.ndarray) -> set[int]:
    """Every split for which some pair of plateaus fits, all pairs tried."""
    upper, lower = np.arange(27, 110, 2) / 10, np.arange(0, 110, 2) / 10
    apart = lower < upper[:, None] - 2 - 1e-9
    above = (curve > upper[:, None]) & (curve < upper[:, None] + 0.7)
    below = (curve > lower[:, None]) & (curve < lower[:, None] + 0.7)
    splits = range(1, len(curve))
    return {j for j in splits if np.any(apart & above[:, :j].all(axis=1)[:, None] & below[:, j:].all(axis=1))}


def test_the_plateau_criterion_agrees_with_a_scan_over_all_plateaus():
    rng = np.random.default_rng(4)
    levels, drops = rng.uniform(2, 12, (150, 1)), rng.uniform(0, 9, (150, 1))
    after = np.arange(5) >= rng.integers(0, 6, (150, 1))
    curves = levels - drops * after + rng.uniform(-0.35, 0.35, (150, 5))
    expected = [plateaus_by_scan(curve) for curve in curves]
    assert max(map(len, expected)) == 1
    found = plateau_monogenic(curves)
    assert found.tolist() == [next(iter(splits), 0) for splits in expected]
    assert 20 < np.count_nonzero(found) < 140


def test_the_plateau_criterion_by_hand():
    curves = [[6.0, 6.3, 0.1], [6.0, 3.0, 0.1], [6.0, 6.8, 0.1], [2.6, 0.1, 0.1], [4.0, 2.6, 2.6], [12, 0.1, 0.1]]
    assert plateau_monogenic(curves).tolist() == [2, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("m", [1, 2])
def test_too_few_sizes_are_refused(m):
    for call in (curve_scores, paper_polygenic):
        with pytest.raises(FitError, match=f"at 3 or more model sizes, but has {m}"):
            call(np.ones((4, m)), np.arange(m))


def test_one_size_cannot_be_monogenic():
    for call in (paper_monogenic, plateau_monogenic):
        with pytest.raises(FitError, match="at 2 or more model sizes, but has 1"):
            call(np.ones((4, 1)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_refused_with_its_place(value):
    y = random_curves(10)
    y[6, 2] = value
    for call in (
        lambda: curve_scores(y, LN_SCALE, chunk=4),
        lambda: paper_polygenic(y, LN_SCALE),
        lambda: paper_monogenic(y),
        lambda: plateau_monogenic(y),
    ):
        with pytest.raises(FitError, match=f"curve 6 has the loss {value} at size 2"):
            call()


@pytest.mark.parametrize(
    ("losses", "scale", "sentence"),
    [
        (np.ones((2, 3)), [1, 2], "as many scales"),
        (np.ones((2, 3)), [1, 3, 2], "increase"),
        (np.ones((2, 3)), [1, 2, np.nan], "finite"),
        (np.ones(3), [1, 2, 3], r"shape \(3,\)"),
    ],
)
def test_tables_that_do_not_fit_are_refused(losses, scale, sentence):
    with pytest.raises(FitError, match=sentence):
        curve_scores(losses, scale)

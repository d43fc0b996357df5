"""The model's closed forms, against tables and against plain sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import zeta

from compute.errors import FitError
from compute.numerics import resources, theory, zipf

# alpha, n, exact, integral, midpoint
TAILS = [
    (0.083, 1, 0.92083233, 0.95382737, 0.92226177),
    (0.083, 10, 0.78468679, 0.78789761, 0.7847134),
    (0.083, 100, 0.65056371, 0.65083332, 0.65056396),
    (0.083, 1000, 0.53759072, 0.53761302, 0.53759072),
    (0.2, 10, 0.55867353, 0.56420285, 0.55872411),
    (0.4, 1, 0.67799556, 0.80501109, 0.68448725),
    (0.4, 10, 0.31422043, 0.32048069, 0.3142868),
    (0.4, 100, 0.12733108, 0.12758566, 0.12733138),
    (0.4, 1000, 0.05078261, 0.05079277, 0.05078261),
    (0.8, 100, 0.01661506, 0.01668159, 0.01661516),
    (1.0, 1, 0.3920729, 0.6079271, 0.40528473),
    (1.0, 10, 0.05785419, 0.06079271, 0.05789782),
    (1.0, 100, 0.00604898, 0.00607927, 0.00604903),
]

# K = 500, a = 0, b = 1: alpha, Z_K, p_1, L_10, L_50, L_100, alpha_N over 1..50 and 1..20, alpha_D over 1..20
FINITE = [
    (0.1, 5.21339366, 0.19181364, 0.48591, 0.265593, 0.179417, 0.3119, 0.256, 0.2327),
    (0.2, 4.14917096, 0.241012, 0.405251, 0.202344, 0.131626, 0.3671, 0.3101, 0.2584),
    (0.3, 3.41546447, 0.29278595, 0.330738, 0.149692, 0.093562, 0.4278, 0.37, 0.2846),
    (0.4, 2.89749219, 0.34512604, 0.264978, 0.107915, 0.064669, 0.4934, 0.4353, 0.311),
    (0.5, 2.52297733, 0.39635711, 0.209134, 0.076115, 0.04364, 0.5635, 0.5053, 0.3369),
    (0.6, 2.24575219, 0.4452851, 0.163157, 0.052734, 0.028868, 0.6376, 0.5793, 0.3621),
    (0.7, 2.03586751, 0.4911911, 0.126198, 0.036017, 0.018789, 0.7152, 0.6566, 0.3862),
    (0.8, 1.87357223, 0.53373976, 0.097016, 0.024326, 0.012071, 0.7956, 0.7364, 0.4091),
]


@pytest.mark.parametrize(
    ("alpha", "zeta"),
    [(0.083, 12.631418582), (0.2, 5.591582441), (0.4, 3.105547278), (0.8, 1.882229618), (1.0, math.pi**2 / 6)],
)
def test_the_normaliser_is_zeta(alpha, zeta):
    assert zipf.normaliser(alpha) == pytest.approx(zeta, abs=1e-9)


@pytest.mark.parametrize(("alpha", "n", "exact", "integral", "midpoint"), TAILS)
def test_the_tail_table(alpha, n, exact, integral, midpoint):
    assert zipf.tail(n, alpha) == pytest.approx(exact, abs=1e-8)
    assert zipf.tail(n, alpha, approximation="integral") == pytest.approx(integral, abs=1e-8)
    assert zipf.tail(n, alpha, approximation="midpoint") == pytest.approx(midpoint, abs=1e-8)


@pytest.mark.parametrize("row", FINITE)
def test_the_finite_universe_table(row):
    alpha, total, p_1, l_10, l_50, l_100, slope_50, slope_20, data_20 = row
    assert zipf.normaliser(alpha, 500) == pytest.approx(total, abs=1e-7)
    assert zipf.probabilities(1, alpha, 500) == pytest.approx(p_1, abs=1e-6)
    assert theory.expected_loss([10, 50, 100], alpha, 500) == pytest.approx([l_10, l_50, l_100], abs=1e-6)
    assert theory.finite_exponents(alpha, 500, 1, 50).parameters == pytest.approx(slope_50, abs=1e-4)
    short = theory.finite_exponents(alpha, 500, 1, 20)
    assert (short.parameters, short.data) == pytest.approx((slope_20, data_20), abs=1e-4)
    assert short.steps == short.data


def test_the_last_quantum_of_a_finite_universe():
    assert theory.expected_loss(499, 0.4, 500) == pytest.approx(5.74672e-5, rel=1e-5)
    assert theory.expected_loss([500, 501, 10**9], 0.4, 500, a=0.25, b=3).tolist() == [0.25] * 3
    assert zipf.probabilities(500, 0.1, 500) == pytest.approx(0.000206069, abs=1e-9)
    assert zipf.probabilities(501, 0.1, 500) == 0


@pytest.mark.parametrize("alpha", [1e-3, 0.083, 0.4, 2.5])
def test_a_finite_universe_agrees_with_plain_sums(alpha):
    weights = np.arange(1, 301.0) ** -(alpha + 1)
    n = np.array([0, 1, 7, 299, 300])
    expected = np.array([weights[one:].sum() for one in n]) / weights.sum()
    assert zipf.tail(n, alpha, 300) == pytest.approx(expected, rel=1e-9)
    assert zipf.probabilities(np.arange(1, 301), alpha, 300).sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("alpha", [0.083, 0.4, 1.0])
def test_case_one_in_a_finite_universe_agrees_with_plain_sums(alpha):
    p = np.arange(1, 301.0) ** -(alpha + 1)
    p /= p.sum()
    surprise = -p * np.log(p)
    n = np.array([0, 1, 7, 299, 300, 400])
    expected = [surprise[one:].sum() for one in n]
    assert theory.loss_surprise_removed(n, alpha, 300) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert zipf.entropy(alpha, 300) == pytest.approx(surprise.sum(), rel=1e-9)
    lowered = theory.loss_surprise_lowered(n, alpha, 2.0, 300)
    shares = np.array([p[one:].sum() for one in n])
    assert lowered == pytest.approx(surprise.sum() - math.log(2) * (1 - shares), rel=1e-9)


@pytest.mark.parametrize("alpha", [0.083, 0.4, 1.0])
def test_the_approximations_hold_in_a_finite_universe_too(alpha):
    n = np.array([10, 100, 299])
    for exact_of in (zipf.tail, zipf.surprise_tail):
        exact = exact_of(n, alpha, 300)
        integral, midpoint = (exact_of(n, alpha, 300, approximation=one) for one in ("integral", "midpoint"))
        assert np.abs(midpoint / exact - 1) == pytest.approx(0, abs=2e-3)
        assert np.all(np.abs(midpoint - exact) < np.abs(integral - exact))
        assert exact_of(400, alpha, 300, approximation="midpoint") == 0


def test_the_paper_s_entropy_is_the_integral_from_one():
    alpha, zeta = 0.4, zipf.normaliser(0.4)
    printed = (1 + alpha + alpha * math.log(zeta)) / (alpha**2 * zeta)
    assert zipf.entropy(alpha, approximation="integral") == pytest.approx(printed, rel=1e-12)
    assert printed < zipf.entropy(alpha)


def test_local_exponents_are_the_derivative():
    n = np.array([1.0, 5, 40])
    alpha, s = 0.4, 1.4
    found = theory.local_exponent(lambda x: theory.expected_loss(x, alpha, 500), n)
    slope = s * zeta(s + 1, n + 1) * n / (zeta(s, n + 1) - zeta(s, 501.0))
    assert found == pytest.approx(slope, rel=1e-6)
    assert np.isnan(theory.local_exponent(lambda x: theory.expected_loss(x, alpha, 500), [500, 900])).all()


@pytest.mark.parametrize("row", FINITE)
def test_what_was_measured_over_a_finite_universe_leads_back_to_alpha(row):
    alpha, *_, slope_50, slope_20, _ = row
    assert theory.true_alpha(slope_50, 500, 1, 50) == pytest.approx(alpha, abs=3e-4)
    assert theory.true_alpha(slope_20, 500, 1, 20) == pytest.approx(alpha, abs=3e-4)


def test_an_exponent_flatter_than_any_alpha_shows_is_refused():
    with pytest.raises(FitError, match="never 0.1; change K or the range"):
        theory.true_alpha(0.1, 500, 1, 50)


def test_an_infinite_universe_is_the_limit_of_finite_ones():
    assert zipf.tail(20, 1.2, 10**9) == pytest.approx(zipf.tail(20, 1.2), rel=1e-7)


def test_nothing_learned_costs_b_exactly():
    assert theory.expected_loss(0, 0.083, None, a=0.1, b=0.7) == 0.7
    assert theory.expected_loss(0, 0.083, 500, a=0.1, b=0.7) == 0.7


def test_loss_falls_by_the_probability_of_the_quantum_learned():
    loss = theory.expected_loss(np.arange(50), 0.3, None, a=0.5, b=2.5)
    assert -np.diff(loss) == pytest.approx(2 * zipf.probabilities(np.arange(1, 50), 0.3), rel=1e-9)


def test_the_midpoint_form_is_far_better_than_the_integral():
    n = np.array([1, 10, 100])
    exact = zipf.tail(n, 0.4)
    integral, midpoint = (np.abs(zipf.tail(n, 0.4, approximation=a) - exact) for a in ("integral", "midpoint"))
    assert np.all(midpoint < integral / 15)
    assert integral[1:] / exact[1:] == pytest.approx(0.4 / (2 * n[1:]), rel=0.05)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_entropy_agrees_with_a_long_sum_and_its_integral_rest(alpha):
    zeta, s, cut = zipf.normaliser(alpha), alpha + 1, 200_000
    k = np.arange(1, cut + 1.0)
    head = np.sum(k**-s * (s * np.log(k) + math.log(zeta)))
    edge = cut + 0.5
    rest = edge**-alpha * (s * (math.log(edge) / alpha + 1 / alpha**2) + math.log(zeta) / alpha)
    assert zipf.entropy(alpha) == pytest.approx((head + rest) / zeta, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.083, 0.4, 1.0])
def test_case_one_sums_the_surprise_of_what_is_not_learned(alpha):
    loss = theory.loss_surprise_removed(np.arange(40), alpha)
    p = zipf.probabilities(np.arange(1, 40), alpha)
    assert loss[0] == pytest.approx(zipf.entropy(alpha), rel=1e-12)
    assert -np.diff(loss) == pytest.approx(-p * np.log(p), rel=1e-9)


@pytest.mark.parametrize("alpha", [0.083, 0.4, 1.0])
def test_case_ones_integral_form_approaches_the_exact_one(alpha):
    n = np.array([10, 100, 1000, 10_000])
    ratio = theory.loss_surprise_removed(n, alpha, approximation="integral") / theory.loss_surprise_removed(n, alpha)
    assert np.all(np.diff(np.abs(ratio - 1)) < 0)
    assert ratio[-1] == pytest.approx(1, abs=1e-4)


def test_case_two_gains_the_same_on_every_learned_quantum():
    loss = theory.loss_surprise_lowered(np.arange(30), 0.4, gain=5)
    assert loss[0] == zipf.entropy(0.4)
    assert -np.diff(loss) == pytest.approx(math.log(5) * zipf.probabilities(np.arange(1, 30), 0.4), rel=1e-9)
    assert theory.loss_surprise_lowered(1e15, 1.0, gain=5) == pytest.approx(zipf.entropy(1.0) - math.log(5))


@pytest.mark.parametrize(
    ("alpha", "data", "in_data"),
    [(0.083, 0.076639, 0.923361), (0.2, 1 / 6, 5 / 6), (0.4, 2 / 7, 5 / 7), (0.8, 4 / 9, 5 / 9), (1.0, 0.5, 0.5)],
)
def test_the_exponents(alpha, data, in_data):
    found = theory.exponents(alpha)
    assert (found.parameters, found.data, found.steps) == pytest.approx((alpha, data, data), abs=1e-6)
    assert found.quanta_in_data == pytest.approx(in_data, abs=1e-6)


def test_parameters_hold_a_whole_number_of_quanta():
    assert resources.quanta_from_parameters([0, 99, 100, 250], 100).tolist() == [0, 0, 1, 2]


def test_data_teach_the_quanta_seen_often_enough():
    n = resources.quanta_from_data(np.array([1e6, 1e8]), 50, 0.4)
    assert 1e6 * zipf.probabilities(n[0], 0.4) == pytest.approx(50)
    assert n[1] / n[0] == pytest.approx(100 ** (1 / 1.4))
    assert resources.quanta_from_data(10, 50, 0.4) == 0
    assert resources.quanta_from_data(1e12, 50, 0.4, 500) == 500


def test_steps_teach_quantum_k_after_a_power_of_k():
    assert resources.quanta_from_steps(70 * 3**1.4, 70, 0.4) == pytest.approx(3)
    assert resources.quanta_from_steps([0, 69], 70, 0.4).tolist() == [0, 0]
    assert resources.quanta_from_steps(1e9, 70, 0.4, 10) == 10


def test_steps_and_data_agree_when_each_sample_is_seen_once():
    first = resources.first_quantum_steps(50, batch_size=8, alpha=0.4)
    assert resources.quanta_from_steps(10_000, first, 0.4) == pytest.approx(resources.quanta_from_data(80_000, 50, 0.4))


def test_large_resources_follow_the_exponents():
    d = np.array([1e14, 1e16])
    loss = theory.expected_loss(resources.quanta_from_data(d, 10, 0.4), 0.4)
    assert -np.diff(np.log(loss)) / np.diff(np.log(d)) == pytest.approx(theory.exponents(0.4).data, abs=1e-4)


def test_the_scarcest_resource_decides():
    assert resources.bottleneck([[1, 50, 9], 20, [30, 30, 3]]).tolist() == [1, 20, 3]
    with pytest.raises(FitError, match="at least one resource"):
        resources.bottleneck([])


@pytest.mark.parametrize("alpha", [0, -0.4, math.nan, math.inf])
def test_an_exponent_that_is_not_positive_is_refused(alpha):
    for call in (
        lambda: zipf.normaliser(alpha),
        lambda: zipf.probabilities(1, alpha),
        lambda: zipf.tail(1, alpha),
        lambda: theory.expected_loss(1, alpha),
        lambda: zipf.entropy(alpha),
        lambda: theory.exponents(alpha),
        lambda: resources.quanta_from_data(1, 1, alpha),
        lambda: resources.quanta_from_steps(1, 1, alpha),
    ):
        with pytest.raises(FitError, match="exponent alpha must be positive"):
            call()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: zipf.tail(-1, 0.4), "quanta learned cannot be -1"),
        (lambda: zipf.tail([3, math.nan], 0.4), "cannot be nan"),
        (lambda: theory.expected_loss(0, 0.4, approximation="integral"), "diverges at n = 0"),
        (lambda: theory.loss_surprise_removed(0, 0.4, approximation="integral"), "diverges at n = 0"),
        (lambda: theory.loss_surprise_removed(1, 0.4, approximation="simpson"), "'simpson'; there are exact"),
        (lambda: zipf.tail(3, 0.4, 500, approximation="simpson"), "'simpson'; there are exact"),
        (lambda: zipf.normaliser(0.4, 0), "at least 1, but is 0"),
        (lambda: zipf.probabilities(0, 0.4), "counted from 1"),
        (lambda: theory.loss_surprise_lowered(1, 0.4, gain=1), "above 1"),
        (lambda: resources.quanta_from_parameters(-5, 10), "parameters cannot be -5"),
        (lambda: resources.quanta_from_parameters(5, 0), "must be positive"),
        (lambda: resources.first_quantum_steps(5, 0, 0.4), "batch size must be positive"),
        (lambda: theory.finite_exponents(0.4, 500, 0, 9), "not 0 to 9"),
        (lambda: theory.finite_exponents(0.4, 50, 1, 50), "positive values"),
    ],
)
def test_impossible_questions_are_refused_with_the_number(call, sentence):
    with pytest.raises(FitError, match=sentence):
        call()


# alpha, K, n; Z, T_n and the entropy beyond n: sums to 80 digits
EXTREMES = [
    (1e-9, None, 10, 1000000000.577, 0.9999999971, 1000000021.0),
    (1e-9, 2, 0, 1.499999999653, 1.0, 0.6365141682),
    (1e-9, 10, 2, 2.928968251276, 0.4878742714, 1.325123559),
    (1e-7, 1, 0, 1.0, 1.0, 0.0),
    (1e-7, 2, 0, 1.499999965343, 1.0, 0.6365141576),
    (1e-6, 1000, 999, 7.485447071426, 0.0001335916322, 0.001191733937),
    (1e-6, 10**5, 10**5 - 1, 12.09007992915, 8.271148686e-7, 1.158401027e-5),
    (1e-6, 10**9, 10**9 - 1, 21.30026684977, 4.694679574e-11, 1.116488985e-9),
    (1e-9, 10**9, 10**9 - 1000, 21.30048128769, 4.694731848e-8, 1.116500895e-6),
    (1e-9, 10**12, 10**12 - 1, 28.20823639917, 3.545063783e-14, 1.09792877e-12),
    (0.4, 10**5, 10**5 - 1, 3.080547327977, 3.246176389e-8, 5.597447823e-7),
    (10, 10**5, 10**5 - 2, 1.000494188604, 1.999122063e-55, 2.531740541e-53),
]


@pytest.mark.parametrize(("alpha", "n_quanta", "n", "total", "share", "surprise"), EXTREMES)
def test_sums_keep_their_digits_at_the_smallest_alpha_and_near_the_last_quantum(
    alpha, n_quanta, n, total, share, surprise
):
    assert zipf.normaliser(alpha, n_quanta) == pytest.approx(total, rel=1e-12)
    assert zipf.tail(n, alpha, n_quanta) == pytest.approx(share, rel=1e-9)
    assert zipf.surprise_tail(n, alpha, n_quanta) == pytest.approx(surprise, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("alpha", [1e-9, 1e-6, 1e-3, 0.4, 5])
@pytest.mark.parametrize("n_quanta", [1, 2, 3, 10, 11, 40])
def test_small_worlds_are_their_plain_sums_at_every_alpha(alpha, n_quanta):
    p = np.arange(1.0, n_quanta + 1) ** -(alpha + 1)
    p /= math.fsum(p)
    n = np.arange(n_quanta)
    for found, terms in ((zipf.tail, p), (zipf.surprise_tail, -p * np.log(p))):
        expected = [math.fsum(terms[one:]) for one in n]
        assert found(n, alpha, n_quanta) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("alpha", [1e-9, 1e-6, 0.4])
@pytest.mark.parametrize("n_quanta", [3, 10**5, 10**9])
def test_the_approximations_keep_their_digits_too(alpha, n_quanta):
    n = np.array([1, n_quanta // 2, n_quanta - 1])
    nodes, weights = np.polynomial.legendre.leggauss(60)
    for name, shift in (("integral", 0.0), ("midpoint", 0.5)):
        low, high = np.log(n + shift)[:, None], math.log(n_quanta + shift)
        u = (low + high) / 2 + (high - low) / 2 * nodes  # ln x
        half = np.log1p((n_quanta - n) / (n + shift))[:, None] / 2
        total = zipf.normaliser(alpha, n_quanta)
        share = np.sum(half * weights * np.exp(-alpha * u), axis=1) / total
        own = np.sum(half * weights * np.exp(-alpha * u) * ((alpha + 1) * u + math.log(total)), axis=1) / total
        assert zipf.tail(n, alpha, n_quanta, approximation=name) == pytest.approx(share, rel=1e-9)
        assert zipf.surprise_tail(n, alpha, n_quanta, approximation=name) == pytest.approx(own, rel=1e-9)


def test_a_window_at_the_end_of_a_finite_universe_shows_a_steep_exponent():
    assert theory.finite_exponents(0.4, 1000, 990, 999).parameters == pytest.approx(229.75, abs=0.01)

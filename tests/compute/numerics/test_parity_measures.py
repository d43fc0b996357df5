"""What training on sparse parity shows, on losses made by hand or by the theory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics import parity_measures as measures
from compute.numerics.zipf import probabilities

ALPHA, N_TASKS = 0.4, 400
P = probabilities(np.arange(1, N_TASKS + 1), ALPHA, N_TASKS)
STEPS = np.unique(np.geomspace(1, 20_000, 600).astype(int))


def stepwise(learning: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Losses of tasks that fall from ln 2 to 0 at the step of their learning, (n_logs, n_tasks)."""
    return np.where(steps[:, None] >= learning, 0.0, math.log(2))


def test_the_first_step_below_is_found_even_if_loss_rises_again_and_nan_is_never_below() -> None:
    losses = [[0.7, 0.7, np.nan], [0.04, 0.7, np.nan], [0.7, 0.7, np.nan], [0.01, 0.06, np.nan]]
    assert measures.first_below([0, 5, 10, 15], losses, 0.05).tolist() == [5, -1, -1]
    assert measures.first_below([0, 5], [0.7, 0.01], 0.05) == 5


def test_a_task_is_learned_below_a_tenth_of_a_nat_at_any_time() -> None:
    losses = np.array([[0.69, 0.69, 0.1, np.nan], [0.0999, 0.69, 0.1, np.nan], [0.5, 0.69, 0.1, np.nan]])
    assert measures.n_learned(losses) == 1
    assert measures.n_learned_by(losses).tolist() == [0, 1, 1]


def test_the_best_step_is_the_first_smallest_and_ignores_divergence() -> None:
    assert measures.early_stop([0, 10, 20, 30], [0.7, 0.3, 0.3, np.nan]) == (10, 0.3)
    with pytest.raises(FitError, match="no loss is a number"):
        measures.early_stop([0, 10], [np.nan, np.nan])


def test_quanta_learned_in_inverse_order_of_frequency_give_the_theory_back() -> None:
    losses = stepwise(40 / P, STEPS)
    converged = measures.first_below(STEPS, losses, measures.CONVERGED_NATS)
    assert measures.order_agreement(P, converged) > 0.999
    assert measures.convergence_law(P, converged).exponent == pytest.approx(-1, abs=0.02)
    counts = measures.n_learned_by(losses)
    many = counts >= 10  # few whole numbers make a staircase
    assert measures.growth_law(STEPS[many], counts[many]).exponent == pytest.approx(1 / (1 + ALPHA), abs=0.03)


def test_the_sum_of_steps_follows_the_finite_prediction_more_closely_than_the_infinite_one() -> None:
    losses = stepwise(40 / P, STEPS)
    mean = losses @ P
    first, last = measures.steps_window(STEPS, mean)
    inside = np.flatnonzero((first <= STEPS) & (last >= STEPS))
    law = measures.power_law(STEPS[inside], mean[inside])
    counts = measures.n_learned_by(losses)[inside]
    finite = measures.finite_prediction(ALPHA, N_TASKS, int(counts[0]), int(counts[-1]), "S")
    assert finite is not None
    assert abs(law.exponent - finite) < 0.05 < abs(law.exponent - ALPHA / (1 + ALPHA))


def test_the_window_over_steps_begins_below_a_guess_and_ends_at_the_plateau() -> None:
    steps = np.arange(0, 110, 10)
    losses = np.array([0.69, 0.69, 0.5, 0.4, 0.3, 0.2, 0.14, 0.111, 0.109, 0.1, 0.1])
    assert measures.steps_window(steps, losses) == (20, 70)
    with pytest.raises(FitError, match=r"never below 0\.95 bits"):
        measures.steps_window(steps, np.full(11, 0.69))


def test_a_law_over_data_begins_where_something_is_learned() -> None:
    sizes = np.array([1e3, 1e4, 1e5, 1e6, 1e3, 1e4, 1e5, 1e6])
    losses = np.array([0.693, 0.69, 0.4, 0.2, 0.693, 0.694, 0.42, 0.21])
    law = measures.data_law(sizes, losses)
    assert (law.first, law.last, law.n_points) == (1e5, 1e6, 4)
    assert law.exponent == pytest.approx(math.log10(2), abs=0.01)
    assert law.low < law.exponent < law.high
    with pytest.raises(FitError, match="1 of the training sets bring the loss below"):
        measures.data_law(sizes[:3], losses[:3])


def test_points_that_have_no_logarithm_are_left_out_of_a_law() -> None:
    law = measures.power_law([0, 1, 10, 100, 1000], [9, 8, 4, 2, np.nan])
    assert law.n_points == 3
    assert law.exponent == pytest.approx(math.log10(2))
    with pytest.raises(FitError, match="at least 2 points"):
        measures.growth_law([1e3, 1e4], [0, 3])


def test_the_paper_finite_predictions_over_twenty_tasks() -> None:
    predicted = [measures.finite_prediction(i / 10, 500, 1, 20, "D") for i in range(1, 9)]
    assert predicted == pytest.approx([0.233, 0.258, 0.285, 0.311, 0.337, 0.362, 0.386, 0.409], abs=6e-4)
    predicted = [measures.finite_prediction(i / 10, 500, 0, 20, "N") for i in range(1, 9)]
    assert predicted == pytest.approx([0.256, 0.310, 0.370, 0.435, 0.505, 0.579, 0.657, 0.736], abs=6e-4)


@pytest.mark.parametrize(("fewest", "most"), [(0, 0), (0, 1), (3, 3), (499, 500)])
def test_a_range_without_two_numbers_of_tasks_predicts_nothing(fewest: int, most: int) -> None:
    assert measures.finite_prediction(0.4, 500, fewest, most, "N") is None


def test_an_order_needs_three_learned_tasks() -> None:
    assert measures.order_agreement([0.5, 0.3, 0.2], [30, 20, 10]) == pytest.approx(-1)
    with pytest.raises(FitError, match="2 pairs are too few"):
        measures.order_agreement([0.5, 0.3, 0.2], [10, 20, -1])


def test_samples_until_a_task_is_learned() -> None:
    assert measures.samples_per_task([0.5, 0.3, 0.2], [10, -1, 40], 50) == pytest.approx([250, 400])


def test_grokking_gaps_are_ratios_of_first_steps_below_a_tenth_of_a_bit() -> None:
    steps = [0, 10, 20, 30]
    train = np.array([[0.7, 0.01, 0.7, 0.7], [0.01, 0.01, 0.7, 0.7], [0.01, 0.01, 0.01, 0.7], [0.01, 0.01, 0.01, 0.7]])
    test = np.array([[0.7, 0.7, 0.7, 0.7], [0.7, 0.01, 0.7, 0.7], [0.7, 0.01, 0.01, 0.7], [0.06, 0.01, 0.01, 0.7]])
    gaps = measures.grokking_gaps(steps, train, test)
    assert gaps[[0, 2]].tolist() == [3.0, 1.0]
    assert np.isnan(gaps[[1, 3]]).all()


def test_a_law_over_two_sizes_that_are_nearly_equal_is_found() -> None:
    law = measures.power_law([52_002, 52_015], [0.3, 0.2])
    assert law.exponent == pytest.approx(math.log(1.5) / math.log(52_015 / 52_002))

"""Addition modulo p: the pairs, the gradient, the optimiser, and what is measured of a network."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from compute.errors import TrainingError
from compute.numerics.addition import (
    ACTIVATIONS,
    BETAS,
    EPSILON,
    Adder,
    AdditionSetting,
    all_pairs,
    first_at,
    first_weights,
    logged_steps,
    periodicity,
    spectrum,
    split_pairs,
)

SETTING = AdditionSetting(
    modulus=11, width=24, activation="quadratic", fraction=0.5, weight_decay=1.0, learning_rate=0.01, seed=3
)


def test_pairs_hold_every_sum_once_a_row():
    a, b, total = all_pairs(7)
    assert len({*zip(a.tolist(), b.tolist(), strict=True)}) == 49
    assert (total == (a + b) % 7).all()
    assert np.bincount(total).tolist() == [7] * 7


def test_train_and_test_pairs_are_all_pairs_and_a_larger_fraction_holds_a_smaller_one():
    train, test = split_pairs(SETTING)
    more, _ = split_pairs(replace(SETTING, fraction=0.7))
    assert sorted([*train, *test]) == list(range(121))
    assert len(train) == SETTING.n_train == 60
    assert set(train) < set(more)
    assert not np.array_equal(train, split_pairs(replace(SETTING, seed=4))[0])


def test_some_pairs_are_left_to_be_trained_on_and_to_be_tested():
    assert replace(SETTING, fraction=1e-9).n_train == 1
    assert replace(SETTING, fraction=1 - 1e-9).n_train == 120


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_one_step_is_that_of_automatic_differentiation_and_adamw(activation):
    setting = replace(SETTING, activation=activation)
    adder = Adder(setting)
    theta = torch.tensor(first_weights(setting), requires_grad=True)
    optimizer = torch.optim.AdamW([theta], lr=0.01, betas=BETAS, eps=EPSILON, weight_decay=1.0)
    a, b, total = (torch.tensor(one) for one in all_pairs(11))
    train = torch.tensor(split_pairs(setting)[0])
    for _ in range(5):
        z = theta[0][a[train]] + theta[1][b[train]]
        hidden = z * z if activation == "quadratic" else z.relu()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(hidden @ theta[2].T, total[train]).backward()
        optimizer.step()
    adder.advance(5)
    assert adder.step == 5
    np.testing.assert_allclose(adder.weights, theta.detach().numpy(), rtol=2e-4, atol=2e-6)


def test_training_that_goes_on_from_a_state_gives_the_same_bits():
    whole, first = Adder(SETTING), Adder(SETTING)
    whole.advance(40)
    first.advance(17)
    second = Adder(SETTING, state=first.state(), step=first.step)
    second.advance(40)
    assert (whole.state() == second.state()).all()
    assert whole.measure() == second.measure()


def test_who_is_told_of_a_step_may_stop_between_two():
    adder, seen = Adder(SETTING), []

    def tell(step):
        seen.append(step)
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adder.advance(10, tell)
    assert (seen, adder.step) == ([1, 2, 3], 3)
    whole = Adder(SETTING)
    whole.advance(3)
    assert (adder.state() == whole.state()).all()


def test_before_training_a_network_guesses():
    found = Adder(replace(SETTING, width=512)).measure()
    assert found.train_accuracy < 0.35
    assert found.test_accuracy < 0.35
    assert found.test_bits > 0.8 * math.log2(11)


def test_a_network_memorises_first_and_generalises_later():
    """The whole point: the pairs shown are right long before the others, whose loss rises first."""
    setting = replace(SETTING, modulus=23, width=64, fraction=0.6)
    adder, steps, measures = Adder(setting), logged_steps(1500), []
    for step in steps:
        adder.advance(step)
        measures.append(adder.measure())
    t_train = first_at(steps, [one.train_accuracy >= 0.99 for one in measures])
    t_test = first_at(steps, [one.test_accuracy >= 0.99 for one in measures])
    assert t_train is not None
    assert t_test is not None
    assert t_test > 2 * t_train
    at_train = measures[steps.index(t_train)]
    assert at_train.test_bits > measures[0].test_bits
    assert measures[-1].periodicity > 0.7 > 0.4 > measures[0].periodicity


def test_training_that_diverges_says_at_which_step_and_rate():
    adder = Adder(replace(SETTING, learning_rate=1e12))
    adder.advance(8)
    with pytest.raises(TrainingError, match=r"at step 8 .* learning rate 1e\+12, weight decay 1 and 50% of the pairs"):
        adder.measure()


def test_logged_steps_are_even_in_the_logarithm_with_both_ends():
    steps = logged_steps(10_000)
    assert (steps[0], steps[1], steps[-1]) == (0, 1, 10_000)
    assert steps == sorted(set(steps))
    late = np.diff(np.log10([step for step in steps if step >= 100]))
    assert late.max() < 0.032
    assert logged_steps(0) == [0]


def test_pure_waves_are_periodic_and_noise_is_not():
    place = np.arange(31)
    waves = np.stack([3 * np.cos(2 * np.pi * k * place / 31 + k) + 5 for k in (1, 4, 9)], axis=1)
    assert periodicity(waves) == pytest.approx(1)
    assert spectrum(waves)[[0, 3, 8]] == pytest.approx([1 / 3] * 3)
    noise = np.random.default_rng(0).standard_normal((31, 4000))
    m = 15
    assert periodicity(noise) == pytest.approx(sum(1 / i for i in range(1, m + 1)) / m, rel=0.02)
    assert spectrum(noise) == pytest.approx([1 / m] * m, rel=0.1)


def test_weights_without_power_have_no_periodicity():
    assert math.isnan(periodicity(np.ones((5, 2))))
    assert np.isnan(spectrum(np.ones((5, 2)))).all()


def test_what_never_holds_has_no_first_step():
    assert first_at([0, 5, 9], [False, False, False]) is None
    assert first_at([0, 5, 9], [False, True, False]) == 5

"""Sparse parity: what is drawn, what networks side by side compute, and how they are trained."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from compute.errors import FitError, TrainingError
from compute.numerics.parity import (
    Recipe,
    Supply,
    Training,
    points_per_task,
    sample_gradients,
    train_network,
)
from compute.numerics.parity_stack import Parameters, Stack, initial_parameters, n_parameters
from compute.numerics.parity_tasks import Samples, Source, draw_tasks, samples_of

RECIPE = Recipe(
    n_tasks=7, n_bits=10, k=2, batch_size=120, learning_rate=0.01, weight_decay=0.02, test_points=300, task_points=9
)
TASKS = draw_tasks(7, 10, 2, alpha=0.4, seed=3)


def module_of(lm: Parameters) -> nn.Sequential:
    """The same network in torch's own parts, in float64."""
    found = nn.Sequential(nn.Linear(lm.first.shape[1], lm.width), nn.ReLU(), nn.Linear(lm.width, 2)).double()
    values = (lm.first, lm.first_bias, lm.second, lm.second_bias)
    with torch.no_grad():
        for parameter, value in zip(found.parameters(), values, strict=True):
            parameter.copy_(value)
    return found


def plain_input(samples: Samples, n_tasks: int) -> torch.Tensor:
    return torch.cat([nn.functional.one_hot(samples.tasks, n_tasks), samples.bits], 1).double()


def plain_losses(module: nn.Sequential, samples: Samples, n_tasks: int) -> torch.Tensor:
    return nn.functional.cross_entropy(module(plain_input(samples, n_tasks)), samples.answers.long(), reduction="none")


def stack_of(widths: list[int], seeds: list[int]) -> Stack:
    return Stack([[initial_parameters(7, 10, width, seed) for width in widths] for seed in seeds], 7, 10)


def test_tasks_are_distinct_rising_subsets_with_zipfian_frequencies() -> None:
    tasks = draw_tasks(20, 7, 3, alpha=0.4, seed=1)
    assert len({tuple(subset) for subset in tasks.subsets.tolist()}) == 20
    assert (np.diff(tasks.subsets, axis=1) > 0).all()
    assert tasks.probabilities.sum() == pytest.approx(1)
    assert tasks.probabilities[0] / tasks.probabilities[7] == pytest.approx(8**1.4)


def test_every_subset_may_be_a_task_and_alpha_does_not_choose_them() -> None:
    whole = draw_tasks(35, 7, 3, alpha=0.4)
    assert {tuple(one) for one in whole.subsets.tolist()} == set(itertools.combinations(range(7), 3))
    assert np.array_equal(whole.subsets, draw_tasks(35, 7, 3, alpha=1.5).subsets)
    assert not np.array_equal(whole.subsets, draw_tasks(35, 7, 3, alpha=0.4, seed=1).subsets)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((0, 4, 2, 1.0), "number of tasks must be at least 1, but is 0"),
        ((1, 0, 1, 1.0), "number of bits must be at least 1"),
        ((1, 4, 5, 1.0), "parity of 5 bits cannot be taken of a string of 4"),
        ((7, 4, 2, 1.0), "7 different tasks are asked for, but 4 bits have only 6 subsets of 2"),
        ((3, 4, 2, 0.0), "exponent alpha must be positive"),
    ],
)
def test_impossible_tasks_are_refused(asked: tuple[int, int, int, float], said: str) -> None:
    with pytest.raises(FitError, match=said):
        draw_tasks(*asked)


def test_answers_are_parities_worked_by_hand() -> None:
    tasks = dataclasses.replace(TASKS, subsets=np.array([[0, 2], [1, 2]], np.int16), n_bits=3)
    samples = samples_of(tasks, np.array([1, 0, 0, 1]), np.array([[1, 1, 0], [1, 1, 1], [1, 0, 0], [0, 1, 1]]))
    assert samples.tasks.tolist() == [0, 0, 1, 1]
    assert samples.bits.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0], [0, 1, 1]]
    assert samples.answers.tolist() == [0, 1, 1, 0]


def test_a_batch_has_the_frequencies_and_fair_bits_and_right_answers() -> None:
    samples = Source(TASKS, 40_000).batch(5)
    shares = np.bincount(samples.tasks.numpy(), minlength=7) / 40_000
    spread = np.sqrt(TASKS.probabilities / 40_000)
    assert (np.abs(shares - TASKS.probabilities) < 5 * spread).all()
    assert set(samples.bits.unique().tolist()) == {0.0, 1.0}
    assert (samples.bits.mean(0) - 0.5).abs().max() < 5 * 0.5 / 200
    bits, subsets = samples.bits.numpy().astype(int), TASKS.subsets[samples.tasks.numpy()]
    expected = np.take_along_axis(bits, subsets.astype(int), 1).sum(1) % 2
    assert np.array_equal(samples.answers.numpy(), expected)
    assert (samples.tasks.diff() >= 0).all()


def test_a_number_above_the_last_cumulated_probability_means_the_last_task() -> None:
    source = Source(TASKS, 500)
    source.cumulated *= 0.5  # what rounding does, made large
    assert source.batch(0).tasks.max() == 6


def test_batches_differ_by_step_and_can_be_had_in_any_order() -> None:
    source = Source(TASKS, 50)
    third = source.batch(3).bits.clone()
    assert not torch.equal(source.batch(2).bits, third)
    assert torch.equal(source.batch(3).bits, third)
    assert torch.equal(Source(TASKS, 50).batch(3).bits, third)


@pytest.mark.parametrize(("n_samples", "batch_size"), [(60, 20), (60, 25), (30, 50)])
def test_every_epoch_holds_each_sample_of_the_training_set_once(n_samples: int, batch_size: int) -> None:
    source = Source(TASKS, batch_size, n_samples)
    (seen,) = source.seen(n_samples)
    size = min(batch_size, n_samples)
    n_steps = 3 * n_samples // size if n_samples % size == 0 else size * 3 * n_samples // size
    batches = [source.batch(step) for step in range(n_steps)]
    assert {len(batch) for batch in batches} == {size}
    n_epochs = n_steps * size // n_samples
    expected = torch.cat([plain_input(seen, 7)] * n_epochs)
    found = torch.cat([plain_input(batch, 7) for batch in batches])
    assert sorted(found.tolist()) == sorted(expected.tolist())


def test_two_epochs_have_different_orders() -> None:
    source = Source(TASKS, 40, 40)
    first = [plain_input(source.batch(step), 7) for step in range(2)]
    assert sorted(first[0].tolist()) == sorted(first[1].tolist())
    halves = Source(TASKS, 20, 40)
    assert not torch.equal(plain_input(halves.batch(0), 7), plain_input(halves.batch(2), 7))


def test_a_test_set_has_the_counts_asked_for() -> None:
    counts = points_per_task(TASKS.probabilities, 300, 9)
    assert counts.tolist() == np.maximum(np.floor(300 * TASKS.probabilities), 9).tolist()
    parts = list(Source(TASKS, 50).test(0, counts))
    assert np.array_equal(np.bincount(torch.cat([part.tasks for part in parts]), minlength=7), counts)


@pytest.mark.parametrize(("batch_size", "n_samples"), [(0, None), (5, 0)])
def test_empty_batches_and_sets_are_refused(batch_size: int, n_samples: int | None) -> None:
    with pytest.raises(FitError, match="at least 1 sample"):
        Source(TASKS, batch_size, n_samples)


def test_a_network_begins_as_torch_draws_it() -> None:
    lm = initial_parameters(500, 100, 400, seed=0)
    assert sum(one.numel() for one in (lm.first, lm.first_bias, lm.second, lm.second_bias)) == n_parameters(
        500, 100, 400
    )
    for values, n_inputs in ((lm.first, 600), (lm.first_bias, 600), (lm.second, 400), (lm.second_bias, 400)):
        assert values.abs().max() <= n_inputs**-0.5
    assert lm.first.std().item() == pytest.approx((3 * 600) ** -0.5, rel=0.01)
    assert lm.second.std().item() == pytest.approx((3 * 400) ** -0.5, rel=0.1)


def test_losses_are_the_cross_entropy_of_the_plain_network() -> None:
    stack, samples = stack_of([5, 9], [0, 1]), Source(TASKS, 1000).batch(0)
    for supply, network in itertools.product(range(2), range(2)):
        expected = plain_losses(module_of(stack.parameters(supply, network)), samples, 7)
        assert (stack.losses(supply, samples)[network] - expected).abs().max() < 1e-6


def test_gradients_are_those_of_autograd_in_float64() -> None:
    stack = stack_of([5, 9], [0, 1])
    batches = [Source(draw_tasks(7, 10, 2, alpha, 0), 3000).batch(0) for alpha in (0.4, 1.0)]
    into = torch.full_like(stack.weights, 7.0), torch.full_like(stack.biases, 7.0)
    losses = stack.gradients(batches, into)
    for supply, network in itertools.product(range(2), range(2)):
        module = module_of(stack.parameters(supply, network))
        loss = plain_losses(module, batches[supply], 7).mean()
        loss.backward()
        assert losses[supply, network].item() == pytest.approx(loss.item(), abs=1e-6)
        found = Stack([[initial_parameters(7, 10, w, 0) for w in (5, 9)]], 7, 10)  # a stack to read gradients with
        found.weights, found.biases = into[0][supply : supply + 1], into[1][supply : supply + 1]
        values = dataclasses.astuple(found.parameters(0, network))
        for value, parameter in zip(values, module.parameters(), strict=True):
            assert parameter.grad is not None
            assert (value - parameter.grad).norm() <= 1e-5 * parameter.grad.norm()


def test_a_tile_boundary_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, samples = stack_of([6], [0]), Source(TASKS, 2000).batch(0)
    into = torch.empty_like(stack.weights), torch.empty_like(stack.biases)
    stack.gradients([samples], into)
    whole = into[0].clone()
    monkeypatch.setattr("compute.numerics.parity_stack.TILE", 1)
    monkeypatch.setattr("compute.numerics.parity_stack.BLOCK", 100)
    stack.gradients([samples], into)
    assert (into[0] - whole).abs().max() < 1e-7


def test_means_by_task_are_nan_where_a_task_has_no_sample() -> None:
    stack = stack_of([6], [0])
    samples = samples_of(TASKS, np.array([0, 0, 2]), np.zeros((3, 10), int))
    means, counts = stack.mean_losses(0, [samples])
    single = stack.losses(0, samples)[0]
    assert counts.tolist() == [2, 0, 1, 0, 0, 0, 0]
    assert means[0, 0].item() == pytest.approx(single[:2].mean().item())
    assert means[0].isnan().tolist() == [False, True, False, True, True, True, True]


def test_widths_must_be_the_same_on_every_supply() -> None:
    with pytest.raises(FitError, match="same widths"):
        Stack([[initial_parameters(7, 10, 5, 0)], [initial_parameters(7, 10, 6, 0)]], 7, 10)


def test_training_is_that_of_torch_step_by_step() -> None:
    training = Training([Supply(0.4, seed=3)], [12], RECIPE)
    module = module_of(training.stack.parameters(0, 0)).float()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01, weight_decay=0.02)
    source = Source(TASKS, 120)
    for step in range(40):
        batch = source.batch(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(plain_input(batch, 7).float()), batch.answers.long()).backward()
        optimizer.step()
    training.advance(40)
    fresh = source.batch(99)
    expected = plain_losses(module.double(), fresh, 7)
    assert (training.stack.losses(0, fresh)[0] - expected).abs().max() < 1e-4


def test_networks_learn_the_same_side_by_side_as_alone() -> None:
    supplies = [Supply(0.4), Supply(1.0, seed=2), Supply(0.4, n_samples=200)]
    together = Training(supplies, [6, 11], RECIPE)
    together.advance(30)
    found = together.log()
    for s, m in itertools.product(range(3), range(2)):
        alone = Training([supplies[s]], [[6, 11][m]], RECIPE)
        alone.advance(30)
        expected = alone.log()
        for name in ("test", "train", "test_by_task", "train_by_task"):
            values = np.array(getattr(found, name)[s, m]), np.array(getattr(expected, name)[0, 0])
            np.testing.assert_allclose(*values, atol=1e-5)


def test_mean_test_loss_is_that_of_the_tasks_by_frequency() -> None:
    training = Training([Supply(0.4), Supply(1.0, n_samples=150)], [8], RECIPE)
    training.advance(5)
    found = training.log()
    for s, tasks in enumerate(training.tasks):
        assert found.test[s, 0] == pytest.approx(found.test_by_task[s, 0] @ tasks.probabilities)
    assert np.isnan(found.train_by_task[0]).all()
    (seen,) = training.sources[1].seen(RECIPE.test_points)
    assert found.train[1, 0] == pytest.approx(training.stack.losses(1, seen)[0].mean().item(), abs=1e-6)


def test_a_training_taken_up_gives_the_same_bytes() -> None:
    supplies = [Supply(0.4), Supply(0.4, n_samples=130)]
    whole, first = (Training(supplies, [6, 11], RECIPE) for _ in range(2))
    whole.advance(17)
    first.advance(9)
    second = Training(supplies, [6, 11], RECIPE)
    second.restore(first.state())
    second.advance(8)
    assert second.step == 17
    for name, array in whole.state().items():
        assert array.tobytes() == second.state()[name].tobytes(), name
    assert whole.log().test_by_task.tobytes() == second.log().test_by_task.tobytes()


def test_a_network_that_diverges_leaves_the_others_alone() -> None:
    sound, hurt = (Training([Supply(0.4)], [6, 11, 5], RECIPE) for _ in range(2))
    hurt.stack.weights[0, 0, hurt.stack.columns[1]] = torch.nan
    for one in (sound, hurt):
        one.advance(4)
    assert hurt.diverged.tolist() == [[-1, 0, -1]]
    assert not hurt.is_lost
    expected, found = sound.log(), hurt.log()
    assert np.isnan(found.test[0, 1])
    assert np.isnan(found.test_by_task[0, 1]).all()
    for network in (0, 2):
        assert found.test_by_task[0, network].tobytes() == expected.test_by_task[0, network].tobytes()


def test_a_training_that_diverges_names_step_and_learning_rate() -> None:
    recipe = dataclasses.replace(RECIPE, learning_rate=1e4)
    with pytest.raises(TrainingError, match=r"diverged at step 1: .* learning rate is 10000; lower it"):
        train_network(Supply(0.4), 8, 5, recipe)


def test_a_network_learns_its_most_frequent_task() -> None:
    lm, tasks = train_network(Supply(1.5), 32, 250, dataclasses.replace(RECIPE, batch_size=300))
    means, _ = Stack([[lm]], 7, 10).mean_losses(0, Source(tasks, 50).test(1, np.full(7, 200)))
    assert means[0, 0] < 0.05
    assert means[0, 6] > 0.5


def test_telling_can_stop_a_training() -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Training([Supply(0.4)], [6], RECIPE).advance(3, stop)


def test_gradients_of_samples_are_those_of_autograd() -> None:
    lm, samples = initial_parameters(7, 10, 6, seed=0), Source(TASKS, 300).batch(0)
    found = sample_gradients(lm, samples)
    module = module_of(lm)
    assert found.shape == (300, n_parameters(7, 10, 6))
    assert found.dtype == np.float32
    losses = plain_losses(module, samples, 7)
    for i in (0, 255, 256, 299):
        gradients = torch.autograd.grad(losses[i], list(module.parameters()), retain_graph=True)
        expected = torch.cat([one.flatten() for one in gradients]).numpy()
        np.testing.assert_allclose(found[i], expected, atol=1e-6)


def test_gradients_of_well_known_samples_keep_their_digits() -> None:
    lm, samples = initial_parameters(7, 10, 6, seed=0), Source(TASKS, 1).batch(0)
    answer = int(samples.answers[0])
    sure = dataclasses.replace(lm, second_bias=torch.tensor([9.0, -9.0] if answer == 0 else [-9.0, 9.0]))
    module = module_of(sure)
    plain_losses(module, samples, 7).sum().backward()
    expected = torch.cat([one.grad.flatten() for one in module.parameters() if one.grad is not None])
    found = sample_gradients(sure, samples)[0]
    assert np.linalg.norm(found - expected.numpy()) <= 1e-5 * expected.norm()

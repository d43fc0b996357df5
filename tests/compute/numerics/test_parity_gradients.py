"""Gradients of parity networks, compared without being formed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from compute.errors import SimilarityError
from compute.numerics import parity_gradients
from compute.numerics.parity import sample_gradients
from compute.numerics.parity_gradients import gradient_factors, parity_cosines
from compute.numerics.parity_stack import Parameters, Stack, initial_parameters
from compute.numerics.parity_tasks import Samples, Source, draw_tasks

N_TASKS, N_BITS, WIDTH, N = 5, 7, 11, 40


@pytest.fixture(scope="module")
def lm() -> Parameters:
    return initial_parameters(N_TASKS, N_BITS, WIDTH, seed=0)


@pytest.fixture(scope="module")
def samples() -> Samples:
    return Source(draw_tasks(N_TASKS, N_BITS, 3, alpha=0.4), N).batch(0)


def test_cosines_are_those_of_gradients_formed_one_by_one(lm, samples):
    rows = sample_gradients(lm, samples).astype(np.float64)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(parity_cosines(lm, samples), unit @ unit.T, atol=1e-6)


def test_losses_are_those_of_the_network_in_training(lm, samples):
    expected = Stack([[lm]], N_TASKS, N_BITS).losses(0, samples)[0].numpy()
    np.testing.assert_allclose(gradient_factors(lm, samples).loss_nats, expected, atol=1e-6)


def test_blocks_of_rows_change_nothing(lm, samples, monkeypatch):
    whole = parity_cosines(lm, samples)
    monkeypatch.setattr(parity_gradients, "ROWS", 7)
    told = []
    np.testing.assert_allclose(parity_cosines(lm, samples, on_rows=lambda *done: told.append(done)), whole, atol=1e-6)
    assert told[0] == (7, N)
    assert told[-1] == (N, N)


def test_the_matrix_is_symmetric_with_a_diagonal_of_one(lm, samples):
    cosine = parity_cosines(lm, samples)
    assert (cosine == cosine.T).all()
    assert (np.diagonal(cosine) == 1).all()


def test_a_sample_whose_gradient_vanishes_in_single_precision_keeps_its_direction(lm, samples):
    """With a second layer ten thousand times as large, losses underflow; directions remain."""
    sure = replace(lm, second=1e4 * lm.second, second_bias=1e4 * lm.second_bias)
    assert (gradient_factors(sure, samples).loss_nats < 1e-45).any()
    assert np.isfinite(parity_cosines(sure, samples)).all()


def test_one_sample_or_weights_that_are_no_numbers_are_refused(lm, samples):
    with pytest.raises(SimilarityError, match="1 sample"):
        parity_cosines(lm, Samples(samples.tasks[:1], samples.bits[:1], samples.answers[:1]))
    with pytest.raises(SimilarityError, match="train again"):
        parity_cosines(replace(lm, first=lm.first * torch.nan), samples)

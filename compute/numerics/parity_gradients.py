"""Gradients of all samples of sparse parity, compared with each other without forming any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compute.errors import SimilarityError
from compute.numerics.parity_stack import Parameters
from compute.numerics.parity_tasks import Samples

ROWS = 512  # of the matrix at a time
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Factors:
    """What a sample's gradient is made of: each layer's is an outer product.

    Attributes
    ----------
    hidden : ndarray of shape (n_samples, width), float64
        ∂loss/∂(W₁ x + b₁), up to the sample's own positive factor.
    active : ndarray of shape (n_samples, width), float64
        a = relu(W₁ x + b₁).
    sign : ndarray of shape (n_samples,), float64
        ∂loss/∂z = sign · (1, −1), up to the same factor.
    loss_nats : ndarray of shape (n_samples,), float64
    """

    hidden: Floats
    active: Floats
    sign: Floats
    loss_nats: Floats


def gradient_factors(lm: Parameters, samples: Samples) -> Factors:
    """Pass samples forward and backward.

    Parameters
    ----------
    lm : Parameters
    samples : Samples

    Returns
    -------
    Factors

    Notes
    -----
    With the margin m = z_label − z_other the loss is ln(1 + e^−m) and ∂loss/∂z = σ(−m) (±1, ∓1). σ(−m) > 0 scales the
    whole gradient of a sample and leaves its direction alone, so it is left out: a sample that is predicted so well
    that its gradient would vanish in single precision keeps its direction.

    Examples
    --------
    >>> from compute.numerics.parity_stack import initial_parameters
    >>> from compute.numerics.parity_tasks import Source, draw_tasks
    >>> samples = Source(draw_tasks(3, 8, 2, alpha=1.0), 20).batch(0)
    >>> gradient_factors(initial_parameters(3, 8, 5, seed=0), samples).hidden.shape
    (20, 5)
    """
    w1, b1, w2, b2 = (one.double().numpy() for one in (lm.first, lm.first_bias, lm.second, lm.second_bias))
    bits, n_tasks = _bits(samples), w1.shape[1] - samples.bits.shape[1]
    before = w1[:, :n_tasks].T[samples.tasks.numpy()] + bits @ w1[:, n_tasks:].T + b1
    active = np.maximum(before, 0.0)
    away = w2[0] - w2[1]
    sign = np.where(samples.answers.numpy() == 0, -1.0, 1.0)  # the loss falls as the answer's own logit rises
    margin = sign * (active @ away + (b2[0] - b2[1]))
    return Factors((before > 0) * away * sign[:, None], active, sign, np.logaddexp(0.0, margin))


def parity_cosines(
    lm: Parameters, samples: Samples, *, on_rows: Callable[[int, int], None] | None = None
) -> NDArray[np.float32]:
    """Compare the gradients of all parameters, for every pair of samples.

    Parameters
    ----------
    lm : Parameters
    samples : Samples
    on_rows : callable (n_done, n_total), optional
        Called after every block of rows.

    Returns
    -------
    ndarray of shape (n_samples, n_samples), float32, in [−1, 1]
        Symmetric, with a diagonal of exactly 1.

    Raises
    ------
    SimilarityError
        Fewer than two samples, or weights that are no numbers.

    Notes
    -----
    The gradient of one sample is (δ ⊗ x, δ, ε ⊗ a, ε) with δ = ∂loss/∂(W₁ x + b₁) and ε = ∂loss/∂z, so

    g_i · g_j = (δ_i · δ_j)(x_i · x_j + 1) + (ε_i · ε_j)(a_i · a_j + 1),

    and x_i · x_j = [task_i = task_j] + bits_i · bits_j. With two classes δ_i = s_i (v₁ − v₀) 1[W₁ x_i + b₁ > 0], where
    s_i = ±1 is the answer's sign, so every term has the sign of s_i s_j: gradients of equal answers point the same way,
    those of different answers oppose each other, and |g_i| · |g_j| = |g_i · g_j|. At the paper's size (301,502
    parameters, 10,000 samples) the gradients would fill 12 GB; their factors fill 80 MB, and the result is exact.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 5 and appendix D.1;
    Goodfellow, Efficient per-example gradient computations, arXiv:1510.01799.

    Examples
    --------
    >>> from compute.numerics.parity_stack import initial_parameters
    >>> from compute.numerics.parity_tasks import Source, draw_tasks
    >>> samples = Source(draw_tasks(3, 8, 2, alpha=1.0), 20).batch(0)
    >>> cosine = parity_cosines(initial_parameters(3, 8, 5, seed=0), samples)
    >>> cosine.shape, float(cosine[4, 4])
    ((20, 20), 1.0)
    """
    n = len(samples)
    if n < 2:
        raise SimilarityError(f"{n} sample leaves nothing to compare; draw at least 2")
    if not all(one.isfinite().all() for one in (lm.first, lm.first_bias, lm.second, lm.second_bias)):
        raise SimilarityError("the network's weights are no numbers; train again, at a lower learning rate")
    factors, bits, tasks = gradient_factors(lm, samples), _bits(samples), samples.tasks.numpy()
    cosine = np.empty((n, n), np.float32)
    scale = 1.0 / np.sqrt(_squares(factors, bits))
    for first in range(0, n, ROWS):
        rows, rest = slice(first, min(first + ROWS, n)), slice(first, n)
        inputs = (tasks[rows, None] == tasks[rest]) + bits[rows] @ bits[rest].T
        products = (factors.hidden[rows] @ factors.hidden[rest].T) * (inputs + 1)
        products += (
            2 * np.outer(factors.sign[rows], factors.sign[rest]) * (factors.active[rows] @ factors.active[rest].T + 1)
        )
        block = np.clip(products * scale[rows, None] * scale[rest], -1.0, 1.0)
        own = block[:, : rows.stop - first]
        own[:] = (own + own.T) / 2
        np.fill_diagonal(own, 1.0)
        cosine[rows, rest], cosine[rest, rows] = block, block.T
        if on_rows is not None:
            on_rows(rows.stop, n)
    return cosine


def _squares(factors: Factors, bits: Floats) -> Floats:
    """Squared length of every gradient: a one-hot task and a bias add 2 to the bits that are set."""
    hidden, active = (np.einsum("ij,ij->i", one, one) for one in (factors.hidden, factors.active))
    return np.asarray(hidden * ((bits**2).sum(axis=1) + 2) + 2 * (active + 1))


def _bits(samples: Samples) -> Floats:
    return np.asarray(samples.bits.double().numpy())

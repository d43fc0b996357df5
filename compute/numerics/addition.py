"""Grokking: a small network that learns addition modulo p from some of all pairs, and much later the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compute.errors import TrainingError

if TYPE_CHECKING:
    import torch

ACTIVATIONS = ("quadratic", "relu")
LEARNED_BITS = 0.1
ACCURATE = 0.99
BETAS, EPSILON = (0.9, 0.98), 1e-8
A_DECADE = 40  # logged steps

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class AdditionSetting:
    """One network, and which pairs it is shown.

    Attributes
    ----------
    modulus : int
        p; the network maps pairs (a, b) of residues to (a + b) mod p.
    width : int
        Neurons of the hidden layer.
    activation : str
        "quadratic" (z²) or "relu".
    fraction : float
        Share of all p² pairs that are trained on, in (0, 1).
    weight_decay : float
        Of AdamW, decoupled; 0 or more.
    learning_rate : float
    seed : int
        Of the split and of the first weights.
    """

    modulus: int
    width: int
    activation: str
    fraction: float
    weight_decay: float
    learning_rate: float
    seed: int

    @property
    def n_train(self) -> int:
        """Pairs trained on: at least one, and at least one is left to be tested on."""
        return min(max(round(self.fraction * self.modulus**2), 1), self.modulus**2 - 1)


@dataclass(frozen=True)
class Measure:
    """What a network does at one step.

    Attributes
    ----------
    train_bits, test_bits : float
        Mean cross-entropy over the pairs trained on, and over all others, bits.
    train_accuracy, test_accuracy : float
        Share of pairs whose likeliest sum is the right one.
    periodicity : float
        As `periodicity` gives it, over the weights of both inputs.
    norm : float
        Root of the sum of all squared weights.
    """

    train_bits: float
    test_bits: float
    train_accuracy: float
    test_accuracy: float
    periodicity: float
    norm: float


def all_pairs(modulus: int) -> tuple[Integers, Integers, Integers]:
    """Return every pair and its sum.

    Parameters
    ----------
    modulus : int
        p >= 2.

    Returns
    -------
    a, b, sum : ndarray of shape (p²,), int64
        Residues in [0, p); pair i is (i // p, i % p).

    Examples
    --------
    >>> all_pairs(2)[2].tolist()
    [0, 1, 1, 0]
    """
    a, b = np.divmod(np.arange(modulus**2), modulus)
    return a, b, (a + b) % modulus


def split_pairs(setting: AdditionSetting) -> tuple[Integers, Integers]:
    """Draw the pairs that are trained on.

    Parameters
    ----------
    setting : AdditionSetting

    Returns
    -------
    train, test : ndarray of int64
        Places in `all_pairs`, ascending; together all of them. A larger fraction of the same seed holds a smaller one.
    """
    order = np.random.default_rng([setting.seed, 0]).permutation(setting.modulus**2)
    return np.sort(order[: setting.n_train]), np.sort(order[setting.n_train :])


def first_weights(setting: AdditionSetting) -> NDArray[np.float32]:
    """Draw the weights that training starts from.

    Parameters
    ----------
    setting : AdditionSetting

    Returns
    -------
    ndarray of shape (3, p, width), float32
        U and V, the rows that a and b are mapped to, variance ½; W, whose row s reads the sum s out, variance 1/width.
    """
    shape = (3, setting.modulus, setting.width)
    scale = np.sqrt([0.5, 0.5, 1 / setting.width])[:, None, None]
    return (np.random.default_rng([setting.seed, 1]).standard_normal(shape) * scale).astype(np.float32)


def logged_steps(n_steps: int) -> list[int]:
    """Choose the steps at which a training of `n_steps` is looked at: 0, then evenly in the logarithm, then the last.

    Examples
    --------
    >>> logged_steps(6)
    [0, 1, 2, 3, 4, 5, 6]
    """
    if n_steps < 1:
        return [0]
    n = math.ceil(A_DECADE * math.log10(n_steps)) + 1
    return sorted({0, *np.unique(np.rint(np.geomspace(1, n_steps, n)).astype(int)).tolist()})


class Adder:
    """A network of one hidden layer in training: logits(a, b) = W φ(U_a + V_b).

    Parameters
    ----------
    setting : AdditionSetting
    device : str
        "cpu" or "cuda".
    state : ndarray of shape (3, 3, p, width), float32, optional
        What `state` of an earlier one gave, to go on from there.
    step : int
        Steps that `state` has behind it.

    Notes
    -----
    Each step follows the gradient of the mean cross-entropy over all pairs trained on (one batch, no chance after the
    start), with AdamW: decay θ ← (1 − lr · wd) θ, then Adam's step with β = (0.9, 0.98). The gradient is written out
    by hand, which costs half of what automatic differentiation does: with R the residuals (softmax − truth)/n,

        ∂W = Rᵀφ(z),   ∂z = (R W) ⊙ φ'(z),   ∂U_a = Σ over pairs with that a of ∂z,   ∂V_b likewise

    The sums are products with 0/1 matrices, so that on one device the same settings always give the same bits.

    References
    ----------
    Power et al., Grokking, arXiv:2201.02177; Gromov, Grokking modular arithmetic, arXiv:2301.02679 (this network);
    Loshchilov and Hutter, Decoupled weight decay regularization, arXiv:1711.05101.
    """

    def __init__(
        self,
        setting: AdditionSetting,
        *,
        device: str = "cpu",
        state: NDArray[np.float32] | None = None,
        step: int = 0,
    ) -> None:
        import torch

        self.setting, self.step = setting, step
        if state is None:
            weights = first_weights(setting)
            state = np.stack([weights, np.zeros_like(weights), np.zeros_like(weights)])
        self._state = torch.tensor(state, device=device)
        a, b, total = (torch.tensor(one, device=device) for one in all_pairs(setting.modulus))
        self._sets = []
        for places in split_pairs(setting):
            at = torch.tensor(places, device=device)
            self._sets.append((a[at], b[at], total[at]))
        train_a, train_b, train_sum = self._sets[0]
        hot = torch.eye(setting.modulus, device=device)
        self._from_a, self._from_b = hot[train_a].T.contiguous(), hot[train_b].T.contiguous()  # (p, n)
        self._truth = hot[train_sum]  # (n, p)

    @property
    def weights(self) -> NDArray[np.float32]:
        """U, V and W as they are now, (3, p, width)."""
        return self._state[0].cpu().numpy()

    def state(self) -> NDArray[np.float32]:
        """Weights and both moments of Adam, (3, 3, p, width): all that is needed to go on."""
        return self._state.cpu().numpy().copy()

    def advance(self, until: int, tell: Callable[[int], None] = lambda step: None) -> None:
        """Train up to a step; `tell` hears of every step and may raise to stop between two."""
        while self.step < until:
            self._update(self._gradient())
            self.step += 1
            tell(self.step)

    def measure(self) -> Measure:
        """Measure the network as it is; TrainingError where it has diverged."""
        (train, train_right), (test, test_right) = (self._judged(*one) for one in self._sets)
        u, v, _ = self.weights
        norm = float(np.sqrt(np.sum(self.weights.astype(np.float64) ** 2)))
        if not (math.isfinite(train) and math.isfinite(test) and math.isfinite(norm)):
            one = self.setting
            raise TrainingError(
                f"Training diverged: at step {self.step:,} the loss is no number any more, with learning rate "
                f"{one.learning_rate:g}, weight decay {one.weight_decay:g} and {100 * one.fraction:.3g}% of the pairs. "
                "Give a smaller learning rate."
            )
        both = periodicity(np.concatenate([u, v], axis=1))
        return Measure(train, test, train_right, test_right, both, norm)

    def _hidden(self, z: torch.Tensor) -> torch.Tensor:
        return z * z if self.setting.activation == "quadratic" else z.relu()

    def _slope(self, z: torch.Tensor) -> torch.Tensor:
        return 2 * z if self.setting.activation == "quadratic" else (z > 0).to(z.dtype)

    def _gradient(self) -> torch.Tensor:
        import torch

        (u, v, w), (a, b, _) = self._state[0], self._sets[0]
        z = u[a] + v[b]  # (n, width)
        hidden = self._hidden(z)
        residual = (torch.softmax(hidden @ w.T, dim=1) - self._truth) / len(a)  # (n, p)
        back = (residual @ w) * self._slope(z)  # (n, width)
        return torch.stack([self._from_a @ back, self._from_b @ back, residual.T @ hidden])

    def _update(self, gradient: torch.Tensor) -> None:
        weights, mean, square = self._state
        rate, t = self.setting.learning_rate, self.step + 1
        mean.lerp_(gradient, 1 - BETAS[0])
        square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        weights.mul_(1 - rate * self.setting.weight_decay)
        spread = square.sqrt().div_(math.sqrt(1 - BETAS[1] ** t)).add_(EPSILON)
        weights.addcdiv_(mean, spread, value=-rate / (1 - BETAS[0] ** t))

    def _judged(self, a: torch.Tensor, b: torch.Tensor, total: torch.Tensor) -> tuple[float, float]:
        """Mean loss in bits and accuracy over some pairs."""
        import torch

        u, v, w = self._state[0]
        logits = self._hidden(u[a] + v[b]) @ w.T
        loss = torch.nn.functional.cross_entropy(logits.double(), total)
        return float(loss) / math.log(2), float((logits.argmax(dim=1) == total).double().mean())


def periodicity(weights: ArrayLike) -> float:
    """Measure how far each neuron's weights over the residues are one pure wave.

    Parameters
    ----------
    weights : array_like of shape (p, n), float
        Of n neurons, one row a residue; p >= 3.

    Returns
    -------
    float
        In (0, 1]: the share of the neurons' power, without their means, that lies at each neuron's own strongest
        frequency. 1 for pure waves; about (ln m + 0.58)/m for random weights, m = (p − 1)/2. nan without any power.

    Notes
    -----
    Networks that add modulo p do it by angles: weights become cos(2πka/p + φ), one frequency k a neuron, and sums
    follow from the angles' sums. This share grows while the test loss does not move yet, which is why it is used
    as a measure of hidden progress.

    References
    ----------
    Nanda et al., Progress measures for grokking via mechanistic interpretability, arXiv:2301.05217; Gromov,
    arXiv:2301.02679, equation 5.

    Examples
    --------
    >>> wave = np.cos(2 * np.pi * 3 * np.arange(7) / 7)
    >>> round(periodicity(wave[:, None]), 6)
    1.0
    """
    power = _power(weights)
    total = float(power.sum())
    return float(power.max(axis=0).sum()) / total if total > 0 else math.nan


def spectrum(weights: ArrayLike) -> Floats:
    """Sum the power of all neurons' weights at every frequency.

    Parameters
    ----------
    weights : array_like of shape (p, n), float

    Returns
    -------
    ndarray of shape (p // 2,), float64
        Shares of the whole at frequencies 1, 2, …, p // 2; the means (frequency 0) are left out.

    Examples
    --------
    >>> spectrum(np.cos(2 * np.pi * 2 * np.arange(7) / 7)[:, None]).round(6).tolist()
    [0.0, 1.0, 0.0]
    """
    power = _power(weights).sum(axis=1)
    total = power.sum()
    return power / total if total > 0 else np.full(len(power), np.nan)


def _power(weights: ArrayLike) -> Floats:
    return np.abs(np.fft.rfft(np.asarray(weights, np.float64), axis=0)[1:]) ** 2


def first_at(steps: ArrayLike, is_reached: ArrayLike) -> int | None:
    """Find the first step at which something holds.

    Parameters
    ----------
    steps : array_like of shape (n,), int
    is_reached : array_like of shape (n,), bool

    Returns
    -------
    int or None
        None where it never does.

    Examples
    --------
    >>> first_at([0, 10, 20], [False, True, True])
    10
    """
    places = np.flatnonzero(np.asarray(is_reached, bool))
    return int(np.asarray(steps)[places[0]]) if len(places) else None

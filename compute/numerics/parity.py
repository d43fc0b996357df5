"""Multitask sparse parity: train networks, many at a time, and read every task's loss as they learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from compute.errors import TrainingError
from compute.numerics.parity_stack import Parameters, Stack, initial_parameters
from compute.numerics.parity_tasks import Samples, Source, Tasks, draw_tasks

DIVERGED_NATS = 1e4  # a batch's mean loss above which a network is given up, as if it were no number
NEVER = -1
CHUNK = 256  # samples whose gradients are formed at once


@dataclass(frozen=True)
class Supply:
    """What samples the networks of one place in a stack are given.

    Attributes
    ----------
    alpha : float
        Positive; of the tasks' frequencies.
    seed : int
        Of subsets, samples and initial weights.
    n_samples : int or None
        Size of the training set; None where every batch is new.
    """

    alpha: float
    seed: int = 0
    n_samples: int | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How networks are trained and tested.

    Attributes
    ----------
    n_tasks, n_bits, k : int
        As for `draw_tasks`.
    batch_size : int
        Samples a step.
    learning_rate, weight_decay, beta1, beta2, epsilon : float
        Of AdamW; without weight decay it is Adam.
    test_points : int
        Task i is tested on ⌊p_i · test_points⌋ new samples at every log, and on `task_points` at least.
    task_points : int
        At least 1. Training loss is measured on at most `test_points` samples of a training set.
    """

    n_tasks: int
    n_bits: int
    k: int
    batch_size: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    test_points: int = 1_000_000
    task_points: int = 1000


@dataclass(frozen=True, eq=False)
class Logged:
    """Losses of all networks at one step, in nats; nan for networks that have diverged.

    Attributes
    ----------
    test, train : ndarray of shape (n_supplies, n_networks), float64
        Test loss is Σ p_i · loss_i over tasks. Training loss is that of samples of the training set, or of a new batch.
    test_by_task : ndarray of shape (n_supplies, n_networks, n_tasks), float64
    train_by_task : ndarray of that shape
        Nan for tasks without a sample in the training set, and where every batch is new.
    """

    test: NDArray[np.float64]
    train: NDArray[np.float64]
    test_by_task: NDArray[np.float64]
    train_by_task: NDArray[np.float64]


class Training:
    """Networks of several widths on several supplies of samples, in training.

    Parameters
    ----------
    supplies : sequence of Supply
    widths : sequence of int
        Every supply gets a network of each. All networks of a supply see the same batches.
    recipe : Recipe
    device : str or torch.device

    Attributes
    ----------
    step : int
        Steps that are done.
    batch_losses : tensor of shape (n_supplies, n_networks), float32
        Mean losses over the last batch, before its step; nats.
    diverged : ndarray of shape (n_supplies, n_networks), int64
        The step at which a network's loss was no number, or above 10,000 nats; −1 for those that are sound.

    Notes
    -----
    Which samples a step sees, and which a test, depends on the supply and the step alone, so a training that is taken
    up from `state` gives the same bytes as one that was never stopped (on a GPU, where sums have no fixed order, the
    same up to rounding).

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 3.

    Examples
    --------
    >>> recipe = Recipe(n_tasks=4, n_bits=8, k=2, batch_size=50, test_points=400, task_points=10)
    >>> training = Training([Supply(alpha=0.4)], [16, 32], recipe)
    >>> training.advance(3)
    >>> training.step, training.log().test_by_task.shape
    (3, (1, 2, 4))
    """

    def __init__(
        self,
        supplies: Sequence[Supply],
        widths: Sequence[int],
        recipe: Recipe,
        device: str | torch.device = "cpu",
    ) -> None:
        n_tasks, n_bits = recipe.n_tasks, recipe.n_bits
        self.recipe = recipe
        self.tasks = [draw_tasks(n_tasks, n_bits, recipe.k, one.alpha, one.seed) for one in supplies]
        self.sources = [
            Source(tasks, recipe.batch_size, one.n_samples, device)
            for tasks, one in zip(self.tasks, supplies, strict=True)
        ]
        networks = [[initial_parameters(n_tasks, n_bits, width, one.seed) for width in widths] for one in supplies]
        self.stack = Stack(networks, n_tasks, n_bits, device)
        self.step = 0
        self.batch_losses = torch.full((len(supplies), len(widths)), torch.nan, device=self.stack.device)
        self._diverged = torch.full((len(supplies), len(widths)), NEVER, device=self.stack.device)
        self._trained = [self.stack.weights, self.stack.biases]
        self._optimizer = torch.optim.AdamW(
            self._trained,
            lr=recipe.learning_rate,
            betas=(recipe.beta1, recipe.beta2),
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self._gradients = torch.zeros_like(self.stack.weights), torch.zeros_like(self.stack.biases)
        for tensor, gradient in zip(self._trained, self._gradients, strict=True):
            tensor.grad = gradient
            self._optimizer.state[tensor] = {
                "step": torch.zeros((), device=self.stack.device),
                "exp_avg": torch.zeros_like(tensor),
                "exp_avg_sq": torch.zeros_like(tensor),
            }

    @property
    def diverged(self) -> NDArray[np.int64]:
        return self._diverged.cpu().numpy()

    @property
    def is_lost(self) -> bool:
        """Whether every network has diverged."""
        return bool((self._diverged != NEVER).all())

    def advance(self, n_steps: int, tell: Callable[[], None] = lambda: None) -> None:
        """Train for so many steps; `tell` is called after each, and may raise to stop."""
        for _ in range(n_steps):
            batches = [source.batch(self.step) for source in self.sources]
            self.batch_losses = self.stack.gradients(batches, self._gradients)
            is_lost = (self._diverged == NEVER) & ~(self.batch_losses <= DIVERGED_NATS)
            self._diverged.masked_fill_(is_lost, self.step)
            self._optimizer.step()
            self.step += 1
            tell()

    def log(self, tell: Callable[[], None] = lambda: None) -> Logged:
        """Test every network on new samples, and on samples that it has seen; `tell` is called now and then."""
        shape = tuple(self._diverged.shape)
        test, train = np.empty((*shape, self.recipe.n_tasks)), np.full((*shape, self.recipe.n_tasks), np.nan)
        mean_test, mean_train = np.empty(shape), np.empty(shape)
        for s, (tasks, source) in enumerate(zip(self.tasks, self.sources, strict=True)):
            counts = points_per_task(tasks.probabilities, self.recipe.test_points, self.recipe.task_points)
            test[s] = self.stack.mean_losses(s, source.test(self.step, counts), tell)[0].cpu()
            mean_test[s] = test[s] @ tasks.probabilities
            if source.n_samples is None:
                mean_train[s] = self.stack.losses(s, source.batch(self.step)).double().mean(1).cpu()
            else:
                train[s], seen = (one.cpu().numpy() for one in self._seen_losses(s, tell))
                mean_train[s] = np.nansum(train[s] * seen, axis=1) / seen.sum()
        lost = self.diverged != NEVER
        for table in (test, train, mean_test, mean_train):
            table[lost] = np.nan
        return Logged(mean_test, mean_train, test, train)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """All that `restore` needs to go on from here, as arrays of the CPU."""
        found: dict[str, NDArray[np.generic]] = {"step": np.array(self.step), "diverged": self.diverged}
        for name, tensor in zip(("weights", "biases"), self._trained, strict=True):
            moments = self._optimizer.state[tensor]
            found[name] = np.stack([one.cpu() for one in (tensor, moments["exp_avg"], moments["exp_avg_sq"])])
        return found

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from a state of a training of the same supplies, widths and recipe."""
        self.step = int(state["step"])
        self._diverged.copy_(torch.from_numpy(np.array(state["diverged"])))
        for name, tensor in zip(("weights", "biases"), self._trained, strict=True):
            moments = self._optimizer.state[tensor]
            moments["step"].fill_(self.step)
            for target, saved in zip((tensor, moments["exp_avg"], moments["exp_avg_sq"]), state[name], strict=True):
                target.copy_(torch.from_numpy(np.array(saved)))

    def _seen_losses(self, supply: int, tell: Callable[[], None]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.stack.mean_losses(supply, self.sources[supply].seen(self.recipe.test_points), tell)


def diverged_error(step: int, learning_rate: float) -> TrainingError:
    """What is said where no network has survived; `step` is that of the first loss that was no number."""
    return TrainingError(
        f"The training diverged at step {step:,}: the loss was not a number, or above {DIVERGED_NATS:,.0f} nats. "
        f"The learning rate is {learning_rate:g}; lower it."
    )


def points_per_task(probabilities: NDArray[np.float64], test_points: int, task_points: int) -> NDArray[np.int64]:
    """Samples of every task in a test set: ⌊p_i · test_points⌋, and `task_points` at least.

    Examples
    --------
    >>> points_per_task(np.array([0.7, 0.3]), 100, 40).tolist()
    [70, 40]
    """
    return np.maximum(np.floor(probabilities * test_points).astype(np.int64), task_points)


def train_network(
    supply: Supply,
    width: int,
    n_steps: int,
    recipe: Recipe,
    *,
    device: str | torch.device = "cpu",
    tell: Callable[[], None] = lambda: None,
) -> tuple[Parameters, Tasks]:
    """Train one network.

    Parameters
    ----------
    supply : Supply
    width, n_steps : int
    recipe : Recipe
    device : str or torch.device
    tell : callable
        Is called after every step; what it raises stops the training.

    Returns
    -------
    Parameters
        On the CPU.
    Tasks
        What the network was taught.

    Raises
    ------
    TrainingError
        Training diverged.

    Examples
    --------
    >>> recipe = Recipe(n_tasks=2, n_bits=4, k=1, batch_size=64, learning_rate=0.05)
    >>> lm, tasks = train_network(Supply(alpha=1.0), 16, 60, recipe)
    >>> samples = Source(tasks, 500).batch(60)
    >>> bool(Stack([[lm]], 2, 4).losses(0, samples).mean() < 0.1)
    True
    """
    training = Training([supply], [width], recipe, device)
    training.advance(n_steps, tell)
    if training.is_lost:
        raise diverged_error(int(training.diverged[0, 0]), recipe.learning_rate)
    return training.stack.parameters(0, 0), training.tasks[0]


def sample_gradients(lm: Parameters, samples: Samples) -> NDArray[np.float32]:
    """Gradient of every sample's cross-entropy with respect to all parameters.

    Parameters
    ----------
    lm : Parameters
    samples : Samples
        Of n_samples.

    Returns
    -------
    ndarray of shape (n_samples, n_parameters), float32
        Nats per unit; first layer's weights, its bias, second layer's weights, its bias, each in C order. At the
        paper's size a row holds 1.2 MB: ask for a few thousand samples at a time.

    Notes
    -----
    Every layer's part is an outer product: with g = σ(z) − y, v the difference of the second layer's rows and
    d = g v 1[h > 0], it is d (x, 1)ᵀ for the first and (−g, g) (relu(h), 1)ᵀ for the second.

    References
    ----------
    Michaud et al., arXiv:2303.13506, appendix D.1.

    Examples
    --------
    >>> tasks = draw_tasks(3, 4, 2, alpha=1.0)
    >>> sample_gradients(initial_parameters(3, 4, 5, seed=0), Source(tasks, 7).batch(0)).shape
    (7, 52)
    """
    n_tasks = lm.first.shape[1] - samples.bits.shape[1]
    parts = []
    for first in range(0, len(samples), CHUNK):
        rows = slice(first, first + CHUNK)
        one_hot = torch.nn.functional.one_hot(samples.tasks[rows], n_tasks).float()
        x = torch.cat([one_hot, samples.bits[rows]], 1)
        hidden = (x @ lm.first.T + lm.first_bias).clamp_(min=0)
        logits = hidden @ lm.second.T + lm.second_bias
        g = (logits[:, 1] - logits[:, 0]).double().sigmoid().sub_(samples.answers[rows]).float()[:, None]
        d = torch.where(hidden > 0, g * (lm.second[1] - lm.second[0]), 0.0)
        both = torch.cat([-g, g], 1)
        outer = d[:, :, None] * x[:, None], both[:, :, None] * hidden[:, None]
        parts.append(torch.cat([outer[0].flatten(1), d, outer[1].flatten(1), both], 1).numpy())
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

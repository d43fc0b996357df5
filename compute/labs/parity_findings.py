"""What an experiment on sparse parity found: every network's outcome, and the laws that they follow together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from compute.errors import FitError
from compute.labs.parity import ParityConfig
from compute.labs.parity_training import TASKS, TEST, TRAIN, Trained, trained
from compute.numerics import parity_measures as measures
from compute.numerics.parity import NEVER, diverged_error
from compute.numerics.parity_stack import n_parameters
from compute.numerics.parity_tasks import draw_tasks
from compute.numerics.theory import exponents
from compute.steps.run import Work

Array = tuple[str, np.ndarray, str]
NATS = "nats"


@dataclass(frozen=True, eq=False)
class Network:
    """One network: a row of the arrays, and where its logs are."""

    config: ParityConfig
    stack: Trained
    place: tuple[int, int]  # supply and network within its stack
    alpha: float
    seed: int
    n_samples: int | None
    width: int

    @property
    def logs(self) -> np.ndarray:
        """(n_logs, 2 + n_tasks or 2 + 2 n_tasks), float32."""
        return self.stack.logs[:, self.place[0], self.place[1]]

    @property
    def n_parameters(self) -> int:
        return n_parameters(self.config.n_tasks, self.config.n_bits, self.width)

    @property
    def diverged_at(self) -> int | None:
        step = int(self.stack.diverged[self.place])
        return None if step == NEVER else step

    @cached_property
    def test(self) -> np.ndarray:
        return np.array(self.logs[:, TEST], np.float64)

    @cached_property
    def train(self) -> np.ndarray:
        return np.array(self.logs[:, TRAIN], np.float64)

    @property
    def by_task(self) -> np.ndarray:
        return self.logs[:, TASKS : TASKS + self.config.n_tasks]

    @property
    def train_by_task(self) -> np.ndarray:
        """Nan where every batch was new."""
        if self.n_samples is None:
            return np.full((len(self.logs), self.config.n_tasks), np.nan, np.float32)
        return self.logs[:, TASKS + self.config.n_tasks :]

    @cached_property
    def best(self) -> tuple[int, float]:
        return measures.early_stop(self.config.steps, self.test)

    @cached_property
    def learned_by(self) -> np.ndarray:
        return measures.n_learned_by(self.by_task)

    @property
    def n_learned(self) -> int:
        return int(self.learned_by[-1])

    @cached_property
    def converged(self) -> np.ndarray:
        """Step at which each task was learned; −1 where it was not."""
        return measures.first_below(self.config.steps, self.by_task, measures.CONVERGED_NATS)

    @cached_property
    def probabilities(self) -> np.ndarray:
        c = self.config
        return draw_tasks(c.n_tasks, c.n_bits, c.k, self.alpha, self.seed).probabilities


def found_and_arrays(config: ParityConfig, work: Work) -> tuple[dict[str, Any], Iterator[Array]]:
    """What was measured, JSON-safe, and everything that was logged.

    Raises
    ------
    TrainingError
        All networks have diverged.
    """
    networks = networks_of(config, work)
    steps = [one.diverged_at for one in networks if one.diverged_at is not None]
    if len(steps) == len(networks):
        raise diverged_error(min(steps), config.learning_rate)
    found = {
        "runs": [_outcome(one) for one in networks],
        "fits": _fits(config, networks),
        "spearman": list(_orders(networks)),
        "tau": [*_thresholds_over_steps(config, networks), *_thresholds_over_data(networks)],
        "grokking": list(_gaps(networks)),
    }
    return found, _arrays(config, networks, work)


def networks_of(config: ParityConfig, work: Work) -> list[Network]:
    """All networks in order: by α, seed, number of samples and width, as the settings name them."""
    rows = {}
    for ordinal, stacked in enumerate(config.stacks):
        stack = trained(config, work, ordinal)
        for s, place in enumerate(stacked.supplies):
            alpha, seed, n_samples = config.supplies[place]
            rows[place] = [
                Network(config, stack, (s, m), alpha, seed, n_samples, width) for m, width in enumerate(stacked.widths)
            ]
    return [one for place in sorted(rows) for one in rows[place]]


def _outcome(one: Network) -> dict[str, Any]:
    is_known = bool(np.isfinite(one.test).any())
    best_step, best = one.best if is_known else (None, None)
    reached = [
        measures.first_below(one.config.steps, losses, measures.CONVERGED_NATS) for losses in (one.train, one.test)
    ]
    return {
        "alpha": one.alpha,
        "width": one.width,
        "n_parameters": one.n_parameters,
        "n_samples": one.n_samples,
        "seed": one.seed,
        "test_loss_nats": _plain(one.test[-1]),
        "best_test_loss_nats": best,
        "best_step": best_step,
        "n_learned": one.n_learned,
        "diverged_at": one.diverged_at,
        "train_step": None if reached[0] == NEVER else int(reached[0]),
        "test_step": None if reached[1] == NEVER else int(reached[1]),
    }


def _fits(config: ParityConfig, networks: list[Network]) -> dict[str, list[dict[str, Any]]]:
    sound = [one for one in networks if one.diverged_at is None]
    online = [one for one in sound if one.n_samples is None]
    finite = [one for one in sound if one.n_samples is not None]
    widest = [one for one in online if one.width == max(config.widths)]
    makers: dict[str, tuple[Callable[[list[Network]], dict[str, Any]], list[Network], str]] = {
        "N": (_over_parameters, online, "No network that sees ever new samples has come to its end."),
        "S": (_over_steps, widest, "No network of the largest width that sees ever new samples has come to its end."),
        "D": (_over_data, finite, "No network with a training set of a given size has come to its end."),
        "n_of_D": (_learned_over_data, finite, "No network with a training set of a given size has come to its end."),
        "convergence": (_over_frequency, widest, "No network of the largest width has come to its end."),
    }
    return {
        name: [entry for alpha in config.alphas for entry in _entries(make, alpha, chosen, reason)]
        for name, (make, chosen, reason) in makers.items()
    }


def _entries(
    make: Callable[[list[Network]], dict[str, Any]], alpha: float, networks: list[Network], reason: str
) -> Iterator[dict[str, Any]]:
    """A law of all seeds together, and of each where there are several; for networks with a training set, by width."""
    chosen = [one for one in networks if one.alpha == alpha]
    if not chosen:
        yield {"alpha": alpha, "reason": reason}
    by_width = {one.width for one in chosen if one.n_samples is not None}
    widths: list[int | None] = [*sorted(by_width, reverse=True)] or [None]
    for width in widths:
        same = [one for one in chosen if width in (None, one.width)]
        seeds = sorted({one.seed for one in same})
        asked: list[int | None] = [None, *seeds] if len(seeds) > 1 else [None]
        for seed in asked if same else []:
            entry: dict[str, Any] = {"alpha": alpha, "seed": seed} | ({} if width is None else {"width": width})
            try:
                yield entry | make([one for one in same if seed in (None, one.seed)])
            except FitError as error:
                yield entry | {"reason": _sentence(str(error))}


def _over_parameters(networks: list[Network]) -> dict[str, Any]:
    law = measures.power_law([one.n_parameters for one in networks], [one.test[-1] for one in networks])
    counts = [one.n_learned for one in networks]
    alpha = networks[0].alpha
    return _law(law, alpha) | {"finite_k": _finite(networks, "N", min(counts), max(counts))}


def _over_steps(networks: list[Network]) -> dict[str, Any]:
    config, steps = networks[0].config, networks[0].config.steps
    first, last = config.fit_from, config.fit_to
    if first is None or last is None:
        window = measures.steps_window(steps, np.mean([one.test for one in networks], axis=0))
        first, last = first or window[0], last or window[1]
    places = np.flatnonzero((steps >= first) & (steps <= last))
    x = np.tile(steps[places], len(networks))
    law = measures.power_law(x, np.concatenate([one.test[places] for one in networks]))
    ends = [int(np.mean([one.learned_by[end] for one in networks])) for end in (places[0], places[-1])]
    theory = exponents(networks[0].alpha).steps
    return _law(law, theory) | {"finite_k": _finite(networks, "S", *ends), "width": networks[0].width}


def _over_data(networks: list[Network]) -> dict[str, Any]:
    law = measures.data_law([one.n_samples or 0 for one in networks], [one.best[1] for one in networks])
    fitted = [one.n_learned for one in networks if (one.n_samples or 0) >= law.first]
    theory = exponents(networks[0].alpha).data
    return _law(law, theory) | {"finite_k": _finite(networks, "D", min(fitted), max(fitted))}


def _learned_over_data(networks: list[Network]) -> dict[str, Any]:
    law = measures.growth_law([one.n_samples or 0 for one in networks], [one.n_learned for one in networks])
    return _law(law, exponents(networks[0].alpha).quanta_in_data) | {"finite_k": None}


def _over_frequency(networks: list[Network]) -> dict[str, Any]:
    frequencies = np.concatenate([one.probabilities for one in networks])
    law = measures.convergence_law(frequencies, np.concatenate([one.converged for one in networks]))
    return _law(law, -1.0) | {"finite_k": None, "width": networks[0].width}


def _finite(networks: list[Network], resource: str, fewest: int, most: int) -> float | None:
    n_tasks = networks[0].config.n_tasks
    return measures.finite_prediction(networks[0].alpha, n_tasks, fewest, most, resource)


def _law(law: measures.Law, theory: float) -> dict[str, Any]:
    plain = {name: _plain(value) for name, value in vars(law).items()}
    return plain | {"theory": theory}


def _orders(networks: list[Network]) -> Iterator[dict[str, Any]]:
    """Spearman's ρ of frequency and order of learning, where three tasks or more were learned."""
    for i, one in enumerate(networks):
        n = int((one.converged != NEVER).sum())
        try:
            rho = measures.order_agreement(one.probabilities, one.converged)
        except FitError:
            continue
        yield {"alpha": one.alpha, "run": i, "rho": rho, "n_learned": n}


def _thresholds_over_steps(config: ParityConfig, networks: list[Network]) -> Iterator[dict[str, Any]]:
    """τ from the widest networks on new samples: samples of a task until it was learned."""
    for alpha in config.alphas:
        widest = [one for one in networks if (one.alpha, one.n_samples, one.width) == (alpha, None, max(config.widths))]
        seen = [measures.samples_per_task(one.probabilities, one.converged, config.batch_size) for one in widest]
        samples = np.concatenate([np.empty(0), *seen])
        if len(samples):
            yield {"alpha": alpha, "resource": "S", "width": widest[0].width, **_quartiles(samples)}


def _thresholds_over_data(networks: list[Network]) -> Iterator[dict[str, Any]]:
    """τ from training sets: samples of the most frequent task in the smallest set that teaches one."""
    finite = [one for one in networks if one.n_samples is not None and one.n_learned > 0]
    for alpha, width in sorted({(one.alpha, one.width) for one in finite}):
        enough = [one for one in finite if (one.alpha, one.width) == (alpha, width)]
        samples = [
            (one.n_samples or 0) * float(one.probabilities[0])
            for one in enough
            if one.n_samples == min(other.n_samples or 0 for other in enough if other.seed == one.seed)
        ]
        yield {"alpha": alpha, "resource": "D", "width": width, **_quartiles(np.array(samples))}


def _gaps(networks: list[Network]) -> Iterator[dict[str, Any]]:
    """How much later than the training set's samples new ones are answered: t_test/t_train over tasks."""
    for i, one in enumerate(networks):
        if one.n_samples is not None:
            ratios = measures.grokking_gaps(one.config.steps, one.train_by_task, one.by_task)
            known = ratios[np.isfinite(ratios)]
            if len(known):
                yield {"run": i, **_quartiles(known)}


def _quartiles(values: np.ndarray) -> dict[str, Any]:
    low, median, high = (float(x) for x in np.quantile(values, [0.25, 0.5, 0.75]))
    return {"median": median, "low": low, "high": high, "n": len(values)}


def _arrays(config: ParityConfig, networks: list[Network], work: Work) -> Iterator[Array]:
    by_seed = [draw_tasks(config.n_tasks, config.n_bits, config.k, config.alphas[0], seed) for seed in config.seeds]
    by_alpha = [draw_tasks(config.n_tasks, config.n_bits, config.k, alpha, config.seeds[0]) for alpha in config.alphas]
    yield "tasks/probabilities", np.stack([one.probabilities for one in by_alpha]), "share of samples, by α and task"
    yield "tasks/bits", np.stack([one.subsets for one in by_seed]), "places of bits, by seed and task"
    yield "steps", config.steps.astype(np.int64), "training steps"
    yield "loss/test", _gathered(networks, work, lambda one: one.logs[:, TEST]), NATS
    yield "loss/train", _gathered(networks, work, lambda one: one.logs[:, TRAIN]), NATS
    yield "loss/tasks", _gathered(networks, work, lambda one: one.by_task), NATS
    if any(one.n_samples is not None for one in networks):
        yield "loss/tasks_train", _gathered(networks, work, lambda one: one.train_by_task), NATS


def _gathered(networks: Iterable[Network], work: Work, of: Callable[[Network], np.ndarray]) -> np.ndarray:
    rows = []
    for one in networks:
        rows.append(np.asarray(of(one), np.float32))
        work.keep_alive()
    return np.stack(rows)


def _plain(value: float | int) -> float | int | None:
    """A number of JSON; None for those that are none."""
    return value if isinstance(value, int) else float(value) if math.isfinite(value) else None


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."

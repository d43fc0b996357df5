"""One stack of networks in training: saved every few seconds, and taken up where it was saved with the same result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compute.errors import ConfigError
from compute.steps.run import SaveTimer, Work
from compute.workspace import digest

if TYPE_CHECKING:
    from compute.labs.parity import ParityConfig
    from compute.numerics.parity import Recipe, Training

STEPS_AT_ONCE = 10  # between two looks at the clock
TEST, TRAIN, TASKS = 0, 1, 2  # in the last axis of a table of logs: mean losses, then those of tasks
_PLACE, _PARTIAL = "training", "partial"
_FORM = 1  # of what is saved: a change makes earlier files void


@dataclass(frozen=True, eq=False)
class Trained:
    """What one stack logged.

    Attributes
    ----------
    logs : ndarray of shape (n_logs, n_supplies, n_networks, 2 + n_tasks or 2 + 2 n_tasks), float32
        Mean test loss, mean training loss, test losses of tasks, and training losses of tasks where any of the supplies
        is finite; nats, nan after divergence.
    diverged : ndarray of shape (n_supplies, n_networks), int64
        Step of divergence, or −1.
    """

    logs: np.ndarray
    diverged: np.ndarray


def recipe_of(config: ParityConfig) -> Recipe:
    """How the networks of an experiment are trained."""
    from compute.numerics.parity import Recipe

    return Recipe(
        n_tasks=config.n_tasks,
        n_bits=config.n_bits,
        k=config.k,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        test_points=config.test_points,
        task_points=config.task_points,
    )


def trained(config: ParityConfig, work: Work, ordinal: int) -> Trained:
    """The logs of one stack: those that are there, or trained for."""
    name, stamp = f"{_PLACE}/{ordinal}", _stamp(config, ordinal)
    found = work.files.load_with_facts(name, stamp, mmap=True)
    if found is None:
        logs, diverged = _train(config, work, ordinal, stamp)
        work.files.save(name, logs, stamp, diverged=diverged.tolist())
        work.files.here.remove(f"{_PARTIAL}/{ordinal}")
        return Trained(logs, diverged)
    return Trained(found[0], np.array(found[1]["diverged"], np.int64))


def _stamp(config: ParityConfig, ordinal: int) -> str:
    stacked = config.stacks[ordinal]
    supplies = [config.supplies[place] for place in stacked.supplies]
    facts = [asdict(recipe_of(config)), stacked.widths, supplies, config.n_steps, config.log_every]
    return digest(["parity", _FORM, *facts])


def _train(config: ParityConfig, work: Work, ordinal: int, stamp: str) -> tuple[np.ndarray, np.ndarray]:
    """Train from where an earlier attempt was saved, logging on the way."""
    import torch

    from compute.numerics.parity import Supply, Training
    from compute.steps.checkpoints import n_threads

    if work.device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            f"The device {work.device!r} is not there: this torch finds no CUDA GPU. Use the device 'cpu'."
        )
    torch.set_num_threads(n_threads())
    stacked = config.stacks[ordinal]
    supplies = [Supply(*config.supplies[place]) for place in stacked.supplies]
    training = Training(supplies, stacked.widths, recipe_of(config), work.device)
    saved = _Saved(work, f"{_PARTIAL}/{ordinal}", stamp)
    saved.restore(training)
    is_finite = any(one.n_samples is not None for one in supplies)
    timer = SaveTimer()
    for step in config.steps[sum(map(len, saved.segments)) :].tolist():
        while training.step < step and not training.is_lost:
            training.advance(min(STEPS_AT_ONCE, step - training.step), work.keep_alive)
            work.tell(training.step, config.n_steps)
            if timer.is_due():
                saved.save(training)
        saved.fresh.append(_logged(training, work, is_finite))
        work.tell(step, config.n_steps)
    return np.concatenate([*saved.segments, np.stack(saved.fresh)]), training.diverged


def _logged(training: Training, work: Work, is_finite: bool) -> np.ndarray:
    """One row of logs, (n_supplies, n_networks, …), float32."""
    if training.is_lost:
        n_values = 2 + training.stack.n_tasks * (1 + is_finite)
        return np.full((*training.diverged.shape, n_values), np.nan, np.float32)
    found = training.log(work.keep_alive)
    means = np.stack([found.test, found.train], axis=-1)
    tasks = [found.test_by_task, found.train_by_task] if is_finite else [found.test_by_task]
    return np.concatenate([means, *tasks], axis=-1).astype(np.float32)


class _Saved:
    """A training on its way: segments of logs, and the state after the last of them, which is written last."""

    def __init__(self, work: Work, name: str, stamp: str) -> None:
        self.files, self.name, self.stamp = work.files.here, name, stamp
        self.segments: list[np.ndarray] = []
        self.fresh: list[np.ndarray] = []

    def save(self, training: Training) -> None:
        if self.fresh:
            self.files.save(f"{self.name}/logs-{len(self.segments)}", np.stack(self.fresh), self.stamp)
            self.segments.append(np.stack(self.fresh))
            self.fresh = []
        state = training.state()
        facts: dict[str, Any] = {
            "n_segments": len(self.segments),
            "step": int(state["step"]),
            "diverged": state["diverged"].tolist(),
        }
        flat = np.concatenate([state["weights"].ravel(), state["biases"].ravel()])
        self.files.save(f"{self.name}/state", flat, self.stamp, **facts)

    def restore(self, training: Training) -> None:
        """Put a training where it was saved, if all that was saved is whole."""
        found = self.files.load_with_facts(f"{self.name}/state", self.stamp)
        if found is None:
            return
        flat, facts = found
        segments = list(self._segments(facts["n_segments"]))
        if len(segments) < facts["n_segments"]:
            return
        self.segments = segments
        fresh = training.state()
        weights, biases = np.split(flat, [fresh["weights"].size])
        training.restore(
            {
                "step": np.array(facts["step"]),
                "diverged": np.array(facts["diverged"], np.int64),
                "weights": weights.reshape(fresh["weights"].shape),
                "biases": biases.reshape(fresh["biases"].shape),
            }
        )

    def _segments(self, n: int) -> Iterator[np.ndarray]:
        for i in range(n):
            segment = self.files.load(f"{self.name}/logs-{i}", self.stamp)
            if segment is None:
                return
            yield segment

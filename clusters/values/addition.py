"""Networks that learned addition modulo p, as an experiment's row tells of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any, Literal

LN2 = math.log(2)
Times = Literal["loss", "accuracy"]  # what tells when a network has fitted, and when it has generalised


@dataclass(frozen=True)
class Network:
    """One training, and the steps at which it fitted what it was shown and got the rest right."""

    index: int
    fraction: float
    weight_decay: float
    seed: int
    n_train: int
    n_steps: int
    t_train: int | None  # by the loss
    t_test: int | None
    t_train_accuracy: int | None
    t_test_accuracy: int | None
    first_periodicity: float | None
    final: Mapping[str, float | None]  # by name of the measure
    peak: Mapping[str, float] | None  # of the test loss: step, bits, height_bits

    @property
    def name(self) -> str:
        return f"{share_text(self.fraction)} of the pairs, weight decay {self.weight_decay:g}, seed {self.seed}"

    def times(self, by: Times) -> tuple[int | None, int | None]:
        """When it fits what it was shown, and when it gets the rest right."""
        if by == "accuracy":
            return self.t_train_accuracy, self.t_test_accuracy
        return self.t_train, self.t_test

    def gap(self, by: Times) -> float | None:
        """How many times later the second comes than the first; None where either never does."""
        first, second = self.times(by)
        return second / first if first and second else None


@dataclass(frozen=True)
class Curves:
    """One network over its training, up to the step at which it ended."""

    steps: list[int]
    values: dict[str, list[float]]  # by array; losses in bits

    def points(self, name: str, factor: float = 1.0) -> list[list[float]]:
        return [[step, value * factor] for step, value in zip(self.steps, self.values[name], strict=True)]


@dataclass(frozen=True)
class Cell:
    """All seeds of one fraction and one weight decay."""

    fraction: float
    weight_decay: float
    networks: tuple[Network, ...]

    def middle(self, value: Callable[[Network], float | None]) -> float | None:
        """The median over seeds, those without a value left out; None where no seed has one."""
        known = [found for one in self.networks if (found := value(one)) is not None]
        return median(known) if known else None

    def n_with(self, value: Callable[[Network], float | None]) -> int:
        """Seeds that have a value."""
        return sum(value(one) is not None for one in self.networks)


@dataclass(frozen=True)
class Sweep:
    """Every network of an experiment, and what they share."""

    networks: tuple[Network, ...]
    modulus: int
    width: int
    activation: str
    learning_rate: float
    n_steps: int  # at most

    @cached_property
    def fractions(self) -> list[float]:
        return sorted({one.fraction for one in self.networks})

    @cached_property
    def weight_decays(self) -> list[float]:
        return sorted({one.weight_decay for one in self.networks})

    @cached_property
    def cells(self) -> list[Cell]:
        """By fraction, then weight decay."""
        return [self.cell(fraction, decay) for fraction in self.fractions for decay in self.weight_decays]

    def cell(self, fraction: float, weight_decay: float) -> Cell:
        found = [one for one in self.networks if (one.fraction, one.weight_decay) == (fraction, weight_decay)]
        return Cell(fraction, weight_decay, tuple(found))

    def telling(self, by: Times) -> Network:
        """The network with the longest delay; where none has one, the first that fitted; else the first."""
        late = [one for one in self.networks if one.gap(by) is not None]
        if late:
            return max(late, key=lambda one: one.gap(by) or 0.0)
        return next((one for one in self.networks if one.times(by)[0] is not None), self.networks[0])

    def gaps(self, by: Times) -> list[float]:
        return [gap for one in self.networks if (gap := one.gap(by)) is not None]


def sweep_of(found: Mapping[str, Any], config: Mapping[str, Any]) -> Sweep:
    """What an experiment's row holds."""
    networks = [_network(index, one) for index, one in enumerate(found["networks"])]
    return Sweep(
        tuple(networks),
        modulus=config["modulus"],
        width=config["width"],
        activation=config["activation"],
        learning_rate=config["learning_rate"],
        n_steps=config["steps"],
    )


def _network(index: int, stated: Mapping[str, Any]) -> Network:
    known = {name: value for name, value in stated.items() if name in Network.__dataclass_fields__}
    return Network(index=index, **known)


def share_text(fraction: float) -> str:
    """A fraction of the pairs in percent: 30%, 12.5%."""
    return f"{100 * fraction:.3g}%"


def half_way(steps: Sequence[int], values: Sequence[float]) -> int | None:
    """The first step at which a measure has made half of its way from its first to its last value."""
    if len(values) < 2 or values[0] == values[-1]:
        return None
    middle = (values[0] + values[-1]) / 2
    rises = values[-1] > values[0]
    return next(step for step, value in zip(steps, values, strict=True) if (value >= middle) == rises)

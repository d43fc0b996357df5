"""What the labs of QDG's bias found, as pages read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clusters.values.facts import ToySlopes
from compute.errors import FitError
from compute.labs.parity_qdg import ParityQdgConfig
from compute.labs.toy_qdg import ToyQdgConfig
from compute.numerics.calibration import Calibration, Inverse, calibrate, invert
from compute.numerics.ranks import EnvelopeFit, envelope, fit_envelope

SIGNED, ABSOLUTE = "signed", "absolute"


@dataclass(frozen=True)
class World:
    """A toy world: what was put in, and what QDG measured of it in every draw."""

    index: int
    n_dimensions: int
    noise: float
    exponent: float
    n_subtasks: int
    n_points: int
    slopes: list[float]
    mean: float
    sd: float | None  # over draws
    low: float | None  # 95% interval of the mean
    high: float | None
    agreement: list[float]  # with the subtasks at every k, mean over draws

    @property
    def bias(self) -> float:
        """How far the mean slope lies from the truth; negative is too steep."""
        return self.mean + self.exponent

    @property
    def place(self) -> str:
        return f"d = {self.n_dimensions:,}, σ = {self.noise:g}"


@dataclass(frozen=True)
class Toy:
    """One experiment on toy worlds."""

    config: ToyQdgConfig
    worlds: list[World]
    grid: list[World]  # at exponent 1
    sweep: list[World]  # by ascending exponent
    n_rises: int  # steps of the sweep at which the mean slope grows less steep
    spearman: float | None

    @property
    def window(self) -> tuple[int, int]:
        return self.config.first_rank, self.config.last_rank

    def true_slope(self, world: World) -> float | None:
        """Of the true sizes over the same ranks, as far as there are so many: whole points alone bend the line."""
        sizes = self.config.sizes(self.config.cells[world.index])
        try:
            return fit_envelope(sizes, self.config.first_rank, min(self.config.last_rank, len(sizes))).slope
        except FitError:
            return None

    @cached_property
    def slopes(self) -> ToySlopes | None:
        """The sweep as the rank-frequency page takes it; None of one draw or one exponent, which calibrate nothing."""
        return slopes_of(self.sweep, self.config)


@dataclass(frozen=True)
class Draw:
    """One draw of a world: its clusterings by size, their envelope, and the line through it."""

    world: World
    number: int  # from 1
    sizes: dict[int, list[int]]
    fit: EnvelopeFit
    true_sizes: list[int]

    @property
    def envelope(self) -> list[int]:
        return [int(size) for size in envelope(list(self.sizes.values()))]


def toy_of(found: Mapping[str, Any], config: Mapping[str, Any]) -> Toy:
    worlds = [World(index=i, **one) for i, one in enumerate(found["worlds"])]
    return Toy(
        config=ToyQdgConfig.from_json(config),
        worlds=worlds,
        grid=[worlds[i] for i in found["grid"]],
        sweep=[worlds[i] for i in found["sweep"]],
        n_rises=found["n_rises"],
        spearman=found["spearman"],
    )


def slopes_of(sweep: list[World], config: ToyQdgConfig) -> ToySlopes | None:
    if len(sweep) < 2 or config.n_seeds < 2:
        return None
    setting = {
        "n_subtasks": config.n_subtasks,
        "largest": config.largest,
        "n_dimensions": config.sweep_dimensions,
        "noise": config.sweep_noise,
        "first_rank": config.first_rank,
        "last_rank": config.last_rank,
    }
    return ToySlopes([one.exponent for one in sweep], [one.slopes for one in sweep], setting)


@dataclass(frozen=True)
class Readout:
    """A measured slope read backwards; `complaint` says why there is no truth behind it."""

    slope: float
    inverse: Inverse | None = None
    complaint: str = ""
    by_draws: tuple[float, float] | None = None  # no line assumed: truths whose own draws measure such slopes


def calibration_of(toy: ToySlopes) -> Calibration:
    return calibrate(toy.exponents, toy.slopes)


def read_backwards(toy: ToySlopes, slope: float, standard_error: float = 0.0) -> Readout:
    try:
        return Readout(
            slope,
            inverse=invert(calibration_of(toy), slope, standard_error),
            by_draws=toy.compatible(slope, standard_error),
        )
    except FitError as error:
        sentence = str(error)
        return Readout(slope, complaint=f"{sentence[:1].upper()}{sentence[1:]}.")


@dataclass(frozen=True)
class ParityQdg:
    """One experiment on gradients of a parity network."""

    config: ParityQdgConfig
    found: Mapping[str, Any]
    sizes: np.ndarray  # (2, n_ks, max k): signed, absolute
    present: list[int]  # tasks from 0 that passed, ascending
    counts: list[int]  # their samples
    means: np.ndarray  # (n_present, n_present), absolute cosine; NaN of a single sample

    @property
    def n_compared(self) -> int:
        return sum(self.counts)

    @property
    def ks(self) -> list[int]:
        return list(self.config.ks)

    @property
    def n_parameters(self) -> int:
        """Numbers in one gradient: all of a Linear – ReLU – Linear network."""
        return self.config.width * (self.config.n_tasks + self.config.n_bits + 3) + 2

    @property
    def known_slope(self) -> float:
        return self.config.known_slope

    def place_of(self, affinity: str) -> int:
        return (SIGNED, ABSOLUTE).index(affinity)

    def sizes_by_k(self, affinity: str) -> dict[int, list[int]]:
        table = self.sizes[self.place_of(affinity)]
        return {k: [int(size) for size in row[:k] if size] for k, row in zip(self.ks, table, strict=True)}

    def envelope(self, affinity: str) -> list[int]:
        return [int(size) for size in envelope(list(self.sizes_by_k(affinity).values()))]

    @property
    def true_sizes(self) -> list[int]:
        """Samples of every task that passed, largest first."""
        return sorted(self.counts, reverse=True)

    def agreement(self, affinity: str, truth: str) -> list[float]:
        """Adjusted Rand index at every k, with the "tasks" or with the tasks split by "answers"."""
        return list(self.found["agreement"][affinity][truth])

    def best(self, affinity: str, truth: str) -> tuple[int, float]:
        """The k of most agreement, and that."""
        values = self.agreement(affinity, truth)
        at = int(np.argmax(values))
        return self.ks[at], values[at]

    def fit(self, curve: list[int], window: tuple[int, int]) -> EnvelopeFit | None:
        try:
            return fit_envelope(curve, *window)
        except FitError:
            return None

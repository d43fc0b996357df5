"""Multitask sparse parity: networks of many widths learn tasks of Zipfian frequency, and their losses add up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compute.errors import ConfigError
from compute.labs.frame import Lab, Piece, Preset, Results
from compute.labs.settings import LabConfig
from compute.steps.run import Work

KIND = "parity"
TRAINING = "training"
MOST_NETWORKS, MOST_TASKS, MOST_BITS, MOST_WIDTH = 5_000, 10_000, 4_096, 16_384
MOST_STEPS, MOST_BATCH, MOST_SAMPLES, MOST_POINTS = 10_000_000, 1_000_000, 100_000_000, 10_000_000
MOST_LOGGED = 1 << 30  # losses of single tasks: 4 GB
MOST_PARAMETERS = 200_000_000  # of one stack; training takes 16 bytes for each
MOST_SET_BYTES = 8_000_000_000  # of the training sets of one stack
MOST_BATCH_BITS = 2_000_000_000
MOST_TESTED = 20_000_000  # samples of one log
TASK_BYTES = 2  # of a sample in a training set, whose bits are packed by eight


@dataclass(frozen=True, kw_only=True)
class ParityConfig(LabConfig):
    """Tasks, networks and how they are trained; every α is tried with every seed, training set and width."""

    n_tasks: int = 100
    n_bits: int = 32
    k: int = 3  # bits of a task
    alphas: tuple[float, ...] = (0.4,)  # task i is asked with a frequency ∝ i^−(α + 1)
    widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    samples: tuple[int | None, ...] = (None,)  # sizes of training sets; None: every batch is new
    data_widths: tuple[int, ...] = ()  # of networks with a training set of a given size; empty: all widths
    seeds: tuple[int, ...] = (0,)
    n_steps: int = 6000
    batch_size: int = 2000
    is_batch_capped: bool = False  # a training set smaller than a batch is taken whole at every step
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    log_every: int = 50
    test_points: int = 5000  # ⌊p_i · test_points⌋ samples test task i at every log …
    task_points: int = 100  # … and so many at least
    fit_from: int | None = None  # steps over which α_S is fitted; None: where loss falls
    fit_to: int | None = None
    n_stacked: int = 8  # training sets, α and seeds that one piece of work trains together

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("alphas", "widths", "samples", "seeds"):
            self.distinct(name)
        if self.data_widths:
            self.distinct("data_widths")
        self._check_ranges()
        self._check_tasks()
        self._check_samples()
        self._check_size()
        self._check_stacks()
        self._check_work()

    def _check_ranges(self) -> None:
        self.above("alphas", 0, 20)
        for name, most in (("n_tasks", MOST_TASKS), ("n_bits", MOST_BITS), ("k", MOST_BITS)):
            self.at_least(name, 1, most)
        for name in ("widths", "data_widths"):
            self.at_least(name, 1, MOST_WIDTH)
        for name, most in (("n_steps", MOST_STEPS), ("batch_size", MOST_BATCH), ("samples", MOST_SAMPLES)):
            self.at_least(name, 1, most)
        for name in ("test_points", "task_points"):
            self.at_least(name, 1, MOST_POINTS)
        self.at_least("seeds", 0, 2**31)
        self.at_least("n_stacked", 1, 1000)
        self.above("learning_rate", 0)
        self.at_least("weight_decay", 0)
        self.at_least("log_every", 1, self.n_steps)
        for name in ("fit_from", "fit_to"):
            self.at_least(name, 1, self.n_steps)
        first, last = self.fit_from or 0, self.fit_to or MOST_STEPS
        if first >= last:
            raise ConfigError(f"fit_from is {first:,}, which does not lie before {last:,}, where the fit ends.")

    def _check_tasks(self) -> None:
        if self.k > self.n_bits:
            raise ConfigError(
                f"k is {self.k}, but a string has only {self.n_bits} bits. Ask for fewer bits a task or longer strings."
            )
        most = math.comb(self.n_bits, self.k)
        if self.n_tasks > most:
            raise ConfigError(
                f"{self.n_tasks:,} different tasks are asked for, but {self.n_bits} bits have only {most:,} subsets of "
                f"{self.k}. Ask for fewer tasks, or longer strings."
            )

    def _check_samples(self) -> None:
        fewest = min((size for size in self.samples if size is not None), default=self.batch_size)
        if fewest < self.batch_size and not self.is_batch_capped:
            raise ConfigError(
                f"A training set of {fewest:,} samples is smaller than a batch of {self.batch_size:,}. Make batches "
                "smaller, the set larger, or let a small set be taken whole (is_batch_capped, --cap-batch)."
            )

    def _check_size(self) -> None:
        n_networks = len(self.alphas) * len(self.seeds) * sum(len(self.widths_with(one)) for one in self.samples)
        if n_networks > MOST_NETWORKS:
            raise ConfigError(
                f"{n_networks:,} networks are asked for; at most {MOST_NETWORKS:,} are trained in one experiment."
            )
        n_logs = 1 + math.ceil(self.n_steps / self.log_every)
        n_losses = n_networks * n_logs * self.n_tasks
        if n_losses > MOST_LOGGED:
            raise ConfigError(
                f"{n_networks:,} networks, {n_logs:,} logs and {self.n_tasks:,} tasks make {n_losses:,} "
                f"losses; at most {MOST_LOGGED:,} are kept. Log less often, or ask for fewer networks or tasks."
            )

    def _check_stacks(self) -> None:
        """What one worker holds while it trains a stack."""
        set_bytes = TASK_BYTES + -(-self.n_bits // 8)
        for one in self.stacks:
            n_networks = len(one.widths) * len(one.supplies)
            n_parameters = sum(one.widths) * (self.n_tasks + self.n_bits + 3) * len(one.supplies) + 2 * n_networks
            if n_parameters > MOST_PARAMETERS:
                raise ConfigError(
                    f"{n_networks:,} networks that are trained together have {n_parameters:,} parameters; at most "
                    f"{MOST_PARAMETERS:,} are held at once. Lower n_stacked, or ask for fewer or smaller widths."
                )
            n_bytes = set_bytes * sum(self.supplies[place][2] or 0 for place in one.supplies)
            if n_bytes > MOST_SET_BYTES:
                raise ConfigError(
                    f"The training sets of one piece of work take {n_bytes / 1e9:,.1f} GB; at most "
                    f"{MOST_SET_BYTES / 1e9:g} GB are held at once. Lower n_stacked, or make the sets smaller."
                )

    def _check_work(self) -> None:
        """What one step and one log make."""
        if self.batch_size * self.n_bits > MOST_BATCH_BITS:
            raise ConfigError(
                f"Batches of {self.batch_size:,} samples of {self.n_bits:,} bits are {self.batch_size * self.n_bits:,} "
                f"numbers; at most {MOST_BATCH_BITS:,} are held at once. Make batches smaller, or strings shorter."
            )
        n_tested = self.n_tasks * self.task_points + self.test_points
        if n_tested > MOST_TESTED:
            raise ConfigError(
                f"{self.test_points:,} test samples, and {self.task_points:,} at least for each of {self.n_tasks:,} "
                f"tasks, make up to {n_tested:,} at every log; at most {MOST_TESTED:,} are drawn. Test on fewer."
            )

    @property
    def steps(self) -> np.ndarray:
        """Steps at which losses are logged, int64: from 0 to the last."""
        logged = np.arange(0, self.n_steps + 1, self.log_every)
        return logged if logged[-1] == self.n_steps else np.append(logged, self.n_steps)

    def widths_with(self, n_samples: int | None) -> tuple[int, ...]:
        """Widths of the networks that see so many samples."""
        return self.widths if n_samples is None else self.data_widths or self.widths

    @property
    def supplies(self) -> list[tuple[float, int, int | None]]:
        """α, seed and number of samples of everything that networks are trained on, in the order of runs."""
        return list(itertools.product(self.alphas, self.seeds, self.samples))

    @property
    def stacks(self) -> list[Stacked]:
        """The pieces of work: supplies whose networks have the same widths."""
        by_widths: dict[tuple[int, ...], list[int]] = {}
        for place, (_, _, n_samples) in enumerate(self.supplies):
            by_widths.setdefault(self.widths_with(n_samples), []).append(place)
        return [
            Stacked(widths, tuple(places[first : first + self.n_stacked]))
            for widths, places in by_widths.items()
            for first in range(0, len(places), self.n_stacked)
        ]


@dataclass(frozen=True)
class Stacked:
    """Networks that are trained together: all of some widths on each of some supplies (places among a config's)."""

    widths: tuple[int, ...]
    supplies: tuple[int, ...]


def plan(config: ParityConfig) -> list[Piece]:
    """One piece a stack."""
    return [Piece(TRAINING, _name(config, one), "steps", config.n_steps) for one in config.stacks]


def do(config: ParityConfig, work: Work, phase: str, ordinal: int) -> None:
    """Train one stack, from where it was saved."""
    from compute.labs.parity_training import trained

    trained(config, work, ordinal)


def results(config: ParityConfig, work: Work) -> Results:
    """What the networks learned, and the laws of it."""
    from compute.labs.parity_findings import found_and_arrays

    return Results(*found_and_arrays(config, work))


def _name(config: ParityConfig, stacked: Stacked) -> str:
    supplies = config.supplies
    chosen = [supplies[place] for place in stacked.supplies]
    parts = [f"width {_ends(stacked.widths)}", f"α = {_ends(sorted({one[0] for one in chosen}))}"]
    if len(config.seeds) > 1:
        parts.append(f"seed {_ends(sorted({one[1] for one in chosen}))}")
    sizes = {one[2] for one in chosen}
    known = sorted(size for size in sizes if size is not None)
    parts += ["new samples"] if None in sizes else []
    parts += [f"{_ends(known)} samples"] if known else []
    return ", ".join(parts)


def _ends(values: Sequence[float]) -> str:
    ends = [f"{one:,}" if isinstance(one, int) else f"{one:g}" for one in (min(values), max(values))]
    return ends[0] if len(values) == 1 else "–".join(ends)


def read(data: Mapping[str, Any]) -> ParityConfig:
    """Settings from plain values."""
    return ParityConfig.from_json(data)


def _spaced(first: float, last: float, n: int) -> tuple[int, ...]:
    """Whole numbers evenly in the logarithm, without repeats."""
    return tuple(dict.fromkeys(round(float(x)) for x in np.geomspace(first, last, n)))


def _presets() -> Iterator[Preset]:
    paper: dict[str, Any] = {
        "n_tasks": 500,
        "n_bits": 100,
        "batch_size": 20_000,
        "test_points": 1_000_000,
        "task_points": 1000,
        "learning_rate": 1e-3,
    }
    tenths, twentieths = tuple(i / 10 for i in range(1, 9)), tuple(i / 20 for i in range(2, 17))
    yield Preset(
        "two-core",
        "Sparse parity, two cores",
        "100 tasks of 32 bits at α = 0.4: six widths on ever new samples, one width on seven training sets, 6,000 "
        "steps; about two and a half minutes.",
        ParityConfig(
            name="parity-two-core",
            samples=(None, 1000, 3000, 10_000, 20_000, 40_000, 80_000, 160_000),
            data_widths=(128,),
            is_batch_capped=True,
        ),
    )
    yield Preset(
        "p-scaling-15",
        "The paper’s parameter scaling (Figures 2, 7 and 8)",
        "30 widths from 10 to 500 at α = 0.4, 200,000 steps: for a GPU, where we expect less than an hour.",
        ParityConfig(
            name="p-scaling-15", widths=_spaced(10, 500, 30), n_steps=200_000, log_every=100,
            fit_from=400, fit_to=8900, **paper,
        ),
        needs_gpu=True,
    )  # fmt: skip
    yield Preset(
        "d-scaling-6",
        "The paper’s data scaling (Figure 2)",
        "30 training sets from 10,000 to 5,000,000 samples at α = 0.4, 1,000,000 steps: for a GPU, where we expect "
        "several hours.",
        ParityConfig(
            name="d-scaling-6", widths=(500,), samples=_spaced(1e4, 5e6, 30), n_steps=1_000_000, log_every=100,
            is_batch_capped=True, n_stacked=30, **paper,
        ),
        needs_gpu=True,
    )  # fmt: skip
    yield Preset(
        "p-scaling-17",
        "The paper’s parameter and step scaling over α (Figure 10)",
        "20 widths from 10 to 300 at eight α with three seeds, 100,000 steps: for a GPU, where we expect one to two "
        "hours.",
        ParityConfig(
            name="p-scaling-17", alphas=tenths, widths=_spaced(10, 300, 20), seeds=(0, 1, 2), n_steps=100_000,
            log_every=500, fit_from=500, fit_to=14_500, **paper,
        ),
        needs_gpu=True,
    )  # fmt: skip
    yield Preset(
        "d-scaling-9",
        "The paper’s data scaling over α (Figures 9 and 10)",
        "25 training sets at each of fifteen α, 100,000 steps: for a GPU, where we expect several hours.",
        ParityConfig(
            name="d-scaling-9", alphas=twentieths, widths=(500,), samples=_spaced(1e4, 5e6, 25),
            n_steps=100_000, log_every=500, is_batch_capped=True, n_stacked=25, **paper,
        ),
        needs_gpu=True,
    )  # fmt: skip


LAB = Lab(KIND, "Multitask sparse parity", read, plan, do, results, tuple(_presets()))

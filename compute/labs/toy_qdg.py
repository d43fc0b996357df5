"""The toy model of QDG's bias: points whose subtasks are known, clustered as gradients are (appendix D.2)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from compute.config import ClusteringConfig
from compute.errors import ConfigError, FitError
from compute.labs.frame import Lab, Piece, Preset, Results
from compute.labs.settings import LabConfig
from compute.numerics.calibration import calibrate
from compute.numerics.correlation import spearman
from compute.numerics.ranks import MIN_RANKS, adjusted_rand_index, envelope, fit_envelope, sizes_by_rank
from compute.numerics.toy import ToySetting, subtask_sizes, toy_affinity
from compute.steps.run import Work
from compute.workspace import digest

KIND = "toy-qdg"
CLUSTERING = "clustering"
GRID_EXPONENT = 1.0  # at which dimensions and noise are varied
MOST_POINTS, MOST_DRAWS, MOST_KS = 20_000, 1_000, 60
MOST_SIZES = 200_000_000  # of clusters, by draw, k and rank
MOST_EXPONENT, MOST_DIMENSIONS = 10.0, 10_000


@dataclass(frozen=True)
class Cell:
    """One toy world: everything but the draw."""

    n_dimensions: int
    noise: float
    exponent: float

    @property
    def name(self) -> str:
        return f"d = {self.n_dimensions}, noise {self.noise:g}, exponent {self.exponent:g}"


@dataclass(frozen=True, kw_only=True)
class ToyQdgConfig(LabConfig):
    """A grid over dimensions and noise where frequencies fall as 1/i, and a sweep over the exponent elsewhere."""

    n_subtasks: int = 200  # N
    largest: int = 200  # A: points of the commonest subtask
    n_dimensions: tuple[int, ...] = (200,)  # of the grid
    noises: tuple[float, ...] = (0.0, 0.5, 2.0)  # of the grid
    exponents: tuple[float, ...] = (0.8, 1.0, 1.2, 1.5)  # of the sweep
    sweep_dimensions: int = 200
    sweep_noise: float = 2.0
    ks: tuple[int, ...] = (20, 40, 60, 80, 100, 125, 150)
    first_rank: int = 10  # of the envelope's fit
    last_rank: int = 100
    n_init: int = 30  # starts of k-means
    n_seeds: int = 10  # draws of every cell
    seed: int = 0  # of the first draw

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_dimensions", "noises", "exponents"):
            self.distinct(name)
        self.at_least("n_subtasks", 1, MOST_POINTS)
        self.at_least("largest", 1, MOST_POINTS)
        for name in ("n_dimensions", "sweep_dimensions"):
            self.at_least(name, 1, MOST_DIMENSIONS)
        for name in ("noises", "sweep_noise"):
            self.at_least(name, 0, 100)
        self.above("exponents", 0, MOST_EXPONENT)
        self.at_least("n_seeds", 1, MOST_DRAWS)
        self.at_least("n_init", 1, 1_000)
        self.at_least("seed", 0, 2**31)
        self._check_work()
        self._check_ks()
        self._check_window()

    def _check_work(self) -> None:
        n_worlds = len(self.n_dimensions) * len(self.noises)
        if n_worlds <= MOST_DRAWS:
            n_worlds = len(self.cells)
        n_draws = n_worlds * self.n_seeds
        if n_draws > MOST_DRAWS:
            raise ConfigError(
                f"{n_worlds} worlds of {self.n_seeds} draws are {n_draws} clusterings of points; at most "
                f"{MOST_DRAWS} are done in one experiment. Ask for fewer values or fewer seeds."
            )
        for cell in self.cells:
            if self.n_points(cell) > MOST_POINTS:
                raise ConfigError(
                    f"Exponent {cell.exponent:g} gives {self.n_points(cell):,} points; at most {MOST_POINTS:,} can be "
                    "clustered. Ask for fewer subtasks, a smaller largest one, or a larger exponent."
                )

    def _check_ks(self) -> None:
        if not self.ks or list(self.ks) != sorted(set(self.ks)):
            raise ConfigError(f"ks are {list(self.ks)}; they must rise without repeats.")
        self.at_least("ks", 2)
        if len(self.ks) > MOST_KS:
            raise ConfigError(f"{len(self.ks)} numbers of clusters are asked for; at most {MOST_KS} are tried.")
        n_sizes = len(self.cells) * self.n_seeds * len(self.ks) * self.ks[-1]
        if n_sizes > MOST_SIZES:
            raise ConfigError(
                f"{len(self.cells) * self.n_seeds:,} draws, {len(self.ks)} numbers of clusters and up to "
                f"{self.ks[-1]:,} clusters make {n_sizes:,} sizes; at most {MOST_SIZES:,} are kept. Ask for fewer "
                "draws, fewer numbers of clusters, or smaller ones."
            )
        fewest = min(self.cells, key=self.n_points)
        if self.ks[-1] > self.n_points(fewest):
            raise ConfigError(
                f"{self.ks[-1]} clusters are asked for, but exponent {fewest.exponent:g} gives only "
                f"{self.n_points(fewest):,} points. Ask for fewer clusters, more points or a smaller exponent."
            )

    def _check_window(self) -> None:
        if not 1 <= self.first_rank <= self.last_rank - MIN_RANKS + 1 or self.last_rank > self.ks[-1]:
            raise ConfigError(
                f"The slope is asked for over ranks {self.first_rank} to {self.last_rank}; the window must hold at "
                f"least {MIN_RANKS} ranks between 1 and {self.ks[-1]}, the largest number of clusters."
            )

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every world once: the grid, then what the sweep adds to it."""
        return tuple(dict.fromkeys([*self.grid, *self.sweep]))

    @property
    def grid(self) -> list[Cell]:
        return [Cell(d, noise, GRID_EXPONENT) for d in sorted(self.n_dimensions) for noise in sorted(self.noises)]

    @property
    def sweep(self) -> list[Cell]:
        return [Cell(self.sweep_dimensions, self.sweep_noise, exponent) for exponent in sorted(self.exponents)]

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.n_seeds)

    @property
    def clustering(self) -> ClusteringConfig:
        return ClusteringConfig(ks=self.ks, n_init=self.n_init)

    def sizes(self, cell: Cell) -> np.ndarray:
        """True numbers of points, commonest subtask first."""
        return subtask_sizes(cell.exponent, self.n_subtasks, self.largest)

    def n_points(self, cell: Cell) -> int:
        return int(self.sizes(cell).sum())

    def setting(self, cell: Cell) -> ToySetting:
        return ToySetting(
            n_subtasks=self.n_subtasks,
            largest=self.largest,
            n_dimensions=cell.n_dimensions,
            noise=cell.noise,
            ks=self.ks,
            first_rank=self.first_rank,
            last_rank=self.last_rank,
            n_init=self.n_init,
        )


def plan(config: ToyQdgConfig) -> list[Piece]:
    """One piece a world."""
    return [Piece(CLUSTERING, cell.name, "clusterings", config.n_seeds * len(config.ks)) for cell in config.cells]


def do(config: ToyQdgConfig, work: Work, phase: str, ordinal: int) -> None:
    """Cluster every draw of one world at every k; each k is kept as soon as it is found."""
    for place, seed in enumerate(config.seeds):
        _labels(config, _part(work, place * len(config.ks), config.n_seeds * len(config.ks)), ordinal, seed)


def results(config: ToyQdgConfig, work: Work) -> Results:
    """Slopes of the envelopes, and how far they tell the truth."""
    shape = (len(config.cells), config.n_seeds, len(config.ks))
    sizes, agreement = np.zeros((*shape, config.ks[-1]), np.int32), np.zeros(shape)
    for i, cell in enumerate(config.cells):
        truth = np.repeat(np.arange(len(config.sizes(cell))), config.sizes(cell))
        for j, seed in enumerate(config.seeds):
            for place, found in enumerate(_labels(config, work, i, seed).values()):
                ordered = sizes_by_rank(found)
                sizes[i, j, place, : len(ordered)] = ordered
                agreement[i, j, place] = adjusted_rand_index(truth, found)
            work.keep_alive()
    slopes = _slopes(config, sizes)
    return Results(_found(config, slopes, agreement), _arrays(sizes, slopes, agreement))


def _part(work: Work, n_before: int, n_total: int) -> Work:
    """The work as one draw sees it: its own clusterings counted on from those before."""
    return Work(
        files=work.files,
        report=lambda n_done, _: work.report(n_before + n_done, n_total),
        device=work.device,
    )


def _labels(config: ToyQdgConfig, work: Work, ordinal: int, seed: int) -> dict[int, np.ndarray]:
    from compute.steps.clustering import labels_at_every_k

    cell = config.cells[ordinal]
    setting, name = config.setting(cell), f"world-{ordinal}-draw-{seed}"
    settings = dataclasses.replace(config.clustering, seed=seed)
    stamp = digest([KIND, dataclasses.asdict(setting), cell.exponent, seed])
    found = labels_at_every_k(
        work, lambda: toy_affinity(cell.exponent, setting, seed)[0], settings, affinity=name, stamp=stamp
    )
    work.files.here.remove(f"partial/embedding/{name}")
    return found


def _slopes(config: ToyQdgConfig, sizes: np.ndarray) -> np.ndarray:
    """Slope of every world's and draw's envelope over the window."""
    window = (config.first_rank, config.last_rank)
    return np.array([[fit_envelope(envelope(draw), *window).slope for draw in cell] for cell in sizes])


def _found(config: ToyQdgConfig, slopes: np.ndarray, agreement: np.ndarray) -> dict[str, Any]:
    worlds = [
        dataclasses.asdict(cell)
        | {
            "n_subtasks": len(config.sizes(cell)),
            "n_points": config.n_points(cell),
            "slopes": slopes[i].tolist(),
            "agreement": agreement[i].mean(axis=0).tolist(),
        }
        | spread(slopes[i])
        for i, cell in enumerate(config.cells)
    ]
    sweep = [config.cells.index(cell) for cell in config.sweep]
    exponents = [cell.exponent for cell in config.sweep]
    return {
        "worlds": worlds,
        "grid": [config.cells.index(cell) for cell in config.grid],
        "sweep": sweep,
        **order_of(exponents, slopes[sweep]),
    }


def spread(slopes: np.ndarray) -> dict[str, float | None]:
    """Mean over draws, their standard deviation, and the 95% interval of the mean; null of a single draw."""
    n, mean = len(slopes), float(slopes.mean())
    if n < 2:
        return {"mean": mean, "sd": None, "low": None, "high": None}
    sd = float(slopes.std(ddof=1))
    half = float(stdtrit(n - 1, 0.975)) * sd / math.sqrt(n)
    return {"mean": mean, "sd": sd, "low": mean - half, "high": mean + half}


def order_of(exponents: list[float], slopes: np.ndarray) -> dict[str, Any]:
    """Whether steeper truths measure steeper, and the line that reads a slope backwards."""
    steepness = -slopes.mean(axis=1)
    found: dict[str, Any] = {"n_rises": int((np.diff(steepness) < 0).sum()), "spearman": None, "calibration": None}
    try:
        found["spearman"] = spearman(np.repeat(exponents, slopes.shape[1]), -slopes.ravel())
        found["calibration"] = dataclasses.asdict(calibrate(exponents, slopes))
    except FitError as error:
        found["no_calibration"] = str(error)
    return found


def _arrays(sizes: np.ndarray, slopes: np.ndarray, agreement: np.ndarray) -> Iterator[tuple[str, np.ndarray, str]]:
    yield "sizes", sizes, "points, by world, draw, k and rank; 0 beyond k"
    yield "slopes", slopes, "slope of ln size on ln rank, by world and draw"
    yield "agreement", agreement, "adjusted Rand index with the subtasks, by world, draw and k"


def read(data: Mapping[str, Any]) -> ToyQdgConfig:
    """Settings from plain values."""
    return ToyQdgConfig.from_json(data)


PRESETS = (
    Preset(
        "reduced",
        "Toy worlds, two cores",
        "200 subtasks in 200 dimensions, three noises, four exponents, ten draws each: about two minutes.",
        ToyQdgConfig(name="toy-reduced"),
    ),
    Preset(
        "paper",
        "Toy worlds, the paper’s grid",
        "1,000 subtasks in 30, 100 and 1,000 dimensions, and exponents from 0.8 to 1.5: up to 15,000 points, so a GPU "
        "or an hour.",
        ToyQdgConfig(
            name="toy-paper",
            n_subtasks=1000,
            largest=1000,
            n_dimensions=(30, 100, 1000),
            exponents=tuple(round(0.8 + 0.1 * i, 1) for i in range(8)),
            sweep_dimensions=1000,
            ks=(100, 200, 500),
            n_seeds=3,
        ),
        needs_gpu=True,
    ),
)
LAB = Lab(KIND, "The toy model of QDG’s bias", read, plan, do, results, PRESETS)

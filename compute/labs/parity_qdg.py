"""QDG where the quanta are known: the gradients of a network that learned sparse parities (appendix D.1)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compute.config import AFFINITIES, ClusteringConfig
from compute.errors import ConfigError, FitError, SelectionError
from compute.labs.frame import Lab, Piece, Preset, Results
from compute.labs.settings import LabConfig
from compute.numerics import mosaic
from compute.numerics.ranks import (
    SMALL_WINDOW_SIZE,
    EnvelopeFit,
    adjusted_rand_index,
    envelope,
    fit_envelope,
    sizes_by_rank,
)
from compute.steps.run import SaveTimer, Work
from compute.workspace import digest

if TYPE_CHECKING:
    from compute.numerics.parity import Training
    from compute.numerics.parity_tasks import Samples

KIND = "parity-qdg"
TRAINING, GRADIENTS, CLUSTERING = "training", "gradients", "clustering"
STEPS_AT_ONCE = 10
BATCH, MOST_DRAWS = 20_000, 100  # samples drawn at once; at most so many times the samples wanted
MOST_SAMPLES, MOST_KS, MOST_WIDTH = 20_000, 60, 20_000
MOST_PARAMETERS, MOST_BATCH_BITS, MOST_SUBSET_BITS = 200_000_000, 2_000_000_000, 100_000_000
PICTURE = 500  # pixels a side of the matrix, at most
BIN_EDGES = np.linspace(-1.0, 1.0, 81)  # of cosines


@dataclass(frozen=True, kw_only=True)
class ParityQdgConfig(LabConfig):
    """A network, the samples whose gradients are compared, and the numbers of clusters."""

    n_tasks: int = 64  # T
    n_bits: int = 20  # n, beside the one-hot task
    subset_bits: int = 3  # whose parity is a task's answer
    alpha: float = 0.4  # task i is asked with a probability proportional to i^−(alpha + 1)
    width: int = 256
    n_steps: int = 15_000
    batch_size: int = 1_000
    learning_rate: float = 3e-3
    n_samples: int = 1_500
    threshold_nats: float = 0.1  # samples of a larger loss are not compared
    ks: tuple[int, ...] = (2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50)
    n_init: int = 30  # starts of k-means
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least("n_tasks", 1, 100_000)
        self.at_least("n_bits", 1, 10_000)
        self.at_least("subset_bits", 1, self.n_bits)
        self.above("alpha", 0, 10)
        self.at_least("width", 1, MOST_WIDTH)
        self.at_least("n_steps", 1, 10_000_000)
        self.at_least("batch_size", 1, 1_000_000)
        self.above("learning_rate", 0, 10)
        self.at_least("n_samples", 3, MOST_SAMPLES)
        self.above("threshold_nats", 0)
        self.at_least("n_init", 1, 1_000)
        self.at_least("seed", 0, 2**31)
        if self.n_tasks > math.comb(self.n_bits, self.subset_bits):
            raise ConfigError(
                f"{self.n_tasks:,} different tasks are asked for, but {self.n_bits} bits have only "
                f"{math.comb(self.n_bits, self.subset_bits):,} subsets of {self.subset_bits}. Ask for fewer tasks or "
                "more bits."
            )
        self._check_size()
        self._check_ks()

    def _check_size(self) -> None:
        tasks, bits = f"{self.n_tasks:,} tasks", f"{self.n_bits:,} bits"
        for n, most, start, what in (
            (self.width * (self.n_tasks + self.n_bits), MOST_PARAMETERS,
             f"A network of width {self.width:,} on {tasks} and {bits} has", "parameters"),
            (self.batch_size * self.n_bits, MOST_BATCH_BITS, f"Batches of {self.batch_size:,} samples of {bits} are",
             "numbers"),
            (self.n_tasks * self.subset_bits, MOST_SUBSET_BITS, f"{tasks} of {self.subset_bits:,} bits each are",
             "numbers"),
        ):  # fmt: skip
            if n > most:
                raise ConfigError(f"{start} {n:,} {what}; at most {most:,} are held at once. Make one of them smaller.")

    def _check_ks(self) -> None:
        if not self.ks or list(self.ks) != sorted(set(self.ks)):
            raise ConfigError(f"ks are {list(self.ks)}; they must rise without repeats.")
        self.at_least("ks", 2)
        if len(self.ks) > MOST_KS:
            raise ConfigError(f"{len(self.ks)} numbers of clusters are asked for; at most {MOST_KS} are tried.")
        if self.ks[-1] > self.n_samples:
            raise ConfigError(
                f"{self.ks[-1]:,} clusters are asked for, but only {self.n_samples:,} samples are compared. Ask for "
                "fewer clusters or more samples."
            )

    @property
    def known_slope(self) -> float:
        """Of frequency in rank, in logarithms: what the envelope should show."""
        return -(1.0 + self.alpha)


@dataclass(frozen=True)
class Compared:
    """The samples that passed, ordered by task and, within a task, by answer.

    Attributes
    ----------
    task : ndarray of shape (n_samples,), int32
        Ascending, from 0.
    answer : ndarray of shape (n_samples,), int32
        0 or 1: the parity of the task's bits.
    loss_nats : ndarray of shape (n_samples,), float64
    cosine : ndarray of shape (n_samples, n_samples), float32
    n_drawn, n_passed : int
        Samples drawn until enough had passed, and how many of them passed.
    """

    task: np.ndarray
    answer: np.ndarray
    loss_nats: np.ndarray
    cosine: np.ndarray
    n_drawn: int
    n_passed: int


def plan(config: ParityQdgConfig) -> list[Piece]:
    """Train, compare, cluster: one piece each."""
    return [
        Piece(TRAINING, f"width {config.width}", "steps", config.n_steps),
        Piece(GRADIENTS, f"loss below {config.threshold_nats:g} nats", "samples", config.n_samples),
        *(Piece(CLUSTERING, f"{affinity} affinity", "clusterings", len(config.ks)) for affinity in AFFINITIES),
    ]


def do(config: ParityQdgConfig, work: Work, phase: str, ordinal: int) -> None:
    """Do one piece; what an earlier one left behind is taken up."""
    if phase == CLUSTERING:
        clustered(config, work, AFFINITIES[ordinal])
    else:
        {TRAINING: trained, GRADIENTS: compared}[phase](config, work)


def trained(config: ParityQdgConfig, work: Work) -> Training:
    """The network, trained; its state is saved every quarter of a minute."""
    from compute.numerics.parity import Recipe, Supply, Training, diverged_error

    recipe = Recipe(
        n_tasks=config.n_tasks,
        n_bits=config.n_bits,
        k=config.subset_bits,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
    )
    training = Training([Supply(alpha=config.alpha, seed=config.seed)], [config.width], recipe, work.device)
    stamp, timer = _stamp(config, TRAINING), SaveTimer()
    saved = work.files.load_with_facts(TRAINING, stamp)
    if saved is not None:
        _restore(training, saved[0], saved[1]["step"])
    while training.step < config.n_steps:
        training.advance(min(STEPS_AT_ONCE, config.n_steps - training.step), work.keep_alive)
        if training.is_lost:
            raise diverged_error(int(training.diverged.max()), config.learning_rate)
        work.tell(training.step, config.n_steps)
        if timer.is_due() or training.step == config.n_steps:
            work.files.save(TRAINING, _flat(training), stamp, step=training.step)
    return training


def compared(config: ParityQdgConfig, work: Work) -> Compared:
    """Samples that the network predicts well, and the cosine of every two gradients."""
    names, stamp = ("cosine", "samples"), _stamp(config, GRADIENTS)
    cosine, samples = work.files.load(names[0], stamp, mmap=True), work.files.load_with_facts(names[1], stamp)
    if cosine is None or samples is None:
        _compare(config, work, names, stamp)
        return compared(config, work)
    (task, answer, loss_nats), facts = samples
    return Compared(
        task.astype(np.int32), answer.astype(np.int32), loss_nats, cosine, facts["n_drawn"], facts["n_passed"]
    )


def clustered(config: ParityQdgConfig, work: Work, affinity: str) -> dict[int, np.ndarray]:
    """Labels at every k.

    Every term of two gradients' product has the sign of the two answers' agreement (`parity_cosines`), so the cosine of
    absolute gradients is the absolute cosine.
    """
    from compute.numerics.similarity import affinity_matrix
    from compute.steps.clustering import labels_at_every_k

    cosine = compared(config, work).cosine

    def matrix() -> np.ndarray:
        return affinity_matrix(cosine if affinity == "signed" else np.abs(cosine), affinity)  # type: ignore[arg-type]

    settings = ClusteringConfig(ks=config.ks, n_init=config.n_init, seed=config.seed)
    return labels_at_every_k(work, matrix, settings, affinity=affinity, stamp=_stamp(config, CLUSTERING))


def results(config: ParityQdgConfig, work: Work) -> Results:
    """How the clusters compare with the tasks."""
    found = compared(config, work)
    labels = np.array([list(clustered(config, work, one).values()) for one in AFFINITIES], np.int16)
    sizes = np.zeros((*labels.shape[:2], config.ks[-1]), np.int32)
    for place in np.ndindex(labels.shape[:2]):
        ordered = sizes_by_rank(labels[place])
        sizes[place][: len(ordered)] = ordered
    present, starts, counts = np.unique(found.task, return_index=True, return_counts=True)
    within, between = work.wait_for(lambda: cosine_counts(found.cosine, found.task))
    means = work.wait_for(lambda: mosaic.cluster_means(np.abs(found.cosine), np.arange(len(found.task)), starts))
    factor = max(1, -(-len(found.task) // PICTURE))
    arrays = {
        "sizes": (sizes, "samples, by affinity, k and rank; 0 beyond k"),
        "labels": (labels, "cluster, by affinity, k and sample"),
        "task": (found.task, "task from 0, by sample; ascending"),
        "answer": (found.answer, "parity, by sample"),
        "loss_nats": (found.loss_nats, "nats, by sample"),
        "picture": (work.wait_for(lambda: mosaic.block_means(found.cosine, factor)), "mean cosine of a block"),
        "tasks/present": (present.astype(np.int32), "tasks that passed"),
        "tasks/means": (means, "mean absolute cosine between samples of two tasks, without a sample's own"),
        "cosines/within": (within, "pairs of one task, by bin of cosine"),
        "cosines/between": (between, "pairs of two tasks, by bin of cosine"),
        "cosines/edges": (BIN_EDGES, "cosine"),
    }
    facts = {"n_drawn": found.n_drawn, "n_passed": found.n_passed, "n_present": len(present), "block": factor}
    measured = _slopes(config, counts, sizes) | _contrast(counts, means)
    return Results(facts | measured | {"agreement": _agreement(found, labels)}, _named(arrays))


def cosine_counts(cosine: np.ndarray, task: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of different samples by bin of their cosine: of one task, and of two."""
    within, between = np.zeros(len(BIN_EDGES) - 1, np.int64), np.zeros(len(BIN_EDGES) - 1, np.int64)
    for row in range(1, len(task)):
        values, same = np.asarray(cosine[row, :row]), task[:row] == task[row]
        within += np.histogram(values[same], BIN_EDGES)[0]
        between += np.histogram(values[~same], BIN_EDGES)[0]
    return within, between


def try_fit(curve: np.ndarray, first: int, last: int) -> EnvelopeFit | None:
    """The power law over these ranks; None where they are too few or a size is 0."""
    try:
        return fit_envelope(curve, first, last)
    except FitError:
        return None


def _contrast(counts: np.ndarray, means: np.ndarray) -> dict[str, float | None]:
    """Mean absolute cosine of pairs of one task and of two."""
    own = counts * (counts - 1) / 2.0
    across = np.triu(np.outer(counts, counts), 1).astype(np.float64)
    inner = np.where(own > 0, np.diagonal(means), 0.0)
    outer = np.where(across > 0, means, 0.0)
    return {
        "within": float(inner @ own / own.sum()) if own.any() else None,
        "between": float((outer * across).sum() / across.sum()) if across.any() else None,
        "n_pairs_within": float(own.sum()),
        "n_pairs_between": float(across.sum()),
    }


def _agreement(found: Compared, labels: np.ndarray) -> dict[str, dict[str, list[float]]]:
    """Adjusted Rand index at every k with the tasks, and with the tasks split by their answers."""
    truths = {"tasks": found.task, "answers": 2 * found.task + found.answer}
    return {
        affinity: {name: [adjusted_rand_index(truth, one) for one in by_k] for name, truth in truths.items()}
        for affinity, by_k in zip(AFFINITIES, labels, strict=True)
    }


def _slopes(config: ParityQdgConfig, counts: np.ndarray, sizes: np.ndarray) -> dict[str, Any]:
    """Slopes over the ranks that exist: tasks of at least three samples, and no more than clusters."""
    true = np.sort(counts)[::-1]
    last = min(int((true >= SMALL_WINDOW_SIZE).sum()), config.ks[-1])
    fits = {"true": try_fit(true, 1, last)}
    fits |= {name: try_fit(envelope(by_k), 1, last) for name, by_k in zip(AFFINITIES, sizes, strict=True)}
    return {
        "true_sizes": true.tolist(),
        "last_rank": last,
        "known_slope": config.known_slope,
        "fits": {name: fit and dataclasses.asdict(fit) for name, fit in fits.items()},
    }


def _named(arrays: Mapping[str, tuple[np.ndarray, str]]) -> Iterator[tuple[str, np.ndarray, str]]:
    for name, (array, unit) in arrays.items():
        yield name, array, unit


def _compare(config: ParityQdgConfig, work: Work, names: tuple[str, str], stamp: str) -> None:
    from compute.numerics.parity_gradients import gradient_factors, parity_cosines

    training = trained(config, work)
    lm = training.stack.parameters(0, 0)
    samples, n_drawn, n_passed = _passing(config, work, training)
    work.files.require_space(4 * config.n_samples**2, "Similarities")
    cosine = parity_cosines(lm, samples, on_rows=work.tell)
    table = np.array([samples.tasks.numpy(), samples.answers.numpy(), gradient_factors(lm, samples).loss_nats])
    work.files.save(names[0], cosine, stamp)
    work.files.save(names[1], table, stamp, n_drawn=n_drawn, n_passed=n_passed)


def _passing(config: ParityQdgConfig, work: Work, training: Training) -> tuple[Samples, int, int]:
    """As many samples of small loss as are wanted, none of them trained on; ordered by task and answer."""
    import torch

    from compute.numerics.parity_stack import Stack
    from compute.numerics.parity_tasks import Samples, Source

    source = Source(training.tasks[0], BATCH)
    network = Stack([[training.stack.parameters(0, 0)]], config.n_tasks, config.n_bits)
    kept: list[Samples] = []
    n_passed = n_drawn = 0
    while n_passed < config.n_samples and n_drawn < MOST_DRAWS * config.n_samples + BATCH:
        batch = source.batch(config.n_steps + n_drawn // BATCH)
        passes = (network.losses(0, batch)[0] < config.threshold_nats).nonzero()[:, 0]
        kept.append(Samples(batch.tasks[passes], batch.bits[passes], batch.answers[passes]))
        n_drawn, n_passed = n_drawn + BATCH, n_passed + len(passes)
        work.tell(min(n_passed, config.n_samples), config.n_samples)
    if n_passed < config.n_samples:
        raise SelectionError(
            f"Only {n_passed:,} of {n_drawn:,} samples have a loss below {config.threshold_nats:g} nats; "
            f"{config.n_samples:,} are wanted. Train for more than {config.n_steps:,} steps, widen the network, raise "
            "the threshold, or ask for fewer samples."
        )
    whole = [torch.cat([getattr(one, name) for one in kept]) for name in ("tasks", "bits", "answers")]
    order = torch.randperm(n_passed, generator=torch.Generator().manual_seed(config.seed))[: config.n_samples]
    order = order[(2 * whole[0] + whole[2].long())[order].argsort(stable=True)]
    return Samples(*(one[order] for one in whole)), n_drawn, n_passed


def _stamp(config: ParityQdgConfig, phase: str) -> str:
    facts = config.to_json()
    for name in ("name", *(("ks", "n_init") if phase != CLUSTERING else ())):
        facts.pop(name)
    if phase == TRAINING:
        facts.pop("n_samples"), facts.pop("threshold_nats")
    return digest([KIND, phase, facts])


def _flat(training: Training) -> np.ndarray:
    state = training.state()
    return np.concatenate([state["weights"].ravel(), state["biases"].ravel()])


def _restore(training: Training, flat: np.ndarray, step: int) -> None:
    shapes = {name: array.shape for name, array in training.state().items()}
    n = math.prod(shapes["weights"])
    training.restore(
        {
            "step": np.array(step),
            "diverged": training.diverged,
            "weights": flat[:n].reshape(shapes["weights"]),
            "biases": flat[n:].reshape(shapes["biases"]),
        }
    )


def read(data: Mapping[str, Any]) -> ParityQdgConfig:
    """Settings from plain values."""
    return ParityQdgConfig.from_json(data)


PRESETS = (
    Preset(
        "two-core",
        "Parity gradients, two cores",
        "64 tasks of 3 of 20 bits, a network of width 256, 1,500 gradients: less than a minute.",
        ParityQdgConfig(name="parity-qdg-two-core"),
    ),
    Preset(
        "paper",
        "Parity gradients, the paper’s network",
        "500 tasks of 3 of 100 bits, width 500, 200,000 steps, 10,000 gradients of 301,502 numbers each: a GPU.",
        ParityQdgConfig(
            name="parity-qdg-paper",
            n_tasks=500,
            n_bits=100,
            width=500,
            n_steps=200_000,
            batch_size=20_000,
            learning_rate=1e-3,
            n_samples=10_000,
            ks=(*range(10, 100, 10), 100, 125, 150, 175, 200, 250, 300, 400, 500),
        ),
        needs_gpu=True,
    ),
)
LAB = Lab(KIND, "QDG on sparse parity", read, plan, do, results, PRESETS)

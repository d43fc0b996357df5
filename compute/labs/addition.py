"""Grokking: networks that learn addition modulo p from some of all pairs, by fraction, weight decay and seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import product
from typing import Any

import numpy as np

from compute.errors import ConfigError
from compute.labs.frame import Lab, Piece, Preset, Results
from compute.labs.settings import LabConfig
from compute.numerics.addition import (
    ACCURATE,
    ACTIVATIONS,
    LEARNED_BITS,
    Adder,
    AdditionSetting,
    Measure,
    first_at,
    logged_steps,
    spectrum,
)
from compute.numerics.shapes import LEAST_POINTS, shape_scores
from compute.steps.run import SaveTimer, Work
from compute.workspace import digest

KIND = "addition"
TRAINING = "training"
LATE = 2.0  # a test loss that falls so many times later than the training loss came late
GOES_ON = 2  # training ends after so many times the steps until the test loss has fallen
MOST_HIDDEN = 400_000_000  # activations of one step, which holds four such tables
MOST_NETWORKS, MOST_MODULUS, MOST_WIDTH, MOST_STEPS = 300, 499, 4096, 1_000_000
MEASURES = tuple(field.name for field in fields(Measure))
ARRAYS = {  # by name in the bundle: which measure, and its unit
    "loss/train": ("train_bits", "bits, by network and logged step; nan after its training ended"),
    "loss/test": ("test_bits", "bits"),
    "accuracy/train": ("train_accuracy", "share of the pairs trained on"),
    "accuracy/test": ("test_accuracy", "share of all other pairs"),
    "periodicity": ("periodicity", "share of the neurons’ power at their own strongest frequency"),
    "norm": ("norm", "root of the sum of all squared weights"),
}


@dataclass(frozen=True, kw_only=True)
class AdditionConfig(LabConfig):
    """Networks of one hidden layer, one for every fraction of the pairs, weight decay and seed."""

    modulus: int = 47  # p
    width: int = 128
    activation: str = "quadratic"  # or relu
    fractions: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7)  # of all pairs, that are trained on
    weight_decays: tuple[float, ...] = (0.1, 0.3, 1.0)
    learning_rate: float = 0.01
    steps: int = 8000  # at most: training ends at twice the step at which a network has generalised
    n_seeds: int = 2
    seed: int = 0  # the first

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least("modulus", 3, MOST_MODULUS)
        self.at_least("width", 1, MOST_WIDTH)
        if self.activation not in ACTIVATIONS:
            raise ConfigError(f"activation is {self.activation[:40]!r}; choose one of {', '.join(ACTIVATIONS)}.")
        for name in ("fractions", "weight_decays"):
            self.distinct(name)
        self._check_fractions()
        self.at_least("weight_decays", 0, 100)
        self._check_size()
        self.above("learning_rate", 0, 100)
        self.at_least("steps", 1, MOST_STEPS)
        self.at_least("n_seeds", 1, 100)
        self.at_least("seed", 0, 2**31)
        if self.n_networks > MOST_NETWORKS:
            raise ConfigError(
                f"{len(self.fractions)} fractions, {len(self.weight_decays)} weight decays and {self.n_seeds} seeds "
                f"are {self.n_networks} networks; at most {MOST_NETWORKS} are trained in one experiment."
            )

    def _check_size(self) -> None:
        n_hidden = self.modulus**2 * self.width
        if n_hidden > MOST_HIDDEN:
            raise ConfigError(
                f"{self.modulus**2:,} pairs and {self.width:,} neurons make {n_hidden:,} activations; at most "
                f"{MOST_HIDDEN:,} are held at once. Ask for a smaller modulus, or for fewer neurons."
            )

    def _check_fractions(self) -> None:
        for fraction in self.fractions:
            if not 0 < fraction < 1:
                raise ConfigError(
                    f"fractions names {fraction:g}; a fraction of the pairs lies between 0 and 1, both left out: some "
                    "pairs are trained on and the others tested."
                )
            if round(fraction * self.modulus**2) < 1 or round(fraction * self.modulus**2) >= self.modulus**2:
                raise ConfigError(
                    f"A fraction of {fraction:g} of {self.modulus**2:,} pairs leaves none to train on, or none to "
                    "test; give one nearer to a half."
                )

    @property
    def n_networks(self) -> int:
        return len(self.fractions) * len(self.weight_decays) * self.n_seeds

    @property
    def settings(self) -> list[AdditionSetting]:
        """Every network, by fraction, then weight decay, then seed."""
        seeds = range(self.seed, self.seed + self.n_seeds)
        return [
            AdditionSetting(self.modulus, self.width, self.activation, fraction, decay, self.learning_rate, seed)
            for fraction, decay, seed in product(sorted(self.fractions), sorted(self.weight_decays), seeds)
        ]


def plan(config: AdditionConfig) -> list[Piece]:
    """One piece a network."""
    return [
        Piece(TRAINING, f"{100 * one.fraction:.3g}% of the pairs, decay {one.weight_decay:g}, seed {one.seed}", "steps",
              config.steps)
        for one in config.settings
    ]  # fmt: skip


def do(config: AdditionConfig, work: Work, phase: str, ordinal: int) -> None:
    """Train one network, unless that is done; a kill costs what was computed since the last save."""
    name, stamp = _name(ordinal), _stamp(config, ordinal)
    if work.files.is_known(name, stamp):
        return
    adder, measures = _begun(config, work, ordinal)
    steps = logged_steps(config.steps)
    timer = SaveTimer()

    def tell(step: int) -> None:
        work.tell(step, config.steps)
        if timer.is_due():
            save()

    def save() -> None:
        rows = [list(astuple(one)) for one in measures]
        work.files.here.save(f"partial/{name}", adder.state(), stamp, step=adder.step, measures=rows)

    for step in steps[len(measures) :]:
        adder.advance(step, tell)
        measures.append(adder.measure())
        if _is_over(steps, measures):
            break
    work.files.save(f"{name}-spectrum", spectrum(np.concatenate(adder.weights[:2], axis=1)), stamp)
    work.files.save(name, np.array([astuple(one) for one in measures]), stamp)
    work.files.here.remove(f"partial/{name}")


def _begun(config: AdditionConfig, work: Work, ordinal: int) -> tuple[Adder, list[Measure]]:
    """The network as it was saved last, or before its first step."""
    setting = config.settings[ordinal]
    kept = work.files.here.load_with_facts(f"partial/{_name(ordinal)}", _stamp(config, ordinal))
    if kept is None:
        return Adder(setting, device=work.device), []
    state, facts = kept
    return Adder(setting, device=work.device, state=state, step=facts["step"]), [
        Measure(*row) for row in facts["measures"]
    ]


def _is_over(steps: Sequence[int], measures: Sequence[Measure]) -> bool:
    """Whether a network has generalised long enough ago to see what follows."""
    fell = first_at(steps[: len(measures)], [one.test_bits < LEARNED_BITS for one in measures])
    return fell is not None and steps[len(measures) - 1] >= GOES_ON * max(fell, 1)


def _name(ordinal: int) -> str:
    return f"network-{ordinal}"


def _stamp(config: AdditionConfig, ordinal: int) -> str:
    return digest([KIND, astuple(config.settings[ordinal]), config.steps])


def results(config: AdditionConfig, work: Work) -> Results:
    """When each network fits what it was shown, and when it gets the rest right."""
    curves, spectra = [], []
    for ordinal in range(config.n_networks):
        do(config, work, TRAINING, ordinal)  # what is there takes no time
        curves.append(_loaded(work, _name(ordinal), _stamp(config, ordinal)))
        spectra.append(_loaded(work, f"{_name(ordinal)}-spectrum", _stamp(config, ordinal)))
        work.keep_alive()
    steps = np.array(logged_steps(config.steps)[: max(map(len, curves))])
    networks = [_network(one, steps, curve) for one, curve in zip(config.settings, curves, strict=True)]
    found = {
        "networks": networks,
        "n_fitted": sum(one["t_train"] is not None for one in networks),
        "n_generalised": sum(one["t_test"] is not None for one in networks),
        "n_late": sum(one["gap"] is not None and one["gap"] >= LATE for one in networks),
        "learned_bits": LEARNED_BITS,
        "accurate": ACCURATE,
    }
    return Results(found, _arrays(steps, curves, spectra))


def _loaded(work: Work, name: str, stamp: str) -> np.ndarray:
    array = work.files.load(name, stamp)
    assert array is not None  # noqa: S101  (it was made just now)
    return array


def _network(setting: AdditionSetting, steps: np.ndarray, curve: np.ndarray) -> dict[str, Any]:
    own = steps[: len(curve)]
    measured = dict(zip(MEASURES, curve.T, strict=True))
    t_train, t_test = (first_at(own, measured[name] < LEARNED_BITS) for name in ("train_bits", "test_bits"))
    return {
        "fraction": setting.fraction,
        "weight_decay": setting.weight_decay,
        "seed": setting.seed,
        "n_train": setting.n_train,
        "n_steps": int(own[-1]),
        "t_train": t_train,
        "t_test": t_test,
        "gap": t_test / t_train if t_train and t_test else None,
        "t_train_accuracy": first_at(own, measured["train_accuracy"] >= ACCURATE),
        "t_test_accuracy": first_at(own, measured["test_accuracy"] >= ACCURATE),
        "first_periodicity": _plain(measured["periodicity"][0]),
        "final": {name: _plain(values[-1]) for name, values in measured.items()},
        "peak": _peak(own, measured["test_bits"]),
    }


def _peak(steps: np.ndarray, test_bits: np.ndarray) -> dict[str, float | int] | None:
    """Where the test loss rose before it fell, and by how much; None where it only falls, or only rises."""
    if len(steps) < LEAST_POINTS:
        return None
    scores = shape_scores(test_bits[None, :])
    at = int(scores.peak_at[0])
    if at < 0:
        return None
    return {"step": int(steps[at]), "bits": float(test_bits[at]), "height_bits": float(scores.peak[0])}


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _arrays(
    steps: np.ndarray, curves: Sequence[np.ndarray], spectra: Sequence[np.ndarray]
) -> Iterator[tuple[str, np.ndarray, str]]:
    yield "steps", steps.astype(np.int64), "training steps at which networks were looked at"
    for name, (measure, unit) in ARRAYS.items():
        table = np.full((len(curves), len(steps)), np.nan, np.float32)
        for row, curve in zip(table, curves, strict=True):
            row[: len(curve)] = curve[:, MEASURES.index(measure)]
        yield name, table, unit
    yield (
        "spectrum",
        np.stack(spectra).astype(np.float32),
        "share of the weights’ power, by network and frequency from 1",
    )


def read(data: Mapping[str, Any]) -> AdditionConfig:
    """Settings from plain values."""
    return AdditionConfig.from_json(data)


CONFIGS: dict[str, AdditionConfig] = {  # by preset
    "two-core": AdditionConfig(name="addition-two-core"),
    "large": AdditionConfig(
        name="addition-113", modulus=113, width=512, fractions=(0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7),
        weight_decays=(0.1, 0.3, 1.0, 3.0), steps=30_000, n_seeds=3,
    ),
}  # fmt: skip
PRESETS = (
    Preset(
        "two-core",
        "Modular addition, two cores",
        "Modulo 47: five fractions of the pairs, three weight decays, two seeds each. About five minutes.",
        CONFIGS["two-core"],
    ),
    Preset(
        "large",
        "Modular addition modulo 113",
        "The modulus of earlier studies, 512 neurons, seven fractions, four weight decays, three seeds: for a GPU.",
        CONFIGS["large"],
        needs_gpu=True,
    ),
)
LAB = Lab(KIND, "Modular addition", read, plan, do, results, PRESETS)

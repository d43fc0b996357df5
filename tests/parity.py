"""Made-up experiments on sparse parity whose laws are known: tasks fall as mirrored S at known steps."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.utils import timezone

from clusters.models import Experiment
from compute.bundle import BundleWriter, open_bundle
from compute.numerics.scaling import fit_line, fit_power_law

LN2 = math.log(2)
FIRST_STEP = 60.0  # at which the most frequent task is learned
FIRST_SAMPLES = 900.0  # with which it is learned
PER_WIDTH = 0.35  # tasks that a unit of width has room for
SHARPNESS = 6.0
TAIL = 0.02  # nats that a learned task keeps


@dataclass(frozen=True)
class World:
    """What is swept; `samples` may hold None for networks that see every batch once."""

    alphas: tuple[float, ...] = (0.4,)
    widths: tuple[int, ...] = (4, 8, 16, 32, 64)
    samples: tuple[int | None, ...] = (None,)
    seeds: tuple[int, ...] = (0,)
    n_tasks: int = 40
    n_bits: int = 20
    steps: tuple[int, ...] = (0, *np.unique(np.geomspace(10, 20_000, 40).astype(int)).tolist())
    diverged: tuple[int, ...] = ()  # indices of networks that diverge half-way

    @property
    def networks(self) -> list[dict[str, Any]]:
        """Widths are swept online, samples at the largest width."""
        pairs = [(w, None) for w in self.widths if None in self.samples]
        pairs += [(max(self.widths), d) for d in self.samples if d is not None]
        return [
            {"alpha": a, "width": w, "n_samples": d, "seed": s}
            for a in self.alphas
            for w, d in pairs
            for s in self.seeds
        ]


def frequencies(alpha: float, n_tasks: int) -> np.ndarray:
    weights = np.arange(1, n_tasks + 1) ** -(alpha + 1.0)
    return weights / weights.sum()


def write_parity(folder: Path, world: World | None = None, *, name: str = "made-up", with_fits: bool = True) -> Path:
    """A bundle of such an experiment."""
    world = world or World()
    curves = [_curves(world, one, i) for i, one in enumerate(world.networks)]
    tests, trains = (np.stack([pair[i] for pair in curves]).astype(np.float32) for i in (0, 1))
    p = np.stack([frequencies(alpha, world.n_tasks) for alpha in world.alphas])
    of = [world.alphas.index(one["alpha"]) for one in world.networks]
    means = np.stack([tests[i] @ p[a] for i, a in enumerate(of)]).astype(np.float32)
    train_means = np.stack([trains[i] @ p[a] for i, a in enumerate(of)]).astype(np.float32)
    rng = np.random.default_rng(0)
    bits = np.sort(
        np.stack([[rng.permutation(world.n_bits)[:3] for _ in range(world.n_tasks)] for _ in world.seeds]), axis=2
    )
    steps = np.array(world.steps, np.int64)
    runs = [
        _row(world, one, i, steps, tests[i], trains[i], means[i], train_means[i])
        for i, one in enumerate(world.networks)
    ]
    found = {
        "runs": runs,
        "fits": _fits(world, runs, steps, means, p) if with_fits else {},
        "spearman": [
            {
                "alpha": one["alpha"],
                "run": i,
                "rho": 1.0 if one["n_learned"] > 2 else None,
                "n_learned": one["n_learned"],
            }
            for i, one in enumerate(runs)
        ],
        "tau": [
            {"alpha": one, "resource": "S", "width": max(world.widths), "median": 3e4, "low": 2e4, "high": 5e4, "n": 5}
            for one in world.alphas
        ],
    }
    config = {"name": name, "alphas": list(world.alphas), "widths": list(world.widths), "n_tasks": world.n_tasks,
              "n_bits": world.n_bits}  # fmt: skip
    with BundleWriter(folder, name) as writer:
        writer.add_array("tasks/probabilities", p)
        writer.add_array("tasks/bits", bits.astype(np.int16))
        writer.add_array("steps", steps, unit="steps")
        for key, array in (("loss/test", means), ("loss/train", train_means), ("loss/tasks", tests)):
            writer.add_array(key, array, unit="nats")
        if any(one["n_samples"] for one in world.networks):
            writer.add_array("loss/tasks_train", trains, unit="nats")
        return writer.publish({"lab": "parity", "config": config, "found": found}, {"device": "cpu"})


def make_parity(folder: Path, world: World | None = None, *, name: str = "made-up", **options: Any) -> Experiment:
    """A finished experiment's row."""
    fields = {key: options.pop(key) for key in ("owner", "is_private") if key in options}
    bundle = open_bundle(write_parity(folder, world, name=name, **options))
    return Experiment.objects.create(
        slug=name, name=name, kind="parity", config=bundle.manifest["config"], found=bundle.manifest["found"],
        bundle_path=str(bundle.path), bundle_sha256=bundle.sha256, finished_at=timezone.now(), **fields,
    )  # fmt: skip


def learned_at(alpha: float, n_tasks: int) -> np.ndarray:
    """Steps at which each task falls: inverse to its frequency."""
    return FIRST_STEP * np.arange(1, n_tasks + 1) ** (alpha + 1.0)


def _curves(world: World, network: dict[str, Any], index: int) -> tuple[np.ndarray, np.ndarray]:
    """Test and training loss of every task, float64 (n_logs, n_tasks)."""
    steps = np.maximum(np.array(world.steps, float), 0.5)[:, None]
    alpha, n_samples = network["alpha"], network["n_samples"]
    room = max(1, round(PER_WIDTH * network["width"]))
    middle = learned_at(alpha, world.n_tasks)[None, :] * (1 + 0.1 * network["seed"])
    fall = 1 / (1 + (steps / middle) ** SHARPNESS)
    test = TAIL + (LN2 - TAIL) * fall
    test[:, room:] = LN2
    train = test.copy()
    if n_samples is not None:
        known = int((n_samples / FIRST_SAMPLES) ** (1 / (1 + alpha)))
        memorised = 1 / (1 + (steps / (2.0 * middle)) ** SHARPNESS)
        train = TAIL + (LN2 - TAIL) * 1 / (1 + (steps / (0.5 * middle)) ** SHARPNESS)
        test[:, known:] = LN2 * (1 + 1.5 * (1 - memorised[:, known:]))
    if index in world.diverged:
        test[len(steps) // 2 :], train[len(steps) // 2 :] = np.nan, np.nan
    return test, train


def _row(world, network, index, steps, test, train, mean, train_mean) -> dict[str, Any]:  # type: ignore[no-untyped-def]
    known = mean[np.isfinite(mean)]
    best = int(np.nanargmin(mean))
    below = [
        next((int(s) for s, v in zip(steps, values, strict=True) if v < 0.1 * LN2), None)
        for values in (train_mean, mean)
    ]
    is_diverged = index in world.diverged
    return network | {
        "n_parameters": network["width"] * (world.n_tasks + world.n_bits) + 3 * network["width"] + 2,
        "test_loss_nats": None if is_diverged else float(known[-1]),
        "best_test_loss_nats": float(mean[best]), "best_step": int(steps[best]),
        "n_learned": int((np.nanmin(test, axis=0) < 0.1).sum()),
        "diverged_at": int(steps[len(steps) // 2]) if is_diverged else None,
        "train_step": below[0], "test_step": below[1],
    }  # fmt: skip


def _fits(world, runs, steps, means, p) -> dict[str, Any]:  # type: ignore[no-untyped-def]
    fits: dict[str, list[Any]] = {"N": [], "S": [], "D": [], "n_of_D": [], "convergence": []}
    for a, alpha in enumerate(world.alphas):
        own = [(i, one) for i, one in enumerate(runs) if one["alpha"] == alpha and one["diverged_at"] is None]
        online = [(i, one) for i, one in own if one["n_samples"] is None]
        finite = [one for _, one in own if one["n_samples"] is not None]
        widest = [i for i, one in online if one["width"] == max(world.widths)]
        s = [
            (float(step), float(loss))
            for i in widest
            for step, loss in zip(steps, means[i], strict=True)
            if step >= FIRST_STEP
        ]
        learned = [one for one in finite if one["n_learned"]]
        points = {
            "N": [(one["n_parameters"], one["test_loss_nats"]) for _, one in online],
            "S": s,
            "D": [(one["n_samples"], one["best_test_loss_nats"]) for one in learned],
            "n_of_D": [(one["n_samples"], one["n_learned"]) for one in learned],
        }
        theory = {"N": alpha, "S": alpha / (1 + alpha), "D": alpha / (1 + alpha), "n_of_D": 1 / (1 + alpha)}
        for key, xy in points.items():
            fits[key].append(_fit(alpha, xy, theory[key], width=max(world.widths)))
        converged = learned_at(alpha, world.n_tasks)[: round(PER_WIDTH * max(world.widths))]
        converged = converged[converged < steps[-1]]
        if online and len(converged) > 2:
            line = fit_line(np.log(p[a][: len(converged)]), np.log(converged))
            fits["convergence"].append(
                {
                    "alpha": alpha,
                    "seed": None,
                    "exponent": line.slope,
                    "low": line.low,
                    "high": line.high,
                    "theory": -1.0,
                    "finite_k": None,
                    "first": float(p[a][len(converged) - 1]),
                    "last": float(p[a][0]),
                    "n_points": len(converged),
                    "r_squared": line.r_squared,
                    "width": max(world.widths),
                }
            )
    return fits


def _fit(alpha: float, xy: list[tuple[float, float]], theory: float, **where: Any) -> dict[str, Any]:
    if len({x for x, _ in xy}) < 2:
        return {"alpha": alpha, "reason": f"a power law needs two different x, and there are {len(xy)} points"}
    fit = fit_power_law(*zip(*xy, strict=True))
    sign = -1 if xy[-1][1] > xy[0][1] else 1  # counts grow: their exponent is that of growth
    values = dataclasses.asdict(fit)
    ends = sorted((sign * values["low"], sign * values["high"]))
    has_interval = math.isfinite(ends[0])
    return {
        "alpha": alpha,
        "seed": None,
        "exponent": sign * values["alpha"],
        "low": ends[0] if has_interval else None,
        "high": ends[1] if has_interval else None,
        "theory": theory,
        "finite_k": None,
        "first": float(xy[0][0]),
        "last": float(xy[-1][0]),
        "n_points": len(xy),
        "r_squared": values["r_squared"],
        **where,
    }

"""Made-up experiments on modular addition whose times are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.utils import timezone

from clusters.models import Experiment
from compute.bundle import BundleWriter, open_bundle
from compute.numerics.addition import logged_steps

MODULUS, N_STEPS = 31, 2000
GUESS = float(np.log2(MODULUS))
STEPS = np.array(logged_steps(N_STEPS))
HUMP = 9.0  # bits that a test loss rises to


@dataclass(frozen=True)
class Trained:
    """When a made-up network fits and generalises; None for never."""

    fraction: float
    weight_decay: float = 1.0
    seed: int = 0
    t_train: int | None = 60
    t_test: int | None = 600


def make_addition(folder: Path, networks: Sequence[Trained], *, name: str = "made-up", **fields: Any) -> Experiment:
    """A finished experiment's row, and its bundle."""
    curves = [_curves(one) for one in networks]
    rows = [_row(one, curve) for one, curve in zip(networks, curves, strict=True)]
    config = {
        "name": name, "modulus": MODULUS, "width": 16, "activation": "quadratic", "learning_rate": 0.01,
        "steps": N_STEPS, "fractions": sorted({one.fraction for one in networks}),
        "weight_decays": sorted({one.weight_decay for one in networks}),
        "n_seeds": len({one.seed for one in networks}), "seed": 0,
    }  # fmt: skip
    with BundleWriter(folder, name) as writer:
        writer.add_array("steps", STEPS, unit="steps")
        for key in curves[0]:
            writer.add_array(key, np.stack([one[key] for one in curves]).astype(np.float32))
        writer.add_array("spectrum", np.full((len(networks), MODULUS // 2), 2 / (MODULUS - 1), np.float32))
        path = writer.publish({"lab": "addition", "config": config, "found": {"networks": rows}}, {"device": "cpu"})
    bundle = open_bundle(path)
    return Experiment.objects.create(
        slug=name, name=name, kind="addition", config=config, found=bundle.manifest["found"],
        bundle_path=str(bundle.path), bundle_sha256=bundle.sha256, finished_at=timezone.now(), **fields,
    )  # fmt: skip


def _curves(one: Trained) -> dict[str, np.ndarray]:
    train, test = (_learned(at) for at in (one.t_train, one.t_test))
    hump = np.exp(-(np.log(np.maximum(STEPS, 1) / 100) ** 2))
    return {
        "loss/train": GUESS * (1 - train),
        "loss/test": (GUESS + (HUMP - GUESS) * hump) * (1 - test),
        "accuracy/train": train,
        "accuracy/test": test,
        "periodicity": 0.2 + 0.7 * _learned(one.t_test and one.t_test // 2),
        "norm": 10 + 50 * train * (1 - 0.5 * test),
    }


def _learned(at: int | None) -> np.ndarray:
    """0 before a step and 1 from it on; 0 throughout where there is none."""
    return np.zeros(len(STEPS)) if at is None else (at <= STEPS).astype(float)


def _row(one: Trained, curves: dict[str, np.ndarray]) -> dict[str, Any]:
    times = {name: _seen(at) for name, at in (("t_train", one.t_train), ("t_test", one.t_test))}
    measured = {"train_bits": "loss/train", "test_bits": "loss/test", "train_accuracy": "accuracy/train",
                "test_accuracy": "accuracy/test", "periodicity": "periodicity", "norm": "norm"}  # fmt: skip
    t_train, t_test = times.values()
    peak = int(curves["loss/test"].argmax())
    return {
        "fraction": one.fraction, "weight_decay": one.weight_decay, "seed": one.seed,
        "n_train": round(one.fraction * MODULUS**2), "n_steps": N_STEPS, **times,
        "gap": t_test / t_train if t_train and t_test else None,
        "t_train_accuracy": t_train, "t_test_accuracy": t_test and _seen(t_test // 2), "first_periodicity": 0.2,
        "final": {name: float(curves[key][-1]) for name, key in measured.items()},
        "peak": {"step": int(STEPS[peak]), "bits": float(curves["loss/test"][peak]), "height_bits": HUMP - GUESS},
    }  # fmt: skip


def _seen(at: int | None) -> int | None:
    """The first logged step from there on."""
    return None if at is None else int(STEPS[np.searchsorted(STEPS, at)])

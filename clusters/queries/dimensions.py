"""Intrinsic dimension of a run's gradients and loss curves: counted once over a sample, then kept."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np

from clusters.models import Run
from clusters.queries.selected import selected_size_curves, selected_step_curves, step_networks
from clusters.stored.arrays import array_of, bundle_of
from clusters.stored.derived import derived
from clusters.values.clouds import Cloud
from compute.errors import FitError
from compute.numerics.dimension import LEAST_POINTS, DimensionFit, dimension_of_cosines, dimension_of_points

MOST_SAMPLED = 2000
LEAST_AXES = 3  # a curve over fewer points has no more dimensions than that


def has_points(run: Run) -> bool:
    """Whether there is anything to count."""
    bundle = bundle_of(run)
    known = bundle.has("similarity/signed") or bundle.has("curves/losses")
    return known and len(array_of(run, "selection/flat_index")) >= LEAST_POINTS


def dimensions(run: Run) -> list[Cloud]:
    """Gradients, curves over size, curves over training, as far as the bundle holds them."""
    kept = derived(
        run,
        "scaling/dimensions",
        lambda: np.frombuffer(json.dumps([asdict(cloud) for cloud in _counted(run)]).encode(), np.uint8),
    )
    return [
        Cloud(**entry | {name: tuple(entry[name]) for name in ("radii", "neighbours")})
        for entry in json.loads(bytes(kept))
    ]


def _counted(run: Run) -> Iterator[Cloud]:
    rows = _sample(len(array_of(run, "selection/flat_index")))
    if bundle_of(run).has("similarity/signed"):
        cosines = np.asarray(array_of(run, "similarity/signed")[rows])[:, rows]
        yield _cloud("gradients", "chord of unit gradients", len(rows), lambda: dimension_of_cosines(cosines))
    curves = selected_size_curves(run)
    if curves is not None and curves.shape[1] >= LEAST_AXES:
        bits = np.asarray(curves[rows], np.float64) / math.log(2)
        yield _cloud("curves over size", "bits", len(rows), lambda: dimension_of_points(bits))
    own = [one for one in step_networks(run) if one.lm == run.manifest["clustered"]["lm"]]
    if own and len(own[0].steps) >= LEAST_AXES:
        steps = np.asarray(selected_step_curves(run, own[0])[rows], np.float64) / math.log(2)
        yield _cloud("curves over training", "bits", len(rows), lambda: dimension_of_points(steps))


def _sample(n: int) -> np.ndarray:
    """Evenly over the selected tokens, in the corpus' order."""
    return np.unique(np.linspace(0, n - 1, min(n, MOST_SAMPLED)).round().astype(np.int64))


def _cloud(name: str, unit: str, n: int, count: Callable[[], DimensionFit]) -> Cloud:
    try:
        fit = count()
    except FitError as error:
        return Cloud(name, unit, n, problem=str(error))
    return Cloud(name, unit, n, fit.dimension, fit.low, fit.high, tuple(fit.radii.tolist()),
                 tuple(fit.neighbours.tolist()))  # fmt: skip

"""Seventh step: two maps of tokens, by gradients and by the shape of their loss curves."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from compute.config import MapConfig, RunConfig
from compute.errors import ConfigError
from compute.steps.checkpoints import by_step, sizes
from compute.steps.curves import curves
from compute.steps.losses import losses_stamp
from compute.steps.run import Run
from compute.steps.selection import selection
from compute.steps.similarity import similarity
from compute.workspace import digest

BY_GRADIENT, BY_CURVE = "by gradient", "by curve shape"
MAX_STEPS = 24  # of each network, evenly over ln step: a map needs no more
LEFT_OUT = "The settings of this run leave the maps out."
_COMPILED = "NUMBA_CACHE_DIR"  # where code compiled by UMAP is kept for the next process


@dataclass(frozen=True)
class Map:
    """Places of tokens in the plane; or the reason why there are none."""

    places: np.ndarray | None  # float32 (n, 2)
    index: np.ndarray  # int64 (n,): flat indices, ascending
    facts: dict[str, Any]


def gradient_map(run: Run) -> Map:
    """The clustered tokens, near each other where their gradients point the same way."""
    wanted = run.config.map
    if wanted is None:
        return _none(LEFT_OUT)
    compared = similarity(run)
    if reason := _too_few(len(compared.flat_index), wanted):
        return _none(reason)
    stamp = digest(["map by gradient", compared.stamp, _settings(wanted)])

    def make() -> np.ndarray:
        from compute.numerics.layout import layout, nearest_by_cosine, principal_axes_of_cosines

        cosine = compared.cosines["signed"]
        neighbours = run.wait_for(lambda: nearest_by_cosine(cosine, wanted.n_neighbors))
        start = run.wait_for(lambda: principal_axes_of_cosines(cosine))
        return run.wait_for(partial(layout, neighbours, start, min_dist=wanted.min_dist, seed=wanted.seed))

    places = _kept(run, "map/gradients", stamp, len(compared.flat_index), make)
    return Map(places, compared.flat_index, {"array": "map/gradients", "n_points": len(places), "affinity": "signed"})


def curve_map(run: Run) -> Map:
    """Predictions spread evenly over the corpus, and the clustered ones: near where their loss curves are alike."""
    wanted = run.config.map
    if wanted is None:
        return _none(LEFT_OUT)
    index = _spread(run, wanted.n_curves)
    if reason := _too_few(len(index), wanted) or _no_curve(run):
        return _none(reason)
    columns = [losses_stamp(run, ref) for ref in sizes(run)]
    columns += [losses_stamp(run, ref) for refs in by_step(run.config).values() for ref in refs]
    stamp = digest(["map by curve shape", columns, digest(index.tolist()), MAX_STEPS, _settings(wanted)])

    def make() -> np.ndarray:
        from compute.numerics.layout import curve_features, layout, nearest_points, principal_axes

        points = run.wait_for(lambda: curve_features(_tables(run, index)))
        neighbours = run.wait_for(lambda: nearest_points(points, wanted.n_neighbors))
        start = run.wait_for(lambda: principal_axes(points))
        return run.wait_for(partial(layout, neighbours, start, min_dist=wanted.min_dist, seed=wanted.seed))

    places = _kept(run, "map/curves", stamp, len(index), make)
    n_sizes, n_steps = _n_measured(run)
    facts = {
        "array": "map/curves", "index": "map/curves_index", "n_points": len(places), "n_sizes": n_sizes,
        "n_steps": n_steps, "n_checkpoints": n_sizes + n_steps,
    }  # fmt: skip
    return Map(places, index, facts)


def map_facts(run: Run) -> dict[str, Any]:
    """What the manifest states of both: settings and counts, or the reason why one is missing."""
    settings = {} if run.config.map is None else _settings(run.config.map)
    return settings | {"gradients": gradient_map(run).facts, "curves": curve_map(run).facts}


def _kept(run: Run, name: str, stamp: str, n_points: int, make: Callable[[], np.ndarray]) -> np.ndarray:
    """A map from an earlier attempt, or a new one."""
    places: np.ndarray | None = run.files.load(name, stamp)
    if places is None:
        run.tell(0, n_points)
        _keep_compiled(run)
        places = make()
        run.files.save(name, places, stamp)
    return places


def require_umap(config: RunConfig) -> None:
    """Refuse maps before hours of work where they could not be made after them."""
    if config.map is not None and find_spec("umap") is None:
        raise ConfigError(
            "Maps of tokens need the package umap-learn, which is not installed here. Install it, or leave the maps "
            "out (--no-map); what is done is kept."
        )


def _keep_compiled(run: Run) -> None:
    """Beside the workspaces, where the installed package's own folder cannot be written, as in a container."""
    require_umap(run.config)
    found = find_spec("umap")
    if found is not None and not all(os.access(folder, os.W_OK) for folder in found.submodule_search_locations or ()):
        os.environ.setdefault(_COMPILED, str(run.files.root.parent / "compiled"))


def _spread(run: Run, n_curves: int) -> np.ndarray:
    """Flat indices, ascending."""
    n = run.corpus.tokens.n_predictions
    even = np.linspace(0, n - 1, min(n, n_curves)).round().astype(np.int64)
    return np.union1d(even, selection(run).flat_index)


def _tables(run: Run, index: np.ndarray) -> list[np.ndarray]:
    """Losses of these predictions over size, and over the steps of each network."""
    tables = curves(run)
    steps = [tables[f"steps/{lm}"][:, chosen][index] for lm, chosen in _steps(run).items()]
    over_size = [tables["losses"][index]] if tables["losses"].shape[1] > 1 else []
    return [np.asarray(table, np.float32) for table in over_size + steps]


def _steps(run: Run) -> dict[str, np.ndarray]:
    """Columns of each network's table that are used."""
    chosen = {}
    for lm, refs in by_step(run.config).items():
        if len(refs) < 2:
            continue
        at = np.array([place if ref.step is None else np.log1p(ref.step) for place, ref in enumerate(refs)])
        wanted = np.linspace(at[0], at[-1], min(len(refs), MAX_STEPS))
        near = np.abs(at[None] - wanted[:, None]).argmin(axis=1)
        chosen[lm] = np.arange(len(refs)) if len(refs) <= MAX_STEPS else np.unique(near)
    return chosen


def _n_measured(run: Run) -> tuple[int, int]:
    """Places on the curves over size, and over steps; a network's last step stands on both."""
    return len(sizes(run)) if len(sizes(run)) > 1 else 0, sum(map(len, _steps(run).values()))


def _no_curve(run: Run) -> str:
    n = len(run.config.suite.checkpoints)
    return "" if any(_n_measured(run)) else f"A loss curve needs two checkpoints or more, but this run has {n}."


def _too_few(n: int, wanted: MapConfig) -> str:
    if n > wanted.n_neighbors:
        return ""
    return f"A map with {wanted.n_neighbors} neighbours needs more points than that, but there are only {n}."


def _none(reason: str) -> Map:
    return Map(None, np.empty(0, np.int64), {"reason": reason})


def _settings(wanted: MapConfig) -> dict[str, Any]:
    return asdict(wanted)

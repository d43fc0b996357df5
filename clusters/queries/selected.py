"""Loss curves of the clustered tokens, gathered once a run: row i belongs to row i of the similarity matrix.

The tables over the whole corpus hold millions of rows, of which a page wants a cluster's. These hold the clustered
tokens alone, so that a cluster's curves lie within a few pages of memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clusters.models import Run
from clusters.stored.arrays import array_of, bundle_of
from clusters.stored.derived import derived
from clusters.values.readings import StepCurve


@dataclass(frozen=True)
class StepNetwork:
    """A network that a run measured at several training steps."""

    lm: str
    n_non_embedding: int
    steps: tuple[int, ...]  # ascending
    columns: tuple[str, ...]  # of the losses, one a step
    place: int  # among the run's networks of several steps, in the manifest's order


def step_networks(run: Run) -> list[StepNetwork]:
    """The networks with losses at two training steps or more, smallest first."""
    has = bundle_of(run).has
    by_lm: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for checkpoint in run.manifest["checkpoints"]:
        if checkpoint["step"] is not None:
            by_lm[checkpoint["lm"]].append(checkpoint)
    found: list[StepNetwork] = []
    for lm, checkpoints in by_lm.items():
        ordered = sorted(checkpoints, key=lambda one: one["step"])
        columns = tuple(one.get("column", "") for one in ordered)
        if len(ordered) > 1 and (has(f"curves/steps/{lm}") or all(map(has, columns))):
            steps = tuple(one["step"] for one in ordered)
            found.append(StepNetwork(lm, ordered[0]["n_non_embedding"], steps, columns, len(found)))
    return sorted(found, key=lambda one: (one.n_non_embedding, one.lm))


def selected_size_curves(run: Run) -> np.ndarray | None:
    """Losses in nats under the final checkpoints, float32 (n_selected, n_sizes) by size; None where there are none."""
    has = bundle_of(run).has
    if has("curves/losses"):
        return derived(run, "selected/sizes", lambda: _rows_of(run, "curves/losses", np.float32))
    columns = {(c["lm"], c["revision"]): c.get("column", "") for c in run.manifest["checkpoints"]}
    names = [columns[size["lm"], size["revision"]] for size in run.manifest["sizes"]]
    if not names or not all(map(has, names)):
        return None
    return derived(run, "selected/sizes", lambda: _side_by_side(run, names, np.float32))


def selected_step_curves(run: Run, network: StepNetwork) -> np.ndarray:
    """Losses in nats over a network's steps, float16 (n_selected, n_steps), in the order of `network.steps`."""
    table = f"curves/steps/{network.lm}"
    name = f"selected/steps-{network.place}"
    if bundle_of(run).has(table) and array_of(run, table).shape[1] == len(network.steps):
        return derived(run, name, lambda: _rows_of(run, table, np.float16))
    return derived(run, name, lambda: _side_by_side(run, network.columns, np.float16))


def member_step_curves(
    run: Run, networks: Sequence[StepNetwork], rows: np.ndarray, *, most_steps: int = 48
) -> list[StepCurve]:
    """Losses of the tokens at these rows over the steps of the networks.

    Of many steps, those nearest to an even spacing of log(1 + step): the same ones every time, both ends among them.
    """
    curves = []
    for network in networks:
        places = _spread(network.steps, most_steps)
        losses = selected_step_curves(run, network)[rows][:, places].astype(np.float32)
        steps = [network.steps[place] for place in places.tolist()]
        curves.append(StepCurve(network.lm, network.n_non_embedding, steps, losses))
    return curves


def make_selected(run: Run) -> None:
    """Gather everything above now, so that no reader waits for it."""
    selected_size_curves(run)
    for network in step_networks(run):
        selected_step_curves(run, network)


def _spread(steps: tuple[int, ...], most: int) -> np.ndarray:
    if len(steps) <= most:
        return np.arange(len(steps))
    at = np.log1p(steps)
    wanted = np.linspace(at[0], at[-1], most)
    return np.unique(np.abs(at[:, None] - wanted).argmin(axis=0))


def _rows_of(run: Run, table: str, dtype: type[np.floating]) -> np.ndarray:
    return np.ascontiguousarray(array_of(run, table)[array_of(run, "selection/flat_index")], dtype)


def _side_by_side(run: Run, columns: list[str] | tuple[str, ...], dtype: type[np.floating]) -> np.ndarray:
    flat = array_of(run, "selection/flat_index")
    return np.stack([np.asarray(array_of(run, name)[flat], dtype) for name in columns], axis=1)

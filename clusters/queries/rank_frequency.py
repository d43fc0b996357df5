"""What the rank-frequency page reads beyond sizes: resampled envelopes, how far affinities agree, the toy's slopes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from clusters.models import Affinity, Run
from clusters.queries.runs import affinities_of, ks_of
from clusters.stored.arrays import array_of
from clusters.stored.derived import derived
from clusters.values.facts import ToySlopes
from compute.errors import BundleError
from compute.numerics.ranks import adjusted_rand_index
from compute.numerics.resampling import resampled_envelopes

TOY_TABLE = Path(__file__).resolve().parents[1] / "data" / "toy_bias.json"


def resampled(run: Run, affinity: str) -> np.ndarray | None:
    """Envelopes of resampled tokens, int32 (n_resamples, max k), the same for every reader; None without labels."""

    def make() -> np.ndarray:
        return resampled_envelopes(array_of(run, f"clustering/{affinity}/k{k}") for k in ks_of(run, affinity))

    try:
        return derived(run, f"rank-frequency/{affinity}-resampled", make)
    except BundleError:
        return None


def agreements(run: Run) -> dict[int, float]:
    """Adjusted Rand index of the signed against the absolute clustering by k; empty where the run has only one."""
    ks = [k for k in ks_of(run, Affinity.SIGNED) if k in ks_of(run, Affinity.ABSOLUTE)]
    if not ks:
        return {}

    def make() -> np.ndarray:
        both = ([array_of(run, f"clustering/{affinity}/k{k}") for affinity in Affinity.values] for k in ks)
        return np.array([adjusted_rand_index(*labels) for labels in both])

    try:
        return dict(zip(ks, derived(run, "rank-frequency/agreement", make).tolist(), strict=True))
    except BundleError:
        return {}


def make_rank_frequency(run: Run) -> None:
    """Work out everything above now, so that no reader waits for it."""
    for affinity in affinities_of(run):
        resampled(run, affinity)
    agreements(run)


@cache
def toy_slopes() -> ToySlopes:
    """The table that benchmarks/toy_bias.py writes."""
    table = json.loads(TOY_TABLE.read_text())
    return ToySlopes(table["exponents"], table["slopes"], table["setting"])

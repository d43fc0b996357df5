"""Reads of runs: the list, one run's facts, its clusterings' sizes."""

from __future__ import annotations

from clusters.models import Run

NEAR_K = 100  # the number of clusters shown where nobody chose one


def ks_of(run: Run, affinity: str = "signed") -> list[int]:
    """The numbers of clusters that this run has at one affinity, ascending."""
    return sorted(c["k"] for c in run.manifest.get("clusterings", ()) if c["affinity"] == affinity)


def affinities_of(run: Run) -> list[str]:
    """The affinities that this run was clustered with, in the manifest's order."""
    return list(dict.fromkeys(c["affinity"] for c in run.manifest.get("clusterings", ())))


def default_affinity(run: Run) -> str:
    return next(iter(affinities_of(run)), "signed")


def default_k(run: Run, affinity: str = "") -> int | None:
    """The k nearest to 100, the smaller of two; None for a run without clusterings."""
    ks = ks_of(run, affinity or default_affinity(run))
    return min(ks, key=lambda k: (abs(k - NEAR_K), k)) if ks else None

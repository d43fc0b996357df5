"""Reads of single tokens: any prediction of the corpus, clustered or not."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from clusters.models import Membership, Run, Token
from clusters.parameters import whole_number
from clusters.queries.missing import Missing
from clusters.stored.arrays import array_of, bundle_of, corpus_of
from clusters.stored.derived import derived, has_derived
from clusters.values.readings import Scores, StepCurve
from compute.errors import FitError
from compute.numerics.curves import CLASS_NAMES, curve_scores, paper_monogenic, paper_polygenic

SCORES = ("monogenicity", "n_eff", "amplitude_bits", "linearity", "breakthroughness", "slope", "r_squared")
N_QUANTILES = 1001
SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
AT_ONCE = 2_000_000  # so many scores are sorted while somebody waits; more are sorted when a run is read in


@dataclass(frozen=True)
class PaperClass:
    """What the paper's own rules say of one curve over sizes."""

    monogenic_at: int  # number of sizes before the step, 0 where it isn't monogenic
    is_polygenic: bool
    slope: float  # nats per unit of ln parameters
    r_squared: float


@dataclass(frozen=True)
class Neighbours:
    """Where one may go from a token: flat indices, None at the ends."""

    previous: int | None  # in the document
    next: int | None
    previous_clustered: int | None  # in the corpus
    next_clustered: int | None
    previous_alike: int | None  # in the document, of the same class
    next_alike: int | None


def token_index(run: Run, text: str) -> int:
    """The flat index that an address names; 404 with those that there are."""
    index, n = whole_number(text), run.corpus.n_predictions
    if index is None or index >= n:
        there = f"Its predicted tokens count from 0 to {n - 1}." if n else "It came without its text."
        raise Missing(f"“{run.name}” has no token {text[:20]}", there)
    return index


def scores_of(run: Run, index: int) -> Scores:
    """Read one token's scores from the run's arrays."""
    bundle = bundle_of(run)
    names = SCORES[:5]  # those of `Scores`
    there = {name: bundle.has(f"curves/{name}") for name in names}
    values = {name: _finite(array_of(run, f"curves/{name}")[index]) if there[name] else None for name in names}
    code = int(array_of(run, "curves/class")[index]) if bundle.has("curves/class") else None
    return Scores(**values, curve_class=class_name(code))


def curve_classes(run: Run, indices: Sequence[int]) -> list[tuple[str, int]]:
    """How many of the tokens have a loss curve of each class, the commonest first."""
    if not bundle_of(run).has("curves/class"):
        return []
    codes = np.asarray(array_of(run, "curves/class")[np.asarray(indices, np.int64)])
    return Counter(class_name(code) for code in codes.tolist()).most_common()


def class_name(code: int | None) -> str:
    return CLASS_NAMES[code] if code is not None and code < len(CLASS_NAMES) else "unknown"


def paper_class(run: Run, losses_nats: np.ndarray) -> PaperClass | None:
    """The paper's classes of one curve over the run's sizes; None where its rules do not apply."""
    x = np.log([size["n_non_embedding"] for size in run.manifest["sizes"]])
    curve = losses_nats[None, :]
    try:
        split = int(paper_monogenic(curve)[0])
        is_polygenic = bool(paper_polygenic(curve, x)[0])
        line = curve_scores(curve, x)
    except FitError:
        return None
    return PaperClass(split, is_polygenic, float(line.slope[0]), float(line.r_squared[0]))


def score_quantiles(run: Run) -> np.ndarray:
    """Quantiles of every score over all predictions, float32 of shape (n_scores, N_QUANTILES); NaN without scores."""
    return derived(run, "tokens/quantiles", lambda: _quantiles(run))


def percentiles_of(run: Run, index: int) -> dict[str, float]:
    """Share of all predictions whose score lies below this token's, by score; left out where that isn't known yet."""
    if run.corpus.n_predictions > AT_ONCE and not has_derived(run, "tokens/quantiles"):
        return {}
    bundle, shares = bundle_of(run), np.linspace(0, 1, N_QUANTILES)
    found = {}
    for name, quantiles in zip(SCORES, score_quantiles(run), strict=True):
        value = float(array_of(run, f"curves/{name}")[index]) if bundle.has(f"curves/{name}") else np.nan
        if np.isfinite(value) and np.isfinite(quantiles[0]):
            first, last = (int(np.searchsorted(quantiles, value, side=side)) for side in SIDES)
            found[name] = float(shares[min((first + last) // 2, N_QUANTILES - 1)])
    return found


def neighbours_of(run: Run, index: int, document: int) -> Neighbours:
    """The tokens before and after: any, clustered, of the same class."""
    starts = corpus_of(run).prediction_starts
    first, last = int(starts[document]), int(starts[document + 1])
    flat = array_of(run, "selection/flat_index")
    before, after = bisect_left(flat, index), bisect_right(flat, index)
    alike: list[int] = []
    if bundle_of(run).has("curves/class"):
        classes = np.asarray(array_of(run, "curves/class")[first:last])
        alike = (first + np.flatnonzero(classes == classes[index - first])).tolist()
    return Neighbours(
        previous=index - 1 if index > first else None,
        next=index + 1 if index + 1 < last else None,
        previous_clustered=int(flat[before - 1]) if before else None,
        next_clustered=int(flat[after]) if after < len(flat) else None,
        previous_alike=max((i for i in alike if i < index), default=None),
        next_alike=min((i for i in alike if i > index), default=None),
    )


def shared_steps(run: Run) -> list[int]:
    """Training steps at which several of the run's sizes have a checkpoint, ascending."""
    counts = Counter({(c["lm"], c["step"]) for c in run.manifest["checkpoints"] if c["step"] is not None})
    by_step = Counter(step for _, step in counts)
    return sorted(step for step, n in by_step.items() if n > 1)


def size_curves(run: Run, indices: Sequence[int] | np.ndarray) -> np.ndarray:
    """Losses in nats of the tokens under the final checkpoints, smallest network first: (n_tokens, n_sizes)."""
    flat = np.asarray(indices, np.int64)
    if bundle_of(run).has("curves/losses"):
        return np.asarray(array_of(run, "curves/losses")[flat], np.float64)
    columns = {(c["lm"], c["revision"]): c["column"] for c in run.manifest["checkpoints"]}
    names = [columns[size["lm"], size["revision"]] for size in run.manifest["sizes"]]
    return np.stack([np.asarray(array_of(run, name)[flat], np.float64) for name in names], axis=1)


def size_curve(run: Run, index: int) -> np.ndarray | None:
    """Losses in nats of one token, smallest network first; None where the bundle holds none."""
    has = bundle_of(run).has
    columns = {(c["lm"], c["revision"]): c["column"] for c in run.manifest["checkpoints"]}
    names = [columns[size["lm"], size["revision"]] for size in run.manifest["sizes"]]
    return size_curves(run, [index])[0] if names and (has("curves/losses") or all(map(has, names))) else None


def step_curves(run: Run, indices: Sequence[int] | np.ndarray, *, most_steps: int = 40) -> list[StepCurve]:
    """Losses over steps, one curve set for every network with several checkpoints, smallest first."""
    flat = np.asarray(indices, np.int64)
    by_lm: dict[str, list[dict]] = {}
    for checkpoint in run.manifest["checkpoints"]:
        if checkpoint["step"] is not None:
            by_lm.setdefault(checkpoint["lm"], []).append(checkpoint)
    curves = []
    for lm, checkpoints in by_lm.items():
        checkpoints = sorted(checkpoints, key=lambda c: c["step"])
        if len(checkpoints) < 2 or not _has_steps(run, lm, checkpoints):
            continue
        shown = thinned(checkpoints, most_steps)
        losses = _over_steps(run, lm, checkpoints, flat)[:, [checkpoints.index(c) for c in shown]]
        curves.append(StepCurve(lm, shown[0]["n_non_embedding"], [c["step"] for c in shown], losses))
    return sorted(curves, key=lambda curve: curve.n_non_embedding)


def _has_steps(run: Run, lm: str, checkpoints: list[dict]) -> bool:
    has = bundle_of(run).has
    return has(f"curves/steps/{lm}") or all(has(c["column"]) for c in checkpoints)


def _over_steps(run: Run, lm: str, checkpoints: list[dict], flat: np.ndarray) -> np.ndarray:
    """Losses under all checkpoints of a network, by step; from the token-major table where there is one."""
    name = f"curves/steps/{lm}"
    if bundle_of(run).has(name) and array_of(run, name).shape[1] == len(checkpoints):
        return np.asarray(array_of(run, name)[flat], np.float64)
    return np.stack([np.asarray(array_of(run, c["column"])[flat], np.float64) for c in checkpoints], axis=1)


def thinned(checkpoints: list[dict], most: int) -> list[dict]:
    """At most so many checkpoints, evenly spread over the logarithm of the step; first and last stay."""
    if len(checkpoints) <= most:
        return checkpoints
    place = np.log1p([c["step"] for c in checkpoints])
    wanted = np.linspace(place[0], place[-1], most)
    nearest = np.abs(place[:, None] - wanted).argmin(axis=0)
    return [checkpoints[i] for i in sorted(set(nearest.tolist()))]


def clustered_token(run: Run, index: int) -> Token | None:
    """The row of a clustered token; None for any other token."""
    return run.tokens.filter(flat_index=index).first()


def memberships_of(token: Token) -> list[Membership]:
    """The token's cluster at every k and affinity."""
    rows = Membership.objects.filter(token=token).select_related("cluster__clustering")
    rows = rows.defer("cluster__mean_curve", "cluster__nearest", "cluster__top_last", "cluster__clustering__sizes")
    return list(rows.order_by("cluster__clustering__k", "cluster__clustering__affinity"))


def _quantiles(run: Run) -> np.ndarray:
    bundle, shares = bundle_of(run), np.linspace(0, 1, N_QUANTILES)
    rows = np.full((len(SCORES), N_QUANTILES), np.nan, np.float32)
    for row, name in zip(rows, SCORES, strict=True):
        if not bundle.has(f"curves/{name}"):
            continue
        values = np.sort(array_of(run, f"curves/{name}"))
        values = values[: np.searchsorted(values, np.inf)]  # NaN and infinity stand last
        if len(values):
            row[:] = values[(shares * (len(values) - 1)).round().astype(np.int64)]
    return rows


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

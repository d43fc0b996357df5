"""Reads of single tokens: any prediction of the corpus, clustered or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from django.db.models import F

from clusters.arrays import array_of, bundle_of, corpus_of
from clusters.models import Membership, Run, Token
from clusters.parameters import whole_number
from clusters.queries.missing import Missing
from clusters.readings import Scores, StepCurve
from compute.numerics.curves import CLASS_NAMES

PAGE_SIZE = 20
_ORDERS = {
    "monogenic": (F("monogenicity").desc(nulls_last=True), F("row").asc()),
    "polygenic": (F("monogenicity").asc(nulls_last=True), F("row").asc()),
    "loss": (F("loss_nats").asc(), F("row").asc()),
    "index": (F("row").asc(),),
}


def token_index(run: Run, text: str) -> int:
    """The flat index that an address names; 404 with those that there are."""
    index, n = whole_number(text), corpus_of(run).n_predictions
    if index is None or index >= n:
        raise Missing(f"“{run.name}” has no token {text[:20]}", f"Its predicted tokens count from 0 to {n - 1}.")
    return index


def scores_of(run: Run, index: int) -> Scores:
    """Read one token's scores from the run's arrays."""
    bundle = bundle_of(run)
    names = ("monogenicity", "n_eff", "amplitude_bits", "linearity", "breakthroughness")
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


def size_curves(run: Run, indices: Sequence[int] | np.ndarray) -> np.ndarray:
    """Losses in nats of the tokens under the final checkpoints, smallest network first: (n_tokens, n_sizes)."""
    flat = np.asarray(indices, np.int64)
    if bundle_of(run).has("curves/losses"):
        return np.asarray(array_of(run, "curves/losses")[flat], np.float64)
    columns = {(c["lm"], c["revision"]): c["column"] for c in run.manifest["checkpoints"]}
    names = [columns[size["lm"], size["revision"]] for size in run.manifest["sizes"]]
    return np.stack([np.asarray(array_of(run, name)[flat], np.float64) for name in names], axis=1)


def step_curves(run: Run, indices: Sequence[int] | np.ndarray, *, most_steps: int = 40) -> list[StepCurve]:
    """Losses over steps, one curve set for every network with several checkpoints, smallest first."""
    flat = np.asarray(indices, np.int64)
    by_lm: dict[str, list[dict]] = {}
    for checkpoint in run.manifest["checkpoints"]:
        if checkpoint["step"] is not None:
            by_lm.setdefault(checkpoint["lm"], []).append(checkpoint)
    curves = []
    for lm, checkpoints in by_lm.items():
        if len(checkpoints) < 2:
            continue
        checkpoints = sorted(checkpoints, key=lambda c: c["step"])
        shown = thinned(checkpoints, most_steps)
        losses = _over_steps(run, lm, checkpoints, flat)[:, [checkpoints.index(c) for c in shown]]
        curves.append(StepCurve(lm, shown[0]["n_non_embedding"], [c["step"] for c in shown], losses))
    return sorted(curves, key=lambda curve: curve.n_non_embedding)


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


def page_of_tokens(run: Run, *, sort: str, answer: str, page: int) -> tuple[list[Token], bool]:
    """One page of clustered tokens, and whether there is another; nothing is counted."""
    tokens = run.tokens.order_by(*_ORDERS[sort]).defer("context")
    if answer:
        tokens = tokens.filter(answer__icontains=answer)
    start = (page - 1) * PAGE_SIZE
    found = list(tokens[start : start + PAGE_SIZE + 1])
    return found[:PAGE_SIZE], len(found) > PAGE_SIZE


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

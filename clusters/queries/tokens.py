"""Reads of single tokens: any prediction of the corpus, clustered or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import F
from django.http import Http404

from clusters.arrays import array_of, corpus_of
from clusters.models import Membership, Run, Token
from clusters.parameters import whole_number

PAGE_SIZE = 20
CLASS_NAMES = ("flat", "monogenic", "polygenic", "mixed")  # what the codes of curves/class stand for
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
        raise Http404(f"The corpus of “{run.name}” has no token {text[:20]}: predicted tokens count from 0 to {n - 1}.")
    return index


@dataclass(frozen=True)
class Scores:
    """How one token's loss curve over sizes looks; None where it cannot be told."""

    monogenicity: float | None
    n_eff: float | None
    amplitude_bits: float | None
    linearity: float | None
    breakthroughness: float | None
    curve_class: str


def scores_of(run: Run, index: int) -> Scores:
    """Read one token's scores from the run's arrays."""
    names = ("monogenicity", "n_eff", "amplitude_bits", "linearity", "breakthroughness")
    values = {name: _finite(array_of(run, f"curves/{name}")[index]) for name in names}
    return Scores(**values, curve_class=class_name(int(array_of(run, "curves/class")[index])))


def class_name(code: int) -> str:
    return CLASS_NAMES[code] if code < len(CLASS_NAMES) else "unknown"


@dataclass(frozen=True)
class StepCurve:
    """Losses in nats of some tokens over the training steps of one network."""

    lm: str
    n_non_embedding: int
    steps: list[int]
    losses: np.ndarray  # (n_tokens, n_steps)


def size_curves(run: Run, indices: Sequence[int] | np.ndarray) -> np.ndarray:
    """Losses in nats of the tokens under the final checkpoints, smallest network first: (n_tokens, n_sizes)."""
    return np.asarray(array_of(run, "curves/losses")[np.asarray(indices, np.int64)], np.float64)


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
        shown = thinned(sorted(checkpoints, key=lambda c: c["step"]), most_steps)
        losses = np.stack([np.asarray(array_of(run, c["column"])[flat], np.float64) for c in shown], axis=1)
        curves.append(StepCurve(lm, shown[0]["n_non_embedding"], [c["step"] for c in shown], losses))
    return sorted(curves, key=lambda curve: curve.n_non_embedding)


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

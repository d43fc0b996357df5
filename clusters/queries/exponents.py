"""Reads of scaling exponents: studies, people's entries, and what runs and experiments here measured."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.db.models import Q, QuerySet

from clusters.models import Experiment, Run, RunCheckpoint, Study
from clusters.queries.access import User, visible_runs
from clusters.queries.experiments import visible_experiments
from clusters.queries.missing import Missing
from clusters.values.exponents import OWN, PARITY, PUBLISHED, RUN, SHARED, Measurement
from clusters.values.families import within_family
from clusters.values.laws import default_steps
from clusters.values.parity import Law, sweep_of
from compute.errors import FitError
from compute.numerics.scaling import PowerLawFit, fit_power_law

STUDIES = Path(__file__).parent.parent / "data" / "studies.json"
MOST_RUNS = 100  # the newest
MOST_EXPERIMENTS = 30
MOST_SHARED = 500
LEAST_POINTS = 3  # of a law


@dataclass(frozen=True)
class _Network:
    lm: str
    step: int | None
    n_non_embedding: int
    is_final: bool
    is_clustered: bool
    mean_nats: float


def measurements(user: User) -> list[Measurement]:
    """All that the person may see: studies as published, entries, runs, experiments."""
    return [*published(), *entered(user), *of_runs(user), *of_experiments(user)]


@lru_cache(maxsize=1)
def published() -> tuple[Measurement, ...]:
    """The studies of the paper's Figure 18, as they have their exponents."""
    return tuple(Measurement(origin=PUBLISHED, **row) for row in json.loads(STUDIES.read_text())["studies"])


def provenance() -> str:
    """Where the published rows come from, in a sentence."""
    return str(json.loads(STUDIES.read_text())["collected_by"])


def visible_studies(user: User) -> QuerySet[Study]:
    """The person's own entries, and those that others share with everybody."""
    own = Q(owner_id=user.pk) if user.is_authenticated else Q(pk=None)
    return Study.objects.filter(own | Q(is_shared=True)).select_related("owner")


def visible_study(user: User, pk: int) -> Study:
    """The entry of this number, if the person may see it."""
    found = visible_studies(user).filter(pk=pk).first() if pk < 2**63 else None
    if found is None:
        raise Missing("There is no such entry", "The table of exponents has all you may see.")
    return found


def own_study(user: User, pk: int) -> Study:
    """The entry of this number, if the person entered it."""
    found = visible_study(user, pk)
    if found.owner_id != user.pk:
        raise Missing("This entry is somebody else’s", "Only whoever entered a study may change it.")
    return found


def entered(user: User) -> list[Measurement]:
    studies = visible_studies(user).order_by("-created_at", "-pk")[:MOST_SHARED]
    return [as_measurement(user, study) for study in studies]


def as_measurement(user: User, study: Study) -> Measurement:
    is_own = user.is_authenticated and study.owner_id == user.pk
    note = study.note if is_own else f"{study.note} (entered by {study.owner.get_username()})".strip()
    return Measurement(
        origin=OWN if is_own else SHARED, source=study.name, year=study.year, domain=study.domain,
        alpha_n=study.alpha_n, alpha_d=study.alpha_d, alpha_s=study.alpha_s, note=note, link=study.link,
        pk=study.pk if is_own else None,
    )  # fmt: skip


def of_runs(user: User) -> list[Measurement]:
    """The laws of mean loss in every visible run that measured three sizes, or three steps of its network."""
    runs = list(visible_runs(user).filter(archived_at__isnull=True).defer("manifest", "score_density")[:MOST_RUNS])
    networks = _networks(runs)
    found = []
    for run in runs:
        over_n = _law((one.n_non_embedding, one.mean_nats) for one in _sizes(networks[run.pk]))
        over_s = _law(_steps(networks[run.pk]))
        if over_n or over_s:
            found.append(Measurement(
                origin=RUN, source=run.name, year=run.created_at.year, domain="language",
                alpha_n=over_n.alpha if over_n else None, interval_n=_interval(over_n),
                alpha_s=over_s.alpha if over_s else None, interval_s=_interval(over_s),
                link=f"{run.get_absolute_url()}scaling/",
            ))  # fmt: skip
    return found


def of_experiments(user: User) -> list[Measurement]:
    """The laws of every finished experiment on sparse parity, a row an α."""
    kinds = (Experiment.Kind.PARITY,)
    finished = visible_experiments(user, kinds).exclude(bundle_sha256="")[:MOST_EXPERIMENTS]
    return [row for experiment in finished for row in _of_experiment(experiment)]


def _of_experiment(experiment: Experiment) -> list[Measurement]:
    if "runs" not in experiment.found:
        return []
    sweep = sweep_of(experiment.found, 0)
    rows = []
    for alpha in sweep.alphas:
        n, d, step = (_fitted(sweep.law(letter, alpha)) for letter in ("N", "D", "S"))
        if n or d or step:
            rows.append(Measurement(
                origin=PARITY, source=experiment.name, task=f"α = {alpha:g}", year=experiment.created_at.year,
                domain="sparse parity", link=experiment.get_absolute_url(), note=f"made with α = {alpha:g}",
                alpha_n=n.exponent if n else None, alpha_d=d.exponent if d else None,
                alpha_s=step.exponent if step else None,
                interval_n=_ends(n), interval_d=_ends(d), interval_s=_ends(step),
            ))  # fmt: skip
    return rows


def _networks(runs: Sequence[Run]) -> dict[int, list[_Network]]:
    """What runs measured of their checkpoints: one query."""
    rows = RunCheckpoint.objects.filter(run__in=runs).order_by("ordinal").values_list(
        "run_id", "checkpoint__lm", "checkpoint__step", "checkpoint__n_non_embedding", "is_final", "mean_loss_nats",
        "checkpoint_id", "run__checkpoint_id",
    )  # fmt: skip
    found: dict[int, list[_Network]] = defaultdict(list)
    for run, lm, step, size, is_final, mean, checkpoint, clustered in rows:
        found[run].append(_Network(lm, step, size, is_final, checkpoint == clustered, mean))
    return found


def _sizes(networks: list[_Network]) -> list[_Network]:
    return within_family([one for one in networks if one.is_final])


def _steps(networks: list[_Network]) -> list[tuple[float, float]]:
    """Steps and mean losses of the clustered network, over the window that the scaling page takes by itself."""
    own = next((one.lm for one in networks if one.is_clustered), None)
    points = sorted((one.step, one.mean_nats) for one in networks if one.lm == own and one.step)
    if not points:
        return []
    window = default_steps([float(step) for step, _ in points])
    return [(float(step), mean) for step, mean in points if window.holds(step)]


def _law(points: Iterable[tuple[float, float]]) -> PowerLawFit | None:
    known = list(points)
    if len({x for x, _ in known}) < LEAST_POINTS:
        return None
    try:
        return fit_power_law([x for x, _ in known], [y for _, y in known])
    except FitError:
        return None


def _interval(fit: PowerLawFit | None) -> tuple[float, float] | None:
    return (fit.low, fit.high) if fit and math.isfinite(fit.low) else None


def _fitted(law: Law | None) -> Law | None:
    return law if law and law.is_fitted else None


def _ends(law: Law | None) -> tuple[float, float] | None:
    return (law.low, law.high) if law and law.low is not None and law.high is not None else None

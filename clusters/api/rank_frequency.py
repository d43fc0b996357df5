"""How the sizes of a run's clusters fall with rank, and how steeply."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.core.exceptions import BadRequest
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Numbers, Whole
from clusters.api.resource import One, Resource
from clusters.models import Affinity, Run
from clusters.queries import runs as queries
from clusters.queries.clusters import visible_run
from clusters.queries.missing import Missing
from clusters.queries.rank_frequency import agreements
from clusters.values.facts import RankCurves
from clusters.views.rank_window import fit_window, fitted


class IntervalSerializer(serializers.Serializer):
    low = serializers.FloatField(read_only=True)
    high = serializers.FloatField(read_only=True)
    standard_error = serializers.FloatField(read_only=True)
    mean = serializers.FloatField(read_only=True, help_text="Of the slopes of resampled tokens.")
    shift = serializers.FloatField(read_only=True, help_text="mean − slope: how far resampling alone moves it.")
    n_resamples = serializers.IntegerField(read_only=True)


class FitSerializer(serializers.Serializer):
    slope = serializers.FloatField(read_only=True, help_text="Of ln size on ln rank; negative.")
    intercept = serializers.FloatField(
        read_only=True, allow_null=True, help_text="The constant, in tokens; null: beyond what a float holds."
    )
    log_intercept = serializers.FloatField(read_only=True, help_text="ln of it.")
    r_squared = serializers.FloatField(read_only=True)
    first_rank = serializers.IntegerField(read_only=True)
    last_rank = serializers.IntegerField(read_only=True)
    n_ranks = serializers.IntegerField(read_only=True)
    interval = IntervalSerializer(
        read_only=True, allow_null=True, help_text="95%, from resampled tokens; null where the labels cannot be read."
    )
    caveat = serializers.CharField(read_only=True)


class SizesSerializer(serializers.Serializer):
    k = serializers.IntegerField(read_only=True)
    n_singletons = serializers.IntegerField(read_only=True)
    sizes = Numbers(is_integer=True, help_text="By rank, largest first.")
    agreement = serializers.FloatField(
        read_only=True, allow_null=True, help_text="Adjusted Rand index of both affinities at this k."
    )


class RankFrequencySerializer(serializers.Serializer):
    run = serializers.CharField(read_only=True)
    affinity = serializers.ChoiceField(Affinity.values, read_only=True)
    fit = FitSerializer(read_only=True, allow_null=True, help_text="null where the ranks are too few.")
    envelope = Numbers(is_integer=True, help_text="The largest size at every rank over all k; alone as .npy.")
    curves = SizesSerializer(many=True, read_only=True)


class RankFrequencyParameters(One):
    affinity = serializers.ChoiceField(Affinity.values, required=False, help_text="Else the run’s first.")
    first = Whole(required=False, min_value=1, help_text="The first rank of the fit.")
    last = Whole(required=False, min_value=1, help_text="The last rank of the fit.")
    k = serializers.ListField(
        child=Whole(min_value=1), required=False, max_length=100,
        help_text="Only the curves of these; the envelope is always that of all.",
    )  # fmt: skip


class RankFrequency(Resource):
    """Sizes by rank at every k, their envelope, and its slope over a window of ranks. As `.npy`: the envelope."""

    parameters = RankFrequencyParameters
    answers = RankFrequencySerializer
    npy = "envelope"
    tag = "clusterings"

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        affinity = self.asked.get("affinity") or queries.default_affinity(run)
        curves = queries.rank_curves(run).get(affinity)
        if curves is None:
            there = ", ".join(queries.affinities_of(run)) or "none"
            raise Missing(f"“{run.name}” has no {affinity} clusterings", f"It has {there}.")
        shown = _wanted(curves, self.asked.get("k"))
        if request.accepted_renderer.format == "npy":
            return self.one({"envelope": np.array(curves.envelope, np.int64)})
        both = agreements(run)
        return self.one(
            {
                "run": run.slug, "affinity": affinity, "envelope": curves.envelope,
                "fit": _fit(run, curves, self.asked.get("first"), self.asked.get("last")),
                "curves": [{**vars(one), "agreement": both.get(one.k)} for one in shown],
            }
        )  # fmt: skip


def _wanted(curves: RankCurves, ks: list[int] | None) -> list[Any]:
    if unknown := sorted(set(ks or ()) - set(curves.ks)):
        raise BadRequest(f"k is {unknown[0]}; choose of {', '.join(map(str, curves.ks))}.")
    return [one for one in curves.clusterings if not ks or one.k in ks]


def _fit(run: Run, curves: RankCurves, first: int | None, last: int | None) -> dict[str, Any] | None:
    """The slope over the window asked for, 400 where that cannot be; over the usual one where none is named."""
    window, complaint = fit_window(curves, str(first or ""), str(last or ""))
    if complaint:
        raise BadRequest(complaint)
    return next((one.as_json() for one in fitted(run, [curves], *window)), None)

"""How mean losses fall with size and steps, and the laws fitted to them."""

from __future__ import annotations

import math
from typing import Any

from django.core.exceptions import BadRequest
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Whole
from clusters.api.resource import One, Resource
from clusters.models import Run
from clusters.queries import losses
from clusters.queries import scaling as queries
from clusters.queries.clusters import visible_run
from clusters.queries.missing import Missing
from clusters.values.distributions import Distribution
from clusters.values.families import within_family
from clusters.values.laws import Fitted, NetworkLaw, Point, Window, default_steps
from compute.numerics.laws import LAWS, Trial
from compute.numerics.scaling import PowerLawFit

MOST = 2**62


class LawSerializer(serializers.Serializer):
    """One law; null where there are too few points for it, or where it was not fitted."""

    name = serializers.ChoiceField(list(LAWS), read_only=True)
    parameters = serializers.DictField(
        child=serializers.FloatField(allow_null=True), read_only=True,
        help_text="a, b, c0, and of every break c1, d1, f1: a + b x^−c0 (1 + (x/d1)^(1/f1))^(−c1 f1). "
        "b null: beyond what a float holds.",
    )  # fmt: skip
    intervals = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField(allow_null=True)), read_only=True,
        help_text="95%, by parameter; null: unbounded or unknown.",
    )  # fmt: skip
    rms = serializers.FloatField(read_only=True, allow_null=True, help_text="Of ln(loss) about the law.")
    held_out_rms = serializers.FloatField(
        read_only=True, allow_null=True, help_text="The same at the largest points, which the law had not seen."
    )
    n_needed = serializers.IntegerField(read_only=True, help_text="Points that this law needs.")


class ManifoldSerializer(serializers.Serializer):
    """4/alpha, the rival reading of the exponent; null: no upper end, or no interval."""

    value = serializers.FloatField(read_only=True)
    low = serializers.FloatField(read_only=True, allow_null=True)
    high = serializers.FloatField(read_only=True, allow_null=True)


class PointSerializer(serializers.Serializer):
    x = serializers.FloatField(read_only=True)
    mean_loss_nats = serializers.FloatField(read_only=True)
    name = serializers.CharField(read_only=True)
    is_fitted = serializers.BooleanField(read_only=True, help_text="Whether it lies within the window.")


class FittedSerializer(serializers.Serializer):
    lm = serializers.CharField(read_only=True, allow_null=True)
    first = serializers.FloatField(read_only=True, help_text="The window’s ends.")
    last = serializers.FloatField(read_only=True)
    points = PointSerializer(many=True, read_only=True)
    best = serializers.CharField(read_only=True, allow_null=True, help_text="The law that foretold best.")
    laws = LawSerializer(many=True, read_only=True)


class FittedOverParametersSerializer(FittedSerializer):
    manifold_dimension = ManifoldSerializer(
        read_only=True, allow_null=True, help_text="Of the plain power law; null: the loss does not fall."
    )


class NetworkLawSerializer(serializers.Serializer):
    lm = serializers.CharField(read_only=True)
    n_non_embedding = serializers.IntegerField(read_only=True)
    first = serializers.FloatField(read_only=True)
    last = serializers.FloatField(read_only=True)
    exponent = serializers.FloatField(read_only=True, allow_null=True)
    interval = serializers.ListField(child=serializers.FloatField(allow_null=True), read_only=True, allow_null=True)
    r_squared = serializers.FloatField(read_only=True, allow_null=True)


class ScalingSerializer(serializers.Serializer):
    over_parameters = FittedOverParametersSerializer(
        read_only=True, allow_null=True, help_text="null: fewer than three sizes."
    )
    over_steps = FittedSerializer(read_only=True, allow_null=True)
    networks = NetworkLawSerializer(many=True, read_only=True, help_text="A power law over each network’s steps.")


class ScalingParameters(One):
    smallest = Whole(required=False, min_value=0, max_value=MOST, help_text="Parameters, from …")
    largest = Whole(required=False, min_value=0, max_value=MOST, help_text="… to.")
    lm = serializers.CharField(required=False, max_length=200, help_text="Whose steps; else the clustered network.")
    first = Whole(required=False, min_value=0, max_value=MOST, help_text="Steps, from …")
    last = Whole(required=False, min_value=0, max_value=MOST, help_text="… to.")
    breaks = serializers.BooleanField(
        required=False, default=False, help_text="Also fit laws with breaks where that was not done yet; takes seconds."
    )


class Scaling(Resource):
    """Laws of the mean loss over parameters and over one network's steps, with intervals."""

    parameters = ScalingParameters
    answers = ScalingSerializer
    tag = "losses"

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        found = losses.distributions(run)
        if not found:
            raise Missing(f"“{run.name}” came without losses", "Compute the run here from a suite of networks.")
        sizes = queries.size_points(within_family(losses.finals(found)))
        networks = {lm: steps for lm, steps in losses.by_network(found).items() if len(queries.step_points(steps)) > 1}
        lm = self._network(run, networks)
        steps = queries.step_points(networks[lm]) if lm else ()
        return self.one(
            {
                "over_parameters": self._fitted(run, sizes, "smallest", "largest", queries.whole),
                "over_steps": self._fitted(run, steps, "first", "last", _usual_steps, lm=lm),
                "networks": [_network_law(law) for law in queries.network_laws(networks, default_steps)],
            }
        )

    def _network(self, run: Run, networks: dict[str, list[Distribution]]) -> str:
        lm = self.asked.get("lm") or (run.checkpoint.lm if run.checkpoint.lm in networks else next(iter(networks), ""))
        if lm and lm not in networks:
            there = ", ".join(networks) or "none"
            raise BadRequest(f"lm is {lm[:80]!r}; networks measured at several steps: {there}.")
        return lm

    def _fitted(
        self, run: Run, points: tuple[Point, ...], first: str, last: str, usual_of: Any, *, lm: str = ""
    ) -> dict[str, Any] | None:
        if not points:
            return None
        usual: Window = usual_of(points)
        ends = (self.asked.get(first), self.asked.get(last))
        window = Window(*(float(end if end is not None else own) for end, own in
                          zip(ends, (usual.first, usual.last), strict=True)))  # fmt: skip
        fitted = queries.fitted(run, points, window, is_kept=window == usual, is_whole=self.asked["breaks"])
        if fitted is None and window != usual:
            inside = sum(window.holds(point.x) for point in points)
            raise BadRequest(
                f"Between {first}={window.first:.0f} and {last}={window.last:.0f} lie {inside} points; a law needs "
                f"{queries.LEAST_POINTS}. All points lie from {points[0].x:.0f} to {points[-1].x:.0f}."
            )
        return None if fitted is None else _facts(fitted, lm)


def _usual_steps(points: tuple[Point, ...]) -> Window:
    return default_steps([point.x for point in points])


def _facts(found: Fitted, lm: str) -> dict[str, Any]:
    best = found.comparison.best
    return {
        "lm": lm or None, "first": found.window.first, "last": found.window.last,
        "points": [
            {"x": point.x, "mean_loss_nats": point.mean_nats, "name": point.name,
             "is_fitted": found.window.holds(point.x)}
            for point in found.points
        ],
        "best": best.name if best else None,
        "laws": [_law(trial) for trial in found.comparison.trials],
        "manifold_dimension": found.manifold,
    }  # fmt: skip


def _law(trial: Trial) -> dict[str, Any]:
    return {
        "name": trial.name, "parameters": trial.law.parameters if trial.law else {},
        "intervals": trial.intervals, "rms": trial.rms,
        "held_out_rms": trial.held_out_rms, "n_needed": trial.n_needed,
    }  # fmt: skip


def _network_law(law: NetworkLaw) -> dict[str, Any]:
    fit: PowerLawFit | None = law.fit
    return {
        "lm": law.lm, "n_non_embedding": law.n_non_embedding, "first": law.window.first, "last": law.window.last,
        "exponent": fit.alpha if fit else None, "r_squared": fit.r_squared if fit else None,
        "interval": [fit.low, fit.high] if fit and math.isfinite(fit.low) else None,
    }  # fmt: skip


scaling_urls = [path("runs/<slug:slug>/scaling/", Scaling.as_view(), name="scaling")]

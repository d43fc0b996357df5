"""Curves of one's own through the API: scores and laws of numbers that are sent, nothing of which is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import BadRequest
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.errors import TooMany
from clusters.api.fields import Number
from clusters.api.resource import One, Resource
from clusters.api.scaling import LawSerializer, ManifoldSerializer
from clusters.api.throttling import PerKey
from clusters.queries.curve_paste import is_read, reading_of
from clusters.services.rates import FITS_OFTEN, fit_wait
from clusters.values.readings import Unit
from compute.curve_text import LADDERS, Points, curve_from_cells, curve_from_numbers, curve_from_text
from compute.errors import FitError
from compute.numerics.curves import CLASS_NAMES
from compute.numerics.fits import CurveReading, curve_shape, finite, mean_curve
from compute.numerics.laws import LAWS
from compute.numerics.theories import OVER, Over

LONGEST_TEXT = 50_000
MOST_SENT = 10_000  # numbers of a list; how many are read, the curve itself says
GIVE = "Give x and y, lists of equal length, or text with a scale and a loss on each line."


def _about() -> dict[str, serializers.Field]:
    return {
        "text": serializers.CharField(
            required=False,
            max_length=LONGEST_TEXT,
            allow_blank=True,
            trim_whitespace=False,
            help_text="Instead of x and y: lines of scale and loss, as the page takes them.",
        ),
        "sizes": serializers.ChoiceField(
            list(LADDERS), required=False, help_text="Whose sizes the losses belong to; `text` is losses alone then."
        ),
        "unit": serializers.ChoiceField(["nats", "bits"], required=False, help_text="Of the losses (nats)."),
    }


def _typed(what: str) -> serializers.Field:
    return serializers.CharField(required=False, max_length=LONGEST_TEXT, help_text=f"{what}, with commas.")


class CurveParameters(One):
    def get_fields(self) -> dict[str, serializers.Field]:
        typed = {"x": _typed("Scales, positive"), "y": _typed("Losses, as many")}
        return {**typed, **_about(), **super().get_fields()}


def _over() -> dict[str, serializers.Field]:
    """What only the readings of a fit ask."""
    said = "What the scales are, which decides what theories read (parameters)."
    return {"over": serializers.ChoiceField(OVER, required=False, help_text=said)}


class FitParameters(CurveParameters):
    def get_fields(self) -> dict[str, serializers.Field]:
        return super().get_fields() | _over()


class CurveSentSerializer(serializers.Serializer):
    """A curve: x and y, or text."""

    x = serializers.ListField(
        child=Number(allow_null=True), required=False, max_length=MOST_SENT,
        help_text="Scales, positive: parameters, samples, steps.",
    )  # fmt: skip
    y = serializers.ListField(
        child=Number(allow_null=True), required=False, max_length=MOST_SENT,
        help_text="Losses, one for each scale, at least 0.",
    )  # fmt: skip

    def get_fields(self) -> dict[str, serializers.Field]:
        return super().get_fields() | _about()


class FitSentSerializer(CurveSentSerializer):
    """A curve: x and y, or text."""

    def get_fields(self) -> dict[str, serializers.Field]:
        return super().get_fields() | _over()


class ScoredCurveSerializer(serializers.Serializer):
    x = serializers.ListField(child=serializers.FloatField(), read_only=True, help_text="Scales, rising, each once.")
    loss_nats = serializers.ListField(
        child=serializers.FloatField(), read_only=True, help_text="Means where a scale was given several times."
    )
    curve_class = serializers.ChoiceField(CLASS_NAMES, read_only=True)
    monogenicity = serializers.FloatField(read_only=True, help_text="M: −1 a line … 1 one step.")
    amplitude_bits = serializers.FloatField(read_only=True, help_text="Mean before the best step minus mean after it.")
    split = serializers.IntegerField(read_only=True, help_text="Points before the best step; 0 without one.")
    n_eff = serializers.FloatField(read_only=True, help_text="Effective number of steps; 0 where the loss never falls.")
    largest_step = serializers.FloatField(read_only=True, help_text="Share of all falls that the largest one makes.")
    linearity = serializers.FloatField(read_only=True, help_text="As BIG-bench has it.")
    breakthroughness = serializers.FloatField(read_only=True, help_text="As BIG-bench has it, within ±100.")
    slope_nats = serializers.FloatField(read_only=True, help_text="Of the best line, nats per unit of ln x.")
    r_squared = serializers.FloatField(read_only=True, help_text="Of that line.")
    paper_monogenic_at = serializers.IntegerField(
        read_only=True, help_text="Points before the step by the paper’s rule; 0 where it does not hold."
    )
    is_paper_polygenic = serializers.BooleanField(read_only=True)
    rise_bits = serializers.FloatField(read_only=True, help_text="Mean of the last third minus mean of the first.")
    peak_bits = serializers.FloatField(read_only=True, help_text="How far it rises to its highest peak and then falls.")
    peak_at = serializers.IntegerField(read_only=True, help_text="The peak’s place among x, from 0; −1 without one.")
    rises = serializers.BooleanField(read_only=True, help_text="Inverse scaling: a net rise above one bit.")
    has_peak = serializers.BooleanField(read_only=True, help_text="As in double descent: a peak above one bit.")


class PowerLawSerializer(serializers.Serializer):
    """y = amplitude · x^−alpha; null: two points leave no interval."""

    alpha = serializers.FloatField(read_only=True)
    amplitude = serializers.FloatField(
        read_only=True, allow_null=True, help_text="At x = 1, nats; null: beyond what a float holds."
    )
    log_amplitude = serializers.FloatField(read_only=True, help_text="ln of it.")
    low = serializers.FloatField(read_only=True, allow_null=True, help_text="Of alpha, 95%.")
    high = serializers.FloatField(read_only=True, allow_null=True)
    r_squared = serializers.FloatField(read_only=True, help_text="In the logarithm.")
    n_points = serializers.IntegerField(read_only=True)


class QuantaSerializer(serializers.Serializer):
    """The Quantization Model's α: the k-th quantum is used as often as k^−(1+α); null: no such end."""

    alpha = serializers.FloatField(read_only=True)
    low = serializers.FloatField(read_only=True, allow_null=True, help_text="Of alpha, 95%.")
    high = serializers.FloatField(read_only=True, allow_null=True)


class FittedCurveSerializer(serializers.Serializer):
    n_points = serializers.IntegerField(read_only=True)
    n_held_out = serializers.IntegerField(
        read_only=True, help_text="Points of the largest scale that the judged fits had not seen."
    )
    power_law = PowerLawSerializer(read_only=True)
    best = serializers.ChoiceField(list(LAWS), read_only=True, allow_null=True, help_text="What foretold best.")
    laws = LawSerializer(many=True, read_only=True, help_text="Losses in nats. Empty with two scales alone.")
    quanta = QuantaSerializer(
        read_only=True, allow_null=True,
        help_text="null: the loss does not fall, or falls over samples or steps as no α lets it (exponent 1 or more).",
    )  # fmt: skip
    manifold_dimension = ManifoldSerializer(
        read_only=True, allow_null=True, help_text="null: the loss does not fall, or is not over parameters."
    )
    note = serializers.CharField(read_only=True, help_text="What to know of these points; often empty.")


class _OfCurve(Resource):
    """Something of the curve that is sent."""

    parameters = CurveParameters
    accepts = CurveSentSerializer
    statuses = {"POST": (200,)}
    tag = "curves"

    def get(self, request: Request) -> Response:
        return self.one(self.answered(*_typed_points(self.asked), self.asked))

    def post(self, request: Request) -> Response:
        sent = self.sent()
        return self.one(self.answered(*_sent_points(sent), sent))

    def answered(self, points: Points, unit: Unit, given: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


class CurveScores(_OfCurve):
    """Scores and class of a curve: one step or bit by bit, rising, or rising and falling again.

    Three different scales or more. Nothing of it is stored.
    """

    answers = ScoredCurveSerializer
    is_throttled = False
    operation = "curve_scores"

    def answered(self, points: Points, unit: Unit, given: Mapping[str, Any]) -> dict[str, Any]:
        factor = math.log(2) if unit == "bits" else 1.0
        x, losses = mean_curve(points.x, [y * factor for y in points.y])
        shape, why_not = curve_shape(x, losses)
        if shape is None:
            raise FitError(why_not)
        return {"x": x.tolist(), "loss_nats": losses.tolist(), **finite(shape.to_json())}


class Fits(_OfCurve):
    """Laws of a curve: a power law, one with a floor, and with one to three breaks, judged by held-out points.

    Losses must be above 0. Nothing of it is stored. 30 new curves a minute, and laws of at most 120 points of each.
    """

    parameters = FitParameters
    accepts = FitSentSerializer
    answers = FittedCurveSerializer
    operation = "fit"

    def answered(self, points: Points, unit: Unit, given: Mapping[str, Any]) -> dict[str, Any]:
        if not is_read(points, unit) and (seconds := fit_wait(PerKey().get_cache_key(self.request, self))):
            raise TooMany(f"{FITS_OFTEN}. Try again in {math.ceil(seconds)} seconds.", seconds)
        reading = reading_of(points, unit)
        if reading.power is None:
            raise FitError(reading.no_laws)
        over: Over = "parameters" if given.get("sizes") else given.get("over", "parameters")
        return _fitted(reading, len(points.x), over)


def _fitted(reading: CurveReading, n_points: int, over: Over) -> dict[str, Any]:
    told = reading.to_json(over)
    laws = told["laws"] or {"n_held_out": 0, "best": None, "laws": []}
    return {
        "n_points": n_points, "n_held_out": laws["n_held_out"], "power_law": told["power_law"], "best": laws["best"],
        "laws": laws["laws"], "quanta": told["quanta"], "manifold_dimension": told["manifold_dimension"],
        "note": " ".join(filter(None, (reading.note, reading.no_laws))),
    }  # fmt: skip


def _typed_points(asked: dict[str, Any]) -> tuple[Points, Unit]:
    if "text" in asked:
        return _text_points(asked)
    if "x" not in asked or "y" not in asked:
        raise BadRequest(GIVE)
    return curve_from_cells(asked["x"].split(","), asked["y"].split(",")), _unit(asked)


def _sent_points(sent: dict[str, Any]) -> tuple[Points, Unit]:
    if "text" in sent:
        return _text_points(sent)
    if "x" not in sent or "y" not in sent:
        raise BadRequest(GIVE)
    return curve_from_numbers(sent["x"], sent["y"]), _unit(sent)


def _text_points(given: dict[str, Any]) -> tuple[Points, Unit]:
    if "x" in given or "y" in given:
        raise BadRequest(f"Both text and x or y are given. {GIVE}")
    return curve_from_text(given["text"], ladder=given.get("sizes", "")), _unit(given)


def _unit(given: dict[str, Any]) -> Unit:
    return "bits" if given.get("unit") == "bits" else "nats"


urls = [
    path("curve-scores/", CurveScores.as_view(), name="curve-scores"),
    path("fits/", Fits.as_view(), name="fits"),
]

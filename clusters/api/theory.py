"""The quantization model, asked with its knobs."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.resource import One, Resource
from compute.numerics import quantization as model
from compute.numerics.knobs import CASES, KNOBS, Knob, KnobError, Knobs, read_knobs, read_values
from compute.numerics.quantization import RESOURCES
from compute.numerics.quantization import Resource as Limit

LISTS = {
    "n": "Quanta learned at which to answer, with commas; else from 1 on, evenly in the logarithm.",
    "N": "Parameters at which to answer, with commas.",
    "D": "Samples at which to answer, with commas.",
    "S": "Steps at which to answer, with commas.",
}
LONGEST = 20_000  # characters of a list


@extend_schema_field({"type": "number"})
class KnobField(serializers.CharField):
    """A number, read where pages and the command line read it, so that all three refuse it in the same words."""


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string", "enum": ["inf"]}]})
class CountField(serializers.CharField):
    """A whole number, or inf."""


class TheoryParameters(One):
    def get_fields(self) -> dict[str, serializers.Field]:
        knobs = {knob.name: _field(knob) for knob in KNOBS}
        case = serializers.CharField(
            required=False, allow_blank=True, max_length=40, help_text=f"One of {', '.join(CASES)}."
        )
        lists = {
            name: serializers.CharField(required=False, allow_blank=True, max_length=LONGEST, help_text=text)
            for name, text in LISTS.items()
        }
        return {**knobs, "case": case, **lists, **super().get_fields()}


class ExponentsOfTheorySerializer(serializers.Serializer):
    parameters = serializers.FloatField(read_only=True, help_text="alpha_N.")
    data = serializers.FloatField(read_only=True, help_text="alpha_D, several epochs.")
    steps = serializers.FloatField(read_only=True, help_text="alpha_S, a single epoch.")
    quanta_in_data = serializers.FloatField(read_only=True, help_text="n ∝ D^this.")


class JointSerializer(serializers.Serializer):
    quanta = serializers.DictField(
        child=serializers.FloatField(), read_only=True, help_text="What each resource alone would allow."
    )
    n = serializers.FloatField(read_only=True, help_text="The least of them.")
    limited_by = serializers.ListField(child=serializers.ChoiceField(list(RESOURCES)), read_only=True)
    loss = serializers.FloatField(read_only=True)
    next_use = serializers.FloatField(read_only=True, help_text="How often the next quantum is used; 0 past the last.")


class TheorySerializer(serializers.Serializer):
    knobs = serializers.DictField(read_only=True, help_text="Every setting as it was understood.")
    zeta = serializers.FloatField(read_only=True, help_text="ζ(α + 1), or Z_K.")
    entropy_nats = serializers.FloatField(read_only=True, help_text="Of the distribution over quanta.")
    entropy_integral_nats = serializers.FloatField(read_only=True, help_text="As the paper’s appendix has it.")
    first_steps = serializers.FloatField(read_only=True, help_text="T.")
    unlearned_loss = serializers.FloatField(read_only=True, help_text="L_0.")
    floor = serializers.FloatField(read_only=True, help_text="What is left when all is learned.")
    unit = serializers.CharField(read_only=True, help_text="Of losses.")
    exponents = ExponentsOfTheorySerializer(read_only=True)
    measured_exponents = ExponentsOfTheorySerializer(
        read_only=True, allow_null=True, help_text="What a fit over the window finds; null: it finds none."
    )
    measured_exponents_problem = serializers.CharField(
        read_only=True, help_text="Why there are none: K or R leaves no window, or the loss sinks to 0 (case 2)."
    )
    true_alpha = serializers.FloatField(
        read_only=True,
        allow_null=True,
        help_text="Behind the measured exponent; null: none was measured, or it has none.",
    )
    true_alpha_problem = serializers.CharField(read_only=True, help_text="Why a measured exponent has none.")
    joint = JointSerializer(read_only=True)
    over_n = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField(allow_null=True)), read_only=True,
        help_text="Columns n, use, loss, loss_integral, loss_midpoint, local_exponent.",
    )  # fmt: skip
    over_parameters = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField()), read_only=True, allow_null=True,
        help_text="Columns N, n, loss, joint_n, joint_loss; null where no N was asked for.",
    )  # fmt: skip
    over_samples = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField()), read_only=True, allow_null=True,
        help_text="The same of D.",
    )  # fmt: skip
    over_steps = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField()), read_only=True, allow_null=True,
        help_text="The same of S.",
    )  # fmt: skip


class Theory(Resource):
    """What the Quantization Model says: numbers for these knobs, and arrays over n, N, D and S."""

    parameters, answers = TheoryParameters, TheorySerializer
    is_throttled = False

    def get(self, request: Request) -> Response:
        try:
            knobs = read_knobs(self.asked)
            lists = {name: read_values(self.asked[name], name, knobs) for name in LISTS if name in self.asked}
        except KnobError as error:
            raise serializers.ValidationError(error.problems) from None
        n = lists.get("n") or model.n_grid(model.reach(knobs))
        over = {f"over_{limit}": _over(knobs, limit, lists.get(letter)) for limit, letter in RESOURCES.items()}
        return self.one(model.summary(knobs) | {"over_n": model.table_over_n(knobs, n)} | over)


def _field(knob: Knob) -> serializers.Field:
    kind = CountField if knob.name == "n_quanta" else KnobField
    usual = "" if knob.default is None else f" ({knob.default:g})"
    words = f"{knob.symbol}: {knob.words}{usual}." if knob.symbol != knob.words else f"{knob.words}{usual}."
    return kind(required=False, allow_blank=True, max_length=40, help_text=words)


def _over(knobs: Knobs, limit: Limit, amounts: list[float] | None) -> dict[str, Any] | None:
    return model.table_over(knobs, limit, amounts) if amounts else None


urls = [path("theory/", Theory.as_view(), name="theory")]

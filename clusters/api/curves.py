"""Loss curves and scores of many tokens at once: numbers for notebooks."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.core.exceptions import BadRequest
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Numbers
from clusters.api.indices import IndicesField, indices_of
from clusters.api.resource import One, Resource
from clusters.models import Run
from clusters.queries import tokens as reads
from clusters.queries.clusters import flat_indices, visible_run
from clusters.queries.missing import Missing
from clusters.queries.selected import selected_step_curves, step_networks
from clusters.stored.arrays import array_of, bundle_of
from clusters.stored.columns import clustered_checkpoint, losses_under

ALL_STEPS = 100_000


class SizeLossSerializer(serializers.Serializer):
    lm = serializers.CharField(read_only=True)
    n_non_embedding = serializers.IntegerField(read_only=True)
    loss_nats = serializers.FloatField(read_only=True, allow_null=True)


class StepLossesSerializer(serializers.Serializer):
    lm = serializers.CharField(read_only=True)
    n_non_embedding = serializers.IntegerField(read_only=True)
    steps = Numbers(is_integer=True)
    losses_nats = Numbers()


class TokenCurvesSerializer(serializers.Serializer):
    index = serializers.IntegerField(read_only=True)
    sizes = SizeLossSerializer(many=True, read_only=True)
    losses_nats = Numbers(help_text="Over the sizes; alone as .npy.")
    steps = StepLossesSerializer(many=True, read_only=True)


class TokenCurves(Resource):
    """One token's losses over parameters, and over the steps of every network that has several checkpoints.

    As `.npy`: the losses over parameters.
    """

    answers = TokenCurvesSerializer
    npy = "losses_nats"
    tag = "tokens"
    is_throttled = False

    def get(self, request: Request, slug: str, index: int) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        number = reads.token_index(run, str(index))
        losses = reads.size_curve(run, number)
        if losses is None:
            raise no_losses(run)
        if request.accepted_renderer.format == "npy":
            return Response({self.npy: np.asarray(losses, np.float32)})
        sizes = size_losses(run, losses)
        return self.one({"index": number, "sizes": sizes, "losses_nats": losses, "steps": step_losses(run, number)})


class CurvesParameters(One):
    index = IndicesField(required=True)
    lm = serializers.CharField(
        required=False, max_length=200, help_text="A network: its curves over steps instead of those over parameters."
    )


class CurvesSerializer(serializers.Serializer):
    indices = Numbers(is_integer=True)
    over = serializers.ChoiceField(["sizes", "steps"], read_only=True)
    lms = serializers.ListField(child=serializers.CharField(), read_only=True, help_text="Network of every column.")
    x = Numbers(is_integer=True, help_text="Non-embedding parameters, or steps, by column.")
    losses_nats = Numbers(n_axes=2, help_text="One row a token, in the order asked for.")


class Curves(Resource):
    """Loss curves of many tokens: over parameters, or over one network's steps. As `.npy`: (n_tokens, n_columns)."""

    parameters = CurvesParameters
    answers = CurvesSerializer
    npy = "losses_nats"
    tag = "tokens"
    is_throttled = False

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        indices = indices_of(run, self.asked["index"])
        if lm := self.asked.get("lm"):
            over, (x, losses) = "steps", _over_steps(run, indices, lm)
            lms = [lm] * len(x)
        else:
            sizes = run.manifest.get("sizes", [])
            if reads.size_curve(run, int(indices[0])) is None:
                raise no_losses(run)
            over, losses = "sizes", reads.size_curves(run, indices)
            lms, x = [size["lm"] for size in sizes], [size["n_non_embedding"] for size in sizes]
        if request.accepted_renderer.format == "npy":
            return Response({self.npy: np.asarray(losses, np.float32)})
        return self.one({"indices": indices, "over": over, "lms": lms, "x": x, "losses_nats": losses})


class ScoresParameters(One):
    index = IndicesField(required=True)


class ManyScoresSerializer(serializers.Serializer):
    indices = Numbers(is_integer=True)
    classes = serializers.ListField(child=serializers.CharField(), read_only=True)
    names = serializers.ListField(child=serializers.CharField(), read_only=True, help_text="Of the columns of values.")
    values = Numbers(n_axes=2)


class Scores(Resource):
    """Scores of many tokens' curves, and their losses under the clustered checkpoint. As `.npy`: the values."""

    parameters = ScoresParameters
    answers = ManyScoresSerializer
    npy = "values"
    tag = "tokens"
    is_throttled = False

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        indices = indices_of(run, self.asked["index"])
        has = bundle_of(run).has
        columns = {name: array_of(run, f"curves/{name}") for name in reads.SCORES if has(f"curves/{name}")}
        losses = losses_under(run, clustered_checkpoint(run)) if run.manifest["checkpoints"] else None
        columns |= {} if losses is None else {"loss_nats": losses}
        if not columns:
            raise no_losses(run)
        values = np.stack([np.asarray(column[indices], np.float64) for column in columns.values()], axis=1)
        if request.accepted_renderer.format == "npy":
            return Response({self.npy: np.asarray(values, np.float32)})
        known = array_of(run, "curves/class")[indices].tolist() if has("curves/class") else [None] * len(indices)
        classes = [reads.class_name(code) for code in known]
        return self.one({"indices": indices, "classes": classes, "names": list(columns), "values": values})


def size_losses(run: Run, losses: np.ndarray) -> list[dict[str, Any]]:
    """One token's losses by network, smallest first."""
    return [
        {"lm": size["lm"], "n_non_embedding": size["n_non_embedding"], "loss_nats": loss}
        for size, loss in zip(run.manifest["sizes"], losses.tolist(), strict=True)
    ]


def step_losses(run: Run, index: int) -> list[dict[str, Any]]:
    """One token's losses over all steps of every network."""
    return [
        {"lm": curve.lm, "n_non_embedding": curve.n_non_embedding, "steps": curve.steps,
         "losses_nats": curve.losses[0].tolist()}
        for curve in reads.step_curves(run, [index], most_steps=ALL_STEPS)
    ]  # fmt: skip


def no_losses(run: Run) -> Missing:
    return Missing(
        f"“{run.name}” came without losses of its tokens",
        "Compute the run here, or import a bundle that holds curves/losses.",
    )


def _over_steps(run: Run, indices: np.ndarray, lm: str) -> tuple[list[int], np.ndarray]:
    """The steps of a network, and the tokens' losses at each, (n_tokens, n_steps)."""
    networks = {one.lm: one for one in step_networks(run)}
    if lm not in networks:
        there = ", ".join(networks) or "none"
        raise BadRequest(f"lm is {lm[:80]!r}; networks measured at several steps: {there}.")
    network, flat, table = networks[lm], flat_indices(run), f"curves/steps/{lm}"
    rows = np.minimum(np.searchsorted(flat, indices), len(flat) - 1)
    if np.array_equal(flat[rows], indices):  # of clustered tokens alone, whose curves lie together
        losses = selected_step_curves(run, network)[rows]
    elif bundle_of(run).has(table) and array_of(run, table).shape[1] == len(network.steps):
        losses = array_of(run, table)[indices]
    else:
        losses = np.stack([array_of(run, column)[indices] for column in network.columns], axis=1)
    return list(network.steps), np.asarray(losses, np.float32)


curve_urls = [
    path("runs/<slug:slug>/tokens/<int:index>/curves/", TokenCurves.as_view(), name="token-curves"),
    path("runs/<slug:slug>/curves/", Curves.as_view(), name="curves"),
    path("runs/<slug:slug>/scores/", Scores.as_view(), name="scores"),
]

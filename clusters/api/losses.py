"""Histograms of losses, and mean losses over size and steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from django.core.exceptions import BadRequest
from django.urls import URLPattern, path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Numbers
from clusters.api.resource import One, Page, Resource, read_cursor, write_cursor
from clusters.api.scaling import scaling_urls
from clusters.models import Run
from clusters.queries import losses as queries
from clusters.queries.clusters import visible_run
from clusters.queries.missing import Missing
from clusters.values.distributions import Binning, Bins, Distribution, Histogram, even_places

SIZES, STEPS = "sizes", "steps"
COUNTS, DENSITY, INTEGRAND = "counts", "density", "integrand"
PAPER, MAX_BINS = "paper", 3000
MAX_JSON = 50_000  # numbers; more of them travel as .npy


class PeakSerializer(serializers.Serializer):
    """Where L·p(L) is largest, and between where counting cannot tell."""

    at = serializers.FloatField(read_only=True, help_text="nats")
    low = serializers.FloatField(read_only=True)
    high = serializers.FloatField(read_only=True)
    window = serializers.FloatField(read_only=True)


class CheckpointLossesSerializer(serializers.Serializer):
    lm = serializers.CharField(read_only=True)
    revision = serializers.CharField(read_only=True)
    step = serializers.IntegerField(read_only=True, allow_null=True)
    n_non_embedding = serializers.IntegerField(read_only=True)
    is_final = serializers.BooleanField(read_only=True)
    is_clustered = serializers.BooleanField(read_only=True)
    mean_loss_nats = serializers.FloatField(read_only=True, allow_null=True)
    quantiles_nats = serializers.DictField(
        child=serializers.FloatField(allow_null=True), read_only=True, help_text="By share of the predictions."
    )
    fraction_below_threshold = serializers.FloatField(
        read_only=True, allow_null=True, help_text="Share of the predictions under the run’s threshold."
    )
    fraction_near_zero = serializers.FloatField(
        read_only=True,
        allow_null=True,
        help_text="Share of those counted in the first bin of p(L); the paper’s is 0.018 bits wide.",
    )
    n_out_of_range = serializers.IntegerField(
        read_only=True,
        allow_null=True,
        help_text="Predictions beyond the bins of p(L), which end at 18 bits where they are the paper’s.",
    )
    peak = PeakSerializer(read_only=True, allow_null=True)


class LossesParameters(Page):
    lm = serializers.CharField(required=False, max_length=200)
    final = serializers.BooleanField(required=False, default=None, allow_null=True, help_text="Only (not) final ones.")


class Losses(Resource):
    """Mean loss of every checkpoint, by size and then step, and what lies near zero."""

    parameters = LossesParameters
    answers = CheckpointLossesSerializer
    is_list = True
    tag = "losses"

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        found = _distributions(run)
        lm, final = self.asked.get("lm"), self.asked.get("final")
        if lm and lm not in {one.lm for one in found}:
            raise BadRequest(f"lm is {lm[:80]!r}; this run has {', '.join(dict.fromkeys(one.lm for one in found))}.")
        kept = [one for one in found if (not lm or one.lm == lm) and final in (None, one.is_final)]
        place = read_cursor(self.asked.get("cursor"), _place)
        first = place[0] if place else 0
        last = first + self.asked["limit"]
        following = write_cursor([last]) if last < len(kept) else None
        return self.many([_facts(one) for one in kept[first:last]], next_cursor=following)


class HistogramsParameters(One):
    over = serializers.ChoiceField(
        [SIZES, STEPS], required=False, default=SIZES, help_text="Every network at its end, or one network’s steps."
    )
    lm = serializers.CharField(required=False, max_length=200, help_text="Over steps: which network.")
    step = serializers.RegexField(
        r"^[0-9]{1,18}(,[0-9]{1,18})*$",
        required=False,
        max_length=4000,
        help_text="Over steps: only these, as in 0,512.",
    )
    values = serializers.ChoiceField(
        [COUNTS, DENSITY, INTEGRAND], required=False, default=COUNTS, help_text="Counts, p(L) per nat, or L·p(L)."
    )
    bins = serializers.RegexField(
        r"^(paper|[1-9][0-9]{0,3})$", required=False, default=PAPER,
        help_text=f"paper: as the paper counts for these values; or at most so many even ones, 1 to {MAX_BINS}.",
    )  # fmt: skip


class CountedSerializer(serializers.Serializer):
    lm = serializers.CharField(read_only=True)
    revision = serializers.CharField(read_only=True)
    step = serializers.IntegerField(read_only=True, allow_null=True)
    n_non_embedding = serializers.IntegerField(read_only=True)
    mean_loss_nats = serializers.FloatField(read_only=True, allow_null=True)
    n_inside = serializers.IntegerField(read_only=True, help_text="Predictions within these bins.")
    n_out_of_range = serializers.IntegerField(read_only=True)


class HistogramsSerializer(serializers.Serializer):
    over = serializers.CharField(read_only=True)
    values = serializers.CharField(read_only=True)
    edges_nats = Numbers(help_text="One more than bins.")
    checkpoints = CountedSerializer(many=True, read_only=True, help_text="One for every row.")
    histograms = Numbers(n_axes=2)


class Histograms(Resource):
    """How losses are spread: one row for every size, or for every step of a network.

    As `.npy`: the rows alone; the edges are in the JSON answer (`fields=edges_nats`).
    """

    parameters = HistogramsParameters
    answers = HistogramsSerializer
    npy = "histograms"
    tag = "losses"
    is_throttled = False

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        chosen = self._chosen(run)
        bins = self._bins(chosen[0])
        counted = [Histogram(bins, one.row) for one in chosen]
        kind = self.asked["values"]
        rows = np.array([{COUNTS: one.counts, DENSITY: one.density, INTEGRAND: one.integrand}[kind] for one in counted])
        if request.accepted_renderer.format == "npy":
            return Response({self.npy: rows})
        wanted = {name.strip() for name in self.asked.get("fields", "").split(",") if name.strip()}
        if rows.size > MAX_JSON and (not wanted or self.npy in wanted):
            raise BadRequest(
                f"{rows.shape[0]} × {rows.shape[1]} numbers are asked for; as JSON at most {MAX_JSON:,} are given. Ask "
                "for fewer steps or bins, or send Accept: application/x-npy."
            )
        return self.one(
            {
                "over": self.asked["over"], "values": kind, "edges_nats": bins.edges, self.npy: rows,
                "checkpoints": [_counted(one, own) for one, own in zip(chosen, counted, strict=True)],
            }
        )  # fmt: skip

    def _chosen(self, run: Run) -> list[Distribution]:
        """The checkpoints asked for, each with counts."""
        found = _distributions(run)
        if self.asked["over"] == SIZES:
            if self.asked.get("lm") or self.asked.get("step"):
                raise BadRequest("lm and step choose among one network’s steps; send over=steps with them.")
            chosen: Sequence[Distribution] = queries.finals(found)
        else:
            chosen = self._steps(run, queries.by_network(found))
        chosen = [one for one in chosen if one.has_counts]
        if not chosen:
            raise Missing(f"“{run.name}” came without histograms of losses", "Compute the run here to have them.")
        return chosen

    def _steps(self, run: Run, networks: dict[str, list[Distribution]]) -> list[Distribution]:
        if not networks:
            raise Missing(f"“{run.name}” measured no network at two steps or more", "Ask for over=sizes instead.")
        usual = run.checkpoint.lm if run.checkpoint.lm in networks else list(networks)[-1]
        lm = self.asked.get("lm") or usual
        if lm not in networks:
            raise BadRequest(f"lm is {lm[:80]!r}; networks measured at several steps: {', '.join(networks)}.")
        by_step = {one.step: one for one in networks[lm]}
        if not self.asked.get("step"):
            return list(by_step.values())
        steps = list(dict.fromkeys(map(int, self.asked["step"].split(","))))
        if unknown := [step for step in steps if step not in by_step]:
            there = ", ".join(map(str, by_step))
            raise BadRequest(f"step names {unknown[0]}; {lm} was measured at {there}.")
        return [by_step[step] for step in steps]

    def _bins(self, one: Distribution) -> Bins:
        binning: Binning = one.binning or Binning.plain(np.empty(0))
        if self.asked["bins"] == PAPER:
            by_loss = binning.by_size if self.asked["over"] == SIZES else binning.by_step
            return binning.integrand if self.asked["values"] == INTEGRAND else by_loss
        most = int(self.asked["bins"])
        if most > MAX_BINS:
            raise BadRequest(f"bins is {most}; ask for 1 to {MAX_BINS}, or the paper’s.")
        return binning.integrand.merged(even_places(len(binning.integrand), most))


def _distributions(run: Run) -> list[Distribution]:
    found = queries.distributions(run)
    if not found:
        raise Missing(
            f"“{run.name}” came without losses", "Compute the run here from a suite of networks to have their losses."
        )
    return found


def _place(value: Any) -> int:
    number = int(value)
    if not 0 <= number < 10**9:
        raise ValueError(f"{number} is no place in a list")
    return number


def _facts(one: Distribution) -> dict[str, Any]:
    has = one.has_counts
    return {
        "lm": one.lm, "revision": one.revision, "step": one.step, "n_non_embedding": one.n_non_embedding,
        "is_final": one.is_final, "is_clustered": one.is_clustered, "mean_loss_nats": one.mean_nats,
        "quantiles_nats": one.quantiles_nats, "fraction_below_threshold": one.fraction_below,
        "fraction_near_zero": one.first_share if has else None, "n_out_of_range": one.n_outside if has else None,
        "peak": asdict(one.integrand.peak) if has else None,
    }  # fmt: skip


def _counted(one: Distribution, histogram: Histogram) -> dict[str, Any]:
    return {
        "lm": one.lm, "revision": one.revision, "step": one.step, "n_non_embedding": one.n_non_embedding,
        "mean_loss_nats": one.mean_nats, "n_inside": histogram.n_inside,
        "n_out_of_range": max(one.n_predictions - histogram.n_inside, 0),
    }  # fmt: skip


urls: list[URLPattern] = [
    path("runs/<slug:slug>/losses/", Losses.as_view(), name="losses"),
    path("runs/<slug:slug>/losses/histograms/", Histograms.as_view(), name="losses-histograms"),
    *scaling_urls,
]

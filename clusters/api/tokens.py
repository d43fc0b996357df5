"""Any prediction of the corpus: found by filter, read with context and curves."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.curves import SizeLossSerializer, StepLossesSerializer, curve_urls, size_losses, step_losses
from clusters.api.documents import TextTokenSerializer, document_urls, named_checkpoint, tokens_between
from clusters.api.finder import ScoresSerializer, finder_urls
from clusters.api.resource import One, Resource
from clusters.contexts import Reader, has_text
from clusters.models import Run
from clusters.parameters import REACHES
from clusters.queries import tokens as reads
from clusters.queries.clusters import visible_run
from clusters.queries.missing import Missing
from clusters.stored.arrays import array_of, bundle_of
from clusters.stored.columns import clustered_checkpoint, losses_under


class TokenClusterSerializer(serializers.Serializer):
    affinity = serializers.CharField(read_only=True)
    k = serializers.IntegerField(read_only=True)
    label = serializers.IntegerField(read_only=True)
    rank = serializers.IntegerField(read_only=True)
    size = serializers.IntegerField(read_only=True)


class PaperRuleSerializer(serializers.Serializer):
    """What the paper's own rules say of the curve."""

    monogenic_at = serializers.IntegerField(
        read_only=True, help_text="Sizes before the one that learns it; 0: not monogenic."
    )
    is_polygenic = serializers.BooleanField(read_only=True)
    slope = serializers.FloatField(read_only=True, allow_null=True)
    r_squared = serializers.FloatField(read_only=True, allow_null=True)


class TokenSerializer(serializers.Serializer):
    index = serializers.IntegerField(read_only=True)
    document = serializers.IntegerField(read_only=True, allow_null=True, help_text="null where the run has no text.")
    position = serializers.IntegerField(read_only=True, allow_null=True)
    token_id = serializers.IntegerField(read_only=True, allow_null=True)
    answer = serializers.CharField(read_only=True, allow_null=True)
    loss_nats = serializers.FloatField(read_only=True, allow_null=True, help_text="Under the clustered checkpoint.")
    is_clustered = serializers.BooleanField(read_only=True)
    scores = ScoresSerializer(read_only=True)
    percentiles = serializers.DictField(
        child=serializers.FloatField(), read_only=True, help_text="Share of all predictions that score lower, by score."
    )
    paper = PaperRuleSerializer(read_only=True, allow_null=True)
    sizes = SizeLossSerializer(many=True, read_only=True, help_text="Losses over parameters, smallest network first.")
    steps = StepLossesSerializer(many=True, read_only=True, help_text="Losses over training, by network.")
    clusters = TokenClusterSerializer(many=True, read_only=True, help_text="Its cluster at every k and affinity.")


class TokenDetail(Resource):
    """One prediction: where it stands, how networks learn it, its scores and its clusters."""

    answers = TokenSerializer
    tag = "tokens"

    def get(self, request: Request, slug: str, index: int) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        return self.one(_token(run, reads.token_index(run, str(index))))


class ContextParameters(One):
    reach = serializers.ChoiceField(
        list(REACHES), required=False, default="200", help_text="Tokens before the answer; snippet is 40."
    )
    checkpoint = serializers.CharField(
        required=False, max_length=200, help_text="lm/revision whose losses are given; else the clustered one."
    )


class TokenContextSerializer(serializers.Serializer):
    index = serializers.IntegerField(read_only=True)
    document = serializers.IntegerField(read_only=True)
    position = serializers.IntegerField(read_only=True)
    checkpoint = serializers.CharField(read_only=True)
    is_cut = serializers.BooleanField(read_only=True, help_text="Whether the document has more before it.")
    text = serializers.CharField(read_only=True, help_text="All of it as one text, as it is in the corpus.")
    tokens = TextTokenSerializer(many=True, read_only=True, help_text="The last of them is the answer.")


class TokenContext(Resource):
    """The text up to and with one token, every token with its id and loss."""

    parameters = ContextParameters
    answers = TokenContextSerializer
    tag = "tokens"

    def get(self, request: Request, slug: str, index: int) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        number = reads.token_index(run, str(index))
        if not has_text(run):
            raise Missing(f"“{run.name}” came without its corpus", "Compute the run here to read contexts.")
        checkpoint = named_checkpoint(run, self.asked.get("checkpoint", ""))
        reader = Reader(run, checkpoint=checkpoint)
        [place] = reader.places([number])
        first = max(place.position - REACHES[self.asked["reach"]], 0)
        tokens, text = tokens_between(run, place.document, first, place.position + 1, [losses_under(run, checkpoint)])
        return self.one(
            {
                "index": number, "document": place.document, "position": place.position, "is_cut": first > 0,
                "checkpoint": f"{checkpoint['lm']}/{checkpoint['revision']}", "text": text, "tokens": tokens,
            }
        )  # fmt: skip


def _token(run: Run, number: int) -> dict[str, Any]:
    row = reads.clustered_token(run, number)
    losses = reads.size_curve(run, number)
    return _place(run, number) | {
        "index": number,
        "is_clustered": row is not None,
        "scores": _scores(run, number),
        "percentiles": reads.percentiles_of(run, number),
        "paper": None if losses is None else reads.paper_class(run, losses),
        "sizes": [] if losses is None else size_losses(run, losses),
        "steps": step_losses(run, number),
        "clusters": [
            {
                "affinity": found.cluster.clustering.affinity, "k": found.cluster.clustering.k,
                "label": found.cluster.label, "rank": found.cluster.rank, "size": found.cluster.size,
            }
            for found in (reads.memberships_of(row) if row else [])
        ],
    }  # fmt: skip


def _place(run: Run, number: int) -> dict[str, Any]:
    if not has_text(run):
        losses = losses_under(run, clustered_checkpoint(run)) if run.manifest["checkpoints"] else None
        known = None if losses is None else float(losses[number])
        return {"document": None, "position": None, "token_id": None, "answer": None, "loss_nats": known}
    reader = Reader(run)
    [place] = reader.places([number])
    at = int(reader.corpus.offsets[place.document]) + place.position
    return {
        "document": place.document, "position": place.position, "answer": reader.answer(place),
        "token_id": int(reader.corpus.token_ids[at]), "loss_nats": place.loss_nats,
    }  # fmt: skip


def _scores(run: Run, number: int) -> dict[str, Any]:
    has = bundle_of(run).has
    values = {
        name: float(array_of(run, f"curves/{name}")[number]) if has(f"curves/{name}") else None for name in reads.SCORES
    }
    code = int(array_of(run, "curves/class")[number]) if has("curves/class") else None
    return values | {"class": reads.class_name(code)}


urls: list[URLPattern] = [
    *finder_urls,
    path("runs/<slug:slug>/tokens/<int:index>/", TokenDetail.as_view(), name="token"),
    path("runs/<slug:slug>/tokens/<int:index>/context/", TokenContext.as_view(), name="token-context"),
    *curve_urls,
    *document_urls,
]

"""Documents, token by token, with losses under one checkpoint or by what two differ by."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Whole
from clusters.api.resource import One, Resource
from clusters.contexts import has_text
from clusters.models import Run
from clusters.queries import documents as reads
from clusters.queries.clusters import visible_run
from clusters.queries.missing import Missing
from clusters.stored.arrays import corpus_of, vocabulary_of
from clusters.stored.columns import losses_under

MAX_TOKENS, TOKENS = 4096, 2048


class TextTokenSerializer(serializers.Serializer):
    index = serializers.IntegerField(read_only=True, allow_null=True, help_text="null: nothing predicts a first token.")
    position = serializers.IntegerField(read_only=True)
    token_id = serializers.IntegerField(read_only=True)
    text = serializers.CharField(
        read_only=True, help_text="As it is in the corpus; pieces of a character are replacement characters."
    )
    loss_nats = serializers.FloatField(read_only=True, allow_null=True)


class DocumentTokenSerializer(TextTokenSerializer):
    other_loss_nats = serializers.FloatField(read_only=True, allow_null=True, help_text="Under `against`.")
    difference_nats = serializers.FloatField(read_only=True, allow_null=True, help_text="The first minus the other.")


class DocumentSerializer(serializers.Serializer):
    document = serializers.IntegerField(read_only=True)
    source = serializers.CharField(read_only=True)
    kind = serializers.CharField(read_only=True)
    n_tokens = serializers.IntegerField(read_only=True, help_text="Of the whole document.")
    first = serializers.IntegerField(read_only=True, help_text="Position of the first token given.")
    checkpoint = serializers.CharField(read_only=True)
    against = serializers.CharField(read_only=True, allow_null=True)
    mean_loss_nats = serializers.FloatField(read_only=True, allow_null=True, help_text="Over the whole document.")
    mean_difference_nats = serializers.FloatField(read_only=True, allow_null=True)
    text = serializers.CharField(read_only=True, help_text="Of the tokens given, as one text.")
    tokens = DocumentTokenSerializer(many=True, read_only=True)


class DocumentParameters(One):
    checkpoint = serializers.CharField(required=False, max_length=200, help_text="lm/revision; else the clustered one.")
    against = serializers.CharField(required=False, max_length=200, help_text="lm/revision to take the losses of, too.")
    first = Whole(required=False, default=0, min_value=0, max_value=2**31, help_text="A position.")
    n = Whole(required=False, default=TOKENS, min_value=1, max_value=MAX_TOKENS)


class DocumentDetail(Resource):
    """Some of a document's tokens with their losses.

    As `.npy`: the losses in nats of the tokens given, or their differences where `against` is; float32, NaN at a
    document's first token.
    """

    parameters = DocumentParameters
    answers = DocumentSerializer
    npy = "losses_nats"
    tag = "tokens"
    is_throttled = False

    def get(self, request: Request, slug: str, number: int) -> Response:
        run = visible_run(request.user, slug)
        if not has_text(run):
            raise Missing(f"“{run.name}” came without its corpus", "Compute the run here to read its documents.")
        if same := self.unchanged(run):
            return same
        document = reads.document_number(run, str(number))
        about = reads.facts_of(run, document)
        own = named_checkpoint(run, self.asked.get("checkpoint", ""))
        other = named_checkpoint(run, self.asked["against"]) if self.asked.get("against") else None
        columns = [losses_under(run, own)] + ([losses_under(run, other)] if other else [])
        first = min(self.asked["first"], about.n_tokens)
        last = min(first + self.asked["n"], about.n_tokens)
        if request.accepted_renderer.format == "npy":
            found = [_losses(run, document, column)[first:last] for column in columns]
            return Response({self.npy: np.asarray(found[0] - found[1] if other else found[0], np.float32)})
        tokens, text = tokens_between(run, document, first, last, columns)
        means = [_mean(reads.losses_in(run, document, column)) for column in columns]
        return self.one(
            {
                "document": document, "source": about.source, "kind": about.kind, "n_tokens": about.n_tokens,
                "first": first, "checkpoint": _name(own), "against": _name(other) if other else None,
                "mean_loss_nats": means[0], "mean_difference_nats": _difference(*means) if other else None,
                "text": text, "tokens": tokens,
            }
        )  # fmt: skip


def named_checkpoint(run: Run, key: str) -> dict[str, Any]:
    """The checkpoint asked for, with losses of single tokens; 404 where the run came without any."""
    if not run.manifest["checkpoints"]:
        raise Missing(
            f"“{run.name}” came without losses", "Compute the run here from a suite of networks to have them."
        )
    return reads.checkpoint_named(run, key)


def tokens_between(
    run: Run, document: int, first: int, last: int, columns: list[np.ndarray | None]
) -> tuple[list[dict[str, Any]], str]:
    """A document's tokens from a position up to another with their losses in one or two columns, and their text."""
    corpus, vocabulary = corpus_of(run), vocabulary_of(run)
    offset, before = int(corpus.offsets[document]), int(corpus.prediction_starts[document]) - 1
    ids = corpus.token_ids[offset + first : offset + last].tolist()
    losses = [_losses(run, document, column)[first:last].tolist() for column in columns]
    pieces = [vocabulary.token_bytes(token_id) for token_id in ids]
    tokens = []
    for i, (token_id, raw) in enumerate(zip(ids, pieces, strict=True)):
        position, own = first + i, losses[0][i]
        other = losses[1][i] if len(losses) > 1 else None
        tokens.append(
            {
                "index": before + position if position else None, "position": position, "token_id": token_id,
                "text": raw.decode("utf-8", "replace"), "loss_nats": own, "other_loss_nats": other,
                "difference_nats": _difference(own, other),
            }
        )  # fmt: skip
    return tokens, b"".join(pieces).decode("utf-8", "replace")


def _losses(run: Run, document: int, column: np.ndarray | None) -> np.ndarray:
    """Losses by position, float64 (n_tokens,); nothing predicts the first."""
    return np.concatenate([[np.nan], reads.losses_in(run, document, column)])


def _name(checkpoint: dict[str, Any]) -> str:
    return f"{checkpoint['lm']}/{checkpoint['revision']}"


def _mean(losses: np.ndarray) -> float | None:
    return float(losses.mean()) if len(losses) and np.isfinite(losses).all() else None


def _difference(own: float | None, other: float | None) -> float | None:
    return None if own is None or other is None else own - other


document_urls = [path("runs/<slug:slug>/documents/<int:number>/", DocumentDetail.as_view(), name="document")]

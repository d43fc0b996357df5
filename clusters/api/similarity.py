"""Similarities of clustered tokens: pairs, neighbours, blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.core.exceptions import BadRequest
from django.urls import URLPattern, path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Numbers, Whole
from clusters.api.indices import IndicesField, indices_of, numbers_of
from clusters.api.resource import MAX_LIMIT, One, Resource
from clusters.contexts import Reader, has_text
from clusters.models import Affinity, Run
from clusters.queries import similarity as reads
from clusters.queries.clusters import flat_indices, visible_run
from clusters.queries.missing import Missing
from clusters.queries.runs import default_k
from clusters.queries.similarity import AFFINITY, SIMILARITY, Matrix
from compute.numerics.mosaic import affinity_of, part

MAX_SIDE = 512
MAX_JSON = 128 * 128  # values; more of them travel as .npy
NEIGHBOURS = 20
TOKEN, PLACE = "token", "place"


class SimilarityParameters(One):
    affinity = serializers.ChoiceField(
        Affinity.values, required=False, default=Affinity.SIGNED, help_text="Of gradients, or of their absolute values."
    )


class PairsParameters(SimilarityParameters):
    a = IndicesField(required=True)
    b = IndicesField(required=True)


class PairsSerializer(serializers.Serializer):
    affinity = serializers.CharField(read_only=True)
    a = Numbers(is_integer=True)
    b = Numbers(is_integer=True)
    cosines = Numbers()
    affinities = Numbers()


class Pairs(Resource):
    """Cosines of the gradients of pairs of clustered tokens: the first of `a` with the first of `b`, and so on.

    One token on either side is paired with all of the other side. As `.npy`: the cosines.
    """

    parameters = PairsParameters
    answers = PairsSerializer
    operation = "similarity_pairs"
    npy = "cosines"
    tag = "similarity"
    is_throttled = False

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        matrix = _matrix(run, self.asked["affinity"])
        a, b = (indices_of(run, self.asked[name], name) for name in "ab")
        if len(a) != len(b) and 1 not in (len(a), len(b)):
            raise BadRequest(f"a names {len(a)} tokens and b {len(b)}; give as many, or one on either side.")
        a, b = np.broadcast_arrays(a, b)
        cosines = np.asarray(matrix.values[_rows(run, a, "a"), _rows(run, b, "b")])
        if request.accepted_renderer.format == "npy":
            return Response({self.npy: cosines})
        facts = {"affinity": matrix.affinity, "a": a, "b": b, "cosines": cosines}
        return self.one(facts | {"affinities": _affinities(matrix, cosines)})


class NeighboursParameters(SimilarityParameters):
    token = Whole(min_value=0, max_value=2**63 - 1, help_text="Flat index of a clustered token.")
    n = Whole(required=False, default=NEIGHBOURS, min_value=1, max_value=MAX_LIMIT)
    k = Whole(
        required=False, min_value=1, max_value=2**31, help_text="Whose clusters are named; else the k nearest to 100."
    )


class PlacedClusterSerializer(serializers.Serializer):
    label = serializers.IntegerField(read_only=True)
    rank = serializers.IntegerField(read_only=True)
    size = serializers.IntegerField(read_only=True)


class NeighbourSerializer(serializers.Serializer):
    index = serializers.IntegerField(read_only=True)
    answer = serializers.CharField(read_only=True, allow_null=True)
    cosine = serializers.FloatField(read_only=True, allow_null=True)
    affinity = serializers.FloatField(read_only=True, allow_null=True)
    cluster = PlacedClusterSerializer(read_only=True)


class NeighboursSerializer(serializers.Serializer):
    token = serializers.IntegerField(read_only=True)
    affinity = serializers.CharField(read_only=True)
    k = serializers.IntegerField(read_only=True)
    cluster = PlacedClusterSerializer(read_only=True, help_text="The token’s own.")
    neighbours = NeighbourSerializer(many=True, read_only=True, help_text="The most alike first.")


class Neighbours(Resource):
    """The clustered tokens whose gradients are most like one token's, each with its cluster."""

    parameters = NeighboursParameters
    answers = NeighboursSerializer
    operation = "similarity_neighbours"
    tag = "similarity"
    is_throttled = False

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        matrix = _matrix(run, self.asked["affinity"], self.asked.get("k"))
        _rows(run, np.array([self.asked["token"]]), "token")
        place = reads.place_of(matrix, self.asked["token"])
        assert place is not None  # noqa: S101 - `_rows` has refused what has no place
        found = reads.most_alike(matrix, place, self.asked["n"])
        cosines = np.array([cosine for _, _, cosine in found])
        answers = _answers(run, [index for _, index, _ in found])
        neighbours = [
            {"index": index, "answer": answer, "cosine": cosine, "affinity": affinity, "cluster": _cluster(matrix, at)}
            for (at, index, cosine), affinity, answer in zip(found, _affinities(matrix, cosines), answers, strict=True)
        ]
        return self.one(
            {"token": self.asked["token"], "affinity": matrix.affinity, "k": matrix.k,
             "cluster": _cluster(matrix, place), "neighbours": neighbours}
        )  # fmt: skip


class BlockParameters(SimilarityParameters):
    rows = IndicesField(required=True, most=MAX_SIDE, what="Clustered tokens, or places")
    columns = IndicesField(required=False, most=MAX_SIDE, what="Clustered tokens, or places; the rows where left out")
    by = serializers.ChoiceField(
        [TOKEN, PLACE], required=False, default=TOKEN,
        help_text="token: rows and columns are flat indices; place: places along the matrix, clusters by rank at `k`.",
    )  # fmt: skip
    k = Whole(required=False, min_value=1, max_value=2**31, help_text="Of places; else near 100.")
    show = serializers.ChoiceField(
        [SIMILARITY, AFFINITY], required=False, default=SIMILARITY, help_text="Cosines, or 1 − arccos(cosine)/π."
    )


class BlockSerializer(serializers.Serializer):
    affinity = serializers.CharField(read_only=True)
    show = serializers.CharField(read_only=True)
    k = serializers.IntegerField(read_only=True)
    rows = Numbers(is_integer=True, help_text="Flat indices.")
    columns = Numbers(is_integer=True, help_text="Flat indices.")
    row_labels = Numbers(is_integer=True, help_text="Clusters at k.")
    column_labels = Numbers(is_integer=True)
    values = Numbers(n_axes=2)


class Block(Resource):
    """A block of the similarity matrix: at most 128 × 128 values as JSON, 512 × 512 as `.npy` (float32)."""

    parameters = BlockParameters
    answers = BlockSerializer
    operation = "similarity_block"
    npy = "values"
    tag = "similarity"
    is_throttled = False

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        if same := self.unchanged(run):
            return same
        matrix = _matrix(run, self.asked["affinity"], self.asked.get("k"), self.asked["show"])
        spans = {"rows": self.asked["rows"], "columns": self.asked.get("columns") or self.asked["rows"]}
        rows, columns = (self._rows_named(matrix, name, text) for name, text in spans.items())
        values = part(matrix.values, rows, columns, matrix.transform)
        if request.accepted_renderer.format == "npy":
            return Response({self.npy: values})
        if values.size > MAX_JSON:
            raise BadRequest(
                f"{len(rows)} × {len(columns)} values are asked for; as JSON at most {MAX_JSON:,} are given. Ask for "
                "fewer, or send Accept: application/x-npy."
            )
        flat, ordering = flat_indices(run), matrix.ordering
        labels = [
            ordering.labels[np.searchsorted(ordering.starts, ordering.places[found], side="right") - 1]
            for found in (rows, columns)
        ]
        return self.one(
            {
                "affinity": matrix.affinity, "show": matrix.show, "k": matrix.k, "rows": flat[rows],
                "columns": flat[columns], "row_labels": labels[0], "column_labels": labels[1], "values": values,
            }
        )  # fmt: skip

    def _rows_named(self, matrix: Matrix, name: str, text: str) -> np.ndarray:
        """Rows of the matrix as it lies in the bundle."""
        if self.asked["by"] == PLACE:
            places = numbers_of(text, name, end=matrix.ordering.n, most=MAX_SIDE, what="places")
            return np.asarray(matrix.ordering.rows[places])
        return _rows(matrix.run, indices_of(matrix.run, text, name, most=MAX_SIDE), name)


def _matrix(run: Run, affinity: str, k: int | None = None, show: str = SIMILARITY) -> Matrix:
    """The run's matrix of an affinity, ordered by its clusters at k; 404 where the run came without it."""
    ks = reads.affinities_with_matrix(run)
    if affinity not in ks:
        there = f"; it has {', '.join(ks)} ones" if ks else ""
        raise Missing(
            f"“{run.name}” came without {affinity} similarities of its tokens{there}",
            f"Compute the run here, or import a bundle that holds similarity/{affinity}.",
        )
    k = k or default_k(run, affinity)
    if k not in ks[affinity]:
        raise BadRequest(f"k is {k}; this run has {', '.join(map(str, ks[affinity]))}.")
    return Matrix(run, affinity, k, show if affinity == Affinity.SIGNED else SIMILARITY)


def _rows(run: Run, indices: np.ndarray, name: str) -> np.ndarray:
    """Rows of the matrix of clustered tokens; 400 naming the nearest where one of them is not."""
    flat = flat_indices(run)
    rows = np.searchsorted(flat, indices)
    strange = flat[np.minimum(rows, len(flat) - 1)] != indices
    if strange.any():
        first = int(np.flatnonzero(strange)[0])
        near = flat[max(int(rows[first]) - 1, 0) : int(rows[first]) + 1].tolist()
        raise BadRequest(
            f"{name} names token {int(indices[first])}, whose gradient was not clustered; the nearest in the corpus "
            f"that were: {', '.join(map(str, near))}."
        )
    return np.asarray(rows)


def _affinities(matrix: Matrix, cosines: np.ndarray) -> list[float]:
    """What clusters were made of: angular for signed gradients, the cosine itself for absolute ones."""
    found: Any = affinity_of(cosines) if matrix.is_signed else np.maximum(cosines, 0)
    return np.asarray(found, np.float64).tolist()


def _cluster(matrix: Matrix, place: int) -> dict[str, int]:
    ordering = matrix.ordering
    rank = ordering.rank_at(place)
    return {"label": int(ordering.labels[rank - 1]), "rank": rank, "size": int(ordering.sizes[rank - 1])}


def _answers(run: Run, indices: list[int]) -> list[str | None]:
    """The tokens' own texts, as far as the run has them."""
    if not has_text(run):
        return [None] * len(indices)
    reader = Reader(run)
    return [reader.answer(place) for place in reader.places(indices)]


urls: list[URLPattern] = [
    path("runs/<slug:slug>/similarity/pairs/", Pairs.as_view(), name="similarity-pairs"),
    path("runs/<slug:slug>/similarity/neighbours/", Neighbours.as_view(), name="similarity-neighbours"),
    path("runs/<slug:slug>/similarity/block/", Block.as_view(), name="similarity-block"),
]

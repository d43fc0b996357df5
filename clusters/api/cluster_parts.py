"""What one cluster holds: its members, their contexts and loss curves, and where they sit in other clusterings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from django.core.exceptions import BadRequest
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.documents import TextTokenSerializer, tokens_between
from clusters.api.fields import Numbers, Whole
from clusters.api.places import cluster_of
from clusters.api.resource import MAX_LIMIT, One, Page, Resource, read_cursor, write_cursor
from clusters.contexts import Reader, has_text
from clusters.models import Affinity, Cluster, Run
from clusters.queries.cluster_ladder import best_matches, crosswalk
from clusters.queries.clusters import flat_indices, member_rows
from clusters.queries.missing import Missing
from clusters.queries.selected import selected_size_curves, selected_step_curves, step_networks
from clusters.stored.columns import clustered_checkpoint, losses_under

MAX_REACH, REACH = 200, 40
MOST_PARTS = 8


class MemberSerializer(serializers.Serializer):
    index = serializers.IntegerField(read_only=True, help_text="The flat index: it counts predictions over the corpus.")
    document = serializers.IntegerField(read_only=True, allow_null=True, help_text="null where the run has no text.")
    position = serializers.IntegerField(read_only=True, allow_null=True)
    answer = serializers.CharField(read_only=True, allow_null=True)
    loss_nats = serializers.FloatField(read_only=True, allow_null=True, help_text="Under the clustered checkpoint.")


class Members(Resource):
    """The tokens in the cluster, in the order of the corpus."""

    operation = "cluster_members"
    tag = "clusters"
    parameters = Page
    answers = MemberSerializer
    is_list = True

    def get(self, request: Request, slug: str, affinity: str, k: str, label: str) -> Response:
        cluster, _ = cluster_of(request.user, slug, affinity, k, label)
        run = cluster.clustering.run
        if same := self.unchanged(run):
            return same
        indices, following = _page_of(_indices(cluster), self.asked["limit"], self.asked.get("cursor"))
        if not has_text(run):
            nothing = dict.fromkeys(("document", "position", "answer", "loss_nats"))
            return self.many([{"index": index, **nothing} for index in indices], next_cursor=following)
        reader = Reader(run)
        rows = [{**_place(one), "answer": reader.answer(one)} for one in reader.places(indices)]
        return self.many(rows, next_cursor=following)


class ContextsParameters(Page):
    reach = Whole(
        required=False, default=REACH, min_value=1, max_value=MAX_REACH, help_text="Tokens before the answer, at most."
    )
    losses = serializers.BooleanField(required=False, default=False, help_text="Every token with its id and loss, too.")


class ClusterContextSerializer(MemberSerializer):
    text = serializers.CharField(read_only=True, help_text="What stands before the answer, as it is in the corpus.")
    is_cut = serializers.BooleanField(read_only=True, help_text="Whether the document has more before it.")
    tokens = TextTokenSerializer(
        many=True, read_only=True, help_text="Where losses are asked for; the last is the answer."
    )


class ClusterContexts(Resource):
    """The members with the text before them, in the order of the corpus."""

    operation = "cluster_contexts"
    tag = "clusters"
    parameters = ContextsParameters
    answers = ClusterContextSerializer
    is_list = True

    def get(self, request: Request, slug: str, affinity: str, k: str, label: str) -> Response:
        cluster, _ = cluster_of(request.user, slug, affinity, k, label)
        run = cluster.clustering.run
        if not has_text(run):
            raise Missing(f"“{run.name}” came without its corpus", "Compute the run here to read contexts.")
        if same := self.unchanged(run):
            return same
        indices, following = _page_of(_indices(cluster), self.asked["limit"], self.asked.get("cursor"))
        reader = Reader(run)
        rows = [_context(run, reader, place, self.asked) for place in reader.places(indices)]
        return self.many(rows, next_cursor=following)


class CurveParameters(One):
    over = serializers.ChoiceField(
        ["sizes", "steps"],
        required=False,
        default="sizes",
        help_text="Trained networks, or one’s steps.",
    )
    lm = serializers.CharField(
        required=False, max_length=80, help_text="Over steps: of which network; else the clustered one."
    )
    limit = Whole(
        required=False, min_value=1, max_value=MAX_LIMIT, help_text="Members at once; of a .npy file all, unless given."
    )
    cursor = serializers.CharField(required=False, max_length=200)


class MemberCurvesSerializer(serializers.Serializer):
    over = serializers.ChoiceField(["sizes", "steps"], read_only=True)
    lm = serializers.CharField(read_only=True, allow_null=True, help_text="Over steps: the network.")
    x = Numbers(is_integer=True, help_text="Non-embedding parameters, or training steps, ascending.")
    indices = Numbers(is_integer=True, help_text="The members’ flat indices, one a row.")
    losses_nats = Numbers(n_axes=2, help_text="Members × x; alone as .npy.")
    next = serializers.URLField(read_only=True, allow_null=True)


class MemberCurves(Resource):
    """Losses of the members over parameters or over training steps. As `.npy`: members × x, of all."""

    operation = "cluster_curves"
    tag = "clusters"
    parameters = CurveParameters
    answers = MemberCurvesSerializer
    npy = "losses_nats"

    def get(self, request: Request, slug: str, affinity: str, k: str, label: str) -> Response:
        cluster, _ = cluster_of(request.user, slug, affinity, k, label)
        run = cluster.clustering.run
        if same := self.unchanged(run):
            return same
        x, lm, table = _table(run, self.asked)
        rows = member_rows(cluster.clustering, cluster.label)
        is_file = request.accepted_renderer.format == "npy"
        limit = self.asked.get("limit") or (len(rows) if is_file else MAX_LIMIT)
        indices, following = _page_of(flat_indices(run)[rows], limit, self.asked.get("cursor"))
        first = int(np.searchsorted(flat_indices(run)[rows], indices[0])) if indices else 0
        losses = np.asarray(table[rows[first : first + len(indices)]], np.float32)
        address = self.address_with(following) if following else None
        answer = {"over": self.asked["over"], "lm": lm, "x": x, "indices": indices, "losses_nats": losses}
        headers = {"Link": f'<{address}>; rel="next"'} if address else None
        return self.one({**answer, "next": address}, headers=headers)


class CrosswalkParameters(One):
    reach = Whole(
        required=False, default=2, min_value=1, max_value=5, help_text="Smaller and larger ks on either side."
    )


class PartSerializer(serializers.Serializer):
    label = serializers.IntegerField(read_only=True, allow_null=True, help_text="null gathers the small ones.")
    n_shared = serializers.IntegerField(read_only=True)
    size = serializers.IntegerField(read_only=True)
    n_clusters = serializers.IntegerField(read_only=True)
    jaccard = serializers.FloatField(read_only=True, help_text="Shared tokens over tokens in either.")


class RungSerializer(serializers.Serializer):
    k = serializers.IntegerField(read_only=True)
    parts = PartSerializer(many=True, read_only=True)
    flows = Numbers(
        n_axes=2, is_integer=True, help_text="[part here, part of the next rung, tokens], parts counted from 0."
    )


class MatchSerializer(serializers.Serializer):
    affinity = serializers.ChoiceField(Affinity.values, read_only=True)
    k = serializers.IntegerField(read_only=True)
    label = serializers.IntegerField(read_only=True)
    n_shared = serializers.IntegerField(read_only=True)
    size = serializers.IntegerField(read_only=True)
    jaccard = serializers.FloatField(read_only=True)


class CrosswalkSerializer(serializers.Serializer):
    rungs = RungSerializer(many=True, read_only=True, help_text="Where the members sit at neighbouring ks, ascending.")
    best_matches = MatchSerializer(
        many=True, read_only=True, help_text="The cluster most like this one in every clustering of the run."
    )


class Crosswalk(Resource):
    """Where the cluster's tokens sit in other clusterings."""

    operation = "cluster_crosswalk"
    tag = "clusters"
    parameters = CrosswalkParameters
    answers = CrosswalkSerializer

    def get(self, request: Request, slug: str, affinity: str, k: str, label: str) -> Response:
        cluster, ks = cluster_of(request.user, slug, affinity, k, label)
        clustering, run = cluster.clustering, cluster.clustering.run
        if same := self.unchanged(run):
            return same
        rows = member_rows(clustering, cluster.label)
        rungs = crosswalk(
            run, clustering.affinity, ks[clustering.affinity], clustering.k, rows, reach=self.asked["reach"],
            most=MOST_PARTS,
        )  # fmt: skip
        shown = [
            {
                "k": rung.k, "parts": [{**vars(part), "jaccard": part.jaccard(len(rows))} for part in rung.parts],
                "flows": [[*ends, n] for ends, n in sorted(rung.flows.items())],
            }
            for rung in rungs
        ]  # fmt: skip
        return self.one({"rungs": shown, "best_matches": [vars(one) for one in best_matches(run, ks, rows)]})


def _indices(cluster: Cluster) -> np.ndarray:
    """Flat indices of the members, ascending."""
    rows = member_rows(cluster.clustering, cluster.label)
    indices: np.ndarray = flat_indices(cluster.clustering.run)[rows]
    return indices


def _page_of(indices: np.ndarray, limit: int, cursor: str | None) -> tuple[list[int], str | None]:
    """Up to `limit` indices after the cursor's, and the cursor of the rest."""
    place = read_cursor(cursor, int)
    start = int(np.searchsorted(indices, place[0], side="right")) if place else 0
    found: list[int] = indices[start : start + limit].tolist()
    return found, write_cursor([found[-1]]) if start + limit < len(indices) else None


def _place(place: Any) -> dict[str, Any]:
    return {name: getattr(place, name) for name in ("index", "document", "position", "loss_nats")}


def _context(run: Run, reader: Reader, place: Any, asked: dict[str, Any]) -> dict[str, Any]:
    first = max(place.position - asked["reach"], 0)
    start = int(reader.corpus.offsets[place.document])
    ids = reader.corpus.token_ids[start + first : start + place.position].tolist()
    row = _place(place) | {
        "answer": reader.answer(place),
        "text": b"".join(map(reader.vocabulary.token_bytes, ids)).decode("utf-8", "replace"),
        "is_cut": first > 0,
    }
    if asked["losses"]:
        losses = losses_under(run, clustered_checkpoint(run))
        row["tokens"], _ = tokens_between(run, place.document, first, place.position + 1, [losses])
    return row


def _table(run: Run, asked: dict[str, Any]) -> tuple[list[int], str | None, np.ndarray]:
    """What the curves are over, of which network, and the losses of every clustered token."""
    if asked["over"] == "sizes":
        if "lm" in asked:
            raise BadRequest("lm chooses the network of curves over steps; ask for over=steps, or leave it out.")
        sizes = selected_size_curves(run)
        if sizes is None:
            raise _no_losses(run, "of networks of several sizes")
        return [size["n_non_embedding"] for size in run.manifest["sizes"]], None, sizes
    networks = {one.lm: one for one in step_networks(run)}
    if not networks:
        raise _no_losses(run, "at several training steps")
    lm = asked.get("lm") or _usual(run, list(networks))
    if lm not in networks:
        raise BadRequest(f"lm is {lm[:40]!r}; networks measured at several steps are: {', '.join(networks)}.")
    return list(networks[lm].steps), lm, selected_step_curves(run, networks[lm])


def _usual(run: Run, lms: Sequence[str]) -> str:
    clustered = str(run.manifest["clustered"]["lm"])
    return clustered if clustered in lms else lms[-1]


def _no_losses(run: Run, which: str) -> Missing:
    return Missing(
        f"“{run.name}” holds no losses {which}", "Compute the run here, with such checkpoints, to have them."
    )


_CLUSTER = "runs/<slug:slug>/clusterings/<str:affinity>/<str:k>/clusters/<str:label>/"
part_urls = [
    path(f"{_CLUSTER}members/", Members.as_view(), name="cluster-members"),
    path(f"{_CLUSTER}contexts/", ClusterContexts.as_view(), name="cluster-contexts"),
    path(f"{_CLUSTER}curves/", MemberCurves.as_view(), name="cluster-curves"),
    path(f"{_CLUSTER}crosswalk/", Crosswalk.as_view(), name="cluster-crosswalk"),
]

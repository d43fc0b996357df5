"""Collections: what they hold for whoever asks, and what is said below them."""

from __future__ import annotations

from typing import Any

from django.db.models import Count
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Whole
from clusters.api.idempotency import idempotent
from clusters.api.permissions import LABEL
from clusters.api.resource import Page, Resource, etag, expected_version, stale
from clusters.models import Affinity, Cluster, Collection, CollectionItem, Comment
from clusters.models.labels import MAX_TEXT
from clusters.parameters import MAX_DIGITS
from clusters.queries import collections as reads
from clusters.queries.clusters import cluster_at, clustering_at, ladder, visible_run
from clusters.queries.missing import Missing
from clusters.services import collections as services

Kind = CollectionItem.Kind


class CollectionSerializer(serializers.Serializer):
    collection = serializers.CharField(source="secret", read_only=True, help_text="Names it in every address.")
    name = serializers.CharField(read_only=True)
    description = serializers.CharField(read_only=True)
    owner = serializers.CharField(source="owner.username", read_only=True)
    access = serializers.ChoiceField(choices=Collection.Access.values, read_only=True)
    version = serializers.IntegerField(read_only=True, help_text="Also its ETag; what it holds counts, too.")
    n_items = serializers.IntegerField(read_only=True, help_text="Those of runs that you cannot see among them.")
    n_comments = serializers.IntegerField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)


class CollectionContentSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=services.MAX_NAME)
    description = serializers.CharField(max_length=MAX_TEXT, required=False, allow_blank=True)
    access = serializers.ChoiceField(choices=Collection.Access.values, required=False)


class CollectionChangeSerializer(CollectionContentSerializer):
    name = serializers.CharField(max_length=services.MAX_NAME, required=False)


class CollectionItemSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk", read_only=True)
    kind = serializers.ChoiceField(choices=Kind.values, read_only=True)
    run = serializers.CharField(source="run.slug", read_only=True)
    affinity = serializers.SerializerMethodField()
    k = serializers.SerializerMethodField()
    cluster = serializers.SerializerMethodField(help_text="The cluster's label, of a cluster.")
    index = serializers.IntegerField(source="flat_index", read_only=True, allow_null=True, help_text="Of a token.")
    path = serializers.CharField(read_only=True, help_text="Of a filter: the page's address, with its query.")
    note = serializers.CharField(read_only=True)
    added_at = serializers.DateTimeField(read_only=True)

    def get_affinity(self, item: CollectionItem) -> str | None:
        return item.cluster.clustering.affinity if item.cluster else None

    def get_k(self, item: CollectionItem) -> int | None:
        return item.cluster.clustering.k if item.cluster else None

    def get_cluster(self, item: CollectionItem) -> int | None:
        return item.cluster.label if item.cluster else None


class NewItemSerializer(serializers.Serializer):
    """A cluster (run, k, cluster), a token (run, index), or a filter (path)."""

    run = serializers.CharField(max_length=80, required=False)
    affinity = serializers.ChoiceField(choices=Affinity.values, required=False)
    k = Whole(min_value=1, max_value=2**31 - 1, required=False)
    cluster = Whole(min_value=0, max_value=2**31 - 1, required=False)
    index = Whole(min_value=0, max_value=10**MAX_DIGITS - 1, required=False)
    path = serializers.CharField(max_length=services.MAX_PATH, required=False, help_text="From “/runs/” on.")
    note = serializers.CharField(max_length=services.MAX_NOTE, required=False, allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = set(attrs) - {"note", "affinity"}
        if given not in ({"run", "k", "cluster"}, {"run", "index"}, {"path"}):
            raise serializers.ValidationError("Give run, k and cluster, or run and index, or path alone.")
        return attrs


class ItemNoteSerializer(serializers.Serializer):
    note = serializers.CharField(max_length=services.MAX_NOTE, allow_blank=True)


class CommentSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk", read_only=True)
    author = serializers.CharField(source="author_name", read_only=True)
    text = serializers.CharField(read_only=True)
    at = serializers.DateTimeField(read_only=True)


class CommentContentSerializer(serializers.Serializer):
    text = serializers.CharField(max_length=MAX_TEXT)


class CollectionParameters(Page):
    public = serializers.BooleanField(required=False, default=False, help_text="Others' that everyone may see.")


class Collections(Resource):
    """Your collections, newest first; without a person, or with `public`, those that others show to everyone."""

    parameters = CollectionParameters
    answers = CollectionSerializer
    accepts = CollectionContentSerializer
    is_list = True
    scope = LABEL

    def get(self, request: Request) -> Response:
        is_public = self.asked["public"] or not request.user.is_authenticated
        found = reads.public_collections(request.user) if is_public else reads.own_collections(request.user)
        return self.paged(found)

    @idempotent
    def post(self, request: Request) -> Response:
        made = services.create_collection(request.user, **self.sent())
        found = _named(request, made.secret)
        return self.one(found, status=201, headers={"ETag": etag(found.version)})


class CollectionDetail(Resource):
    """One collection."""

    answers = CollectionSerializer
    accepts = CollectionChangeSerializer
    scope = LABEL

    def get(self, request: Request, secret: str) -> Response:
        found = _named(request, secret)
        return self.one(found, headers={"ETag": etag(found.version)})

    def patch(self, request: Request, secret: str) -> Response:
        """Change its words or who may see it, at the version that If-Match names."""
        found, version = _named(request, secret), expected_version(request)
        try:
            services.change_collection(request.user, found, version=version, **self.sent())
        except services.StaleError as error:
            raise stale(error, self.answers(_named(request, secret)).data) from error
        changed = _named(request, secret)
        return self.one(changed, headers={"ETag": etag(changed.version)})

    def delete(self, request: Request, secret: str) -> Response:
        """Delete it with its comments, at the version that If-Match names; what it held stays where it is."""
        found, version = _named(request, secret), expected_version(request)
        try:
            services.delete_collection(request.user, found, version=version)
        except services.StaleError as error:
            raise stale(error, self.answers(_named(request, secret)).data) from error
        return Response(status=204)


class CollectionItems(Resource):
    """What a collection holds of runs that you can see, in the order in which it was added."""

    parameters = Page
    answers = CollectionItemSerializer
    accepts = NewItemSerializer
    is_list = True
    scope = LABEL

    def get(self, request: Request, secret: str) -> Response:
        return self.paged(reads.visible_items(request.user, _named(request, secret)), order=("pk",))

    @idempotent
    def post(self, request: Request, secret: str) -> Response:
        """Keep a cluster, a token or a filter; what is kept already stays as it is."""
        collection, sent = _named(request, secret), self.sent()
        note = sent.get("note", "")
        if "path" in sent:
            item = services.keep_filter(request.user, collection, sent["path"], note)
        elif "index" in sent:
            run = visible_run(request.user, sent["run"])
            item = services.keep_token(request.user, collection, run, sent["index"], note)
        else:
            item = services.keep_cluster(request.user, collection, _cluster(request, sent), note)
        return self.one(_item(request, collection, item.pk), status=201)


class CollectionItemDetail(Resource):
    """One item of a collection."""

    answers = CollectionItemSerializer
    accepts = ItemNoteSerializer
    scope = LABEL

    def get(self, request: Request, secret: str, number: int) -> Response:
        return self.one(_item(request, _named(request, secret), number))

    def patch(self, request: Request, secret: str, number: int) -> Response:
        """Say something else about it."""
        item = _item(request, _named(request, secret), number)
        services.note_item(request.user, item, self.sent()["note"])
        return self.one(item)

    def delete(self, request: Request, secret: str, number: int) -> Response:
        """Remove it from the collection."""
        services.remove_item(request.user, _item(request, _named(request, secret), number))
        return Response(status=204)


class CollectionComments(Resource):
    """What is said below a collection, the latest first."""

    parameters = Page
    answers = CommentSerializer
    accepts = CommentContentSerializer
    is_list = True
    scope = LABEL

    def get(self, request: Request, secret: str) -> Response:
        return self.paged(_named(request, secret).comments.all())

    @idempotent
    def post(self, request: Request, secret: str) -> Response:
        """Say something, seen by all who see the collection."""
        comment = services.add_comment(request.user, _named(request, secret), self.sent()["text"])
        return self.one(comment, status=201)


class CollectionCommentDetail(Resource):
    """One comment."""

    answers = CommentSerializer
    scope = LABEL

    def get(self, request: Request, secret: str, number: int) -> Response:
        return self.one(_comment(request, secret, number))

    def delete(self, request: Request, secret: str, number: int) -> Response:
        """Delete it: its author may, and the collection's owner."""
        services.delete_comment(request.user, _comment(request, secret, number))
        return Response(status=204)


def _named(request: Request, secret: str) -> Collection:
    found = reads.collection_at(request.user, secret)
    counts = Collection.objects.filter(pk=found.pk).aggregate(
        items=Count("items", distinct=True), comments=Count("comments", distinct=True)
    )
    found.n_items, found.n_comments = counts["items"], counts["comments"]  # type: ignore[attr-defined]
    return found


def _cluster(request: Request, sent: dict[str, Any]) -> Cluster:
    run = visible_run(request.user, sent["run"])
    clustering = clustering_at(run, str(sent["k"]), sent.get("affinity", Affinity.SIGNED), ladder(run))
    return cluster_at(clustering, str(sent["cluster"]))


def _item(request: Request, collection: Collection, number: int) -> CollectionItem:
    found = reads.visible_items(request.user, collection).filter(pk=number).first() if number < 2**63 else None
    if found is None:
        raise Missing(f"There is no item {str(number)[:20]} in this collection", "Its list names those that there are.")
    found.collection = collection
    return found


def _comment(request: Request, secret: str, number: int) -> Comment:
    collection = _named(request, secret)
    found = collection.comments.filter(pk=number).first() if number < 2**63 else None
    if found is None:
        raise Missing(f"There is no comment {str(number)[:20]} here", "It was deleted, or never there.")
    found.collection = collection
    return found


urls = [
    path("collections/", Collections.as_view(), name="collections"),
    path("collections/<str:secret>/", CollectionDetail.as_view(), name="collection"),
    path("collections/<str:secret>/items/", CollectionItems.as_view(), name="collection-items"),
    path("collections/<str:secret>/items/<int:number>/", CollectionItemDetail.as_view(), name="collection-item"),
    path("collections/<str:secret>/comments/", CollectionComments.as_view(), name="collection-comments"),
    path(
        "collections/<str:secret>/comments/<int:number>/", CollectionCommentDetail.as_view(), name="collection-comment"
    ),
]

"""Labels and their history."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.errors import Busy
from clusters.api.fields import Whole
from clusters.api.idempotency import idempotent
from clusters.api.permissions import LABEL
from clusters.api.places import cluster_of
from clusters.api.resource import One, Page, Resource, etag, expected_version, stale, write_cursor
from clusters.forms.labels import place_of
from clusters.models import Affinity, Label
from clusters.queries.label_history import visible_label, visible_revisions
from clusters.queries.label_list import ORDERS, label_page, matching_labels
from clusters.services.labels import ConflictError, Content, change_label, restore_revision, save_label, withdraw_label
from clusters.values.labels import LabelFilter
from clusters.views.label_facts import facts_of

MAX_INT = 2**63 - 1


class LabelSerializer(serializers.Serializer):
    id = serializers.IntegerField(read_only=True)
    run = serializers.CharField(read_only=True)
    affinity = serializers.ChoiceField(choices=Affinity.values, read_only=True)
    k = serializers.IntegerField(read_only=True)
    cluster = serializers.IntegerField(read_only=True, help_text="The cluster's label within its clustering.")
    rank = serializers.IntegerField(read_only=True)
    origin = serializers.ChoiceField(choices=Label.Origin.values, read_only=True)
    state = serializers.ChoiceField(choices=Label.State.values, read_only=True)
    author = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True)
    description = serializers.CharField(read_only=True, help_text="The rule, in words.")
    kind = serializers.ChoiceField(choices=["", *Label.Kind.values], read_only=True)
    confidence = serializers.IntegerField(read_only=True, allow_null=True, min_value=1, max_value=3)
    tags = serializers.ListField(child=serializers.CharField(), read_only=True)
    misfits = serializers.ListField(
        child=serializers.IntegerField(), read_only=True, help_text="Flat indices of members that do not fit."
    )
    version = serializers.IntegerField(read_only=True, help_text="Also the ETag; send it back as If-Match.")
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)
    submitted_at = serializers.DateTimeField(read_only=True, allow_null=True)

    def to_representation(self, label: Label) -> dict[str, Any]:
        return facts_of(label)


class ContentSerializer(serializers.Serializer):
    """What a label says; what is left out stays as it is."""

    name = serializers.CharField(required=False, allow_blank=True)
    description = serializers.CharField(required=False, allow_blank=True)
    kind = serializers.ChoiceField(choices=Label.Kind.values, required=False, allow_blank=True)
    confidence = serializers.ChoiceField(choices=Label.Confidence.values, required=False, allow_null=True)
    tags = serializers.ListField(child=serializers.CharField(), required=False, help_text="Slugs of the vocabulary.")
    misfits = serializers.ListField(child=Whole(min_value=0, max_value=MAX_INT), required=False)
    state = serializers.ChoiceField(
        choices=Label.State.values, required=False, help_text="“submitted” submits; withdraw makes it a draft again."
    )


class NewLabelSerializer(ContentSerializer):
    run = serializers.CharField(max_length=80)
    affinity = serializers.ChoiceField(choices=Affinity.values, default=Affinity.SIGNED)
    k = Whole(min_value=0, max_value=2**31 - 1)
    cluster = Whole(min_value=0, max_value=2**31 - 1)
    origin = serializers.ChoiceField(
        choices=[Label.Origin.PERSON, Label.Origin.AGREED],
        default=Label.Origin.PERSON,
        help_text="“agreed” writes what is agreed on: for adjudicators.",
    )


class LabelParameters(Page):
    run = serializers.CharField(required=False, max_length=80)
    affinity = serializers.ChoiceField(choices=Affinity.values, required=False)
    k = Whole(required=False, min_value=0, max_value=2**31 - 1)
    cluster = Whole(required=False, min_value=0, max_value=2**31 - 1)
    tag = serializers.CharField(required=False, max_length=40)
    kind = serializers.ChoiceField(choices=Label.Kind.values, required=False)
    state = serializers.ChoiceField(choices=Label.State.values, required=False)
    origin = serializers.ChoiceField(choices=Label.Origin.values, required=False)
    author = serializers.CharField(required=False, max_length=150)
    text = serializers.CharField(required=False, max_length=200, help_text="Somewhere in the name or the rule.")
    mine = serializers.BooleanField(required=False, default=False)
    ordering = serializers.ChoiceField(choices=list(ORDERS), required=False, default="latest")


class Labels(Resource):
    """Labels that you may see. POST writes yours of a cluster."""

    parameters, accepts, answers = LabelParameters, NewLabelSerializer, LabelSerializer
    is_list, scope = True, LABEL

    def get(self, request: Request) -> Response:
        names = ("run", "affinity", "k", "cluster", "tag", "kind", "state", "origin", "author", "text")
        wanted = LabelFilter(
            **{name: self.asked[name] for name in names if name in self.asked}, is_mine=self.asked["mine"]
        )
        order = self.asked["ordering"]
        labels = matching_labels(request.user, wanted)
        place = place_of(self.asked.get("cursor", ""), order)
        found, last = label_page(labels, order, place, self.asked["limit"])
        following = None if last is None else write_cursor([order, *(_plain(value) for value in last)])
        return self.many(found, next_cursor=following)

    @idempotent
    def post(self, request: Request) -> Response:
        sent = self.sent()
        place = (str(sent.pop("k")), str(sent.pop("cluster")))
        cluster, _ = cluster_of(request.user, sent.pop("run"), sent.pop("affinity"), *place)
        origin, state = Label.Origin(sent.pop("origin")), sent.pop("state", Label.State.DRAFT)
        try:
            label = save_label(
                request.user, cluster, _content(sent), version=0, submit=state == Label.State.SUBMITTED, origin=origin
            )
        except ConflictError as error:
            said = f"There is such a label already, number {error.current.pk}: PATCH it, with If-Match."
            raise Busy(said) from None
        return self.one(label, status=201, headers=_headers(request, label))


class LabelDetail(Resource):
    """One label. PATCH changes yours, or, for adjudicators, what is agreed on."""

    accepts, answers, scope = ContentSerializer, LabelSerializer, LABEL

    def get(self, request: Request, pk: int) -> Response:
        label = visible_label(request.user, pk)
        return self.one(label, headers={"ETag": etag(label.version)})

    def patch(self, request: Request, pk: int) -> Response:
        label, version = visible_label(request.user, pk), expected_version(request)
        sent = self.sent()
        submit = sent.pop("state", label.state) == Label.State.SUBMITTED
        try:
            _must_be_at(label, version)
            label = change_label(request.user, label, _content(label.content | sent), version=version, submit=submit)
        except ConflictError as error:
            raise stale(error, facts_of(error.current)) from None
        return self.one(label, headers={"ETag": etag(label.version)})


class RevisionSerializer(serializers.Serializer):
    version = serializers.IntegerField(read_only=True)
    author = serializers.CharField(source="author_name", read_only=True)
    at = serializers.DateTimeField(read_only=True)
    action = serializers.CharField(read_only=True)
    content = serializers.DictField(read_only=True)
    source = serializers.DictField(read_only=True)


class LabelRevisions(Resource):
    """Every version of a label, the latest first."""

    parameters, answers, is_list = Page, RevisionSerializer, True

    def get(self, request: Request, pk: int) -> Response:
        revisions = visible_revisions(request.user, visible_label(request.user, pk))
        return self.paged(revisions, order=("-version",))


class RestoreSerializer(serializers.Serializer):
    version = Whole(min_value=1, max_value=2**31 - 1, help_text="The version to write again.")


class LabelRestore(Resource):
    """Write an earlier version again, as a new one; If-Match names the newest."""

    parameters, accepts, answers, scope = One, RestoreSerializer, LabelSerializer, LABEL
    statuses = {"POST": (200,)}

    def post(self, request: Request, pk: int) -> Response:
        label, version = visible_label(request.user, pk), expected_version(request)
        try:
            label = restore_revision(request.user, label, self.sent()["version"], version=version)
        except ConflictError as error:
            raise stale(error, facts_of(error.current)) from None
        return self.one(label, headers={"ETag": etag(label.version)})


class NothingSerializer(serializers.Serializer):
    """Nothing needs to be sent."""


class LabelWithdraw(Resource):
    """Make your submitted label a draft again; If-Match names the newest version."""

    parameters, accepts, answers, scope = One, NothingSerializer, LabelSerializer, LABEL
    statuses = {"POST": (200,)}

    def post(self, request: Request, pk: int) -> Response:
        label, version = visible_label(request.user, pk), expected_version(request)
        try:
            label = withdraw_label(request.user, label, version=version)
        except ConflictError as error:
            raise stale(error, facts_of(error.current)) from None
        return self.one(label, headers={"ETag": etag(label.version)})


def _content(sent: dict[str, Any]) -> Content:
    """What was sent, as a label's content; what is left out is empty."""
    return Content.of({"tags": (), "misfits": ()} | sent)


def _must_be_at(label: Label, version: int) -> None:
    """What is left out stays as it is at the version that the sender has read, and at no other."""
    if label.version != version:
        raise ConflictError(label)


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _headers(request: Request, label: Label) -> dict[str, str]:
    return {"ETag": etag(label.version), "Location": request.build_absolute_uri(f"{request.path}{label.pk}/")}


urls = [
    path("labels/", Labels.as_view(), name="labels"),
    path("labels/<int:pk>/", LabelDetail.as_view(), name="label"),
    path("labels/<int:pk>/revisions/", LabelRevisions.as_view(), name="label-revisions"),
    path("labels/<int:pk>/restore/", LabelRestore.as_view(), name="label-restore"),
    path("labels/<int:pk>/withdraw/", LabelWithdraw.as_view(), name="label-withdraw"),
]

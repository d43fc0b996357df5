"""The vocabulary of labels."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.idempotency import idempotent
from clusters.api.permissions import LABEL
from clusters.api.resource import One, Resource
from clusters.models import Tag
from clusters.queries.missing import Missing
from clusters.queries.tags import tags_with_uses
from clusters.services import tags as services


class TagSerializer(serializers.Serializer):
    tag = serializers.CharField(source="slug", read_only=True, help_text="Names it for good.")
    name = serializers.CharField(read_only=True)
    meaning = serializers.CharField(read_only=True)
    ordinal = serializers.IntegerField(read_only=True)
    is_retired = serializers.SerializerMethodField(help_text="Kept on labels that have it, offered no more.")
    n_labels = serializers.IntegerField(read_only=True, help_text="Labels with it that you may see.")

    def get_is_retired(self, tag: Tag) -> bool:
        return tag.retired_at is not None


class NewTagSerializer(serializers.Serializer):
    name = serializers.CharField()
    meaning = serializers.CharField(required=False, allow_blank=True, default="")


class TagChangeSerializer(serializers.Serializer):
    name = serializers.CharField(required=False)
    meaning = serializers.CharField(required=False, allow_blank=True)
    is_retired = serializers.BooleanField(required=False)


class Tags(Resource):
    """The whole vocabulary, the offered tags first. POST adds one: for adjudicators."""

    parameters, accepts, answers = One, NewTagSerializer, TagSerializer
    is_list, scope = True, LABEL

    def get(self, request: Request) -> Response:
        return self.many(tags_with_uses(request.user), next_cursor=None)

    @idempotent
    def post(self, request: Request) -> Response:
        added = services.add_tag(request.user, **self.sent())
        headers = {"Location": request.build_absolute_uri(f"{request.path}{added.slug}/")}
        return self.one(_counted(request, added.slug), status=201, headers=headers)


class TagDetail(Resource):
    """One tag. PATCH renames, describes, retires it or brings it back: for adjudicators."""

    accepts, answers, scope = TagChangeSerializer, TagSerializer, LABEL

    def get(self, request: Request, slug: str) -> Response:
        return self.one(_counted(request, slug))

    def patch(self, request: Request, slug: str) -> Response:
        tag, sent = _counted(request, slug), self.sent()
        is_retired: Any = sent.pop("is_retired", None)
        services.change_tag(request.user, tag, **sent)
        if is_retired is not None:
            (services.retire_tag if is_retired else services.bring_back_tag)(request.user, tag)
        return self.one(_counted(request, slug))


def _counted(request: Request, slug: str) -> Tag:
    found = next((tag for tag in tags_with_uses(request.user) if tag.slug == slug), None)
    if found is None:
        raise Missing(f"There is no tag “{slug[:40]}”", "The list /tags/ has all of them.")
    return found


urls = [
    path("tags/", Tags.as_view(), name="tags"),
    path("tags/<slug:slug>/", TagDetail.as_view(), name="tag"),
]

"""Notes and bookmarks at tokens."""

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
from clusters.api.resource import Page, Resource, etag, expected_version, stale
from clusters.models import TokenNote
from clusters.queries.clusters import visible_run
from clusters.queries.notes import matching_notes, visible_note
from clusters.services.notes import NoteConflictError, change_note, save_note
from clusters.values.labels import NoteFilter
from clusters.views.notes import facts_of

MAX_INT = 2**63 - 1


class NoteSerializer(serializers.Serializer):
    id = serializers.IntegerField(read_only=True)
    run = serializers.CharField(read_only=True)
    token = serializers.IntegerField(read_only=True, help_text="Flat index.")
    author = serializers.CharField(read_only=True)
    text = serializers.CharField(read_only=True)
    is_bookmarked = serializers.BooleanField(
        read_only=True, allow_null=True, help_text="Of your own notes; null of others’."
    )
    version = serializers.IntegerField(read_only=True, help_text="Also the ETag; send it back as If-Match.")
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def to_representation(self, note: TokenNote) -> dict[str, Any]:
        return facts_of(self.context["request"].user, note)


class NoteChangeSerializer(serializers.Serializer):
    text = serializers.CharField(required=False, allow_blank=True)
    is_bookmarked = serializers.BooleanField(required=False)


class NewNoteSerializer(NoteChangeSerializer):
    run = serializers.CharField(max_length=80)
    token = Whole(min_value=0, max_value=MAX_INT)


class NoteParameters(Page):
    run = serializers.CharField(required=False, max_length=80)
    token = Whole(required=False, min_value=0, max_value=MAX_INT)
    author = serializers.CharField(required=False, max_length=150)
    text = serializers.CharField(required=False, max_length=200)
    mine = serializers.BooleanField(required=False, default=False)
    bookmarked = serializers.BooleanField(required=False, default=False)


class Notes(Resource):
    """Notes that you may see, the latest first. POST writes yours at a token."""

    parameters, accepts, answers = NoteParameters, NewNoteSerializer, NoteSerializer
    is_list, scope = True, LABEL

    def get(self, request: Request) -> Response:
        named = {name: self.asked[name] for name in ("run", "token", "author", "text") if name in self.asked}
        wanted = NoteFilter(**named, is_mine=self.asked["mine"], is_bookmarked=self.asked["bookmarked"])
        return self.paged(matching_notes(request.user, wanted))

    @idempotent
    def post(self, request: Request) -> Response:
        sent = self.sent()
        run, token = visible_run(request.user, sent["run"]), sent["token"]
        text, is_bookmarked = sent.get("text", ""), sent.get("is_bookmarked", False)
        try:
            note = save_note(request.user, run, token, text=text, is_bookmarked=is_bookmarked, version=0)
        except NoteConflictError as error:
            said = f"You have a note there already, number {error.current.pk}: PATCH it, with If-Match."
            raise Busy(said) from None
        headers = {"ETag": etag(note.version), "Location": request.build_absolute_uri(f"{request.path}{note.pk}/")}
        return self.one(note, status=201, headers=headers)


class NoteDetail(Resource):
    """One note. PATCH changes yours."""

    accepts, answers, scope = NoteChangeSerializer, NoteSerializer, LABEL

    def get(self, request: Request, pk: int) -> Response:
        note = visible_note(request.user, pk)
        return self.one(note, headers={"ETag": etag(note.version)})

    def patch(self, request: Request, pk: int) -> Response:
        note, version = visible_note(request.user, pk), expected_version(request)
        sent = self.sent()
        try:
            if note.version != version:  # what is left out stays as it was read
                raise NoteConflictError(note)
            text, is_bookmarked = sent.get("text", note.text), sent.get("is_bookmarked", note.is_bookmarked)
            note = change_note(request.user, note, text=text, is_bookmarked=is_bookmarked, version=version)
        except NoteConflictError as error:
            raise stale(error, facts_of(request.user, error.current)) from None
        return self.one(note, headers={"ETag": etag(note.version)})


urls = [
    path("notes/", Notes.as_view(), name="notes"),
    path("notes/<int:pk>/", NoteDetail.as_view(), name="note"),
]

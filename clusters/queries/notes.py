"""Reads of notes and bookmarks at tokens."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from clusters.models import Run, TokenNote
from clusters.queries.access import User
from clusters.queries.labels import visible_notes
from clusters.queries.missing import Missing
from clusters.values.labels import NoteFilter


def notes_at(user: User, run: Run, index: int) -> tuple[TokenNote | None, list[TokenNote]]:
    """The person's own note at a token, and what others note there."""
    notes = list(visible_notes(user).filter(run=run, flat_index=index).order_by("pk"))
    own = next((note for note in notes if user.is_authenticated and note.author_id == user.pk), None)
    return own, [note for note in notes if note is not own]


def matching_notes(user: User, asked: NoteFilter) -> QuerySet[TokenNote]:
    """Notes that the person may see and that match; of others' bookmarks nobody learns."""
    notes = visible_notes(user).select_related("run")
    own = Q(author_id=user.pk) if user.is_authenticated else Q(pk=None)
    named = {"run__slug": asked.run, "author_name": asked.author, "flat_index": asked.token}
    notes = notes.filter(**{field: value for field, value in named.items() if value not in ("", None)})
    if asked.text:
        notes = notes.filter(text__icontains=asked.text)
    if asked.is_mine:
        notes = notes.filter(own)
    return notes.filter(own, is_bookmarked=True) if asked.is_bookmarked else notes


def visible_note(user: User, pk: int) -> TokenNote:
    """The note of this number, if the person may see it."""
    notes = visible_notes(user).select_related("run__corpus")
    found = notes.filter(pk=pk).first() if pk < 2**63 else None
    if found is None:
        raise Missing("There is no such note", "The list of notes has all you may see.")
    return found

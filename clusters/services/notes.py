"""Notes and bookmarks at tokens: every write names the version it replaces, and adds a revision."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from clusters.display import clean_lines
from clusters.models import Run, TokenNote, TokenNoteRevision
from clusters.models.labels import MAX_TEXT
from clusters.queries.access import User, may_label
from clusters.services.audit import record


class NoteConflictError(Exception):
    """The note is not at the version that the write would replace; `current` is what it says now."""

    def __init__(self, current: TokenNote) -> None:
        super().__init__(
            f"This note was changed meanwhile, in another window or by a script: it is at version {current.version}. "
            "Nothing was overwritten; look at both texts and save again."
        )
        self.current = current


def save_note(user: User, run: Run, index: int, *, text: str, is_bookmarked: bool, version: int) -> TokenNote:
    """Write the person's note at a token, its flat index given; version 0 where there is none yet.

    Raises NoteConflictError, PermissionDenied, ValidationError.
    """
    if not may_label(user):
        raise PermissionDenied("Only labelers may note things at tokens; ask an administrator for the role.")
    if not 0 <= index < run.corpus.n_predictions:
        raise ValidationError(f"This run has tokens 0 to {run.corpus.n_predictions - 1:,}; {str(index)[:20]} is none.")
    text = clean_lines(text)
    if len(text) > MAX_TEXT:
        raise ValidationError({"text": f"The note is {len(text):,} characters long; at most {MAX_TEXT:,} fit."})
    with transaction.atomic():
        note = _written(user, run, index, version, text=text, is_bookmarked=is_bookmarked)
        TokenNoteRevision.objects.create(
            note=note, version=note.version, author_id=user.pk, author_name=user.get_username(),
            action="revise" if version else "submit", content={"text": text, "is_bookmarked": is_bookmarked},
        )  # fmt: skip
        record(user, "note.save", f"{run.slug} token {index}", note=note.pk, version=note.version)
    return note


def change_note(user: User, note: TokenNote, *, text: str, is_bookmarked: bool, version: int) -> TokenNote:
    """Write a note that is there already: the person's own."""
    if note.author_id is None or note.author_id != user.pk:
        raise PermissionDenied(f"This is {note.author_name}’s note; only they may change it.")
    return save_note(user, note.run, note.flat_index, text=text, is_bookmarked=is_bookmarked, version=version)


def _written(user: User, run: Run, index: int, version: int, *, text: str, is_bookmarked: bool) -> TokenNote:
    whose = {"run": run, "flat_index": index, "author_id": user.pk}
    fields = {"text": text, "is_bookmarked": is_bookmarked, "updated_at": timezone.now(),
              "author_name": user.get_username()}  # fmt: skip
    note = TokenNote.objects.filter(**whose).first()
    if note is None:
        if version != 0:
            raise ValidationError("There is no such note yet; write it as version 0.")
        try:
            with transaction.atomic():
                return TokenNote.objects.create(**whose, **fields)
        except IntegrityError:
            raise NoteConflictError(TokenNote.objects.get(**whose)) from None
    n = TokenNote.objects.filter(pk=note.pk, version=version).update(**fields, version=version + 1)
    note.refresh_from_db()
    if not n:
        raise NoteConflictError(note)
    return note

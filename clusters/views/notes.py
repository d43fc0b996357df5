"""Notes and bookmarks at tokens: the panel on a token's page, and the list of all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from clusters.forms.labels import write_cursor
from clusters.forms.notes import NoteEntry, note_entry, note_list_query
from clusters.models import Run, TokenNote
from clusters.models.labels import MAX_TEXT
from clusters.parameters import changed
from clusters.queries.access import User, may_label
from clusters.queries.clusters import visible_run
from clusters.queries.notes import matching_notes, notes_at
from clusters.queries.tokens import token_index
from clusters.services.notes import NoteConflictError, save_note
from clusters.values.differences import word_changes
from clusters.views.twins import answer, links_context, page

A_PAGE = 50
HEAD = ("id", "run", "token", "author", "text", "is_bookmarked", "version", "created_at", "updated_at")


@dataclass(frozen=True)
class Refused:
    """A note that could not be saved: what was typed, and why."""

    entry: NoteEntry
    current: TokenNote | None = None  # what stands there instead


def note_panel(request: HttpRequest, run: Run, index: int, refused: Refused | None = None) -> dict[str, Any]:
    """What "notes/_panel.html" shows on a token's page."""
    own, others = notes_at(request.user, run, index)
    may_write = may_label(request.user)
    if not (others or own or may_write or refused):
        return {}
    entry = NoteEntry(own.text, own.is_bookmarked, own.version) if own else NoteEntry()
    return {
        "note_own": own,
        "note_others": [note for note in others if note.text],
        "note_entry": (refused.entry if refused else entry) if may_write or refused else None,
        "note_conflict": _conflict(refused.entry, refused.current) if refused and refused.current else None,
        "note_max": MAX_TEXT,
    }


@require_POST
def save(request: HttpRequest, slug: str, index: str) -> HttpResponse:
    """Save what the panel's form sent; where it cannot be saved, it comes back with all that was typed."""
    run = visible_run(request.user, slug)
    number = token_index(run, index)
    entry = note_entry(request.POST)
    if not request.user.is_authenticated:
        said = "You are signed out, so nothing was saved. Sign in in another window, then save again here."
        return _again(request, run, number, Refused(replace(entry, problems={"form": said})), 403)
    try:
        note = save_note(
            request.user, run, number, text=entry.text, is_bookmarked=entry.is_bookmarked, version=entry.version
        )
    except NoteConflictError as error:
        entry = replace(entry, version=error.current.version)
        return _again(request, run, number, Refused(entry, error.current), 409)
    except ValidationError as error:
        return _again(request, run, number, Refused(replace(entry, problems={"text": " ".join(error.messages)})), 422)
    messages.success(request, "Note saved." if note.text else "Bookmark saved." if note.is_bookmarked else "Saved.")
    return HttpResponseRedirect(reverse("clusters:token", args=[slug, number]) + "#note")


def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """All notes that match, a page at a time; as CSV, all of them."""
    asked = note_list_query(request.GET)
    notes = matching_notes(request.user, asked.filter).order_by("-pk")
    if twin == "csv":
        rows = (list(facts_of(request.user, note).values()) for note in notes.iterator(500))
        return answer(twin, name="notes", payload=None, head=HEAD, rows=rows)
    if asked.place:
        notes = notes.filter(pk__lt=asked.place[0])
    found = list(notes[: A_PAGE + 1])
    after = write_cursor([found[A_PAGE - 1].pk], "latest") if len(found) > A_PAGE else None
    found = found[:A_PAGE]
    if twin:
        payload = {"next": after, "notes": [facts_of(request.user, note) for note in found]}
        return answer(twin, name="notes", payload=payload)
    ctx = {
        "here": "notes", "asked": asked, "wanted": asked.filter, "notes": found, "is_begun": bool(asked.place),
        "views": _views(request, asked.filter.is_mine, asked.filter.is_bookmarked),
        "more_href": changed(request.path, request.GET, after=after) if after else "",
    }  # fmt: skip
    return render(request, "notes/index.html", ctx | links_context(request, "json", "csv"))


def _views(request: HttpRequest, is_mine: bool, is_bookmarked: bool) -> list[dict[str, Any]]:
    """Whose notes: everybody's, mine, my bookmarks."""
    choices: list[tuple[str, str | None, str | None]] = [("All", None, None)]
    if request.user.is_authenticated:
        choices += [("Mine", "yes", None), ("My bookmarks", "yes", "yes")]
    return [
        {"text": text, "href": changed(request.path, request.GET, mine=mine, bookmarked=marked, after=None),
         "is_on": (bool(mine), bool(marked)) == (is_mine or is_bookmarked, is_bookmarked)}
        for text, mine, marked in choices
    ]  # fmt: skip


def facts_of(user: User, note: TokenNote) -> dict[str, Any]:
    """A note as twins give it; whether it is a bookmark, its author alone learns."""
    is_own = note.author_id == user.pk
    values = (note.pk, note.run.slug, note.flat_index, note.author_name, note.text,
              note.is_bookmarked if is_own else None, note.version, note.created_at.isoformat(),
              note.updated_at.isoformat())  # fmt: skip
    return dict(zip(HEAD, values, strict=True))


def _again(request: HttpRequest, run: Run, number: int, refused: Refused, status: int) -> HttpResponse:
    """The form alone on a page, with what was typed."""
    ctx = {"here": "tokens", "run": run, "index": number, "note_alone": True}
    return render(request, "notes/refused.html", ctx | note_panel(request, run, number, refused), status=status)


def _conflict(entry: NoteEntry, current: TokenNote) -> dict[str, Any]:
    pieces = word_changes(current.text, "\n".join(entry.text.splitlines()))
    return {
        "current": current,
        "theirs": [piece for piece in pieces if piece.kind != "ins"],
        "yours": [piece for piece in pieces if piece.kind != "del"],
    }


note_urls = [
    *page("notes", index, "notes"),
    path("runs/<slug:slug>/tokens/<str:index>/note/", save, name="note-save"),
]

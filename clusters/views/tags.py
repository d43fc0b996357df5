"""The vocabulary that labels are tagged with."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render

from clusters.forms.tags import TagEntry, tag_entry
from clusters.models import Tag
from clusters.queries.access import may_adjudicate
from clusters.queries.missing import Missing
from clusters.queries.tags import N_KEYS, tags_with_uses
from clusters.services import tags as services
from clusters.views.twins import answer, links_context, page

HEAD = ("tag", "name", "meaning", "ordinal", "is_retired", "n_labels")


def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """Every tag with its meaning and how often it is used; adjudicators change them here."""
    entry = tag_entry(request.POST) if request.method == "POST" and not twin else None
    problems: dict[str, str] = {}
    if entry:
        try:
            messages.success(request, _done(request, entry))
            return HttpResponseRedirect(request.path)
        except ValidationError as error:
            problems = {field: " ".join(said) for field, said in error.message_dict.items()}
    tags = tags_with_uses(request.user)
    if twin:
        rows = [[tag.slug, tag.name, tag.meaning, tag.ordinal, tag.retired_at is not None, tag.n_labels]  # type: ignore[attr-defined]
                for tag in tags]  # fmt: skip
        payload = {"tags": [dict(zip(HEAD, row, strict=True)) for row in rows]}
        return answer(twin, name="tags", payload=payload, head=HEAD, rows=rows)
    offered = [tag for tag in tags if tag.retired_at is None]
    ctx = {
        "here": "labels", "offered": [{"tag": tag, "key": i if i <= N_KEYS else None}
                                      for i, tag in enumerate(offered, 1)],
        "retired": [tag for tag in tags if tag.retired_at is not None], "may_edit": may_adjudicate(request.user),
        "entry": entry, "problems": problems, "max_name": services.MAX_NAME, "max_meaning": services.MAX_MEANING,
    }  # fmt: skip
    return render(request, "tags/index.html", ctx | links_context(request, "json", "csv"),
                  status=422 if problems else 200)  # fmt: skip


def _done(request: HttpRequest, entry: TagEntry) -> str:
    """Do what was asked; a sentence that says what happened."""
    user: Any = request.user
    if entry.action == "add":
        return f"Added “{services.add_tag(user, entry.name, entry.meaning)}”."
    tag = Tag.objects.filter(slug=entry.slug).first()
    if tag is None:
        raise Missing(f"There is no tag “{entry.slug}”", "Choose one of the vocabulary.")
    if entry.action == "change":
        return f"Changed “{services.change_tag(user, tag, name=entry.name, meaning=entry.meaning)}”."
    if entry.action == "retire":
        return f"Retired “{services.retire_tag(user, tag)}”: labels keep it, and it is offered no more."
    if entry.action == "bring-back":
        return f"“{services.bring_back_tag(user, tag)}” is offered again."
    services.move_tag(user, tag, by=-1 if entry.action == "up" else 1)
    return f"Moved “{tag}”."


tag_urls = [*page("labeling/tags", index, "tags")]

"""One label's versions: who wrote what when, what changed from one to the next, and going back."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest, ValidationError
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render

from clusters.forms.labels import number_of
from clusters.models import Label, LabelRevision
from clusters.parameters import changed, whole_number
from clusters.queries.label_history import may_change, visible_label, visible_revisions
from clusters.services.labels import ConflictError, restore_revision, withdraw_label
from clusters.values.differences import word_changes
from clusters.views.label_facts import address_of, facts_of
from clusters.views.twins import answer, links_context, page

A_PAGE = 20
WORDS = {
    "draft": "saved a draft", "submit": "submitted", "revise": "revised", "withdraw": "withdrew it",
    "restore": "restored", "accept": "took a suggestion", "import": "imported",
}  # fmt: skip
HEAD = ("version", "author", "at", "action", "name", "description", "kind", "confidence", "tags", "misfits", "source")


def show(request: HttpRequest, pk: str, twin: str | None = None) -> HttpResponseBase:
    """Every version of one label, the latest first, each with what changed."""
    label = visible_label(request.user, whole_number(pk))
    if request.method == "POST" and not twin:
        return _changed(request, label)
    revisions = visible_revisions(request.user, label)
    before = number_of(request.GET, "before")
    if before is not None:
        revisions = revisions.filter(version__lt=min(before, 2**31 - 1))
    rows = list(revisions[: A_PAGE + 1])
    if twin:
        kept = [_facts(one) for one in rows[:A_PAGE]]
        payload = facts_of(label) | {"revisions": kept, "next": rows[A_PAGE - 1].version if rows[A_PAGE:] else None}
        return answer(twin, name=f"label-{label.pk}", payload=payload)
    run = label.cluster.clustering.run
    ctx = {
        "here": "labels", "label": label, "cluster": label.cluster, "label_run": run, "cluster_href": address_of(label),
        "versions": [_version(one, previous) for one, previous in zip(rows, [*rows[1:], None], strict=True)][:A_PAGE],
        "may_change": may_change(request.user, label), "is_begun": before is not None,
        "is_person": label.origin == Label.Origin.PERSON, "is_submitted": label.state == Label.State.SUBMITTED,
        "more_href": changed(request.path, request.GET, before=rows[A_PAGE - 1].version) if rows[A_PAGE:] else "",
    }  # fmt: skip
    return render(request, "labels/show.html", ctx | links_context(request, "json"))


def _changed(request: HttpRequest, label: Label) -> HttpResponseBase:
    """Restore or withdraw, then show what happened."""
    version, restored = (whole_number(request.POST.get(name, "")) for name in ("version", "restore"))
    action = request.POST.get("action", "")
    if action not in ("restore", "withdraw") or version is None or (action == "restore" and restored is None):
        raise BadRequest("The form must say what to do: restore a version, or withdraw, and from which version on.")
    try:
        if action == "withdraw":
            withdraw_label(request.user, label, version=version)
            messages.success(request, "Withdrawn: the label is your draft again, and others see it no longer.")
        else:
            restore_revision(request.user, label, restored or 0, version=version)
            messages.success(request, f"Version {restored} was restored, as version {version + 1}.")
    except ConflictError:
        said = "The label was changed meanwhile, so nothing was done. Look at the newest version, then choose again."
        messages.warning(request, said)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return HttpResponseRedirect(label.get_absolute_url())


def _version(revision: LabelRevision, previous: LabelRevision | None) -> dict[str, Any]:
    """One version in words, with what is new in it."""
    now, then = _texts(revision.content), _texts(previous.content) if previous else None
    return {
        "revision": revision,
        "did": WORDS.get(revision.action, revision.action),
        "source": _source(revision),
        "is_first": previous is None,
        "is_same": then == now,
        "fields": [
            {"name": name, "pieces": word_changes(now[name] if then is None else then[name], now[name])}
            for name in now
            if now[name] or (then and then[name])
        ],
    }  # fmt: skip


def _texts(content: dict[str, Any]) -> dict[str, str]:
    """Every field of a version as words."""
    kinds, sure = dict(Label.Kind.choices), dict(Label.Confidence.choices)
    return {
        "name": content.get("name", ""),
        "description": content.get("description", ""),
        "kind": kinds.get(content.get("kind", ""), content.get("kind", "")),
        "confidence": str(sure.get(content.get("confidence") or 0, "")),
        "tags": " ".join(content.get("tags", [])),
        "not fitting": " ".join(map(str, content.get("misfits", []))),
    }


def _source(revision: LabelRevision) -> str:
    """Where a restored, accepted or imported text came from, as far as a sentence says it."""
    source = revision.source
    if revision.action == "restore" and "version" in source:
        return f"version {source['version']}"
    return ", ".join(f"{name} {value}" for name, value in source.items() if isinstance(value, str | int | float))


def _facts(revision: LabelRevision) -> dict[str, Any]:
    content = revision.content
    facts = {"version": revision.version, "author": revision.author_name, "at": revision.at.isoformat(),
             "action": revision.action, "source": revision.source}  # fmt: skip
    return {name: facts.get(name, content.get(name)) for name in HEAD}


history_urls = [*page("labels/<str:pk>", show, "label")]

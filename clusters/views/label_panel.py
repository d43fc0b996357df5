"""The label panel on a cluster's page: what is said of it, and writing what one says oneself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from clusters.forms.labels import LabelEntry, label_entry
from clusters.models import Cluster, Label
from clusters.models.labels import MAX_NAME, MAX_TEXT
from clusters.queries.access import may_label
from clusters.queries.cluster_labels import ClusterLabels, is_asked_for, labels_of_cluster, next_unlabeled
from clusters.queries.labels import own_label
from clusters.queries.tags import N_KEYS
from clusters.services.labels import ConflictError, Content, save_label
from clusters.values.differences import Piece, word_changes
from clusters.views.addresses import cluster_address, clusters_address
from clusters.views.labeling import next_address

MOST_LISTED = 40  # misfits on other pages of the contexts that are listed one by one


@dataclass(frozen=True)
class Refused:
    """A label that could not be saved: what was typed, and why."""

    entry: LabelEntry
    status: int
    problems: dict[str, str]
    current: Label | None = None  # what stands there instead


def label_panel(
    request: HttpRequest,
    cluster: Cluster,
    *,
    found: ClusterLabels | None = None,
    shown: Iterable[int] = (),
    refused: Refused | None = None,
) -> dict[str, Any]:
    """What "labels/_panel.html" shows beside a cluster's contexts; `shown` are the members whose contexts are there."""
    found = found or labels_of_cluster(request.user, cluster)
    may_write = may_label(request.user)
    entry = refused.entry if refused else entry_of(found.own, found.tags)
    off_page = [index for index in entry.misfits if index not in set(shown)]
    return {
        "label_found": found,
        "label_others": [_said(label, found) for label in found.others],
        "label_agreed": _said(found.agreed, found) if found.agreed else None,
        "label_form": _form(found, entry) if may_write or refused else None,
        "label_misfits": entry.misfits,
        "label_elsewhere": off_page[:MOST_LISTED],
        "label_more_elsewhere": ",".join(map(str, off_page[MOST_LISTED:])),
        "label_n_elsewhere": max(len(off_page) - MOST_LISTED, 0),
        "label_problems": refused.problems if refused else {},
        "label_conflict": _conflict(refused.entry, refused.current) if refused and refused.current else None,
        "label_top_kind": found.kinds[0] if found.kinds else None,
        "label_n_kinds": sum(n for _, n in found.kinds),
        "label_max_name": MAX_NAME,
        "label_max_text": MAX_TEXT,
    }


def save_from_page(request: HttpRequest, cluster: Cluster) -> HttpResponse | Refused:
    """Save what the panel's form sent: where to go on, or why it could not be saved."""
    entry = label_entry(request.POST)
    if not request.user.is_authenticated:
        said = "You are signed out, so nothing was saved. Sign in in another window, then save again here."
        return Refused(entry, 403, {"form": said})
    if entry.problems:
        return Refused(entry, 422, entry.problems)
    is_queued = entry.action == "next" and is_asked_for(request.user, cluster)
    content = Content(entry.name, entry.description, entry.kind, entry.confidence, entry.tags, entry.misfits)
    try:
        label = save_label(
            request.user, cluster, content, version=entry.version, submit=entry.action != "draft"
        )  # fmt: skip
    except ConflictError as error:
        return Refused(entry, 409, {}, current=error.current)
    except ValidationError as error:
        if entry.version and own_label(request.user, cluster) is None:
            entry = LabelEntry(**{**vars(entry), "version": 0})
        return Refused(entry, 422, _by_field(error))
    what = "Draft saved; nobody else sees it." if label.state == Label.State.DRAFT else "Label saved."
    if entry.action == "next":
        return _onward(request, cluster, what, is_queued=is_queued)
    messages.success(request, what)
    return HttpResponseRedirect(f"{request.get_full_path()}#label")


def entry_of(label: Label | None, tags: dict[int, list[Any]]) -> LabelEntry:
    """A label as its form shows it."""
    if label is None:
        return LabelEntry()
    return LabelEntry(
        label.name, label.description, label.kind, label.confidence,
        tuple(tag.slug for tag in tags.get(label.pk, [])), tuple(label.misfits), label.version,
    )  # fmt: skip


def _onward(request: HttpRequest, cluster: Cluster, what: str, *, is_queued: bool) -> HttpResponseRedirect:
    """To what one labels next: the queue's, or the next cluster by rank; to the list where all are done."""
    clustering = cluster.clustering
    if is_queued:
        messages.success(request, what)
        return HttpResponseRedirect(next_address(request.GET.get("queue", ""), cluster.pk))
    following = next_unlabeled(request.user, cluster)
    if following is None:
        messages.success(request, f"{what} You have labeled every cluster of this list.")
        address = clusters_address(clustering.run.slug, clustering.k, clustering.affinity)
        return HttpResponseRedirect(address)
    messages.success(request, f"{what} This is the next cluster that you have not labeled.")
    address = cluster_address(clustering.run.slug, clustering.k, following.label, clustering.affinity)
    return HttpResponseRedirect(f"{address}#label")


def _form(found: ClusterLabels, entry: LabelEntry) -> dict[str, Any]:
    """The form's fields with their choices; a retired tag that the label has can be taken off."""
    kept = found.tags.get(found.own.pk, []) if found.own else []
    offered = [*found.vocabulary, *(tag for tag in kept if tag.retired_at is not None)]
    return {
        "entry": entry,
        "own": found.own,
        "tags": [
            {"tag": tag, "is_on": tag.slug in entry.tags, "key": i if i <= N_KEYS and tag.retired_at is None else None}
            for i, tag in enumerate(offered, 1)
        ],
        "kinds": Label.Kind.choices,
        "confidences": Label.Confidence.choices,
        "is_submitted": found.own is not None and found.own.state == Label.State.SUBMITTED,
    }  # fmt: skip


def _said(label: Label, found: ClusterLabels) -> dict[str, Any]:
    return {"label": label, "tags": found.tags.get(label.pk, []), "n_misfits": len(label.misfits)}


def _conflict(entry: LabelEntry, current: Label) -> dict[str, Any]:
    """Both texts, field by field, with what differs."""
    theirs = _as_texts(current.content)
    yours = _as_texts({**vars(entry), "tags": sorted(entry.tags)})
    rows = [
        {"field": field, "is_same": theirs[field] == yours[field], "theirs": _without(pieces, "ins"),
         "yours": _without(pieces, "del")}
        for field in theirs
        if theirs[field] or yours[field]
        for pieces in [word_changes(theirs[field], yours[field])]
    ]  # fmt: skip
    return {"current": current, "version": current.version, "rows": rows}


def _as_texts(content: dict[str, Any]) -> dict[str, str]:
    """Every field of a label as words."""
    confidence = content["confidence"]
    return {
        "name": content["name"],
        "description": "\n".join(content["description"].splitlines()),
        "kind": dict(Label.Kind.choices).get(content["kind"], content["kind"]),
        "confidence": str(dict(Label.Confidence.choices).get(confidence, confidence or "")),
        "tags": ", ".join(content["tags"]),
        "members that do not fit": ", ".join(map(str, content["misfits"])),
    }


def _without(pieces: list[Piece], kind: str) -> list[Piece]:
    return [piece for piece in pieces if piece.kind != kind]


def _by_field(error: ValidationError) -> dict[str, str]:
    if hasattr(error, "error_dict"):
        return {field: " ".join(said) for field, said in error.message_dict.items()}
    return {"form": " ".join(error.messages)}

"""Writing labels: every write names the version it replaces, and adds a revision. Nothing that was written is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from clusters.display import clean_lines, one_line
from clusters.models import Assignment, Cluster, Label, LabelRevision, Tag
from clusters.models.labels import MAX_NAME, MAX_TEXT
from clusters.queries.access import User, may_adjudicate, may_label
from clusters.services.audit import record

PERSON, AGREED = Label.Origin.PERSON, Label.Origin.AGREED
DRAFT, SUBMITTED = Label.State.DRAFT, Label.State.SUBMITTED


class ConflictError(Exception):
    """The label is not at the version that the write would replace; `current` is what it says now."""

    def __init__(self, current: Label) -> None:
        super().__init__(
            f"This label was changed meanwhile: it is at version {current.version}, last by {current.author_name}. "
            "Nothing was overwritten; look at both texts and save again."
        )
        self.current = current


@dataclass(frozen=True)
class Content:
    """What a label says. `tags` are slugs, `misfits` flat indices of members; `confidence` is 1 to 3 or None."""

    name: str = ""
    description: str = ""
    kind: str = ""
    confidence: int | None = None
    tags: tuple[str, ...] = ()
    misfits: tuple[int, ...] = ()

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Content:
        """The content that a revision keeps."""
        return cls(**{**kept, "tags": tuple(kept["tags"]), "misfits": tuple(kept["misfits"])})


def save_label(
    user: User,
    cluster: Cluster,
    content: Content,
    *,
    version: int,
    submit: bool = False,
    origin: Label.Origin = PERSON,
    action: str = "",
    source: dict[str, Any] | None = None,
) -> Label:
    """Write the person's label of the cluster, or the one that is agreed on; version 0 where there is none yet.

    Once submitted, a label stays so: later writes revise it. Raises ConflictError, PermissionDenied, ValidationError.
    """
    _must_write(user, origin)
    content = _checked(content, cluster, is_restored=action == "restore")
    with transaction.atomic():
        label, was = _written(user, cluster, content, version, origin, submit)
        if label.state == SUBMITTED and not (content.name or content.kind):
            said = "Give the rule a name, or say what kind of cluster it is, before you submit."
            raise ValidationError({"name": said})
        act = action or ("revise" if was == SUBMITTED else "submit" if submit else "draft")
        _revise(user, label, act, source)
        if label.state == SUBMITTED and origin == PERSON:
            Assignment.objects.filter(item__cluster=cluster, person_id=user.pk, done_at=None).update(
                done_at=timezone.now()
            )
        record(user, f"label.{act}", _target(label), label=label.pk, version=label.version, origin=label.origin)
    return label


def change_label(user: User, label: Label, content: Content, *, version: int, submit: bool = False) -> Label:
    """Write a label that is there already: the person's own, or the one that is agreed on."""
    _must_own(user, label)
    origin = Label.Origin(label.origin)
    return save_label(user, label.cluster, content, version=version, submit=submit, origin=origin)


def withdraw_label(user: User, label: Label, *, version: int) -> Label:
    """Make the person's submitted label a draft again: others see it no longer, its history stays."""
    _must_own(user, label)
    with transaction.atomic():
        _swap(label, version, state=DRAFT, submitted_at=None, updated_at=timezone.now())
        _revise(user, label, "withdraw", None)
        record(user, "label.withdraw", _target(label), label=label.pk, version=label.version, origin=label.origin)
    return label


def restore_revision(user: User, label: Label, restored: int, *, version: int) -> Label:
    """Write an earlier version's content again, as a new version."""
    _must_own(user, label)
    kept = label.revisions.filter(version=restored).first()
    if kept is None:
        raise ValidationError(f"There is no version {restored} of this label; it has 1 to {label.version}.")
    return save_label(
        user, label.cluster, Content.of(kept.content), version=version, origin=Label.Origin(label.origin),
        submit=label.state == SUBMITTED, action="restore", source={"version": restored},
    )  # fmt: skip


def _written(
    user: User, cluster: Cluster, content: Content, version: int, origin: Label.Origin, submit: bool
) -> tuple[Label, str]:
    """The label as it now is, and the state it had before; "" where it is new."""
    whose = {"author_id": user.pk} if origin == PERSON else {}
    label = Label.objects.filter(cluster=cluster, origin=origin, **whose).first()
    now = timezone.now()
    fields: dict[str, Any] = {
        "name": content.name, "description": content.description, "kind": content.kind,
        "confidence": content.confidence, "misfits": list(content.misfits),
        "author_id": user.pk, "author_name": user.get_username(), "updated_at": now,
    }  # fmt: skip
    was = "" if label is None else label.state
    if submit and was != SUBMITTED:
        fields |= {"state": SUBMITTED, "submitted_at": now}
    if label is None:
        if version != 0:
            raise ValidationError("There is no such label yet; write it as version 0.")
        label = _created(cluster, origin, whose, fields)
    else:
        _swap(label, version, **fields)
    label.tags.set(Tag.objects.filter(slug__in=content.tags))
    return label, was


def _created(cluster: Cluster, origin: Label.Origin, whose: dict[str, Any], fields: dict[str, Any]) -> Label:
    try:
        with transaction.atomic():
            return Label.objects.create(cluster=cluster, origin=origin, **fields)
    except IntegrityError:
        raise ConflictError(Label.objects.get(cluster=cluster, origin=origin, **whose)) from None


def _swap(label: Label, version: int, **fields: Any) -> None:
    """Replace that version of the label; ConflictError where it is no longer there."""
    n = Label.objects.filter(pk=label.pk, version=version).update(**fields, version=version + 1)
    label.refresh_from_db()
    if not n:
        raise ConflictError(label)


def _revise(user: User, label: Label, action: str, source: dict[str, Any] | None) -> None:
    LabelRevision.objects.create(
        label=label, version=label.version, author_id=user.pk, author_name=user.get_username(), action=action,
        content=label.content, source=source or {},
    )  # fmt: skip


def _checked(content: Content, cluster: Cluster, *, is_restored: bool) -> Content:
    """The content, cleaned; ValidationError by field where it cannot be kept."""
    problems: dict[str, str] = {}
    name = one_line(content.name)
    description = clean_lines(content.description)
    if len(name) > MAX_NAME:
        problems["name"] = f"The name is {len(name)} characters long; at most {MAX_NAME} fit."
    if len(description) > MAX_TEXT:
        problems["description"] = f"The description is {len(description):,} characters long; at most {MAX_TEXT:,} fit."
    if content.kind not in ("", *Label.Kind.values):
        problems["kind"] = f"The kind must be one of {', '.join(Label.Kind.values)}, or empty."
    if content.confidence not in (None, *Label.Confidence.values):
        problems["confidence"] = "The confidence must be 1 (a guess), 2 (likely) or 3 (sure), or empty."
    if problem := _tag_problem(content.tags, cluster, is_restored=is_restored):
        problems["tags"] = problem
    if problem := _misfit_problem(content.misfits, cluster):
        problems["misfits"] = problem
    if problems:
        raise ValidationError(problems)
    tags, misfits = tuple(sorted(set(content.tags))), tuple(sorted(set(content.misfits)))
    return Content(name, description, content.kind, content.confidence, tags, misfits)


def _tag_problem(tags: tuple[str, ...], cluster: Cluster, *, is_restored: bool) -> str:
    """Why these tags cannot be used; a retired one stays where the cluster has it."""
    retired_at = dict(Tag.objects.values_list("slug", "retired_at"))
    offered = ", ".join(slug for slug, retired in retired_at.items() if retired is None)
    if unknown := sorted(set(tags) - set(retired_at)):
        return f"No such tag: {', '.join(unknown)[:200]}. There are {offered}."
    retired = {slug for slug in tags if retired_at[slug] is not None}
    if not retired or is_restored:
        return ""
    kept = set(Tag.objects.filter(slug__in=retired, labels__cluster=cluster).values_list("slug", flat=True))
    new = sorted(retired - kept)
    return f"No longer in use: {', '.join(new)}. There are {offered}." if new else ""


def _misfit_problem(misfits: tuple[int, ...], cluster: Cluster) -> str:
    """Why these cannot be its members that do not fit."""
    if len(set(misfits)) > cluster.size:
        return f"{len(set(misfits)):,} members are marked as not fitting; the cluster has {cluster.size:,}."
    possible = [index for index in set(misfits) if 0 <= index < 2**63]
    members = set(
        cluster.memberships.filter(token__flat_index__in=possible).values_list("token__flat_index", flat=True)
    )
    strangers = sorted(set(misfits) - members)
    named = ", ".join(str(index)[:20] + ("…" if len(str(index)) > 20 else "") for index in strangers[:5])
    return f"Not members of this cluster: {named}." if strangers else ""


def _must_write(user: User, origin: Label.Origin) -> None:
    if origin == AGREED and not may_adjudicate(user):
        raise PermissionDenied("Only adjudicators decide what is agreed on; ask an administrator for the role.")
    if not may_label(user):
        raise PermissionDenied("Only labelers may write labels; ask an administrator for the role.")


def _must_own(user: User, label: Label) -> None:
    _must_write(user, Label.Origin(label.origin))
    if label.origin == Label.Origin.MACHINE:
        raise PermissionDenied("A language model wrote this; take it as a suggestion, and yours can be changed.")
    if label.origin == PERSON and label.author_id != user.pk:
        raise PermissionDenied(f"This is {label.author_name}’s label; only they may change it.")


def _target(label: Label) -> str:
    clustering = label.cluster.clustering
    return f"{clustering.run.slug} {clustering.affinity} k={clustering.k} cluster {label.cluster.label}"

"""Labels from a file: what they would change, and the change itself, as the importer's own labels or as agreed ones.

A plan is made anew each time it is asked for. Its fingerprint names all that it would write and over which versions;
applying wants the fingerprint that was seen, so nothing is written that nobody has looked at.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError

from clusters.display import clean_lines, one_line
from clusters.forms.label_file import LabelFile, LabelRow
from clusters.models import Cluster, Import, Label, Run, Tag
from clusters.queries.access import User, may_adjudicate, may_label, visible_runs
from clusters.queries.labels import blind_clusters, visible_labels
from clusters.services.imports import NOT_LABELER, finished, forget_files, read_sent_labels
from clusters.services.labels import ConflictError, Content, save_label
from clusters.services.tags import add_tag

NEW, CHANGED, SAME, REFUSED = "new", "changed", "same", "refused"
ACTIONS = (NEW, CHANGED, SAME, REFUSED)
FIELDS = ("name", "description", "kind", "confidence", "tags", "state")
ClusterKey = tuple[int, str, int, int]  # run, affinity, k, label


@dataclass(frozen=True)
class Wanted:
    """How a file is to be read, beside what stands in it."""

    run: str = ""  # the slug of rows that name no run
    author: str = ""  # only this one's rows
    as_agreed: bool = False
    make_tags: bool = False
    only_new: bool = False

    @classmethod
    def of(cls, one: Import) -> Wanted:
        return cls(**{name: one.asked[name] for name in cls.__dataclass_fields__ if name in one.asked})

    @property
    def origin(self) -> Label.Origin:
        return Label.Origin.AGREED if self.as_agreed else Label.Origin.PERSON


@dataclass(frozen=True)
class Difference:
    name: str
    was: str
    becomes: str


@dataclass(frozen=True)
class Step:
    """What becomes of one row."""

    line: int
    action: str
    reason: str = ""
    cluster: Cluster | None = None
    version: int = 0
    content: Content = field(default_factory=Content)
    is_submitted: bool = False
    author: str = ""
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Plan:
    steps: list[Step]
    unknown_tags: list[str] = field(default_factory=list)
    authors: list[str] = field(default_factory=list)

    def of(self, action: str) -> list[Step]:
        return [step for step in self.steps if step.action == action]

    @property
    def counts(self) -> dict[str, int]:
        return {action: len(self.of(action)) for action in ACTIONS}

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for step in self.steps:
            cluster = step.cluster.pk if step.cluster else None
            said = (step.line, step.action, step.reason, cluster, step.version, step.is_submitted, asdict(step.content))
            digest.update(repr(said).encode("utf-8", "replace"))
        return digest.hexdigest()


class PlanChangedError(Exception):
    """What the file would change is no longer what was looked at."""


def plan_of(user: User, one: Import, wanted: Wanted) -> Plan:
    """What the import's file would change if it were applied now."""
    return make_plan(user, read_sent_labels(one), wanted)


def make_plan(user: User, file: LabelFile, wanted: Wanted) -> Plan:
    """What the rows would change if they were written now."""
    _must(user, wanted)
    rows = [row for row in file.rows if wanted.author in ("", row.author)]
    clusters, runs = _clusters(user, rows, wanted)
    there, hidden = _labels(user, clusters.values(), wanted)
    tags = dict(Tag.objects.values_list("slug", "retired_at"))
    unknown = sorted({tag for row in rows for tag in row.content.get("tags", ()) if tag not in tags})
    usable = {slug for slug, retired in tags.items() if retired is None} | (set(unknown) if wanted.make_tags else set())
    steps = [Step(one.line, REFUSED, one.reason) for one in file.unreadable]
    taken: dict[int, int] = {}
    authors: dict[ClusterKey, set[str]] = defaultdict(set)
    for row in rows:
        authors[_key(row, runs, wanted)].add(row.author)
    for row in rows:
        cluster = clusters.get(_key(row, runs, wanted))
        reason = _why_not(row, runs, wanted, cluster, hidden, taken, usable)
        if not reason and len(authors[_key(row, runs, wanted)]) > 1:
            reason = "Several authors have a row of this cluster; choose one author’s rows."
        if reason or cluster is None:
            steps.append(Step(row.line, REFUSED, reason))
            continue
        taken[cluster.pk] = row.line
        steps.append(_step(row, cluster, there.get(cluster.pk)))
    return Plan(sorted(steps, key=lambda step: step.line), unknown, file.authors)


def apply_plan(user: User, one: Import, wanted: Wanted, fingerprint: str) -> dict[str, Any]:
    """Write what was looked at; give the counts.

    Raises PlanChangedError, with nothing written, where it would not be the same any more. A label that somebody writes
    at the very moment stays as it is, and its line is named.
    """
    if one.done_at:
        raise ValidationError("These labels are written already.")
    plan = plan_of(user, one, wanted)
    if plan.fingerprint != fingerprint:
        raise PlanChangedError("Something changed since this was shown. Nothing was written; look again.")
    if wanted.make_tags:
        for slug in plan.unknown_tags:
            add_tag(user, slug)
    written, left = {NEW: 0, CHANGED: 0}, []
    for step in plan.of(NEW) + ([] if wanted.only_new else plan.of(CHANGED)):
        try:
            _save(user, one, step, wanted)
            written[step.action] += 1
        except (ConflictError, ValidationError) as error:
            said = str(error) if isinstance(error, ConflictError) else " ".join(error.messages)
            left.append({"line": step.line, "reason": said})
    result = {**written, SAME: len(plan.of(SAME)), REFUSED: len(plan.of(REFUSED)), "left": left[:100]}
    runs = {step.cluster.clustering.run_id for step in plan.steps if step.cluster}
    finished(one, Run.objects.get(pk=runs.pop()) if len(runs) == 1 else None, result)
    forget_files(one)
    return result


def _save(user: User, one: Import, step: Step, wanted: Wanted) -> None:
    assert step.cluster is not None  # noqa: S101  (only what is refused has none)
    source = {"import": one.pk, "file": one.file_name, "line": step.line}
    save_label(
        user, step.cluster, step.content, version=step.version, submit=step.is_submitted, origin=wanted.origin,
        action="import", source=source | ({"author": step.author} if step.author else {}),
    )  # fmt: skip


def _must(user: User, wanted: Wanted) -> None:
    if not may_label(user):
        raise PermissionDenied(NOT_LABELER)
    if (wanted.as_agreed or wanted.make_tags) and not may_adjudicate(user):
        raise PermissionDenied("Only adjudicators bring agreed labels or make tags; ask an administrator for the role.")


def _clusters(user: User, rows: list[LabelRow], wanted: Wanted) -> tuple[dict[ClusterKey, Cluster], dict[str, Run]]:
    """The clusters that rows name, and the visible runs by slug and by hash."""
    slugs = {row.run or wanted.run for row in rows if not row.bundle_sha256}
    hashes = {row.bundle_sha256 for row in rows if row.bundle_sha256}
    visible = visible_runs(user).only("pk", "slug", "name", "bundle_sha256")
    runs = {run.slug: run for run in visible.filter(slug__in=slugs)}
    runs |= {run.bundle_sha256: run for run in visible.filter(bundle_sha256__in=hashes)}
    labels: dict[tuple[int, str, int], set[int]] = defaultdict(set)
    for row in rows:
        run, affinity, k, label = _key(row, runs, wanted)
        labels[run, affinity, k].add(label)
    found = {}
    for (run, affinity, k), wished in labels.items():
        clusters = Cluster.objects.filter(
            clustering__run=run, clustering__affinity=affinity, clustering__k=k, label__in=wished
        )
        for cluster in clusters.select_related("clustering__run").defer("mean_curve", "top_last", "nearest"):
            found[run, affinity, k, cluster.label] = cluster
    return found, runs


def _key(row: LabelRow, runs: dict[str, Run], wanted: Wanted) -> ClusterKey:
    run = runs.get(row.bundle_sha256 or row.run or wanted.run)
    return (run.pk if run else 0, row.affinity, row.k, row.cluster)


def _labels(user: User, clusters: Iterable[Cluster], wanted: Wanted) -> tuple[dict[int, Label], set[int]]:
    """The labels that would be replaced, by cluster; and clusters whose agreed label this person may not see yet."""
    keys = [cluster.pk for cluster in clusters]
    labels = visible_labels(user).filter(cluster_id__in=keys, origin=wanted.origin).prefetch_related("tags")
    if not wanted.as_agreed:
        labels = labels.filter(author_id=user.pk)
    hidden = set(blind_clusters(user).filter(item__cluster_id__in=keys)) if wanted.as_agreed else set()
    return {label.cluster_id: label for label in labels}, hidden


def _why_not(
    row: LabelRow, runs: dict[str, Run], wanted: Wanted, cluster: Cluster | None, hidden: set[int],
    taken: dict[int, int], tags: set[str],
) -> str:  # fmt: skip
    """Why this row cannot be written; empty where it can."""
    name = row.bundle_sha256 or row.run or wanted.run
    if not name:
        return "The row names no run; choose one for the file."
    if name not in runs:
        return f"There is no run {name[:20]}, or you may not see it."
    if cluster is None:
        return f"“{runs[name].name}” has no cluster {row.cluster} at k = {row.k} with {row.affinity} affinity."
    if cluster.pk in hidden:
        return "A queue asks for your own label of this cluster first."
    if cluster.pk in taken:
        return f"Line {taken[cluster.pk]} is of the same cluster; only the first is taken."
    if strange := sorted(set(row.content.get("tags", ())) - tags):
        return f"There is no tag {', '.join(strange)[:80]} in use."
    if row.state == Label.State.SUBMITTED and not (row.content.get("name") or row.content.get("kind")):
        return "It says submitted, but has neither a name nor a kind."
    return ""


def _step(row: LabelRow, cluster: Cluster, label: Label | None) -> Step:
    content = _content(row, label)
    is_submitted = row.state == Label.State.SUBMITTED
    differences = _differences(label, content, is_submitted)
    action = NEW if label is None else CHANGED if differences else SAME
    version = label.version if label else 0
    return Step(row.line, action, "", cluster, version, content, is_submitted, row.author, differences)


def _content(row: LabelRow, label: Label | None) -> Content:
    """What the label would say: the row's columns, and what it says already where the file has no such column."""
    said: dict[str, Any] = Content.of(label.content).__dict__ if label else {}
    given = dict(row.content)
    if "name" in given:
        given["name"] = one_line(given["name"])
    if "description" in given:
        given["description"] = clean_lines(given["description"])
    return Content(**{**said, **given})


def _differences(label: Label | None, content: Content, is_submitted: bool) -> tuple[Difference, ...]:
    before = Content.of(label.content) if label else Content()
    found = [
        Difference(name, _shown(getattr(before, name)), _shown(getattr(content, name)))
        for name in FIELDS[:-1]
        if getattr(before, name) != getattr(content, name)
    ]
    was = str(label.state) if label else ""
    becomes = Label.State.SUBMITTED.value if is_submitted or was == Label.State.SUBMITTED else Label.State.DRAFT.value
    if was != becomes:
        found.append(Difference("state", was, becomes))
    return tuple(found)


def _shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)

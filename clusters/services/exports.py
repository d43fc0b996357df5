"""Exports: which tables there are, asking a worker for a file, and the signed links that lead to it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.models import User as Person
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.core.signing import BadSignature, SignatureExpired, TimestampSigner
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils import timezone

from clusters.forms.exports import chosen_clusterings, unknown_conditions
from clusters.forms.finder import asked_of
from clusters.models import Export, Run
from clusters.queries import exports as tables
from clusters.queries.access import User, is_admin, visible_runs
from clusters.queries.finder.columns import Columns
from clusters.queries.finder.search import search
from clusters.queries.missing import Missing
from clusters.services.audit import record
from clusters.services.locks import lock_person
from clusters.values.tables import Table
from compute.jobs import kinds
from compute.jobs.queue import JobStateError, cancel
from compute.models import Job

JOB_KIND = "export"
MOST_LIVE = 5
Kind = Export.Kind
Format = Export.Format
TEXTS = (Format.CSV, Format.JSONL)
FORMATS: Mapping[str, tuple[Export.Format, ...]] = {
    **dict.fromkeys((kind for kind in Kind.values if kind != Kind.ARCHIVE), (*TEXTS, Format.PARQUET)),
    Kind.ARCHIVE: (Format.TAR,),
}
_signer = TimestampSigner(salt="clusters.exports")


class LinkExpired(Exception):  # noqa: N818  (reads as what happened)
    """The link was good once; its file is gone."""


def table_of(user: User, run: Run, kind: str, query: str = "") -> Table:
    """A table of the run, narrowed by the page's query; what cannot be asked is refused."""
    asked = QueryDict(query)
    if kind in (Kind.CLUSTERS, Kind.MEMBERSHIPS, Kind.CLUSTERED):
        clusterings = chosen_clusterings(asked, tables.clusterings_of(run))
        if kind == Kind.CLUSTERS:
            return tables.clusters_table(run, clusterings)
        if kind == Kind.MEMBERSHIPS:
            return tables.memberships_table(run, clusterings)
        return tables.clustered_table(_columns(run), clusterings)
    if kind == Kind.TOKENS:
        columns = _columns(run)
        conditions = asked_of(asked, columns.offer)
        if unknown := unknown_conditions(asked, conditions, columns.offer):
            raise BadRequest(f"The finder has no such condition here: {', '.join(unknown)[:200]}.")
        return tables.tokens_table(columns, search(columns, conditions.criteria), conditions.shapes)
    if kind == Kind.LABELS:
        return tables.labels_table(user, run)
    raise Missing(f"There is no table “{kind[:40]}”", f"There are {', '.join(table_kinds())}.")


def table_kinds() -> list[str]:
    return [kind for kind in Kind.values if kind != Kind.ARCHIVE]


def start_export(user: User, run: Run, kind: str, form: str, query: str = "") -> Export:
    """Have a worker write a file. At most five of one person's are kept at a time."""
    if not user.is_authenticated:
        raise PermissionDenied("Sign in to have a file made; tables can be downloaded at once without.")
    if not visible_runs(user).filter(pk=run.pk).exists():
        raise PermissionDenied("There is no such run.")
    if form not in FORMATS.get(kind, ()):
        offered = "; ".join(f"{name} as {', '.join(formats)}" for name, formats in FORMATS.items())
        raise ValidationError(f"{kind[:20] or 'Nothing'} cannot be exported as {form[:20] or 'nothing'}. {offered}.")
    if len(query) > 2000:
        raise ValidationError("The filter is longer than 2,000 characters.")
    if kind != Kind.ARCHIVE:
        table_of(user, run, kind, query)  # what cannot be asked is refused now, not by the worker
    with transaction.atomic():
        person = lock_person(user)
        if (n := live_exports(user).count()) >= MOST_LIVE:
            raise ValidationError(
                f"You have {n} exports, and {MOST_LIVE} are kept at a time. Delete one, or wait until one expires."
            )
        export = _enqueued(person, run, kind, form, query)
        record(user, "export.start", f"{run.slug} {kind}.{form}", export=export.pk)
    return export


def _enqueued(person: Person, run: Run, kind: str, form: str, query: str) -> Export:
    made: list[Export] = []

    def prepare(job: Job) -> None:
        Job.objects.filter(pk=job.pk).update(bundle_sha256=run.bundle_sha256)  # as private as the run
        made.append(Export.objects.create(job=job, run=run, kind=kind, format=form, query=query))

    name = f"{kind}.{form} of {run.name}"
    config = {"run": run.slug, "kind": kind, "format": form, "query": query}
    kinds.enqueue(
        JOB_KIND, name=name, config=config, requested_by=person, is_private=run.is_private,
        unit="bytes" if kind == Kind.ARCHIVE else "rows", asked=f"{kind} as {form}", prepare=prepare,
    )  # fmt: skip
    return made[0]


def own_exports(user: User) -> QuerySet[Export]:
    """What this person asked for and may still have. What others asked for holds what they may see, and is theirs."""
    if not user.is_authenticated:
        return Export.objects.none()
    exports = Export.objects.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
    exports = exports.filter(run__in=visible_runs(user)).select_related("job", "run")
    return exports if is_admin(user) else exports.filter(job__requested_by_id=user.pk)


def live_exports(user: User) -> QuerySet[Export]:
    """Those of the person's own that wait, are written, or lie ready."""
    own = Export.objects.filter(job__requested_by_id=user.pk)
    return own.filter(Q(job__state__in=Job.OPEN_STATES) | Q(expires_at__gt=timezone.now()))


def delete_export(user: User, export: Export) -> None:
    """Stop it where it is still being written, and delete its file; links to it lead nowhere from now on."""
    if not (is_admin(user) or export.job.requested_by_id == user.pk):
        raise PermissionDenied("Only whoever asked for an export may delete it.")
    with suppress(JobStateError):  # it may have ended
        cancel(export.job, Person.objects.get(username=user.get_username()))
    with transaction.atomic():
        record(user, "export.delete", f"{export.run.slug} {export.kind}.{export.format}", export=export.pk)
        folder = folder_of(export)
        export.delete()
    shutil.rmtree(folder, ignore_errors=True)


def folder_of(export: Export) -> Path:
    return Path(settings.EXPORT_DIR) / str(export.pk)


def file_of(export: Export) -> Path:
    return Path(settings.DATA_DIR) / export.path


def signed(export: Export) -> str:
    """What a link names the export by: whoever has it may download, signed in or not, until the export expires."""
    return _signer.sign(str(export.pk))


def opened(text: str) -> Export:
    """The export that a link leads to. Missing where the link was never one; LinkExpired where it was.

    A link opens no more than whoever asked for the file may see: it ends when the run is hidden from them, or when
    they are deactivated.
    """
    try:
        number = _signer.unsign(text, max_age=timedelta(days=settings.EXPORT_DAYS))
    except SignatureExpired:
        raise LinkExpired(_GONE) from None
    except BadSignature:
        raise Missing(
            "This is no link to an export", "Copy the whole link, or make a new one on the run’s page."
        ) from None
    export = Export.objects.select_related("run", "job__requested_by").filter(pk=int(number)).first()
    if export is None or not export.path or not export.expires_at or export.expires_at <= timezone.now():
        raise LinkExpired(_GONE)
    asker = export.job.requested_by
    if asker is not None and not asker.is_active:
        raise LinkExpired(_GONE)
    if not visible_runs(asker or AnonymousUser()).filter(pk=export.run_id).exists():  # hidden from them since
        raise LinkExpired(_GONE)
    if not file_of(export).is_file():
        raise LinkExpired(_GONE)
    return export


_GONE = "This export has expired or was deleted. Its run’s page of exports makes a new one."


def _columns(run: Run) -> Columns:
    if not tables.has_tokens(run):
        raise Missing(f"“{run.name}” came without its corpus", "Compute the run here to have its tokens.")
    return Columns(run)

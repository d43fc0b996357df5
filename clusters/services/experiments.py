"""Experiments of the laboratory: start one, read its results in, rename, hide and delete it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from django.contrib.auth.models import User as Person
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone

from clusters.display import one_line
from clusters.ingest.writing import free_slug
from clusters.models import Experiment
from clusters.queries.access import User, may_start_jobs
from clusters.queries.experiments import may_manage_experiment
from clusters.services.audit import record
from clusters.services.bundles import deleted_with
from clusters.services.jobs import NOT_RUNNER
from clusters.services.locks import lock_growth, lock_person, lock_row
from compute.bundle import Bundle, open_bundle
from compute.errors import BundleError, Cancelled
from compute.jobs import queue, quotas
from compute.labs import LABS
from compute.labs.frame import lab_of
from compute.labs.settings import LabConfig
from compute.models import Job

MAX_NAME = 120


def start_experiment(
    user: User | None,
    kind: str,
    config: LabConfig,
    *,
    name: str = "",
    preset: str = "",
    is_private: bool = False,
    priority: int = Job.Priority.NORMAL,
) -> Experiment:
    """Queue an experiment, if the person's and the site's limits leave room for it (else `QuotaError`).

    Without a person it is the site's own: whoever works on the server itself asks for it.
    """
    if user is not None and not (isinstance(user, Person) and may_start_jobs(user)):
        raise PermissionDenied(NOT_RUNNER)
    shown = _shown(name or config.name)
    made: list[Experiment] = []

    def prepare(job: Job) -> None:
        made.append(
            Experiment.objects.create(
                slug=named.name, name=shown, kind=kind, preset=preset, config=named.to_json(),
                owner=person, is_private=is_private, job=job,
            )
        )  # fmt: skip

    with transaction.atomic():
        person = None if user is None else lock_person(user)
        if person is not None:
            quotas.check_runs(person)
        named = dataclasses.replace(config, name=free_slug(shown, Experiment))
        queue.enqueue(named, person, kind=kind, is_private=is_private, priority=priority, prepare=prepare)
    return made[0]


def receive(
    path: Path | str,
    *,
    job: Job | None = None,
    name: str | None = None,
    private: bool = False,
    hold: Callable[[], None] = lambda: None,
) -> Experiment:
    """Take a finished experiment's bundle in: every hash is checked, then its row is written. Twice does no harm."""
    bundle = open_bundle(Path(path).resolve())
    if lab_of(bundle) not in LABS:
        raise BundleError(f"{bundle.path.name} holds no experiment of a lab that this site knows.")
    bundle.verify()
    with transaction.atomic():
        lock_growth(Experiment)
        found = _row_of(bundle, job)
        if found is None:
            if job is not None and Job.objects.filter(pk=job.pk).exclude(cancel_requested_at=None).exists():
                raise Cancelled("The experiment was deleted while its results were read in; they are left out.")
            shown = _shown(name or str(bundle.manifest.get("name") or "experiment"))
            slug = free_slug(shown, Experiment)
            found = Experiment(slug=slug, name=shown, kind=lab_of(bundle), is_private=private)
            if job is not None:  # the experiment was deleted, and its job resumed: it is again whose it was
                found.job, found.owner, found.is_private = job, job.requested_by, job.is_private
        if not (found.is_finished and Path(found.bundle_path).is_dir()):
            _fill(found, bundle)
        hold()
    return found


def _row_of(bundle: Bundle, job: Job | None) -> Experiment | None:
    if job is not None and (own := Experiment.objects.select_for_update(of=("self",)).filter(job=job).first()):
        return own
    return Experiment.objects.filter(bundle_sha256=bundle.sha256).first()


def _fill(experiment: Experiment, bundle: Bundle) -> None:
    experiment.config = bundle.manifest["config"]
    experiment.found = bundle.manifest["found"]
    experiment.provenance = bundle.run
    experiment.bundle_path = str(bundle.path)
    experiment.bundle_sha256 = bundle.sha256
    experiment.n_bytes = bundle.n_bytes
    experiment.finished_at = timezone.now()
    experiment.save()


def rename_experiment(user: User, experiment: Experiment, name: str) -> Experiment:
    """Give it another name; its address stays, so that links keep working."""
    _must_manage(user, experiment)
    before, experiment.name = experiment.name, _shown(name)
    with transaction.atomic():
        experiment.save(update_fields=["name"])
        record(user, "experiment.rename", experiment.slug, before=before, after=experiment.name)
    return experiment


def set_private(user: User, experiment: Experiment, is_private: bool) -> Experiment:
    """Show it and its job to its owner and to superusers only, or to everyone again."""
    _must_manage(user, experiment)
    experiment.is_private = is_private
    with transaction.atomic():
        experiment.save(update_fields=["is_private"])
        Job.objects.filter(experiment=experiment).update(is_private=is_private)
        record(user, f"experiment.{'hide' if is_private else 'publish'}", experiment.slug)
    return experiment


def delete_experiment(user: User, experiment: Experiment) -> None:
    """Remove it with its results; a job that is still at it is cancelled."""
    _must_manage(user, experiment)
    job = experiment.job
    experiment.refresh_from_db(fields=["bundle_path", "bundle_sha256"])  # it may have been finished meanwhile
    with deleted_with(experiment) as n_bytes:
        lock_row(experiment)  # before its job, as a worker that writes its results does
        record(user, "experiment.delete", experiment.slug, name=experiment.name, bytes=n_bytes)
        if job is not None and job.is_open and job.cancel_requested_at is None:
            queue.cancel(job, user if isinstance(user, Person) else None)
        Experiment.objects.filter(pk=experiment.pk).delete()


def _shown(name: str) -> str:
    shown = one_line(name)
    if not shown:
        raise ValidationError("Give the experiment a name; this one is empty.")
    if len(shown) > MAX_NAME:
        raise ValidationError(f"The name is {len(shown)} characters long; at most {MAX_NAME} fit.")
    return shown


def _must_manage(user: User, experiment: Experiment) -> None:
    if not may_manage_experiment(user, experiment):
        raise PermissionDenied(f"Only its owner or an administrator may change the experiment “{experiment.name}”.")

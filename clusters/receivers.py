"""What happens when computing ends, and after the database was migrated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.dispatch import receiver

from clusters.embedded.checker import checker
from clusters.ingest import ingest
from clusters.services.people import make_roles
from clusters.services.verification import finish, waiting_runs
from compute.errors import BundleError
from compute.jobs.signals import bundle_ready, swept
from compute.models import Job


@receiver(bundle_ready, dispatch_uid="ingest")
def ingest_bundle(sender: Any, *, job: Job, path: Path | str, **_: Any) -> None:
    """A finished job's bundle becomes a run of whoever asked for it, and is checked at once: it was just written."""
    run = ingest(path, job=job, owner=job.requested_by, private=job.is_private)
    if run.is_verifying:
        finish(run)
    if run.damage:
        raise BundleError(run.damage)  # the job keeps its working files, from which another bundle can be made


@receiver(swept, dispatch_uid="verify")
def check_waiting_runs(sender: Any, **_: Any) -> None:
    """The runner goes on with checks that were cut short, in a process of their own."""
    if waiting_runs().exists():
        checker.start()


@receiver(post_migrate, dispatch_uid="roles")
def roles(sender: AppConfig, **_: Any) -> None:
    if sender.name == "clusters":  # the last of our apps: the permissions of all exist
        make_roles()

"""What happens when computing ends, and after the database was migrated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.dispatch import receiver

from clusters.ingest import ingest
from clusters.services.people import make_roles
from compute.jobs.signals import bundle_ready
from compute.models import Job


@receiver(bundle_ready, dispatch_uid="ingest")
def ingest_bundle(sender: Any, *, job: Job, path: Path | str, **_: Any) -> None:
    """A finished job's bundle becomes a run of whoever asked for it."""
    ingest(path, job=job, owner=job.requested_by, private=job.is_private)


@receiver(post_migrate, dispatch_uid="roles")
def roles(sender: AppConfig, **_: Any) -> None:
    if sender.name == "clusters":  # the last of our apps: the permissions of all exist
        make_roles()

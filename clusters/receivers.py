"""What happens when computing ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.dispatch import receiver

from clusters.ingest import ingest
from compute.jobs.signals import bundle_ready
from compute.models import Job


@receiver(bundle_ready, dispatch_uid="ingest")
def ingest_bundle(sender: Any, *, job: Job, path: Path | str, **_: Any) -> None:
    """A finished job's bundle becomes a run of whoever asked for it."""
    ingest(path, job=job, owner=job.requested_by)

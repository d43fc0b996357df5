"""A worker that takes every job that waits, one after the other, and says of each how long it took and what it held."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantaweb.settings")

import django

django.setup()

from compute.jobs.run import run_next_shard  # noqa: E402
from compute.models import Job  # noqa: E402


def held(name: str) -> int:
    """Kilobytes, as the system says: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    while (job := Job.objects.filter(state=Job.State.QUEUED).order_by("pk").first()) is not None:
        Path("/proc/self/clear_refs").write_text("5")
        before, began = held("VmRSS"), time.monotonic()
        run_next_shard(None, worker="hostile:1")
        job.refresh_from_db()
        facts = {"job": job.pk, "state": job.state, "seconds": time.monotonic() - began, "error": job.error}
        print(json.dumps(facts | {"megabytes": (held("VmHWM") - before) / 1024}), flush=True)

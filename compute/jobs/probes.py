"""Probes: a text that is pasted, answered by a worker as any other job. The text stays in its row, never in a log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from compute.bundle import open_bundle
from compute.config import RunConfig
from compute.errors import BundleError
from compute.jobs import kinds, places
from compute.jobs.wake import device
from compute.models import Job, Probe

if TYPE_CHECKING:
    from django.contrib.auth.models import User

KIND = "probe"
MAX_CHARACTERS = 20_000


def enqueue(
    config: RunConfig,
    *,
    bundle: Path,
    bundle_sha256: str,
    text: str,
    chosen: list[int],
    requested_by: User | None,
    is_private: bool,
) -> Job:
    """Write a job of one shard; workers hear of it after the commit."""
    return kinds.enqueue(
        KIND,
        name=f"probe of {config.name}",
        config=config.to_json(),
        requested_by=requested_by,
        is_private=is_private,
        asked=f"a text of {len(text):,} characters",
        prepare=lambda job: Probe.objects.create(
            job=job, bundle_path=str(bundle), bundle_sha256=bundle_sha256, text=text, chosen=chosen
        ),
    )


def work(job: Job, report: Callable[[int, int], None]) -> None:
    """Answer; doing it twice does no harm."""
    from compute.steps.probe import answer

    probe = Probe.objects.get(job=job)
    path = places.bundle_here(probe.bundle_path, probe.bundle_sha256, lambda: report(0, 1))
    bundle = open_bundle(path)
    if bundle.sha256 != probe.bundle_sha256:
        raise BundleError(f"{bundle.path.name} is another bundle than the one that was asked about; ask again.")
    found = answer(bundle, RunConfig.from_json(job.config), probe.text, probe.chosen, device=device(), report=report)
    Probe.objects.filter(job=job).update(facts=found.facts, cosines=found.cosines.tobytes())


kinds.register(KIND, work, on_device=True)

"""A worker at work beside the site: it computes without end, nice 10, and keeps its lease with heartbeats."""

from __future__ import annotations

import os

import django


def main() -> None:
    django.setup()
    from compute.errors import Cancelled
    from compute.jobs.keeper import Keeper
    from compute.jobs.lease import claim
    from compute.models import Job, Shard

    os.nice(10)
    job = Job.objects.create(name="beside the crowd", config={}, kind="load")
    Shard.objects.create(job=job, ordinal=0, phase="losses", phase_number=0, phase_ordinal=0, name="beside", n_total=1)
    lease = claim(job.pk, "load")
    if lease is None:
        raise SystemExit("The shard that the background job works on could not be claimed.")
    parent, done, total = os.getppid(), 0, 0
    with Keeper(lease, label="beside", n_total=1, why_stop=lambda: "" if os.getppid() == parent else "over") as keeper:
        try:
            while True:
                total += sum(i * i for i in range(200_000))
                done += 1
                keeper.report(done, done)
        except Cancelled:
            return


if __name__ == "__main__":
    main()

"""Work on one job in this process, to its end."""

import argparse
import signal
import sys
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from compute.jobs import identity, process, workers
from compute.models import Job, Shard

_MORE_GRACE = 5  # seconds over those after which a shard that is stuck is given back


class Command(BaseCommand):
    help = "Work on a job in this process until nothing is left to claim. Kept work is never computed again."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("job_id", type=int)
        parser.add_argument("--parent", type=int, help="end when this process is gone (the runner gives its own)")

    def handle(self, *args: Any, **options: Any) -> None:
        from compute.jobs.run import Stop, run_job

        stop = Stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._asked_to_end(stop))
        if options["parent"]:
            stop.follow(options["parent"])
            process.die_with_parent(options["parent"])
        job = Job.objects.filter(pk=options["job_id"]).first()
        if job is None:
            raise CommandError(f"There is no job {options['job_id']}.")
        service = identity.name_of(options["parent"]) if options["parent"] else identity.own_name()
        if not options["parent"]:
            workers.announce(service, "local", [job.queue])
        show = self._progress if sys.stderr.isatty() else None
        gives_way = bool(options["parent"])  # whoever asks for one job by hand gets it done
        outcome = run_job(job.pk, service=service, gives_way=gives_way, why_stop=stop.why, on_progress=show)
        if not options["parent"]:
            workers.leave(service)
        job.refresh_from_db()
        self.stdout.write(f"job {job.pk}: {outcome.value}; the job is {job.state}. {job.error}".rstrip())

    def _asked_to_end(self, stop: object) -> None:
        stop.ask()  # type: ignore[attr-defined]
        timer = threading.Timer(settings.GRACE_SECONDS + _MORE_GRACE, process.end_now)
        timer.daemon = True
        timer.start()

    def _progress(self, shard: Shard, n_done: int, n_total: int) -> None:
        end = "\n" if n_done >= n_total else ""
        self.stderr.write(f"\r\033[K{shard.phase} {shard.name}: {n_done:,} of {n_total:,}{end}", ending="")

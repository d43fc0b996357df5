"""Read a bundle into the database, then check its files."""

import argparse
import time
from typing import TextIO, cast

from django.core.management.base import BaseCommand, CommandError

from clusters.embedded.checking import CheckProgress
from clusters.ingest import ingest
from clusters.models import Membership, Run
from clusters.services.experiments import receive
from clusters.services.verification import finish
from compute.bundle import open_bundle
from compute.errors import ComputeError
from compute.labs.frame import lab_of

LATER = (
    "The run can be read, but its files are not all checked yet. The job runner goes on with that, and so does: "
    "manage.py verify"
)


class Command(BaseCommand):
    help = "Read a bundle into the database. The same bundle twice is one run."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("bundle", metavar="BUNDLE", help="a folder that holds a manifest.json")
        parser.add_argument("--name", help="what the run is called; the bundle's own name if left out")
        parser.add_argument("--private", action="store_true", help="show it to administrators only")

    def handle(self, *args: object, bundle: str, name: str | None, private: bool, **options: object) -> None:
        before, since = Run.objects.count(), time.monotonic()
        try:
            if lab_of(open_bundle(bundle)):
                self._receive(bundle, name=name, private=private)
                return
            run = ingest(bundle, name=name, private=private)
        except ComputeError as error:
            raise CommandError(str(error), returncode=2) from error
        is_new = Run.objects.count() > before
        if is_new:
            self._say_what_there_is(run, time.monotonic() - since)
        if run.is_verifying:
            self._check(run)
        if not is_new:
            self.stdout.write(f"{run.name} was read in before and is unchanged: /runs/{run.slug}/")

    def _receive(self, bundle: str, *, name: str | None, private: bool) -> None:
        experiment = receive(bundle, name=name, private=private)
        self.stdout.write(f"{experiment.name}: {experiment.get_kind_display()}, at {experiment.get_absolute_url()}")

    def _say_what_there_is(self, run: Run, seconds: float) -> None:
        n_members = Membership.objects.filter(cluster__clustering__run=run).count()
        self.stdout.write(
            f"{run.name}: {run.n_tokens:,} tokens, {run.clusterings.count()} clusterings, {n_members:,} memberships. "
            f"It can be read at /runs/{run.slug}/ (after {seconds:.0f} s)."
        )
        self.stdout.flush()

    def _check(self, run: Run) -> None:
        try:
            with CheckProgress(cast(TextIO, self.stdout._out)) as progress:
                was_ours = finish(run, progress.show)
        except KeyboardInterrupt:
            raise CommandError(LATER, returncode=130) from None
        if not was_ours:
            self.stdout.write("Another process checks its files.")
        elif run.damage:
            raise CommandError(run.damage, returncode=2)
        else:
            self.stdout.write("Every file is as its hash says.")

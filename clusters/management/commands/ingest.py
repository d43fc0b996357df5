"""Read a bundle into the database."""

import argparse

from django.core.management.base import BaseCommand, CommandError

from clusters.ingest import ingest
from clusters.models import Membership, Run
from compute.errors import ComputeError


class Command(BaseCommand):
    help = "Read a bundle into the database. The same bundle twice is one run."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("bundle", metavar="BUNDLE", help="a folder that holds a manifest.json")
        parser.add_argument("--name", help="what the run is called; the bundle's own name if left out")
        parser.add_argument("--private", action="store_true", help="show it to administrators only")

    def handle(self, *args: object, bundle: str, name: str | None, private: bool, **options: object) -> None:
        before = Run.objects.count()
        try:
            run = ingest(bundle, name=name, private=private)
        except ComputeError as error:
            raise CommandError(str(error), returncode=2) from error
        if Run.objects.count() == before:
            self.stdout.write(f"{run.name} was read in before and is unchanged: /runs/{run.slug}/")
            return
        n_members = Membership.objects.filter(token__run=run).count()
        self.stdout.write(
            f"{run.name}: {run.n_tokens:,} tokens, {run.clusterings.count()} clusterings, {n_members:,} memberships. "
            f"It is at /runs/{run.slug}/"
        )

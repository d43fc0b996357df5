"""Check runs' files against their hashes, and prepare what pages work out once."""

import argparse
import os
from typing import TextIO, cast

from django.core.management.base import BaseCommand, CommandError

from clusters.embedded.checking import CheckProgress
from clusters.models import Run
from clusters.services.verification import check_again, finish, waiting_runs
from clusters.stored.arrays import is_on_its_way
from compute.jobs.process import die_with_parent


class Command(BaseCommand):
    help = "Check every file of a run against its hash; without a name, of the runs that wait for it."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("runs", nargs="*", metavar="RUN", help="as in its address, /runs/RUN/")
        parser.add_argument("--parent", type=int, help="end when this process does")

    def handle(self, *args: object, runs: list[str], parent: int | None, **options: object) -> None:
        if parent is not None:
            die_with_parent(parent)
            os.nice(10)  # pages and jobs come first
        n_damaged = sum(self._is_damaged(run) for run in self._chosen(runs))
        if n_damaged and parent is None:
            raise CommandError(f"{n_damaged} of the runs checked {'is' if n_damaged == 1 else 'are'} damaged.")

    def _chosen(self, slugs: list[str]) -> list[Run]:
        if not slugs:
            return [run for run in waiting_runs() if not is_on_its_way(run)]
        found = {run.slug: run for run in Run.objects.filter(slug__in=slugs)}
        for slug in slugs:
            if slug not in found:
                raise CommandError(f"There is no run {slug!r}; its name stands in its address, /runs/<name>/.")
            if is_on_its_way(found[slug]):
                raise CommandError(f"The files of {slug} are not on this host yet; run: manage.py store sync")
            check_again(found[slug])
        return [found[slug] for slug in slugs]

    def _is_damaged(self, run: Run) -> bool:
        with CheckProgress(cast(TextIO, self.stdout._out)) as progress:
            was_ours = finish(run, progress.show)
        if not was_ours:
            self.stdout.write(f"{run.name}: another process is checking it.")
            return False
        self.stdout.write(f"{run.name}: {run.damage or 'every file is as it was.'}")
        return bool(run.damage)

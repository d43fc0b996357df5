"""Remove what nobody needs any more; the sweeper does it every day."""

import argparse
import os

from django.core.management.base import BaseCommand, CommandError

from clusters.charts.numbers import bytes_text
from clusters.services.retention import KINDS, tidy
from compute.jobs.process import die_with_parent

MOST_SHOWN = 20


class Command(BaseCommand):
    help = "Remove expired exports, old logs and working files, files that no row names, rows whose time is over."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"all, or some of: {', '.join(KINDS)}")
        parser.add_argument("--dry-run", action="store_true", help="only say what would go, and how many bytes")
        parser.add_argument("--parent", type=int, help="end when this process does")

    def handle(self, *args: object, kinds: list[str], dry_run: bool, parent: int | None, **options: object) -> None:
        if parent is not None:
            die_with_parent(parent)
            os.nice(10)  # pages and jobs come first
        try:
            found = tidy(is_dry=dry_run, kinds=kinds)
        except ValueError as error:
            raise CommandError(str(error)) from error
        for one in found:
            if one.n:
                self.stdout.write(f"{one.kind}: {one.n:,}, {bytes_text(one.n_bytes)}")
            for what in one.what[:MOST_SHOWN] if dry_run else ():
                self.stdout.write(f"    {what}")
        total = sum(one.n_bytes for one in found)
        n = sum(one.n for one in found)
        self.stdout.write(
            f"{n:,} {'thing' if n == 1 else 'things'}, {bytes_text(total)} {'would go' if dry_run else 'gone'}."
        )
        if problems := [problem for one in found for problem in one.problems]:
            raise CommandError("\n".join(problems))

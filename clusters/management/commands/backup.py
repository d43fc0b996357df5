"""Save the database, and every file that it names, by hash."""

import argparse
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from clusters.services.backup import back_up
from compute.errors import StorageError


class Command(BaseCommand):
    help = "Save the database, all bundles and uploaded texts into a folder; what is there is not copied again."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="where backups lie; on another disk")

    def handle(self, *args: object, folder: Path, **options: object) -> None:
        try:
            done = back_up(folder, report=self.stdout.write)
        except (OSError, StorageError) as error:
            raise CommandError(f"No backup was made: {error}") from error
        self.stdout.write(f"{done.path}: {done.n_rows:,} rows, {done.n_objects:,} files, {done.n_new:,} of them new")
        if done.problems:
            raise CommandError("The backup lacks what is damaged:\n" + "\n".join(done.problems))

"""Save the database, and every file that it names, by hash; with --keep, let old backups go."""

import argparse
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from clusters.services.backup import Backup, back_up
from clusters.services.backup_folder import thin
from compute.errors import StorageError


class Command(BaseCommand):
    help = "Save the database, all bundles and uploaded texts into a folder; what is there is not copied again."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="where backups lie; on another disk")
        parser.add_argument(
            "--keep", type=int, metavar="N", help="then remove older backups: N whole ones stay, with this"
        )

    def handle(self, *args: object, folder: Path, keep: int | None, **options: object) -> None:
        if keep is not None and keep < 1:
            raise CommandError("--keep takes how many backups stay, the one that is made now among them: 1 or more.")
        try:
            done = back_up(folder, report=self.stdout.write)
        except (OSError, StorageError) as error:
            raise CommandError(f"No backup was made: {error}") from error
        self.stdout.write(f"{done.path}: {done.n_rows:,} rows, {done.n_objects:,} files, {done.n_new:,} of them new")
        if done.problems:
            stays = "" if keep is None else " No older one was removed."
            raise CommandError(f"The backup lacks what is damaged.{stays}\n" + "\n".join(done.problems))
        if keep is not None:
            self._thin(done, keep)

    def _thin(self, done: Backup, keep: int) -> None:
        try:
            gone = thin(done.path, keep)
        except OSError as error:
            raise CommandError(f"The new backup is whole, but old ones could not be removed: {error}") from error
        names = f" ({', '.join(gone.backups)})" if gone.backups else ""
        files = f"{gone.n_objects:,} files that no backup names any more, {gone.n_bytes / 1e6:,.1f} MB"
        self.stdout.write(f"removed: {len(gone.backups)} older backups{names}; {gone.left or files}")

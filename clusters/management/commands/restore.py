"""Bring a backup back."""

import argparse
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from clusters.services.backup import restore, restore_bundle
from compute.errors import StorageError


class Command(BaseCommand):
    help = (
        "Bring a backup back into an empty site: its database, then every file, each checked against its hash. "
        "With --bundle, only the files of one bundle, into the site as it is."
    )
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("backup", type=Path, help="a folder that `backup` made, such as backups/20261122T140000Z")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--replace", action="store_true", help="lose what this site's database holds")
        how.add_argument(
            "--bundle", metavar="NAME", help="a run or experiment as in its address, or its bundle's folder"
        )

    def handle(self, *args: object, backup: Path, replace: bool, bundle: str | None, **options: object) -> None:
        try:
            if bundle is not None:
                place = restore_bundle(backup, bundle, report=self.stdout.write)
                self.stdout.write(
                    f"{place} is as it was saved. Restart the web server, which may have other files open."
                )
                return
            rows = restore(backup, replace=replace, report=self.stdout.write)
        except (OSError, StorageError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{sum(rows.values()):,} rows are back, as many as the backup counted. Now: manage.py migrate"
        )

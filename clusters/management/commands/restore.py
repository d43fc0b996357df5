"""Bring a backup back."""

import argparse
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from clusters.services.backup import restore
from compute.errors import StorageError


class Command(BaseCommand):
    help = "Bring a backup back into an empty site: its database, then every file, each checked against its hash."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("backup", type=Path, help="a folder that `backup` made, such as backups/20261122T140000Z")
        parser.add_argument("--replace", action="store_true", help="lose what this site's database holds")

    def handle(self, *args: object, backup: Path, replace: bool, **options: object) -> None:
        try:
            rows = restore(backup, replace=replace, report=self.stdout.write)
        except (OSError, StorageError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{sum(rows.values()):,} rows are back, as many as the backup counted. Now: manage.py migrate"
        )

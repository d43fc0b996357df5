"""The store that hosts without a common disk share results through: look after it."""

import argparse
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from clusters.services.sharing import KEEP_DAYS, exchange, find_unused, required_store, tidy
from compute.errors import ComputeError
from compute.jobs.process import die_with_parent


class Command(BaseCommand):
    help = "The artifact store: check it, send and fetch what this host and its workers lack, remove what is unused."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        actions.add_parser("check", help="write, read and remove a small object")
        sync = actions.add_parser("sync", help="send texts and bundles that lie here, fetch bundles that do not")
        sync.add_argument("--parent", type=int, help="end when this process does")
        remove = actions.add_parser("remove-unused", help="what nothing names; only counted without --really")
        remove.add_argument(
            "--days", type=float, default=KEEP_DAYS, help="and older than this, at least 2 (%(default)s)"
        )
        remove.add_argument("--really", action="store_true", help="remove it")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        try:
            if action == "check":
                self._check()
            elif action == "sync":
                self._sync(options["parent"])
            else:
                self._remove(options["days"], really=options["really"])
        except ComputeError as error:
            raise CommandError(str(error)) from error

    def _check(self) -> None:
        store = required_store()
        store.check()
        self.stdout.write(f"{store.name} can be written and read.")

    def _sync(self, parent: int | None) -> None:
        if parent is not None:
            die_with_parent(parent)
            os.nice(10)  # pages and jobs come first
        exchange(self.stdout.write, again=parent is None)  # whoever asks by hand has mended something

    def _remove(self, days: float, *, really: bool) -> None:
        store = required_store()
        found = find_unused(store, days=days)
        n = f"{len(found.objects):,} objects ({found.n_bytes / 1e9:.1f} GB) and {len(found.records):,} records"
        if really:
            tidy(store, days=days)
        self.stdout.write(f"{n} are used by nothing and older than {days:g} days"
                          f"{'; they were removed' if really else '; --really removes them'}.")  # fmt: skip

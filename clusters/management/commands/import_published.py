"""Make a run of published cluster labels, with their tokens' contexts where there are any."""

import argparse
from pathlib import Path
from typing import TextIO, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from clusters.embedded.checking import CheckProgress
from clusters.ingest import ingest
from clusters.services.verification import finish
from compute.errors import ComputeError
from compute.published import Told, build_bundle


class Command(BaseCommand):
    help = "Make a bundle of published labels and read it in. The same files twice are one run."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("labels", type=Path, metavar="LABELS", help='JSON: {"400": [labels, labels_abs], …}')
        contexts = 'JSON: {flat index: {"context": [tokens], "answer": token}, …}'
        parser.add_argument("--contexts", type=Path, metavar="FILE", help=contexts)
        parser.add_argument("--name", default=Told.name, help=f"what the run is called ({Told.name})")
        parser.add_argument("--private", action="store_true", help="show it to administrators only")

    def handle(
        self, *args: object, labels: Path, contexts: Path | None, name: str, private: bool, **options: object
    ) -> None:
        try:
            path = build_bundle(labels, contexts, Path(settings.BUNDLE_DIR), told=Told(name=name))
            run = ingest(path, name=name, private=private)
            if run.is_verifying:
                with CheckProgress(cast(TextIO, self.stdout._out)) as progress:
                    finish(run, progress.show)
        except (ComputeError, OSError) as error:
            raise CommandError(str(error), returncode=2) from error
        if run.damage:
            raise CommandError(run.damage, returncode=2)
        self.stdout.write(
            f"{run.name}: {run.n_tokens:,} tokens, {run.clusterings.count()} clusterings: /runs/{run.slug}/"
        )

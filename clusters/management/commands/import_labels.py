"""Say what a file of labels would change, and change it where that is asked for."""

import argparse
from pathlib import Path

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError

from clusters.services.import_labels import SAME, Plan, Wanted, apply_plan, plan_of
from clusters.services.imports import forget_files, start_labels

SWITCHES = {
    "as-agreed": "write them as agreed labels, not as the person's own",
    "make-tags": "make tags that are not in the vocabulary",
    "only-new": "leave labels that are there already as they are",
}


class Command(BaseCommand):
    help = "Show line by line what a CSV or JSONL file of labels would change. With --apply, change it."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--user", required=True, metavar="NAME", help="whose labels they become")
        parser.add_argument("--run", default="", help="of rows that name no run, as in its address /runs/RUN/")
        parser.add_argument("--author", default="", help="take only this one's rows")
        for name, text in SWITCHES.items():
            parser.add_argument(f"--{name}", action="store_true", help=text)
        parser.add_argument("--apply", action="store_true", help="write what is shown")

    def handle(self, *args: object, file: Path, user: str, apply: bool, **options: object) -> None:
        person = get_user_model().objects.filter(username=user, is_active=True).first()
        if person is None:
            raise CommandError(f"There is nobody called {user!r}.")
        names = ("run", "author", *(name.replace("-", "_") for name in SWITCHES))
        wanted = Wanted(**{name: options[name] for name in names})  # type: ignore[arg-type]
        try:
            with file.open("rb") as handle:
                one, _ = start_labels(person, file=handle, asked=vars(wanted))
            try:
                plan = plan_of(person, one, wanted)
                self._show(plan)
                if apply:
                    result = apply_plan(person, one, wanted, plan.fingerprint)
                    self.stdout.write(f"Written: {result['new']} new, {result['changed']} changed.")
            finally:
                forget_files(one)
                if not one.done_at:
                    one.delete()
        except OSError as error:
            raise CommandError(f"{file} cannot be read ({error.strerror}).", returncode=2) from error
        except (ValidationError, PermissionDenied) as error:
            said = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
            raise CommandError(said, returncode=2) from error

    def _show(self, plan: Plan) -> None:
        for step in plan.steps:
            if step.action != SAME:
                told = "; ".join(f"{one.name}: {one.was!r} → {one.becomes!r}" for one in step.differences)
                self.stdout.write(f"line {step.line}: {step.action}: {step.reason or told}")
        self.stdout.write(", ".join(f"{n} {action}" for action, n in plan.counts.items()))

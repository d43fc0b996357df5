"""What may be wrong on this machine, and how to mend it."""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, SystemCheckError

from clusters.embedded.startup import require_data_folder
from clusters.services.diagnosis import SITE
from clusters.services.health import Problem, broker, database, findings
from compute.errors import ComputeError
from compute.steps.provenance import code_version
from compute.suites import demo_config, expected_sha256, resolve

OLDEST = (3, 11)
GIGABYTES_NEEDED = 2.0  # the demo's bundle and its working files, with room to spare


class Command(BaseCommand):
    help = "Check what the site needs on this machine; each finding says how to mend it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--deploy", action="store_true", help="Django's own checks of a site that others reach, too"
        )

    def handle(self, *args: object, deploy: bool, **options: object) -> None:
        checks = CHECKS | ({"deployment": deployment} if deploy else {})
        found = findings(checks)
        for name, (is_good, said) in found.items():
            self.stdout.write(f"{'good    ' if is_good else 'PROBLEM '} {name}: {said}")
        n_problems = sum(not is_good for is_good, _ in found.values())
        if n_problems:
            raise CommandError(f"{n_problems} of {len(checks)} checks found something to mend.")


def deployment() -> str:
    """What `manage.py check --deploy` says."""
    try:
        call_command("check", deploy=True, fail_level="WARNING", stderr=io.StringIO(), stdout=io.StringIO())
    except SystemCheckError as error:
        said = [line.strip() for line in str(error).splitlines() if line.startswith(("?:", "HINT", "\tHINT"))]
        raise Problem(" ".join(said) or str(error)) from error
    return "Django finds nothing to mend"


def python() -> str:
    if sys.version_info < OLDEST:
        raise Problem(f"this is {sys.version.split()[0]}; install Python 3.11 or newer and make .venv again.")
    return sys.version.split()[0]


def code() -> str:
    """Which code this is: what a report of a fault names, and what workers are compared with."""
    return code_version()


def data_folder() -> str:
    try:
        require_data_folder()
    except ComputeError as error:
        raise Problem(str(error)) from error
    return f"{settings.DATA_DIR} can be written"


def disk() -> str:
    free = shutil.disk_usage(settings.DATA_DIR).free / 1e9
    if free < GIGABYTES_NEEDED:
        raise Problem(f"{free:.1f} GB are free; the demo needs {GIGABYTES_NEEDED:.0f}. Free some, or set QW_DATA_DIR.")
    return f"{free:.0f} GB free"


def weights() -> str:
    """Every file of the demo's networks is there, with the bytes it was shipped with."""
    if settings.RUNNER == "celery":
        return "left to the workers"
    try:
        checkpoints = demo_config().suite.checkpoints
    except ComputeError as error:
        raise Problem(str(error)) from error
    for ref in checkpoints:
        file = resolve(ref.path) / "model.safetensors"
        if not file.is_file():
            raise Problem(f"{ref.key} is missing; fetch the project's files again.")
        expected = expected_sha256(ref)
        if expected and hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            raise Problem(f"{ref.key} is damaged; fetch the project's files again.")
    return f"{len(checkpoints)} checkpoints whole"


def compute() -> str:
    """Without importing it: that takes seconds."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "scikit-learn"))
    except PackageNotFoundError as error:
        if settings.RUNNER == "celery":
            return "not installed here; workers compute"
        raise Problem(f"{error.name} is not installed; runs can be looked at, not computed. Run: make demo") from error


def secret() -> str:
    file = Path(settings.DATA_DIR) / "secret_key"
    if file.is_file() and file.stat().st_mode & 0o077:
        raise Problem(f"others may read {file}; run: chmod 600 {file}")
    return "kept from others"


CHECKS: dict[str, Callable[[], str]] = {
    "Python": python,
    "code": code,
    "data folder": data_folder,
    "disk": disk,
    "secret key": secret,
    "database": database,
    "computing packages": compute,
    "demo weights": weights,
    "broker": broker,
} | SITE

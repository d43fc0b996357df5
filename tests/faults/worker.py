"""`manage.py` with the fake pipeline, slowed down: `python -m tests.faults.worker run_job 3`."""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any


def use_fake_pipeline() -> None:
    from compute import pipeline
    from tests.jobs import fake

    pause = float(os.environ.get("TEST_STEP_SECONDS", "0.2"))
    if host := os.environ.get("TEST_HOST"):
        socket.gethostname = lambda: host
    if "FAKETIME_TIMESTAMP_FILE" in os.environ:  # libfaketime cannot do the system call that time.sleep uses
        time.sleep = lambda seconds: select.select([], [], [], seconds)
    pipeline.plan = fake.plan
    gate = Path(os.environ.get("TEST_GATE", "/"))  # a file that the work waits for

    def run_shard(config: Any, spec: Any, workspace: Path, *, report: Any, **given: Any) -> Path | None:
        while not gate.exists():
            report(0, fake.STEPS)
            time.sleep(0.1)
        return fake.run_shard(config, spec, workspace, report=report, pause=pause, **given)

    pipeline.run_shard = run_shard


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.faults.settings")
    import django

    django.setup()
    from compute.jobs import runner, signals

    use_fake_pipeline()
    signals.bundle_ready.receivers = []
    command = [sys.executable, "-m", "tests.faults.worker", "run_job", "--parent", str(os.getpid())]
    original = runner.Runner.__init__
    runner.Runner.__init__ = lambda self: original(self, command)
    from django.core.management import call_command

    call_command(*sys.argv[1:], skip_checks=True)


if __name__ == "__main__":
    main()

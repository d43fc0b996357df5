"""A check of a run's files that nobody finished is finished by the runner."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.databases import Site
from tests.factories import make_run


def test_the_runner_finishes_what_an_ingest_left(site: Site, tmp_path: Path) -> None:
    run = make_run(tmp_path / "bundle")
    runner = site.start("manage.py", "runner", QW_SWEEP_SECONDS="1")
    try:
        deadline = time.monotonic() + 60
        while run.is_verifying and time.monotonic() < deadline:
            time.sleep(0.2)
            run.refresh_from_db()
    finally:
        os.killpg(runner.pid, signal.SIGKILL)
        runner.wait()
    assert run.verified_at is not None, site.log()

"""The process that removes, once a day, what nobody needs any more; at most one a runner."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from django.conf import settings

from compute.jobs import process

logger = logging.getLogger(__name__)
REST_SECONDS = 3600.0  # until it is started again, where it did not come to its end


class Tidier:
    """Starts `manage.py tidy`, which ends by itself, or with the process that started it."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self._not_before = float("-inf")

    def start(self) -> None:
        """Start one, unless the last one is at work or was begun lately."""
        now = time.monotonic()
        if now < self._not_before or (self.child is not None and self.child.poll() is None):
            return
        self._not_before = now + REST_SECONDS
        command = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "tidy", "--parent", str(os.getpid())]
        try:
            with process.append_log(Path(settings.DATA_DIR) / "logs" / "tidy.log") as file:
                self.child = process.start(command, stderr=file)
        except OSError as error:
            logger.warning("what nobody needs could not be removed (%s)", error.strerror)


tidier = Tidier()

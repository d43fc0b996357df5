"""What a runner has done beside it, each in a process of its own: files are checked, sent and fetched, tidied away."""

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


class Errand:
    """Starts a command of `manage.py`, which ends by itself, or with the process that started it; at most one."""

    def __init__(self, *command: str, log: str, rest_seconds: float = 0.0) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self._command, self._log, self._rest_seconds = command, log, rest_seconds
        self._not_before = float("-inf")

    def start(self) -> None:
        """Start one, unless the last one is still at work or was begun lately."""
        now = time.monotonic()
        if now < self._not_before or (self.child is not None and self.child.poll() is None):
            return
        self._not_before = now + self._rest_seconds
        manage = str(Path(settings.BASE_DIR) / "manage.py")
        command = [sys.executable, manage, *self._command, "--parent", str(os.getpid())]
        try:
            with process.append_log(Path(settings.DATA_DIR) / "logs" / self._log) as file:
                self.child = process.start(command, stderr=file)
        except OSError as error:
            logger.warning("%s could not be started (%s)", " ".join(self._command), error.strerror)


checker = Errand("verify", log="verify.log")
exchanger = Errand("store", "sync", log="store.log")
tidier = Errand("tidy", log="tidy.log", rest_seconds=3600.0)  # where it did not come to its end

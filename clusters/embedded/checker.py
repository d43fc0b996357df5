"""The process that checks runs' files when nobody waits for it; at most one a runner."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from compute.jobs import process

logger = logging.getLogger(__name__)


class Checker:
    """Starts `manage.py verify`, which ends by itself, or with the process that started it."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start one, unless the last one is still at work."""
        if self.child is not None and self.child.poll() is None:
            return
        manage = str(Path(settings.BASE_DIR) / "manage.py")
        command = [sys.executable, manage, "verify", "--parent", str(os.getpid())]
        try:
            with process.append_log(Path(settings.DATA_DIR) / "logs" / "verify.log") as file:
                self.child = process.start(command, stderr=file)
        except OSError as error:
            logger.warning("the check of runs' files could not be started (%s)", error.strerror)


checker = Checker()

"""The process that sends and fetches what hosts without a common disk share; at most one a runner."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from compute.jobs import process

logger = logging.getLogger(__name__)


class Exchanger:
    """Starts `manage.py store sync`, which ends by itself, or with the process that started it."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start one, unless the last one is still at work."""
        if self.child is not None and self.child.poll() is None:
            return
        manage = str(Path(settings.BASE_DIR) / "manage.py")
        command = [sys.executable, manage, "store", "sync", "--parent", str(os.getpid())]
        try:
            with process.append_log(Path(settings.DATA_DIR) / "logs" / "store.log") as file:
                self.child = process.start(command, stderr=file)
        except OSError as error:
            logger.warning("what hosts share could not be sent or fetched (%s)", error.strerror)


exchanger = Exchanger()

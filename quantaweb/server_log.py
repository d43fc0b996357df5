"""gunicorn's own words, in the site's format; it keeps no log of requests, which quantaweb.requests does."""

from __future__ import annotations

import logging.config
import os
from typing import Any

from django.conf import settings
from gunicorn.glogging import Logger

from quantaweb import roles

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantaweb.settings")
os.environ[roles.VARIABLE] = "web"  # settings are read here first, and again in no process that is forked


class ServerLog(Logger):
    """What the server says of itself goes where everything else does; settings that are refused end it at once."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        logging.config.dictConfig(settings.LOGGING)
        for log in (self.error_log, self.access_log):
            log.handlers, log.propagate = [], True

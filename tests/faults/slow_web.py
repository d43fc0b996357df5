"""The site behind answers that take a while: `gunicorn tests.faults.slow_web:application`."""

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from quantaweb.wsgi import application as site


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Half of the time before the site is asked, half of it between its answer and sending that."""
    pause = float(os.environ["TEST_ANSWER_SECONDS"]) / 2
    time.sleep(pause)
    answer = b"".join(site(environ, start_response))
    time.sleep(pause)
    return [answer]

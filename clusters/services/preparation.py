"""What pages work out of a run's arrays once is made before anybody asks for it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from clusters.models import Run
from compute.errors import ComputeError

logger = logging.getLogger(__name__)
Report = Callable[[str, int, int], None]  # what is done, how much of it, of how much

# what it makes, in words, and how; each goes through `clusters.derived`, so what is there already takes no time
MAKERS: list[tuple[str, Callable[[Run], object]]] = []


def prepare(run: Run, report: Report = lambda what, done, total: None) -> None:
    """Make all that is kept of a run; what its bundle does not allow is left out, as its page will say."""
    for place, (what, make) in enumerate(MAKERS):
        report(f"preparing {what}", place, len(MAKERS))
        try:
            make(run)
        except ComputeError as error:
            logger.info("run %s: %s is not prepared (%s)", run.slug, what, error)
        except Exception:  # one page's fault must not keep the files from being checked
            logger.exception("run %s: %s could not be prepared", run.slug, what)
    if MAKERS:
        report("preparing pages", len(MAKERS), len(MAKERS))

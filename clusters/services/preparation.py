"""What pages work out of a run's arrays once is made before anybody asks for it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from clusters.models import Run
from clusters.queries.dimensions import dimensions, has_points
from clusters.queries.documents import kinds_of
from clusters.queries.dynamics import prepare as prepare_dynamics
from clusters.queries.finder.search import prepare as prepare_finder
from clusters.queries.losses import can_persist, learned
from clusters.queries.maps import prepare_maps
from clusters.queries.rank_frequency import make_rank_frequency
from clusters.queries.scaling import prepare as prepare_laws
from clusters.queries.search.examples import examples_of
from clusters.queries.search.text import make_text
from clusters.queries.selected import make_selected
from clusters.queries.similarity import make_overviews
from clusters.queries.tokens import score_quantiles
from compute.errors import ComputeError

logger = logging.getLogger(__name__)
Report = Callable[[str, int, int], None]  # what is done, how much of it, of how much

# what it makes, in words, and how; each goes through `clusters.stored.derived`, so what is there already takes no time
MAKERS: list[tuple[str, Callable[[Run], object]]] = [
    ("the clustered tokens’ curves", make_selected),
    ("the finder", prepare_finder),
    ("the text to search", make_text),
    ("examples of searches", examples_of),
    ("kinds of document", kinds_of),
    ("quantiles of scores", score_quantiles),
    ("resampled sizes", make_rank_frequency),
    ("what stays learned", lambda run: learned(run) if can_persist(run) else None),
    ("laws of scaling", prepare_laws),
    ("losses near zero", prepare_dynamics),
    ("dimensions", lambda run: dimensions(run) if has_points(run) else None),
    ("maps", prepare_maps),
    ("matrices seen from afar", make_overviews),
]


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
    report("preparing pages", len(MAKERS), len(MAKERS))

"""What happens to jobs, one line an event in the process's log: numbers and names, never what they work on."""

from __future__ import annotations

import logging

from compute.jobs.lease import Lease
from compute.models import Shard

logger = logging.getLogger(__name__)


def note(what: str, held: Lease, shard: Shard, *, error: BaseException | None = None) -> None:
    """Write one line; with an error, where it came by."""
    logger.log(
        logging.ERROR if error else logging.WARNING if what == "lost" else logging.INFO,
        "shard %s",
        what,
        exc_info=error,
        extra={
            "job_id": held.job_id,
            "shard": held.shard_id,
            "phase": shard.phase,
            "attempt": shard.attempt,
            "worker": held.worker,
        },
    )

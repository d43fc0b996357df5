"""What Django's system check says about the periods of jobs: each has to leave room for the next."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

LEAST_BEATS = 3  # heartbeats in a lease: one may be late, one may be lost


@register(Tags.compatibility)
def periods(**_: Any) -> list[CheckMessage]:
    """A lease that outlives no heartbeat would be taken from workers that are well."""
    found: list[CheckMessage] = []
    beat, lease, stuck = settings.HEARTBEAT_SECONDS, settings.LEASE_SECONDS, settings.STUCK_SECONDS
    if lease < LEAST_BEATS * beat:
        found.append(
            Error(
                f"A lease of {lease} s holds fewer than {LEAST_BEATS} heartbeats of {beat} s: shards would be taken "
                "from workers that are well.",
                hint=f"Set QW_LEASE_SECONDS to at least {LEAST_BEATS * beat}, or QW_HEARTBEAT_SECONDS to less.",
                id="compute.E001",
            )
        )
    if stuck < 2 * beat:
        found.append(
            Error(
                f"Work counts as hung after {stuck} s without a report, and is heard of only every {beat} s.",
                hint=f"Set QW_STUCK_SECONDS to at least {2 * beat}.",
                id="compute.E002",
            )
        )
    if beat > settings.STALLED_SECONDS:
        found.append(
            Error(
                f"A job is shown as stalled after {settings.STALLED_SECONDS} s, sooner than the next heartbeat "
                f"({beat} s).",
                hint=f"Set QW_STALLED_SECONDS to more than {beat}.",
                id="compute.E003",
            )
        )
    return found

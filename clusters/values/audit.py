"""What is asked of the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class AuditAsked:
    """Which deeds the audit shall show; empty fields leave none out."""

    person: str = ""
    action: str = ""
    since: date | None = None
    until: date | None = None  # that day included
    before: int | None = None  # the cursor: the number of the last event of the page before

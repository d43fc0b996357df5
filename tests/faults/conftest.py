from __future__ import annotations

from tests.databases import postgres_template, site, sqlite_template
from tests.faults.crew import crew
from tests.faults.figures import measured
from tests.postgres import postgres

__all__ = ["crew", "measured", "postgres", "postgres_template", "site", "sqlite_template"]

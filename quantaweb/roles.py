"""What this process is: a web server, the command that changes the database's shape, or anything else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

Role = Literal["web", "migrate", "command"]
VARIABLE = "QW_ROLE"  # set by quantaweb/wsgi.py alone, before settings are read
_WEB_STATEMENTS = "-c statement_timeout=15000"  # ms: no page or answer waits longer
_MIGRATION_LOCKS = "-c lock_timeout=5000"  # ms: a migration gives way to readers rather than queue before them


def current() -> Role:
    if os.environ.get(VARIABLE) == "web":
        return "web"
    if Path(sys.argv[0]).name != "manage.py" or len(sys.argv) < 2:
        return "command"
    return {"runserver": "web", "migrate": "migrate"}.get(sys.argv[1], "command")  # type: ignore[return-value]


def postgresql_options(role: Role) -> dict[str, Any]:
    """How long this process may hold up PostgreSQL; workers and other commands may take their time."""
    limits = {"web": _WEB_STATEMENTS, "migrate": _MIGRATION_LOCKS}.get(role)
    return {"options": limits} if limits else {}

"""What this process is: a web server, the command that changes the database's shape, or anything else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

Role = Literal["web", "migrate", "command"]
VARIABLE = "QW_ROLE"  # set by quantaweb/wsgi.py alone, before settings are read
_WEB_STATEMENTS = "-c statement_timeout=15000"  # ms: no page or answer waits longer
# Pages ask the same again and again, so the server plans it once a connection. Where a pooler hands connections on
# between transactions, the database's address says ?server_side_binding=false.
PREPARED: dict[str, Any] = {"server_side_binding": True, "prepare_threshold": 2}
_MIGRATION_LOCKS = "-c lock_timeout=5000"  # ms: a migration gives way to readers rather than queue before them


def current() -> Role:
    if os.environ.get(VARIABLE) == "web":
        return "web"
    if Path(sys.argv[0]).name != "manage.py" or len(sys.argv) < 2:
        return "command"
    return {"runserver": "web", "migrate": "migrate"}.get(sys.argv[1], "command")  # type: ignore[return-value]


def postgresql_options(role: Role) -> dict[str, Any]:
    """How this process asks PostgreSQL, and how long it may hold it up; workers and other commands take their time."""
    if role == "web":
        return {"options": _WEB_STATEMENTS, **PREPARED}
    return {"options": _MIGRATION_LOCKS} if role == "migrate" else {}

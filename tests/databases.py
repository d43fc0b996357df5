"""Whole databases for tests in which several processes or connections meet: real files, real commits.

`site` gives a migrated database of its own on SQLite and on PostgreSQL, and makes it Django's default for the test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dj_database_url
import pytest
from django.conf import settings
from django.db import connections

from quantaweb import roles
from tests.postgres import Server

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Site:
    """A database, a data folder, and the environment that other processes need to share them."""

    url: str
    data: Path
    periods: dict[str, str] = field(default_factory=dict)
    settings_module: str = "quantaweb.settings"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": self.settings_module,
            "QW_DATABASE_URL": self.url,
            "QW_DATA_DIR": str(self.data),
            "PYTHONPATH": str(ROOT),
            **self.periods,
        }

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a Python command in a process group of its own; what it says goes to `log` in the data folder."""
        with (self.data / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                env={**self.environment, **environment},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self) -> str:
        file = self.data / "log"
        return file.read_text() if file.exists() else ""


def database_settings(url: str) -> dict[str, Any]:
    values = dict(dj_database_url.parse(url))
    if values["ENGINE"].endswith("sqlite3"):
        own = settings.DATABASES["default"]
        values["OPTIONS"] = (dict(own.get("OPTIONS", {})) if own["ENGINE"].endswith("sqlite3") else {}) or {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA busy_timeout=20000;",
        }
    else:  # asked as pages ask it
        values["OPTIONS"] = roles.PREPARED | (values.get("OPTIONS") or {})
    return values


@contextmanager
def default_database(url: str) -> Iterator[None]:
    """Make another database Django's default, in every thread."""
    before = connections.settings["default"]
    connections["default"].close()
    del connections["default"]
    connections.settings["default"] = connections.configure_settings({"default": database_settings(url)})["default"]
    try:
        yield
    finally:
        connections["default"].close()
        del connections["default"]
        connections.settings["default"] = before


def migrate(url: str, data: Path) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"],
        env={**os.environ, "QW_DATABASE_URL": url, "QW_DATA_DIR": str(data)},
        cwd=ROOT,
        check=True,
        timeout=120,
    )


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sqlite-template")
    migrate(f"sqlite:///{folder / 'template.sqlite3'}", folder)
    return folder / "template.sqlite3"


@pytest.fixture(scope="session")
def postgres_template(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    migrate(postgres.create("qw_template"), tmp_path_factory.mktemp("postgres-template"))
    return "qw_template"


@pytest.fixture(params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any, settings: Any) -> Iterator[Site]:
    """A migrated database of the test's own on each backend, and its data folder."""
    data = tmp_path / "data"
    data.mkdir()
    settings.DATA_DIR, settings.BUNDLE_DIR = data, data / "bundles"
    settings.WORKSPACE_DIR = data / "workspaces"
    with _database(request, data) as url, django_db_blocker.unblock(), default_database(url):
        yield Site(url, data)


@contextmanager
def _database(request: pytest.FixtureRequest, data: Path) -> Iterator[str]:
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), data / "quantaweb.sqlite3")
        yield f"sqlite:///{data / 'quantaweb.sqlite3'}"
        return
    server: Server = request.getfixturevalue("postgres")
    name = f"qw_{os.getpid()}_{abs(hash(request.node.nodeid)):x}"
    url = server.create(name, template=request.getfixturevalue("postgres_template"))
    try:
        yield url
    finally:
        server.drop(name)

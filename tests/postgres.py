"""A private PostgreSQL server from Debian's binaries: a unix socket in a folder of its own, no port, no fsync."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest


class Server:
    """One running server; `create` makes databases on it."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder, self.binaries = folder, binaries
        self.account = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

    def url(self, database: str) -> str:
        return f"postgres://postgres@{quote(str(self.folder), safe='')}/{database}"

    def create(self, database: str, *, template: str = "template1") -> str:
        """Make a database and give its address."""
        self.sql(f'CREATE DATABASE "{database}" TEMPLATE "{template}" STRATEGY file_copy')
        return self.url(database)

    def drop(self, database: str) -> None:
        self.sql(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def sql(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        self._run("initdb", "-D", "data", "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
        settings = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -F -c max_connections=40"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", settings, "start")

    def stop(self, how: str = "immediate") -> None:
        self._run("pg_ctl", "-D", "data", "-m", how, "-w", "stop")

    def again(self, address: str = "") -> None:
        """Start anew, at an address of this machine too where one is given."""
        settings = f"-c listen_addresses='{address}' -c unix_socket_directories='{self.folder}'"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", f"{settings} -F -c max_connections=40", "start")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={self.account}", f"--regid={self.account}", "--init-groups", *command]
        with (self.folder / "setup.log").open("ab") as log:
            subprocess.run(command, cwd=self.folder, check=True, stdout=log, stderr=log, timeout=60)


def find_binaries() -> Path | None:
    """The newest of Debian's server versions."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


def missing() -> str:
    """Why no server can be started here; empty when one can."""
    if find_binaries() is None:
        return "PostgreSQL's server is not installed (apt-get install postgresql)"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "PostgreSQL does not run as root, and there is no setpriv to become another user"
    return ""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server for the whole session; skips, with the reason, where none is installed."""
    if reason := missing():
        pytest.skip(reason)
    binaries = find_binaries()
    assert binaries is not None
    folder = Path(tempfile.mkdtemp(prefix="qw-pg-", dir="/tmp"))
    server = Server(folder, binaries)
    if os.geteuid() == 0:
        shutil.chown(folder, server.account, server.account)
    try:
        server.start()
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)

"""The whole database of a site on PostgreSQL, saved to a file and brought back, by PostgreSQL's own programs.

pg_restore only writes the statements; this process sends them. So they share one transaction with those that first
empty the schema, and an end at any moment leaves the database as it was.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from django.db import Error, connection, transaction

from compute.errors import StorageError

PIECE = 1 << 18  # bytes of rows that are sent at once
# Statements that remove what the schema holds with all that leans on it, but for what extensions brought; sequences
# come last, since most belong to a column and are gone by then.
REMOVALS = """
    WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname = current_schema()),
    found AS (
        SELECT 'pg_class'::regclass AS catalog, oid, oid::regclass::text AS name,
            CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE'
            WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
        FROM pg_class WHERE relnamespace = (SELECT oid FROM ours) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL
        SELECT 'pg_proc'::regclass, oid, oid::regprocedure::text, 'ROUTINE'
        FROM pg_proc WHERE pronamespace = (SELECT oid FROM ours)
        UNION ALL
        SELECT 'pg_type'::regclass, pg_type.oid, pg_type.oid::regtype::text, 'TYPE'
        FROM pg_type LEFT JOIN pg_class ON pg_class.oid = typrelid
        WHERE typnamespace = (SELECT oid FROM ours) AND (typtype IN ('d', 'e', 'r') OR relkind = 'c')
    )
    SELECT format('DROP %s IF EXISTS %s CASCADE', kind, name) FROM found WHERE NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = found.catalog AND objid = found.oid AND deptype = 'e'
    ) ORDER BY kind = 'SEQUENCE', kind, name
"""


def dump(file: Path, snapshot: str) -> None:
    """Save the database as an exported snapshot sees it, in pg_dump's custom format. Raises StorageError."""
    command = ["pg_dump", "--format=custom", "--no-owner", f"--snapshot={snapshot}", f"--file={file}"]
    with _started(command, stdout=subprocess.DEVNULL):
        pass


def load(file: Path) -> None:
    """Put what a file of `dump` holds of this site's schema in the place of all that the schema holds.

    Tables that the file does not know, of a newer release, go as well. Extensions, what belongs to them, and other
    schemas stay. Raises StorageError, and then the database is as it was.
    """
    try:
        with connection.wrap_database_errors, transaction.atomic(), connection.cursor() as wrapped:
            cursor: Any = wrapped.cursor  # psycopg's own
            schema = _emptied_schema(cursor)
            command = ["pg_restore", "--no-owner", f"--schema={schema}", "--file=-", str(file)]
            with _started(command, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None  # noqa: S101 (it is a pipe)
                _execute(cursor, process.stdout)
            cursor.execute("SELECT to_regclass(quote_ident(%s) || '.django_migrations')", [schema])
            if cursor.fetchone()[0] is None:
                raise StorageError(f"The backup holds no site in schema {schema}; the database is as it was.")
    except Error as error:
        said = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise StorageError(f"PostgreSQL did not take the backup, and the database is as it was: {said}") from error
    finally:
        connection.close()  # the statements set the search path and more


def _emptied_schema(cursor: Any) -> str:
    cursor.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0", prepare=False)
    cursor.execute("SELECT current_schema()")
    [schema] = cursor.fetchone()
    if schema is None:
        raise StorageError("This database has no schema to restore into; make the one that its search_path names.")
    cursor.execute(REMOVALS)
    for [statement] in cursor.fetchall():
        cursor.execute(statement, prepare=False)
    return str(schema)


def _execute(cursor: Any, script: IO[bytes]) -> None:
    """Send the statements of a script, and the rows between them to the tables that they are for."""
    pending: list[bytes] = []
    for line in script:
        if line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
            cursor.execute(b"".join(pending), prepare=False)
            pending.clear()
            with cursor.copy(line) as copy:
                for piece in _rows(script):
                    copy.write(piece)
        elif not line.startswith((b"\\restrict ", b"\\unrestrict ")):  # meant for psql
            pending.append(line)
    cursor.execute(b"".join(pending), prepare=False)


def _rows(script: IO[bytes]) -> Iterator[bytes]:
    """What follows up to the line that ends a table's rows, in pieces."""
    piece = bytearray()
    for line in script:
        if line == b"\\.\n":
            break
        piece += line
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _environment() -> dict[str, str]:
    """This process's own, with how the site reaches its database in libpq's variables.

    The server's settings for a connection (`options`) are the site's own: a backup may take its time.
    """
    from psycopg.pq import Conninfo  # sites on SQLite need none of it

    given = connection.settings_dict
    options = {name: value for name, value in given["OPTIONS"].items() if name not in ("options", "client_encoding")}
    basics = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    asked = options | {name: given[key] for name, key in basics.items() if given.get(key)}
    variables = {one.keyword.decode(): one.envvar.decode() for one in Conninfo.get_defaults() if one.envvar}
    return os.environ | {variables[name]: str(value) for name, value in asked.items() if name in variables}


@contextmanager
def _started(command: list[str], *, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    """One of PostgreSQL's own programs, working on this site's database; it must end well. Raises StorageError."""
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command, env=_environment(), stdin=subprocess.DEVNULL, stdout=stdout, stderr=said
            )
        except FileNotFoundError as error:
            raise StorageError(f"{command[0]} is not installed here; install PostgreSQL's client programs.") from error
        with process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise
            process.wait()
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise StorageError(f"{command[0]} failed: {(lines or ['no reason given'])[-1]}")

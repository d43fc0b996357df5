"""What a request is told while the database cannot be used: a sentence, and when to ask again."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError, OperationalError

from clusters.services.health import unapplied_migrations


@dataclass(frozen=True)
class Outage:
    """Why the database cannot be used now, and after how many seconds another try is worthwhile."""

    title: str
    sentence: str
    retry_seconds: int


AWAY = Outage(
    "The database cannot be reached",
    "It may be starting again. What was already saved is safe; if you just sent something, look whether it is there "
    "before you send it again.",
    5,
)
BUSY = Outage("The database is busy", "Somebody else’s change took too long. Nothing was saved by this request.", 2)
FULL = Outage(
    "The database’s disk is full",
    "Nothing was saved by this request. What was saved before can be read; whoever runs this site has to free space.",
    60,
)
UPGRADING = Outage(
    "This site is being upgraded",
    "Its database is being brought up to date. What was saved is safe; nothing was saved by this request.",
    30,
)
DAMAGED = Outage(
    "The database is damaged",
    "What it holds cannot be read. Whoever runs this site has to look at its disk, and to restore a backup.",
    60,
)
_DAMAGED = ("XX001", "XX002", "SQLITE_CORRUPT", "SQLITE_NOTADB")
_FULL = ("53100", "SQLITE_FULL")  # PostgreSQL's and SQLite's own names
_BUSY = ("55P03", "40P01", "57014", "SQLITE_BUSY", "SQLITE_LOCKED")
_UNDEFINED = ("42P01", "42703")  # a table, a column that is not there (yet)
_NO_SUCH = ("no such table", "no such column", "has no column named")  # as SQLite says it
_AWAY = ("08", "57P", "53300", "58030", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_PROTOCOL")


def outage_of(error: BaseException | None) -> Outage | None:
    """Why the database cannot be used, where this error says so; None for all that is a bug or a person's mistake."""
    if isinstance(error, DatabaseError) and _lacks_something(error) and _is_being_upgraded():
        return UPGRADING
    if isinstance(error, DatabaseError) and _name(error).startswith(_DAMAGED):
        return DAMAGED
    if not isinstance(error, (OperationalError, InterfaceError)):
        return None
    name = _name(error)
    for names, outage in ((_FULL, FULL), (_BUSY, BUSY), (_AWAY, AWAY)):
        if name.startswith(names):
            return outage
    return None if name else AWAY  # a connection that is lost or refused has no name of its own


def _lacks_something(error: DatabaseError) -> bool:
    return _name(error) in _UNDEFINED or any(words in str(error) for words in _NO_SUCH)


def _is_being_upgraded() -> bool:
    """Whether migrations are missing: else what is not there is a mistake of the code."""
    try:
        return bool(unapplied_migrations())
    except DatabaseError:
        return True


def _name(error: BaseException) -> str:
    """The database's own name for what happened; empty where it could not even say that."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorname", "SQLITE_MISUSE")
    return getattr(cause, "sqlstate", "") or ""

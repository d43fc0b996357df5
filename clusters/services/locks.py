"""Rows that are held while something about them is counted, so that two requests do not both take the last place.

PostgreSQL holds the row until the transaction ends; others may still refer to it. SQLite lets one transaction write at
a time, from its beginning on (`transaction_mode` in the settings).
"""

from __future__ import annotations

from typing import TypeVar

from django.contrib.auth.models import User as Person
from django.db import connection
from django.db.models import Model

from clusters.queries.access import User

Row = TypeVar("Row", bound=Model)


def lock_person(user: User) -> Person:
    """The person's row, held until the transaction ends."""
    return Person.objects.select_for_update(no_key=True).get(username=user.get_username())


def lock_row(row: Row) -> None:
    """Hold any row until the transaction ends; nothing happens where it is gone."""
    type(row)._default_manager.select_for_update(no_key=True).filter(pk=row.pk).first()


def lock_growth(model: type[Model]) -> None:
    """Nobody else who asks for this adds rows of the kind until the transaction ends: they can be counted."""
    if connection.vendor == "postgresql":  # SQLite's transactions wait for each other anyway
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [model._meta.db_table])

"""While workers are upgraded one by one, the previous release's code runs on the new tables: nothing may break it.

A column goes in two releases: the first no longer uses it, the second drops it. A column comes with null or with a
default that the database itself knows (`db_default`), because old code does not name it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, migrations, transaction
from django.db.migrations.loader import MigrationLoader

from tests.migrations import make_release
from tests.migrations.conftest import OF_THE_PREVIOUS, PREVIOUS, RELEASES, Upgraded

BREAKING = (
    migrations.RemoveField,
    migrations.RenameField,
    migrations.DeleteModel,
    migrations.RenameModel,
    migrations.AlterModelTable,
)
CONTRACTED: set[tuple[str, str]] = set()  # (app, migration) that drop what the previous release already left alone
WALK = Path(__file__).with_name("old_code_walk.py")


def columns_of(table: str) -> dict[str, tuple[bool, bool]]:
    """By column of the database: may it hold null, and has it a default of its own."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"PRAGMA table_info('{table}')")
            return {row[1]: (not row[3] or bool(row[5]), row[4] is not None or bool(row[5])) for row in cursor}
        cursor.execute(
            "SELECT column_name, is_nullable = 'YES', column_default IS NOT NULL OR is_identity = 'YES' "
            "FROM information_schema.columns WHERE table_name = %s",
            [table],
        )
        return {name: (is_null, has_default) for name, is_null, has_default in cursor.fetchall()}


@OF_THE_PREVIOUS
def test_no_column_of_the_previous_release_is_gone_or_stricter(upgraded: Upgraded) -> None:
    wrong = []
    for table, columns in upgraded.tables.items():
        now = columns_of(table)
        wrong += [f"{table}.{name} is gone" for name in columns if name not in now]
        wrong += [f"{table}.{name} no longer holds null" for name, null in columns.items()
                  if null and name in now and not now[name][0]]  # fmt: skip
    assert not wrong


@OF_THE_PREVIOUS
def test_every_new_column_can_be_left_out_by_old_code(upgraded: Upgraded) -> None:
    new = {f"{table}.{name}": facts for table, columns in upgraded.tables.items()
           for name, facts in columns_of(table).items() if name not in columns}  # fmt: skip
    needed = [name for name, (is_null, has_default) in new.items() if not (is_null or has_default)]
    assert not needed, f"old code does not name these: give them null=True or db_default: {needed}"


@OF_THE_PREVIOUS
def test_rows_that_old_code_writes_are_taken(upgraded: Upgraded) -> None:
    """Every row is taken out and written again with the old columns alone; nothing of that is kept."""
    n_rows = 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            for table, columns in upgraded.tables.items():
                n_rows += rewritten(cursor, table, sorted(columns))
        transaction.set_rollback(True)
    assert n_rows > 200


def rewritten(cursor: Any, table: str, columns: list[str]) -> int:
    names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join(["%s"] * len(columns))
    key = "id" if "id" in columns else columns[0]
    if connection.vendor == "postgresql":  # so that JSON comes as text, and goes as text
        shown = ", ".join(f'"{name}"::text' if is_json(table, name) else f'"{name}"' for name in columns)
        cursor.execute(f'SELECT {shown} FROM "{table}" LIMIT 20')
    else:
        cursor.execute(f'SELECT {names} FROM "{table}" LIMIT 20')
    rows = cursor.fetchall()
    for row in rows:
        cursor.execute(f'DELETE FROM "{table}" WHERE "{key}" = %s', [row[columns.index(key)]])
        cursor.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', row)
    return len(rows)


def is_json(table: str, name: str) -> bool:
    from django.apps import apps

    [model] = [model for model in apps.get_models(include_auto_created=True) if model._meta.db_table == table]
    fields = {field.column: field for field in model._meta.concrete_fields}
    return name in fields and fields[name].get_internal_type() in ("JSONField", "ManifestField")


@OF_THE_PREVIOUS
def test_migrations_after_the_release_only_add(upgraded: Upgraded) -> None:
    loader = MigrationLoader(connection)
    wrong = []
    for (app, name), migration in loader.disk_migrations.items():
        if app in upgraded.leaves and name > upgraded.leaves[app] and (app, name) not in CONTRACTED:
            wrong += [f"{app}.{name}: {one.describe()}" for one in migration.operations if isinstance(one, BREAKING)]
    assert not wrong


@pytest.mark.whole
@OF_THE_PREVIOUS
def test_the_previous_release_itself_works_on_the_new_tables(upgraded: Upgraded, tmp_path: Path, measured: Any) -> None:
    """Its own code, from git: it reads, labels, starts a job and reads a run in, beside the new code."""
    commit = (RELEASES / PREVIOUS / "COMMIT").read_text().strip()
    if subprocess.run(["git", "cat-file", "-e", commit], cwd=make_release.ROOT, capture_output=True).returncode:
        pytest.skip("the release's code is not in this copy's history")
    code = make_release.take_code(commit, tmp_path / "code")
    said = make_release.run_in(code, upgraded.data, upgraded.url, str(WALK))
    assert "done" in said
    measured(
        23, "the previous release's code on the new tables", database=connection.vendor, requests=len(said.split())
    )

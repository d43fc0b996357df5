"""An index of the words of every clustered token's context, kept right by the database itself.

SQLite: an FTS5 table that reads its text from clusters_token, with triggers; PostgreSQL: a GIN index. A later migration
that makes SQLite build clusters_token anew takes the triggers with it and has to run `make_index` again.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

SQLITE = (
    "DROP TABLE IF EXISTS clusters_token_words",
    """CREATE VIRTUAL TABLE clusters_token_words USING fts5(
        context, content='clusters_token', content_rowid='id', tokenize='unicode61 remove_diacritics 0')""",
    """CREATE TRIGGER IF NOT EXISTS clusters_token_words_insert AFTER INSERT ON clusters_token BEGIN
        INSERT INTO clusters_token_words (rowid, context) VALUES (new.id, new.context); END""",
    """CREATE TRIGGER IF NOT EXISTS clusters_token_words_delete AFTER DELETE ON clusters_token BEGIN
        INSERT INTO clusters_token_words (clusters_token_words, rowid, context)
        VALUES ('delete', old.id, old.context); END""",
    """CREATE TRIGGER IF NOT EXISTS clusters_token_words_update AFTER UPDATE OF context ON clusters_token BEGIN
        INSERT INTO clusters_token_words (clusters_token_words, rowid, context)
        VALUES ('delete', old.id, old.context);
        INSERT INTO clusters_token_words (rowid, context) VALUES (new.id, new.context); END""",
    "INSERT INTO clusters_token_words (clusters_token_words) VALUES ('rebuild')",
)
SQLITE_BACK = (
    *(f"DROP TRIGGER IF EXISTS clusters_token_words_{event}" for event in ("insert", "delete", "update")),
    "DROP TABLE IF EXISTS clusters_token_words",
)
# PostgreSQL's parser takes “os.path” for a host and “a/b” for a file: without marks, words are words
MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
WORDS = f"to_tsvector('simple', translate(context, $marks${MARKS}$marks$, '{' ' * len(MARKS)}'))"
POSTGRES = (f"CREATE INDEX IF NOT EXISTS clusters_token_words ON clusters_token USING gin ({WORDS})",)
POSTGRES_BACK = ("DROP INDEX IF EXISTS clusters_token_words",)


def make_index(apps: Any, schema_editor: Any) -> None:
    _run(schema_editor, SQLITE, POSTGRES)


def drop_index(apps: Any, schema_editor: Any) -> None:
    _run(schema_editor, SQLITE_BACK, POSTGRES_BACK)


def _run(schema_editor: Any, sqlite: tuple[str, ...], postgres: tuple[str, ...]) -> None:
    with schema_editor.connection.cursor() as cursor:
        for statement in sqlite if schema_editor.connection.vendor == "sqlite" else postgres:
            cursor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("clusters", "0004_manifest_field")]
    operations = [migrations.RunPython(make_index, drop_index)]

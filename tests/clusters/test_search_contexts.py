"""Words in the contexts of clustered tokens, by the full text of both databases."""

from __future__ import annotations

import re

import pytest
from django.core.management import call_command

from clusters.ingest import ingest
from clusters.models import Run, Token
from clusters.queries.search.contexts import excerpts, phrases, search
from clusters.values.searching import NotSearchableError, Question
from tests.databases import Site, migrate, postgres_template, site, sqlite_template  # noqa: F401  (fixtures)
from tests.factories import write_bundle
from tests.postgres import postgres  # noqa: F401  (a fixture)


@pytest.fixture
def run(site: Site, tmp_path) -> Run:  # noqa: F811
    run = ingest(write_bundle(tmp_path))
    other = ingest(write_bundle(tmp_path, seed=1, name="other"))
    Token.objects.filter(run=run, row=0).update(context="import os.path # the_cat sat; 1e5 naïve Über")
    Token.objects.filter(run=run, row=1).update(context="path then os, and a/b-c the dog sat on the dog")
    Token.objects.filter(run=other, row=0).update(context="zebra os.path")
    return run


def rows(run: Run, text: str, mode: str = "words", **more: bool) -> list[int]:
    found = search(run, Question(text, mode, "contexts", **more), seconds=60)
    assert found.n_searched == found.n_tokens
    by_key = dict(run.tokens.values_list("pk", "row"))
    return [by_key[key] for key in found.keys]


def with_words(run: Run, *words: str) -> set[int]:
    """Rows whose contexts hold all the words, in either case."""
    contexts = run.tokens.values_list("row", "context")
    return {row for row, own in contexts if set(words) <= {word.lower() for word in re.findall(r"[^\W_]+", own)}}


@pytest.mark.parametrize("words", [("the",), ("cat",), ("the", "cat"), ("return", "x"), ("path", "os"), ("über",)])
def test_words_are_found_as_python_finds_them(run, words):
    found = rows(run, " ".join(words))
    assert set(found) == with_words(run, *words)
    assert len(found) == len(set(found))


def test_signs_part_words_and_quotes_keep_them_together(run):
    assert set(rows(run, '"os path"')) == {0}
    assert set(rows(run, "os path")) == {0, 1}
    assert set(rows(run, "os.path")) == {0}
    assert set(rows(run, "THE_CAT sat")) == {0}
    assert set(rows(run, "1e5")) == {0}
    assert set(rows(run, "zebra")) == set()  # of another run


def test_the_best_match_comes_first(run):
    assert rows(run, "dog sat")[0] == 1


def test_very_many_matches_come_in_the_corpus_s_order_where_ranking_them_takes_long(run, site, monkeypatch):  # noqa: F811
    monkeypatch.setattr("clusters.queries.search.contexts.MOST_RANKED", 1)
    found = rows(run, "sat")
    assert set(found) == with_words(run, "sat")
    if site.url.startswith("postgres"):
        assert found == sorted(found)


@pytest.mark.parametrize("text", [
    'the "', '"', 'NEAR(the cat)', "the NOT cat", "the*", "^the", "the OR cat", "context:the", "a:b:*", "(the", "{the}",
    "the & | !", "'the' -- ", "%the_", "\\", "the <-> cat", "the:*", 'x"y"z', "+ - the", "⏎ the",
])  # fmt: skip
def test_no_syntax_of_a_database_is_understood(run, text):
    wanted = phrases(text)
    if not wanted:
        with pytest.raises(NotSearchableError, match="no word"):
            rows(run, text)
        return
    assert set(rows(run, text)) <= with_words(run, *(word.lower() for phrase in wanted for word in phrase.split()))


def test_exact_text_and_expressions_are_found_as_python_finds_them(run):
    contexts = dict(run.tokens.values_list("row", "context"))
    for text in ("the", "os.path # the", "dog sat on the d", "t", "script>alert(1)<", "<script>", "nowhere at all"):
        assert rows(run, text, "exact") == sorted(row for row, own in contexts.items() if text in own)
        lower = sorted(row for row, own in contexts.items() if text.lower() in own.lower())
        assert rows(run, text.upper(), "exact", ignores_case=True) == lower
    for pattern in (r"(the|cat) dog", r"^import", r"dog$", r"\bos\W", "[A-Z]ber"):
        assert rows(run, pattern, "regex") == sorted(row for row, own in contexts.items() if re.search(pattern, own))
    with pytest.raises(NotSearchableError, match="empty text"):
        rows(run, r"\b", "regex")


def test_an_excerpt_is_the_text_with_what_matches_marked(run):
    first = run.tokens.get(row=1)
    (one,) = excerpts(Question("DOG the", "words", "contexts"), [first.pk])
    assert "".join(piece for piece, _ in one.pieces) == first.context
    assert [piece for piece, is_match in one.pieces if is_match] == ["the", "dog", "the", "dog"]
    (one,) = excerpts(Question("b-c", "exact", "contexts"), [first.pk])
    assert [piece for piece, is_match in one.pieces if is_match] == ["b-c"]


def test_the_index_follows_what_is_deleted(run):
    Token.objects.filter(run=run, row=0).delete()
    assert set(rows(run, "path")) == {1}
    run.delete()
    ingest_again = Run.objects.get()
    assert len(search(ingest_again, Question("zebra", "words", "contexts"), seconds=60).keys) == 1


def test_runs_that_are_there_already_are_indexed_by_the_migration(run, site, tmp_path):  # noqa: F811
    call_command("migrate", "clusters", "0004", verbosity=0)
    Token.objects.filter(run=run, row=2).update(context="a quokka that nobody indexed")
    migrate(site.url, tmp_path)
    assert rows(run, "quokka") == [2]

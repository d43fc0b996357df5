"""Looks through the contexts of clustered tokens: words by the database's full text, the rest by expressions."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import re2
from django.db import connection

from clusters.models import Run, Token
from clusters.queries.search.expressions import expression, finds_nothing
from clusters.stored.recent import Recent
from clusters.values.searching import NotSearchableError, Question

MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"  # PostgreSQL is told that they are spaces, as in the index
AROUND = 110  # characters shown on either side of the first match
MOST_CHARS = 20_000  # of a context
MOST_RANKED = 500  # matches that PostgreSQL compares: it reads each context again for that
_CHUNK = re.compile(r'"([^"]*)"|(\S+)')
_INNER = re.compile(r"(?<=[ -/:-@\[-`{-~])[A-Za-z0-9]+(?=[ -/:-@\[-`{-~])")
_SQLITE = (
    "SELECT token.id FROM clusters_token_words JOIN clusters_token AS token ON token.id = clusters_token_words.rowid "
    "WHERE clusters_token_words MATCH %s AND token.run_id = %s "
)
_VECTOR = f"to_tsvector('simple', translate(context, %s, '{' ' * len(MARKS)}'))"
_kept: Recent[Matches] = Recent(32)


@dataclass(frozen=True)
class Matches:
    """Keys of the tokens whose contexts match, the best first; or in the corpus's order where none is better."""

    keys: Sequence[int]
    n_searched: int
    n_tokens: int


@dataclass(frozen=True)
class Excerpt:
    """Part of a context: pieces of text, every second one a match."""

    token: Token
    pieces: list[tuple[str, bool]]
    is_cut: bool


def search(run: Run, question: Question, *, seconds: float) -> Matches:
    """Every clustered token of the run whose context matches."""
    key = (run.bundle_sha256, run.pk, question)
    known = _kept.known(key)
    if known is not None:
        return known
    found = _by_words(run, question) if question.mode == "words" else _by_expression(run, question, seconds)
    return _kept.get(key, lambda: found) if found.n_searched == found.n_tokens else found


def excerpts(question: Question, keys: Sequence[int]) -> list[Excerpt]:
    """These tokens, in this order, with the text around what matches."""
    tokens = Token.objects.in_bulk(keys)
    marker = expression(question, longest=0) if question.mode != "words" else _marker(phrases(question.text))
    return [_excerpt(tokens[key], marker, is_words=question.mode == "words") for key in keys if key in tokens]


def phrases(text: str) -> list[str]:
    """What must occur, word by word: quoted words stand together; every other sign is a space."""
    chunks = (quoted or bare for quoted, bare in _CHUNK.findall(text))
    found = [" ".join(re.findall(r"[^\W_]+", chunk)) for chunk in chunks]
    return [phrase for phrase in found if phrase]


def _by_words(run: Run, question: Question) -> Matches:
    wanted = phrases(question.text)
    if not wanted:
        raise NotSearchableError(
            f"“{question.text[:40]}” holds no word. Write letters or digits, or look for it as exact text."
        )
    keys = _matching(run, wanted)
    return Matches(keys, run.n_tokens, run.n_tokens)


def _matching(run: Run, wanted: list[str]) -> list[int]:
    """Keys of the tokens with all the phrases, the best match first."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            query = " && ".join(["phraseto_tsquery('simple', %s)"] * len(wanted))
            cursor.execute(
                "WITH found AS MATERIALIZED (SELECT id, row, context FROM clusters_token "  # noqa: S608  (no input)
                f"WHERE {_VECTOR} @@ ({query}) AND run_id = %s) "
                f"SELECT id FROM found ORDER BY CASE WHEN (SELECT count(*) FROM found) <= {MOST_RANKED} "
                f"THEN ts_rank_cd({_VECTOR}, {query}) ELSE 0 END DESC, row",
                [MARKS, *wanted, run.pk, MARKS, *wanted],
            )
        else:
            match = " AND ".join(f'"{phrase}"' for phrase in wanted)
            cursor.execute(f"{_SQLITE} ORDER BY bm25(clusters_token_words), token.row", [match, run.pk])
        return [key for (key,) in cursor.fetchall()]


def _by_expression(run: Run, question: Question, seconds: float) -> Matches:
    """Contexts one by one; those without the words that exact text must bring along are not read."""
    marker, deadline = expression(question, longest=4 * MOST_CHARS), time.monotonic() + seconds
    tokens = run.tokens.order_by("row")
    inner = _INNER.findall(question.text) if question.mode == "exact" else []
    if inner:
        tokens = tokens.filter(pk__in=_matching(run, inner))
    keys: list[int] = []
    rows = tokens.values_list("pk", "context")
    for n, (key, context) in enumerate(rows.iterator(chunk_size=500)):
        if time.monotonic() > deadline:
            return Matches(keys, n, run.n_tokens)
        match = marker.search(context.encode())
        if match is not None:
            if match.start() == match.end():
                raise finds_nothing()
            keys.append(key)
    return Matches(keys, run.n_tokens, run.n_tokens)


def _marker(wanted: list[str]) -> re2._Regexp:
    """Finds the words themselves, wherever they stand; signs may stand between those of a phrase."""
    options = re2.Options()
    options.case_sensitive = options.log_errors = False
    options.never_capture = True
    joined = "|".join(r"[^\pL\pN]+".join(map(re2.escape, phrase.split())) for phrase in wanted)
    return re2.compile(joined, options)


def _excerpt(token: Token, marker: re2._Regexp, *, is_words: bool) -> Excerpt:
    raw = token.context.encode()
    spans = [match.span() for match in marker.finditer(raw) if match.start() < match.end()]
    spans = [span for span in spans if not is_words or _is_whole(raw, *span)]
    at = len(raw[: spans[0][0]].decode()) if spans else len(token.context)
    first, last = max(at - AROUND, 0), at + AROUND
    pieces, done = [], first
    for begin, end in spans[:200]:
        left, right = len(raw[:begin].decode("utf-8", "ignore")), len(raw[:end].decode("utf-8", "ignore"))
        left, right = max(left, done), min(right, last)
        if left >= right:
            continue
        pieces += [(token.context[done:left], False), (token.context[left:right], True)]
        done = right
    pieces.append((token.context[done:last], False))
    return Excerpt(token, [piece for piece in pieces if piece[0]], is_cut=first > 0)


def _is_whole(raw: bytes, begin: int, end: int) -> bool:
    """Whether no letter or digit stands right before or behind."""
    before, behind = raw[max(begin - 4, 0) : begin].decode("utf-8", "ignore"), raw[end : end + 4]
    return not before[-1:].isalnum() and not behind.decode("utf-8", "ignore")[:1].isalnum()

"""Words to begin with: what the run's own text holds most often."""

from __future__ import annotations

import re

import numpy as np

from clusters.models import Run
from clusters.queries.search.text import can_search
from clusters.stored.arrays import corpus_of, vocabulary_of
from clusters.stored.derived import derived
from clusters.values.searching import Question

MOST_TRIED = 200
_WORD = re.compile(rb" ?[A-Za-z]{2,}")


def examples_of(run: Run) -> list[Question]:
    """One question of each kind that finds something, about the commonest word that is one token."""
    if not can_search(run):
        return []
    token, following = derived(run, "search/commonest", lambda: _commonest(run)).tolist()
    raw = vocabulary_of(run).token_bytes(token)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    sequence = Question(f"{token} {following}", "sequence")
    if not text.strip() or "\0" in text:
        return [sequence]
    word = text.strip()
    found = [
        Question(word, "exact"), Question(rf"\b{re.escape(word)}\w*", "regex"),
        Question(text, "answer", is_whole=True), sequence,
    ]  # fmt: skip
    return [*found, Question(word, "words", "contexts")] if _WORD.fullmatch(raw) else found


def _commonest(run: Run) -> np.ndarray:
    """Ids of the commonest predicted word, and of the token that stands behind it most often."""
    corpus, vocabulary = corpus_of(run), vocabulary_of(run)
    is_predicted = np.ones(corpus.n_tokens, bool)
    is_predicted[corpus.offsets[:-1][corpus.lengths > 0]] = False
    counts = np.bincount(np.asarray(corpus.token_ids)[is_predicted])
    common = np.argsort(-counts, kind="stable")[:MOST_TRIED].tolist()
    words = (token for token in common if counts[token] and _WORD.fullmatch(vocabulary.token_bytes(token)))
    token = next(words, common[0])
    behind = np.flatnonzero(np.asarray(corpus.token_ids[:-1]) == token) + 1
    behind = behind[is_predicted[behind]]
    following = int(np.bincount(corpus.token_ids[behind]).argmax()) if len(behind) else token
    return np.array([token, following])

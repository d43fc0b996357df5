"""Whatever bytes a vocabulary holds, what is shown of them fits a page and a database."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusters.display import clean_text, display_text, display_tokens, one_line, token_label
from compute.numerics.vocabulary import Vocabulary

QUICK = settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
FORBIDDEN = set("\0\x85\u2028\u2029\u202e\u2066\u2067\u200b\ufeff")


@QUICK
@given(st.lists(st.binary(max_size=12), min_size=1, max_size=8), st.data())
def test_any_tokens_can_be_shown(pieces: list[bytes], data: st.DataObject) -> None:
    offsets = np.cumsum([0, *map(len, pieces)]).astype(np.int64)
    vocabulary = Vocabulary(np.frombuffer(b"".join(pieces), np.uint8), offsets)
    ids = data.draw(st.lists(st.integers(0, len(pieces) - 1), max_size=20))
    shown = display_text(vocabulary, ids)
    shown.encode()
    assert not FORBIDDEN & set(shown)
    assert len(display_tokens(vocabulary, ids)) == len(ids)
    for one in range(len(pieces)):
        assert len(token_label(vocabulary, one)) <= 200 + 40
        assert not FORBIDDEN & set(token_label(vocabulary, one))


@QUICK
@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_text_can_be_kept(text: str) -> None:
    """Halves of characters too; cleaning what is clean changes nothing."""
    kept = clean_text(text)
    kept.encode()
    assert "\0" not in kept
    assert clean_text(kept) == kept
    assert "\n" not in one_line(text)

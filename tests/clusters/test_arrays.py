"""Text is shown as it is, and nothing in it stays invisible; bundles are opened once and checked."""

from __future__ import annotations

import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusters.display import (
    _decoded_pieces,
    clean_text,
    display_text,
    display_tokens,
    lines_of,
    shortened,
    token_label,
    visible,
)
from clusters.stored import arrays
from compute.errors import BundleError
from compute.numerics.vocabulary import Vocabulary
from tests.factories import make_run


def vocabulary(*tokens: bytes) -> Vocabulary:
    offsets = np.cumsum([0, *map(len, tokens)]).astype(np.int64)
    return Vocabulary(np.frombuffer(b"".join(tokens), np.uint8), offsets)


def shown(*tokens: bytes) -> list[str]:
    return [token.text for token in display_tokens(vocabulary(*tokens), range(len(tokens)))]


def test_a_character_in_pieces_stands_on_the_token_that_completes_it() -> None:
    assert shown(b"a\xe6", b"\x97", b"\xa5b") == ["a", "", "日b"]


def test_every_piece_keeps_its_own_bytes() -> None:
    tokens = display_tokens(vocabulary(b"\xe6", b"\x97", b"\xa5"), range(3))
    assert [token.hex for token in tokens] == ["E6", "97", "A5"]


@pytest.mark.parametrize(
    ("tokens", "texts"),
    [
        ((b"\xe6", b"x"), ["\ufffd", "x"]),
        ((b"\xe6\x97", b"\xe6", b"\x97", b"\xa5"), ["\ufffd", "", "", "日"]),
        ((b"x", b"\xa5", b"y"), ["x", "\ufffd", "y"]),
        ((b"y", b"\xf0\x9f"), ["y", "\ufffd"]),
        ((b"\xff", b"\xfe"), ["\ufffd", "\ufffd"]),
        ((b"\xe6", b"", b"\x97\xa5"), ["", "", "日"]),
        ((b"\xc0\xaf",), ["\ufffd\ufffd"]),
        ((b"\xed\xa0",), ["\ufffd\ufffd"]),
        ((b"\xed\xa0", b"x"), ["\ufffd\ufffd", "x"]),
    ],
)
def test_bytes_that_are_no_text_become_one_sign_where_they_stand(tokens: tuple[bytes, ...], texts: list[str]) -> None:
    assert shown(*tokens) == texts


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=6), max_size=12))
def test_pieces_together_say_what_the_whole_says(chunks: list[bytes]) -> None:
    whole = b"".join(chunks).decode("utf-8", "replace")
    assert "".join(_decoded_pieces(chunks)) == whole


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=40))
def test_nothing_invisible_is_left(text: str) -> None:
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not [c for c in visible(text) if unicodedata.category(c) in hidden]
    clean_text(text).encode()


@pytest.mark.parametrize(
    ("raw", "picture"),
    [
        ("\n", "⏎"), ("\t", "⇥"), ("\r", "␍"), ("\0", "␀"), ("\x1b", "␛"), ("\x7f", "␡"), ("\x85", "⟨U+0085⟩"),
        ("\u202e", "⟨RLO⟩"), ("\u2066", "⟨LRI⟩"), ("\u200b", "⟨ZWSP⟩"), ("\ufeff", "⟨BOM⟩"), ("\u00ad", "⟨SHY⟩"),
        ("\ufe0f", "⟨U+FE0F⟩"), ("\U000e0041", "⟨U+E0041⟩"), ("\u3164", "⟨U+3164⟩"), ("\u00a0", "⟨U+00A0⟩"),
        ("\u2028", "⟨LS⟩"), ("\ud800", "\ufffd"), ("<b>&amp;", "<b>&amp;"), ("日 é ⏎", "日 é ⏎"),
    ],
)  # fmt: skip
def test_each_invisible_character_has_a_picture_and_all_else_stays(raw: str, picture: str) -> None:
    assert visible(raw) == picture


def test_a_pile_of_combining_marks_is_counted() -> None:
    assert visible("e" + "\u0301" * 1_000_000) == "e" + "\u0301" * 8 + "⟨+999992 marks⟩"


def test_a_mark_at_the_beginning_of_a_token_gets_a_circle_to_sit_on() -> None:
    assert shown(b"e", "\u0301x".encode()) == ["e", "◌\u0301x"]


def test_a_token_says_where_its_lines_end() -> None:
    first, second = display_tokens(vocabulary(b";\n\n  x", "⏎".encode()), range(2))
    assert (first.breaks_line, first.lines) == (True, [";⏎", "⏎", "  x"])
    assert (second.breaks_line, second.lines) == (False, ["⏎"])
    assert lines_of("") == [""]


def test_white_space_is_told_from_text() -> None:
    tokens = display_tokens(vocabulary(b"  ", b"\n\t", b" a", b""), range(4))
    assert [token.is_space for token in tokens] == [True, True, False, False]


def test_a_token_alone_writes_its_stray_bytes_in_hex() -> None:
    known = vocabulary(b"a\xe6\x97", b" the", b"")
    assert [token_label(known, i) for i in range(4)] == ["a⟨E6 97⟩", " the", "⟨id 2⟩", "⟨id 3⟩"]


def test_long_text_is_cut_with_an_ellipsis() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert token_label(vocabulary(b"x" * 300), 0, limit=200) == "x" * 199 + "…"
    assert len(display_text(vocabulary(b"x" * 300), [0] * 100, limit=1000)) == 1000


@pytest.mark.django_db
def test_a_bundle_is_opened_once(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert arrays.array_of(run, "curves/losses") is arrays.array_of(run, "curves/losses")
    assert arrays.corpus_of(run).n_predictions == run.corpus.n_predictions
    assert len(arrays.vocabulary_of(run)) == 19


@pytest.mark.django_db
def test_a_bundle_that_is_gone_is_reported_in_a_sentence(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    shutil.rmtree(run.bundle_path)
    arrays.forget_bundles()
    with pytest.raises(BundleError, match="has no manifest"):
        arrays.bundle_of(run)


@pytest.mark.django_db
def test_another_bundle_in_its_place_is_refused(tmp_path: Path) -> None:
    run, other = make_run(tmp_path / "a"), make_run(tmp_path / "b", seed=1)
    run.bundle_path = other.bundle_path
    with pytest.raises(BundleError, match="holds another bundle"):
        arrays.bundle_of(run)


def test_showing_text_needs_no_torch() -> None:
    code = "import clusters.display, sys; assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent.parent)

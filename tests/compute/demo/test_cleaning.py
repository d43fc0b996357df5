"""Cleaning: what of a file's text becomes a piece."""

from __future__ import annotations

import pytest

from compute.demo import cleaning


def long_text(n: int = 60) -> str:
    words = [a + b for a in ("alpha", "delta", "gamma", "kappa", "omega", "sigma", "theta") for b in ("", "s")]
    return "".join(f"{words[i % 14]} {words[(i * 5) % 14]} follows {words[(3 * i) % 13]} at last.\n" for i in range(n))


@pytest.mark.parametrize("address", ["jane.doe@corp.com", "jane (at) corp.com", "jane at corp dot com"])
def test_addresses_are_masked(address):
    assert cleaning.mask_emails(f"Write to {address} now") == "Write to name@example.org now"


def test_decorators_are_no_addresses():
    assert cleaning.mask_emails("@property\ndef a(self): ...") == "@property\ndef a(self): ..."


def test_legal_head_of_a_python_file_goes():
    text = "# Copyright 2020 Somebody\n# All rights reserved.\n\nimport os\n"
    assert cleaning.strip_boilerplate(text, "python") == "import os\n"


def test_plain_head_of_a_python_file_stays():
    text = "# Walks a tree.\nimport os\n"
    assert cleaning.strip_boilerplate(text, "python") == text


@pytest.mark.parametrize("head", ["/* Copyright (c) 2019 X */\n", "// SPDX-License-Identifier: MIT\n"])
def test_legal_head_of_a_header_goes(head):
    assert cleaning.strip_boilerplate(head + "#pragma once\n", "c").strip() == "#pragma once"


@pytest.mark.parametrize(
    "piece",
    [
        "0.1, 0.2, 0.3\n" * 40,
        "var a=1;" * 200,
        "the same line again\n" * 30,
        "data = '" + "QUJDREVGR0g" * 20 + "'\nx = 1\ny = 2\n",
    ],
    ids=["table", "minified", "repeated", "base64"],
)
def test_noise_is_refused(piece):
    assert cleaning.is_noise(piece)


def test_plain_text_is_no_noise():
    assert not cleaning.is_noise(cleaning.cut(long_text())[0])


def test_pieces_end_at_lines_and_keep_the_limit():
    text = long_text()
    pieces = cleaning.cut(text)
    lines = set(text.splitlines())
    assert len(pieces) > 1
    assert all(len(p) <= cleaning.MAX_CHARS and set(p.splitlines()) <= lines for p in pieces)


def test_pieces_are_spread_over_the_file():
    assert cleaning.evenly(list("abcdefghij"), 2) == ["c", "h"]


def test_copyleft_licences_are_left_out():
    text = "GNU LESSER GENERAL PUBLIC LICENSE\n" + long_text()
    assert cleaning.clean_pieces(text, "licence", 3) == []


def test_docstrings_are_found_and_dedented():
    body = "First line.\n\n    Second line.\n" + "    More words follow here.\n" * 15
    source = f'def f():\n    """{body}    """\n    x = """no docstring"""\n'
    found = cleaning.docstrings(source)
    assert len(found) == 1
    assert found[0].startswith("First line.\n\nSecond line.")


def test_translation_headers_and_obsolete_entries_are_left_out():
    text = (
        'msgid ""\nmsgstr ""\n"Project-Id-Version: x\\n"\n\n'
        '#: a.py:1\nmsgid "Please enter a number"\nmsgstr "Bitte eine Zahl eingeben"\n\n'
        '#~ msgid "Something long and old"\n#~ msgstr "Etwas Altes"\n'
    )
    entries = cleaning.po_entries(text)
    assert [e[0] for e in entries] == ['msgid "Please enter a number"']
    assert "#" not in entries[0][1]

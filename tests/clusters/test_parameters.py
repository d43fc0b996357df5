"""An address asks for a page; what it may say is written here."""

from __future__ import annotations

import pytest
from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.parameters import (
    context_view,
    integer,
    page_number,
    real_number,
    search_text,
    ungrouped,
    whole_number,
)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "abc", "٣", "1" * 40, "0x10", "1_000", " 1"])
def test_only_plain_digits_of_a_size_databases_hold_are_numbers(text):
    assert whole_number(text) is None


def test_plain_digits_are_a_number():
    assert whole_number("0042") == 42


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,500", 1500),
        ("12,345,678", 12_345_678),
        (" −1.24 ", -1.24),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("1,500.25", 1500.25),
    ],
)
def test_numbers_are_read_with_true_minus_and_with_thousands_in_groups(text, value):
    assert real_number(text) == value


@pytest.mark.parametrize(
    "text", ["1,5", "0,500", "1500,000", "12,34,567", "1,500,", "1_0", "٣", "nan", "inf", "1e400", "0x1", "", "--1"]
)
def test_decimal_commas_and_digits_of_other_scripts_make_no_number(text):
    assert real_number(text) is None
    assert integer(text) is None
    assert whole_number(ungrouped(text)) is None


@pytest.mark.parametrize(("text", "value"), [("−1,500", -1500), (" 7 ", 7), ("1" + "0" * 40, 10**40)])
def test_whole_numbers_may_be_negative_and_of_any_size(text, value):
    assert integer(text) == value


@pytest.mark.parametrize("page", ["0", "-3", "x", "9" * 41, "1e3", "\0"])
def test_a_page_that_cannot_be_is_refused_with_a_sentence(page):
    with pytest.raises(BadRequest, match="page is .*counts from 1"):
        page_number(_query(page=page))


def test_no_page_is_the_first():
    assert page_number(QueryDict("")) == 1
    assert page_number(QueryDict("page=")) == 1


def test_contexts_can_be_shown_longer_on_one_line_and_without_shade():
    view = context_view(QueryDict("reach=200&breaks=off&shade=off"))
    assert (view.n_tokens, view.breaks, view.is_shaded) == (200, False, False)


def test_what_no_database_holds_is_taken_out_of_a_search():
    assert search_text(_query(answer="a\0b\ud800c"), "answer") == "abc"


def test_a_search_is_cut_to_a_sane_length():
    assert len(search_text(_query(answer="x" * 10_000), "answer")) == 200


def _query(**values: str) -> QueryDict:
    query = QueryDict(mutable=True)
    query.update(values)
    return query

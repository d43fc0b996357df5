"""What the addresses of the cluster list and of a cluster's page may ask for."""

from __future__ import annotations

import pytest
from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.forms.clusters import SORTS, cluster_list_query, cluster_query, cursor, rank_of


def test_an_empty_address_asks_for_the_defaults():
    asked = cluster_list_query(QueryDict(""))
    assert (asked.affinity, asked.sort, asked.answer, asked.view, asked.after) == ("signed", "size", "", "grid", None)
    assert not asked.is_filtered


@pytest.mark.parametrize(
    "query",
    ["affinity=sgned", "sort=password", "sort=-rank", "view=list", "order=up", "least=-1", "most=1e3", "after=x"],
)
def test_a_cluster_list_refuses_what_it_does_not_know(query):
    with pytest.raises(BadRequest):
        cluster_list_query(QueryDict(query))


@pytest.mark.parametrize("query", ["answer=a", "text=a", "least=2", "most=2"])
def test_each_filter_makes_a_list_a_filtered_one(query):
    assert cluster_list_query(QueryDict(query)).is_filtered


@pytest.mark.parametrize(
    "query", ["reach=17", "breaks=maybe", "shade=1", "unit=bytes", "affinity=both", "members=random"]
)
def test_a_cluster_page_refuses_what_it_does_not_know(query):
    with pytest.raises(BadRequest, match="choose one of"):
        cluster_query(QueryDict(query))


@pytest.mark.parametrize("sort", SORTS)
def test_a_cursor_names_the_rank_it_was_made_of(sort):
    assert rank_of(cursor(1234, sort), sort) == 1234


def test_a_cursor_of_another_order_is_refused():
    with pytest.raises(BadRequest, match="no list sorted by size"):
        rank_of(cursor(3, "coherence"), "size")


@pytest.mark.parametrize("text", ["*", "zzz", "c2l6ZS8w", "c2l6ZS94", "ÿ", "A" * 500, "%00"])
def test_what_no_list_gave_out_is_no_cursor(text):
    with pytest.raises(BadRequest, match="More"):
        rank_of(text, "size")

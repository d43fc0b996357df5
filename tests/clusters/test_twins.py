"""Twins: JSON that every parser reads, tables that no spreadsheet runs, and full pages where they are due."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from django.test import RequestFactory

from clusters.htmx import render_page, wants_fragment
from clusters.views.twins import csv_response, finite, json_response, safe_cell
from tests.factories import make_run


def text_of(response):
    return (b"".join(response.streaming_content) if response.streaming else response.content).decode()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_that_looks_like_a_formula_becomes_text(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize(("value", "cell"), [(-1.5, -1.5), (3, 3), (None, ""), (math.nan, ""), ("plain", "plain")])
def test_numbers_stay_numbers_and_nothing_stays_empty(value, cell):
    assert safe_cell(value) == cell


def test_a_csv_survives_quotes_commas_and_line_breaks():
    response = csv_response("x.csv", ["a", "b"], [['say "hi", you', "two\nlines"]])
    assert list(csv.reader(io.StringIO(text_of(response))))[1] == ['say "hi", you', "two\nlines"]


def test_json_never_holds_what_json_has_not():
    payload = {"a": math.nan, "b": [math.inf, np.float32(1.5), np.int64(2)], "c": np.array([1.0, np.nan])}
    assert json.loads(text_of(json_response(payload))) == {"a": None, "b": [None, 1.5, 2], "c": [1.0, None]}


def test_tuples_and_nested_values_become_plain():
    assert finite({"a": ({"b": float("-inf")},)}) == {"a": [{"b": None}]}


def request(**headers):
    return RequestFactory(headers=headers).get("/")


def test_htmx_gets_a_fragment():
    assert wants_fragment(request(**{"HX-Request": "true"}))


def test_back_gets_the_full_page_though_htmx_asks():
    assert not wants_fragment(request(**{"HX-Request": "true", "HX-History-Restore-Request": "true"}))


def test_a_browser_gets_the_full_page():
    assert not wants_fragment(request())


def test_caches_are_told_that_the_answer_varies():
    response = render_page(request(), "errors/500.html", {"theme": "auto"}, fragment="_foot.html")
    assert "HX-Request" in response["Vary"]
    assert "<html" in response.content.decode()


def test_a_restored_page_is_whole_and_a_fragment_is_not():
    ctx = {"theme": "auto"}
    restored = request(**{"HX-Request": "true", "HX-History-Restore-Request": "true"})
    part = request(**{"HX-Request": "true"})
    assert "<html" in render_page(restored, "errors/500.html", ctx, fragment="_foot.html").content.decode()
    assert "<html" not in render_page(part, "errors/500.html", ctx, fragment="_foot.html").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("figure", ["mean-loss", "losses", "rank-frequency", "curve-classes"])
def test_every_figure_of_a_page_can_be_downloaded(client, tmp_path, figure):
    make_run(tmp_path)
    for twin, kind in (("svg", "image/svg+xml"), ("csv", "text/csv")):
        response = client.get(f"/runs/synthetic.{twin}", {"figure": figure})
        assert response.status_code == 200
        assert response["Content-Type"].startswith(kind)
        assert "attachment" in response["Content-Disposition"]


@pytest.mark.django_db
def test_a_figure_that_the_page_has_not_is_answered_with_those_it_has(client, tmp_path):
    make_run(tmp_path)
    response = client.get("/runs/synthetic.svg", {"figure": "none"})
    assert response.status_code == 404
    assert "mean-loss" in response.content.decode()


@pytest.mark.django_db
def test_links_to_twins_keep_what_was_chosen(client, tmp_path):
    make_run(tmp_path)
    html = client.get("/runs/synthetic/", {"k": "3"}).content.decode()
    assert 'href="/runs/synthetic.json?k=3"' in html
    assert 'href="/runs/synthetic.svg?k=3&amp;figure=losses"' in html


@pytest.mark.django_db
def test_what_is_missing_is_said_in_json_where_json_was_asked_for(client):
    response = client.get("/runs/nowhere.json")
    assert response.status_code == 404
    assert "nowhere" in response.json()["error"]["message"]

"""Marks and rows as text: nothing that comes from data can leave its place."""

from __future__ import annotations

from xml.etree import ElementTree

from clusters.charts.draw import line, marker, path, text
from clusters.charts.markup import marks_markup, rows_markup

HOSTILE = "</title><script>alert('1')</script>\"&"


def parsed(*marks):
    return ElementTree.fromstring(f"<svg>{marks_markup(marks)}</svg>")


def test_each_mark_is_its_element_with_its_numbers():
    svg = parsed(
        line("grid", 0, 1, 2.25, 3),
        text("tt m", 4, 5, "r^−1"),
        path("band", "M0 0", width=2),
        marker("dot", "fc1", 6, 7, 3.5),
    )
    assert [child.tag for child in svg] == ["line", "text", "path", "circle"]
    assert svg[0].attrib == {"class": "grid", "x1": "0", "y1": "1", "x2": "2.2", "y2": "3"}
    assert (svg[1].text, svg[1][0].text) == ("r", "−1")
    assert svg[2].get("stroke-width") == "2"
    assert svg[3].get("r") == "3.5"


def test_a_link_holds_its_mark_and_names_its_token():
    svg = parsed(marker("dot", "fc1", 0, 0, 4, "first", "/tokens/3/", "3"))
    assert svg[0].tag == "a"
    assert svg[0].attrib == {"href": "/tokens/3/", "data-token": "3"}
    assert svg[0][0].find("title").text == "first"


def test_a_token_without_a_link_is_named_by_its_mark():
    assert parsed(marker("dot", "fc1", 0, 0, 4, token="0"))[0].get("data-token") == "0"


def test_many_links_are_as_many_links():
    svg = parsed({"tag": "links", "css": "dot", "linked": [("/a/", "M0 0", "a"), ("/b/", "M1 1", HOSTILE)], "d": ""})
    assert [link.get("href") for link in svg] == ["/a/", "/b/"]
    assert svg[1][0][0].text == HOSTILE


def test_hostile_words_stay_words():
    svg = parsed(text("tt", 0, 0, HOSTILE), marker("dot", "fc1", 0, 0, 4, HOSTILE, HOSTILE, HOSTILE))
    assert svg[0].text == HOSTILE
    assert (svg[1].get("href"), svg[1].get("data-token"), svg[1][0][0].text) == (HOSTILE,) * 3
    table = ElementTree.fromstring(f"<table>{rows_markup([[HOSTILE, 1.5, None]])}</table>")
    assert [cell.text for cell in table[0]][:2] == [HOSTILE, "1.5"]

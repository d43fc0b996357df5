"""The search page: what its address says is what it shows, in pages, tables and JSON alike."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from urllib.parse import urlencode

import numpy as np
import pytest

from clusters.forms.search import cursor_text
from clusters.queries.search import corpus
from clusters.views import search as view
from tests.factories import LENGTH, N_DOCUMENTS, make_run

pytestmark = pytest.mark.django_db
PAGE = "/runs/synthetic/search/"
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def derived_beside_the_bundle(settings, tmp_path):
    settings.DERIVED_DIR = tmp_path / "derived"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def get(client, *, path: str = PAGE, status: int = 200, headers: dict[str, str] | None = None, **query: str) -> str:
    response = client.get(f"{path}?{urlencode(query)}", headers=headers or {})
    assert response.status_code == status, response.content.decode()[:500]
    return response.content.decode()


def facts(client, **query: str) -> dict:
    return json.loads(get(client, path="/runs/synthetic/search.json", **query))


def table(client, **query: str) -> list[dict[str, str]]:
    response = client.get(f"/runs/synthetic/search.csv?{urlencode(query)}")
    assert response.status_code == 200
    *lines, end = response.getvalue().decode().splitlines(keepends=True)
    assert end.startswith("# end, ")
    return list(csv.DictReader(io.StringIO("".join(lines))))


def rows(page: str) -> list[str]:
    return re.findall(r"<li( data-token=|><div class=\"ctx)", page)


def test_an_empty_search_offers_examples_that_find_something(client, run):
    shown = get(client)
    links = re.findall(r'<li><a href="([^"]+)"><bdi>', shown)
    assert len(links) == 5
    for link in links:
        assert "Marked so" in client.get(link.replace("&amp;", "&")).content.decode()


def test_pages_show_every_hit_once_and_in_order(client, run):
    listed = table(client, q="t")
    assert len(listed) > view.PAGE_SIZE
    answer, seen = facts(client, q="t"), []
    while True:
        seen += [(hit["document"], hit["first_position"], hit["last_position"]) for hit in answer["hits"]]
        assert answer["n_hits"] == len(listed)
        if answer["next"] is None:
            break
        answer = json.loads(client.get(answer["next"].replace("search.json/", "search.json")).content)
    expected = [(int(r["document"]), int(r["first_position"]), int(r["last_position"])) for r in listed]
    assert seen == expected == sorted(expected)


def test_more_hits_come_as_rows_alone_and_link_on_without_javascript(client, run):
    shown = get(client, q="t")
    link = re.search(r'hx-get="([^"]+)"', shown)[1].replace("&amp;", "&")
    more = client.get(link, headers=HTMX).content.decode()
    assert "<html" not in more
    assert more.count("<li") >= 1
    plain = client.get(link.replace("&part=rows", "")).content.decode()
    assert "Further on" in plain
    assert re.findall(r'data-token="(\d+)"', more)[:5] == re.findall(r'<li data-token="(\d+)"', plain)[:5]


def test_a_hit_is_marked_between_its_neighbours(client, tmp_path):
    ids = np.full((N_DOCUMENTS, LENGTH), 1, np.uint16)
    ids[5, 10:13] = 9, 10, 11
    make_run(tmp_path, arrays={"corpus/token_ids": ids.ravel()})
    shown = get(client, q="日")
    assert "1 place with “日”" in shown
    assert len(re.findall(r'class="t[^"]* hit[ "]', shown.partition('id="hits"')[2])) == 3
    assert 'href="/runs/synthetic/documents/5/' in shown


def test_a_first_token_is_found_though_nothing_predicts_it(client, tmp_path):
    ids = np.full((N_DOCUMENTS, LENGTH), 1, np.uint16)
    ids[3, 0] = 3
    make_run(tmp_path, arrays={"corpus/token_ids": ids.ravel()})
    assert "first token, not predicted" in get(client, q="dog")
    assert facts(client, q="dog")["hits"][0]["token"] is None
    assert facts(client, q=" dog", mode="answer", whole="yes")["n_hits"] == 0


@pytest.mark.parametrize(("query", "words"), [
    ({"q": "(", "mode": "regex"}, "missing )"), ({"q": "a" * 501}, "at most 500"), ({"q": "a\0b"}, "NUL"),
    ({"q": "zebra", "mode": "answer"}, "No token of the vocabulary"), ({"q": "x*", "mode": "regex"}, "empty text"),
    ({"q": "a b", "mode": "sequence"}, "is no token"), ({"q": "***", "in": "contexts"}, "holds no word"),
])  # fmt: skip
def test_what_cannot_be_looked_for_keeps_the_page_and_says_why(client, run, query, words):
    shown = get(client, status=400, **query)
    assert words in shown
    assert 'role="alert"' in shown
    for twin in ("json", "csv"):
        assert words in get(client, path=f"/runs/synthetic/search.{twin}", status=400, **query)


@pytest.mark.parametrize("query", [
    {"mode": "words"}, {"in": "everywhere"}, {"mode": "glob"}, {"case": "upper"}, {"whole": "1"}, {"k": "7"},
    {"after": "!"}, {"after": cursor_text((10**9, 10**9))}, {"affinity": "cosine"},
    {"in": "contexts", "mode": "sequence"},
])  # fmt: skip
def test_an_impossible_address_is_refused(client, run, query):
    get(client, status=400, **({"q": "the"} | query))


def test_nothing_to_look_for_has_no_table(client, run):
    for twin in ("json", "csv"):
        assert "q is empty" in get(client, path=f"/runs/synthetic/search.{twin}", status=400)


def test_hostile_text_is_escaped_in_question_and_answer(client, run):
    shown = get(client, q="<script>alert(1)</script>")
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    error = get(client, q="<script>alert(", mode="regex", status=400)
    assert "<script>alert" not in error


def test_a_search_that_time_cut_short_says_so_and_goes_on(client, run, monkeypatch):
    monkeypatch.setattr(view, "SECONDS", -1.0)
    monkeypatch.setattr("clusters.queries.search.text.BYTES_PER_CHUNK", 300)
    shown = get(client, q="he")
    assert f"of {N_DOCUMENTS} documents in the time there is" in shown
    assert 'rel="next"' in shown
    assert facts(client, q="he")["is_complete"] is False


def test_the_selected_token_is_marked(client, run):
    index = next(hit["token"] for hit in facts(client, q="t")["hits"] if hit["token"] is not None)
    assert f'<li data-token="{index}" class="is-on" aria-current="true">' in get(client, q="t", token=str(index))


def test_the_box_above_every_page_leads_here(client, run):
    assert f'action="{PAGE}"><label class="sr" for="find">Search the corpus</label>' in get(
        client, path="/runs/synthetic/"
    )


def test_a_page_asks_the_database_little(client, run, django_assert_max_num_queries):
    for query in ({"q": "t"}, {"q": "the", "in": "contexts"}, {"q": "t", "in": "contexts", "mode": "exact"}):
        with django_assert_max_num_queries(8):
            get(client, **query)


def test_a_run_without_text_says_so(client, tmp_path, monkeypatch):
    make_run(tmp_path)
    monkeypatch.setattr(view, "can_search", lambda run: False)
    assert "came without its corpus" in get(client)
    get(client, path="/runs/synthetic/search.json", status=404)


def test_a_table_says_in_its_last_line_what_was_not_searched(client, run, monkeypatch):
    whole = corpus.search
    monkeypatch.setattr(corpus, "search", lambda *args, **options: replace(whole(*args, **options), n_searched=5))
    text = client.get("/runs/synthetic/search.csv?q=c.t&mode=regex").getvalue().decode()
    assert "only 5 of 12 documents were searched in time" in text.splitlines()[-1]

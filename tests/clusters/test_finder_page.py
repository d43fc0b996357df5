"""The page that finds tokens: what its address says is what it shows, in pages, tables and JSON alike."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
from django.http import QueryDict

from clusters.forms.finder import Asked, address, asked_of
from clusters.queries.finder.columns import Columns
from clusters.stored.arrays import array_of
from clusters.values.finding import Bounds, Criteria, Cursor, Lasso
from tests.factories import make_run, n_predictions

pytestmark = pytest.mark.django_db
N = n_predictions()
PAGE = "/runs/synthetic/tokens/"
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def derived_beside_the_bundle(settings, tmp_path):
    settings.DERIVED_DIR = tmp_path / "derived"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def get(client, query: str = "", *, path: str = PAGE, status: int = 200, **headers: str) -> str:
    response = client.get(f"{path}?{query}" if query else path, headers=headers)
    assert response.status_code == status, response.content.decode()[:500]
    return response.content.decode()


def facts(client, query: str = "") -> dict:
    return json.loads(get(client, query, path="/runs/synthetic/tokens.json"))


def table(client, query: str = "") -> list[dict[str, str]]:
    response = client.get(f"/runs/synthetic/tokens.csv?{query}")
    assert response.status_code == 200
    *lines, end = response.getvalue().decode().splitlines(keepends=True)
    assert end.startswith("# end, ")
    return list(csv.DictReader(io.StringIO("".join(lines))))


def column(run, name: str) -> np.ndarray:
    return np.asarray(array_of(run, f"curves/{name}"))


# ── what is found ──


def test_every_prediction_is_there_without_a_filter(client, run):
    assert f'<b class="found">{N}</b> of {N} predictions' in get(client)


def test_thresholds_narrow_the_count_exactly(client, run):
    m, n_eff = column(run, "monogenicity"), column(run, "n_eff")
    expected = int(((m > 0.2) & (m < 0.9) & (n_eff < 2)).sum())
    assert 0 < expected < N
    query = "m_min=0.2&m_max=0.9&n_max=2"
    assert f'<b class="found">{expected}</b> of {N} predictions' in get(client, query)
    assert facts(client, query)["n_found"] == expected == len(table(client, query))


def test_losses_are_asked_for_in_the_unit_that_the_page_shows(client, run):
    losses = np.asarray(array_of(run, "losses/syn-10k/step1000"), np.float64)
    in_nats, in_bits = (facts(client, f"s1_min=2&unit={unit}")["n_found"] for unit in ("nats", "bits"))
    assert in_nats == (losses > 2).sum()
    assert in_bits == (losses > 2 * np.log(2)).sum() != in_nats


def test_the_other_unit_keeps_the_question(client, run):
    html = get(client, "s1_min=2")
    [href] = re.findall(r'href="(/runs/synthetic/tokens/\?[^"]*unit=bits)"', html)[:1]
    query = href.partition("?")[2].replace("&amp;", "&")
    assert "s1_min=2.88539008" in query
    assert facts(client, query)["n_found"] == facts(client, "s1_min=2")["n_found"]


def test_every_prediction_has_one_row_in_the_table(client, run):
    rows = table(client)
    assert [int(row["index"]) for row in rows] == list(range(N))
    assert rows[29]["document"] == "1"
    assert rows[29]["position"] == "1"
    assert float(rows[7]["monogenicity"]) == pytest.approx(float(column(run, "monogenicity")[7]))
    assert sum(row["is_clustered"] == "True" for row in rows) == run.n_tokens


def test_the_table_honours_facets(client, run):
    rows = table(client, "class=mixed&clustered=no")
    assert rows
    assert {row["class"] for row in rows} == {"mixed"}
    assert {row["is_clustered"] for row in rows} == {"False"}


@pytest.mark.parametrize(
    ("sort", "key", "falls"),
    [("monogenic", "monogenicity", True), ("polygenic", "monogenicity", False), ("steps", "n_eff", True),
     ("amplitude", "amplitude_bits", True), ("loss", "loss_nats syn-800k", False), ("index", "index", False)],
)  # fmt: skip
def test_the_list_can_be_sorted(client, run, sort, key, falls):
    values = [token[key] for token in facts(client, f"sort={sort}")["tokens"]]
    assert values == sorted(values, reverse=falls)


def test_the_next_pages_end_where_all_tokens_were_listed(client, run):
    listed, query = [], "class=mixed&sort=steps"
    expected = facts(client, query)["n_found"]
    while query:
        page = facts(client, query)
        listed += [token["index"] for token in page["tokens"]]
        query = (page["next"] or "").partition("?")[2]
    assert len(listed) == len(set(listed)) == expected


def test_the_clustered_tokens_are_one_facet(client, run):
    html = get(client, "clustered=yes")
    assert f'<b class="found">{run.n_tokens}</b> of {N} predictions' in html


# ── facets ──


def test_a_facets_bars_count_what_the_other_choices_leave(client, run):
    found = facts(client, "m_min=0.1&class=mixed")
    assert sum(found["facets"]["band"].values()) == found["n_found"]
    assert found["facets"]["class"]["mixed"] == found["n_found"]
    assert sum(found["facets"]["class"].values()) == (column(run, "monogenicity") > 0.1).sum()


def test_following_a_bar_finds_as_many_as_it_says(client, run):
    html = get(client, "m_min=0.1")
    bars = re.findall(r'<a id="f-[a-z]+-\d+" href="([^"]+)"[^>]*>.*?<span class="num">([\d,]+)</span>', html)
    assert len(bars) > 8
    for href, n in bars:
        query = href.partition("?")[2].replace("&amp;", "&")
        assert facts(client, query)["n_found"] == int(n.replace(",", ""))


def test_the_commonest_answers_are_counted_after_the_page(client, run):
    assert "tokens.html?m_min=0.1&amp;figure=answers" in get(client, "m_min=0.1")
    html = get(client, "m_min=0.1&figure=answers", path="/runs/synthetic/tokens.html")
    bars = re.findall(r'<a id="f-answer-\d+" href="([^"]+)"[^>]*>.*?<span class="num">([\d,]+)</span>', html)
    assert len(bars) == 10
    numbers = [int(n) for _, n in bars]
    assert numbers == sorted(numbers, reverse=True)
    for href, n in bars:
        assert facts(client, href.partition("?")[2].replace("&amp;", "&"))["n_found"] == int(n)


def test_a_chosen_bar_leads_back(client, run):
    html = get(client, "class=flat&m_min=0.1")
    assert re.search(r'<a id="f-class-1" href="/runs/synthetic/tokens/\?m_min=0.1"[^>]* aria-current="true"', html)


# ── rules ──


def test_rules_say_how_many_follow_them_and_lead_there(client, run):
    html = get(client)
    for text in ("monogenic", "polygenic", "rises", "rises, then falls", "never learned", "syn-40k"):
        [(href, n)] = re.findall(rf'class="chip" id="rule-[\d-]+" href="([^"]+)"[^>]*>{text} <b>([\d,]+)</b>', html)[:1]
        assert facts(client, href.partition("?")[2].replace("&amp;", "&"))["n_found"] == int(n)


def test_a_rule_that_is_followed_is_marked(client, run):
    assert re.search(r'class="chip on" id="rule-1-1"[^>]* aria-current="true"', get(client, "class=monogenic"))


def test_a_rule_is_the_same_rule_in_bits(client, run):
    html = get(client, "unit=bits")
    [(href, n)] = re.findall(r'href="([^"]+)"[^>]*>never learned <b>([\d,]+)</b>', html)
    followed = get(client, href.partition("?")[2].replace("&amp;", "&"))
    assert re.search(r'class="chip on" [^>]*>never learned <b>', followed)
    assert f'<b class="found">{n}</b> of {N} predictions' in followed


# ── the chart ──


def test_the_chart_is_a_request_of_its_own(client, run):
    page = get(client, "m_min=0.1")
    assert 'hx-get="/runs/synthetic/tokens.html?m_min=0.1&amp;figure=density"' in page
    assert '<svg class="chart wideonly"' not in page
    assert 'id="fig-density"' in get(client, "m_min=0.1&figure=density", path="/runs/synthetic/tokens.html")


def test_the_charts_table_counts_what_is_found(client, run):
    n_found = facts(client, "m_min=0.1")["n_found"]
    response = client.get("/runs/synthetic/tokens.csv?m_min=0.1&figure=density")
    rows = list(csv.reader(io.StringIO(response.getvalue().decode())))
    assert sum(int(row[-1]) for row in rows[1:]) == n_found


def test_the_chart_shows_thresholds_lasso_and_listed_tokens(client, run):
    html = get(client, "m_min=0.1&lasso=mn.AAAA__AA____&figure=density", path="/runs/synthetic/tokens.html")
    assert html.count('class="sact"') == 4  # thresholds and lasso, wide and narrow
    first = facts(client, "m_min=0.1&lasso=mn.AAAA__AA____")["tokens"][0]["index"]
    assert f'data-token="{first}"' in html


def test_the_other_plane_can_be_drawn(client, run):
    html = get(client, "plane=lb&figure=density", path="/runs/synthetic/tokens.html")
    assert "breakthroughness" in html


# ── fragments, and no script ──


def test_htmx_gets_the_part_that_changes(client, run):
    part = get(client, "m_min=0.1", **HTMX)
    assert part.startswith('<div id="finder"')
    assert get(client, "m_min=0.1", **HTMX, **{"HX-History-Restore-Request": "true"}).startswith("<!doctype html>")


def test_more_rows_come_alone_or_as_a_page(client, run):
    html = get(client, "sort=index")
    [href] = re.findall(r'rel="next" href="([^"#]+)#h-l"', html)
    query = href.partition("?")[2].replace("&amp;", "&")
    rows = get(client, f"{query}&part=rows", **HTMX)
    assert rows.startswith("<li")
    assert rows.count("<li data-token") == 20
    assert get(client, query).startswith("<!doctype html>")
    assert 'data-token="20"' in rows


def test_the_form_keeps_what_has_no_field(client, run):
    html = get(client, "class=mixed&band=0.1&plane=lb&lasso=mn.AAAA__AA____")
    for name, value in (("class", "mixed"), ("band", "0.1"), ("plane", "lb"), ("lasso", "mn.AAAA__AA____")):
        assert f'<input type="hidden" name="{name}" value="{value}">' in html


def test_a_selected_token_is_marked_in_the_list(client, run):
    index = facts(client)["tokens"][3]["index"]
    assert f'<li data-token="{index}" class="is-on" aria-current="true">' in get(client, f"token={index}")


def test_hostile_answers_are_shown_as_text(client, run):
    html = get(client, "answer=%3Cscript%3Ealert(1)")
    assert "<script>alert(1)" not in html
    assert "contains “&lt;script&gt;alert(1)”" in html
    assert facts(client, "answer=%3Cscript%3E")["n_found"] > 0


def test_nothing_found_says_so_and_leads_back(client, run):
    html = get(client, "m_min=5")
    assert "No prediction is like that" in html
    assert f'<b class="found">0</b> of {N} predictions' in html


# ── runs that have less ──


def test_two_sizes_are_listed_by_loss_and_the_page_says_why(client, tmp_path):
    make_run(tmp_path, networks=(("syn-10k", 10_000), ("syn-40k", 40_000)), curves=False)
    html = get(client)
    assert "A curve needs 3 sizes of network to tell one step from many, and this run has 2." in html
    losses = [token["loss_nats syn-40k"] for token in facts(client)["tokens"]]
    assert losses == sorted(losses)
    assert 'name="s2_max"' in html


def test_scores_that_are_missing_are_said_to_be(client, tmp_path):
    make_run(tmp_path, curves=False)
    assert "brought no scores of curves" in get(client)
    get(client, "m_min=0.1", status=400)


def test_a_run_without_its_corpus_says_how_tokens_would_come(client, run, monkeypatch):
    monkeypatch.setattr("clusters.views.finder.has_text", lambda run: False)
    assert "This run came without its corpus" in get(client)
    get(client, path="/runs/synthetic/tokens.json", status=404)


# ── addresses ──


@pytest.mark.parametrize(
    ("query", "says"),
    [("m_min=abc", "give a number"), ("m_min=nan", "give a number"), ("class=green", "choose of flat, monogenic"),
     ("kind=poem", "choose of python"), ("band=7", "choose of 0, 0.1"), ("clustered=perhaps", "yes or no"),
     ("s9_min=1", "is no threshold"), ("sort=colour", "choose one of"), ("plane=xy", "choose one of"),
     ("lasso=mn.AA", "3 to 64 corners"), ("lasso=" + "mn." + "AAAA" * 65, "3 to 64 corners"),
     ("after=xxxx", "follow the link"), ("answer_id=-1", "token ids count"), ("whole=perhaps", "yes")],
)  # fmt: skip
def test_an_impossible_question_is_refused_with_what_is_possible(client, run, query, says):
    assert says in get(client, query, status=400)


def test_a_cursor_belongs_to_its_order(client, run):
    following = facts(client, "sort=steps")["next"].partition("after=")[2]
    get(client, f"sort=loss&after={following}", status=400)


def test_an_address_is_read_as_it_was_written(run):
    offer = Columns(run).offer
    asked = Asked(
        criteria=Criteria(
            lasso=Lasso("lb", ((0, 1), (4095, 64), (7, 4000))), answer="a b", is_whole=True, answer_id=3,
            classes=("flat", "mixed"), kinds=("python",), bands=(0, 8), induced=False, clustered=True,
        ).with_bounds({"m": Bounds(0.5, None), "s2": Bounds(None, 0.3), "b": Bounds(-1.5, 99.0)}),
        sort="steps", plane="lb", unit="nats", after=Cursor(0.1, 17), token=5,
    )  # fmt: skip
    assert asked_of(QueryDict(address(asked, offer)), offer) == asked


def test_reads_do_not_grow_with_what_is_found(client, run, django_assert_max_num_queries):
    get(client)
    with django_assert_max_num_queries(6) as many:
        get(client)
    with django_assert_max_num_queries(6) as none:
        get(client, "m_min=5")
    assert len(many) == len(none)

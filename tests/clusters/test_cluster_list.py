"""The cluster list: filters, orders, parts that follow one another, tables, chance."""

from __future__ import annotations

import json
import re

import pytest

from clusters.charts.cluster_list import columns, ladder_ticks, sorted_note
from clusters.charts.ruler import ruler
from clusters.models import Cluster
from clusters.stored.arrays import array_of
from clusters.views import cluster_list
from compute.bundle import Bundle
from tests.factories import make_run

pytestmark = pytest.mark.django_db
LIST = "/runs/synthetic/k/6/clusters/"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def signed(run):
    return run.clusterings.get(k=6, affinity="signed")


@pytest.fixture
def short_pages(monkeypatch):
    monkeypatch.setattr(cluster_list, "A_PAGE", {"grid": 2, "table": 2})


def page(client, path: str = LIST, status: int = 200, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode()


def answered(client, **query: str) -> dict:
    return json.loads(page(client, "/runs/synthetic/k/6/clusters.json", **query))


def ranks(client, **query: str) -> list[int]:
    return [cluster["rank"] for cluster in answered(client, **query)["clusters"]]


def test_parts_follow_one_another_until_every_cluster_was_shown_once(client, signed, short_pages):
    seen, after = [], ""
    while True:
        part = answered(client, sort="coherence", after=after)
        seen += [cluster["rank"] for cluster in part["clusters"]]
        assert part["n_matches"] == 6
        after = part["next"]
        if not after:
            break
    assert sorted(seen) == [1, 2, 3, 4, 5, 6]
    assert seen == ranks(client, sort="coherence") + seen[2:]


def test_a_page_leads_on_by_a_link_that_htmx_follows_when_it_is_seen(client, signed, short_pages):
    html = page(client)
    [more] = re.findall(r'href="([^"]*)#h-l" hx-get="([^"]*)" hx-trigger="revealed, click"', html)
    assert more[0] == more[1]
    following = page(client, more[0].replace("&amp;", "&"))
    assert "From the beginning" in following
    assert f"Cluster {signed.clusters.get(rank=3).label}<" in following


def test_htmx_gets_the_next_clusters_alone(client, run, short_pages):
    after = answered(client)["next"]
    response = client.get(LIST, {"after": after}, headers={"HX-Request": "true"})
    text = response.content.decode()
    assert text.lstrip().startswith("<li")
    assert f'data-after="{after}"' in text
    assert "HX-Request" in response["Vary"]


def test_the_table_s_next_rows_are_rows(client, run, short_pages):
    after = answered(client)["next"]
    response = client.get(LIST, {"after": after, "view": "table"}, headers={"HX-Request": "true"})
    assert response.content.decode().lstrip().startswith("<tr")


def test_a_cursor_that_another_list_gave_out_is_refused(client, run, short_pages):
    after = answered(client, sort="within")["next"]
    assert "no list sorted by size" in page(client, status=400, after=after)


def test_a_cursor_after_a_cluster_that_does_not_match_is_refused(client, signed, short_pages):
    after = answered(client)["next"]
    smallest = signed.sizes[-1]
    assert "leave it out to begin" in page(client, status=400, after=after, most=str(smallest))


def test_the_number_of_matches_is_exact(client, signed):
    n = sum(size >= signed.sizes[2] for size in signed.sizes)
    html = page(client, least=str(signed.sizes[2]))
    assert f'<h2 id="h-l">{n} of 6 clusters</h2>' in html


def test_sizes_bound_the_list(client, signed):
    sizes = [cluster["size"] for cluster in answered(client, least="3", most="8")["clusters"]]
    assert sizes == [size for size in signed.sizes if 3 <= size <= 8]


def test_a_text_leaves_only_clusters_with_it_before_a_member(client, run, signed):
    wanted = "cat dog"
    rows = [token.row for token in run.tokens.all() if wanted in token.context]
    labels = set(array_of(run, "clustering/signed/k6")[rows].tolist())
    assert labels
    assert {cluster["label"] for cluster in answered(client, text=wanted)["clusters"]} == labels


def test_answer_and_text_are_asked_of_one_and_the_same_token(client, run):
    rows = [one.row for one in run.tokens.all() if "cat" in one.answer and "dog" in one.context]
    labels = set(array_of(run, "clustering/signed/k6")[rows].tolist())
    assert {cluster["label"] for cluster in answered(client, answer="cat", text="dog")["clusters"]} == labels


def test_cards_show_the_members_that_match(client, run):
    html = page(client, answer="cat")
    answers = re.findall(r'class="t[^"]*answer"[^>]*>([^<]*)<', html.split('<ol class="cards">')[1])
    assert answers
    assert all("cat" in answer for answer in answers)


def test_clusters_without_a_value_stand_last_and_that_is_said(client, signed):
    Cluster.objects.filter(clustering=signed).update(emergence_parameters=None)
    signed.clusters.filter(rank=5).update(emergence_parameters=20_000.0)
    signed.clusters.filter(rank=4).update(emergence_parameters=10_000.0)
    for order in ("usual", "reversed"):
        assert set(ranks(client, sort="emergence", order=order)[:2]) == {4, 5}
    assert ranks(client, sort="emergence")[:2] == [4, 5]
    assert "4 of 6 clusters with a mean loss that never crosses 0.5 nats over size stand last." in page(
        client, sort="emergence"
    )


@pytest.mark.parametrize("sort", ["size", "rank", "coherence", "dominant"])
def test_an_order_turned_round_is_the_other_way_round(client, run, sort):
    usual, other = ranks(client, sort=sort), ranks(client, sort=sort, order="reversed")
    if sort in ("size", "rank"):
        assert usual == other[::-1]
    assert set(usual) == set(other)


def test_the_table_s_heads_sort_and_say_which_way(client, run):
    html = page(client, view="table", sort="coherence")
    assert 'aria-sort="descending"' in html
    assert "sort=coherence&amp;order=reversed" in html.replace(
        "order=reversed&amp;sort=coherence", "sort=coherence&amp;order=reversed"
    )
    assert 'aria-sort="ascending"' in page(client, view="table", sort="coherence", order="reversed")


def test_the_table_reads_no_contexts(client, run, monkeypatch):
    monkeypatch.setattr(cluster_list, "Reader", None)
    assert page(client, view="table").count("<tr id=") == 6


def test_the_csv_holds_all_matches_whatever_the_part(client, run, short_pages):
    response = client.get("/runs/synthetic/k/6/clusters.csv", {"least": "2"})
    lines = response.getvalue().decode().splitlines()
    assert len(lines) == 1 + answered(client, least="2")["n_matches"]
    assert lines[0].endswith("emergence_step,name,tags,n_labels,is_agreed")


def test_a_random_cluster_is_one_that_matches_and_is_never_kept(client, signed):
    label = signed.clusters.get(rank=6).label
    response = client.get(LIST + "random/", {"most": str(signed.sizes[-1]), "view": "table"})
    matching = {f"{LIST}{one.label}/" for one in signed.clusters.filter(size=signed.sizes[-1])}
    assert response.status_code == 302
    assert response["Location"] in matching
    assert f"{LIST}{label}/" in matching
    assert "no-store" in response["Cache-Control"]


def test_chance_does_not_always_choose_the_same(client, run):
    assert len({client.get(LIST + "random/")["Location"] for _ in range(40)}) > 1


def test_chance_among_none_leads_to_the_empty_list(client, run):
    response = client.get(LIST + "random/", {"answer": "nowhere"}, follow=True)
    assert "No cluster matches" in response.content.decode()


def test_chance_keeps_the_affinity(client, run):
    assert client.get(LIST + "random/", {"affinity": "absolute"})["Location"].endswith("?affinity=absolute")


def test_the_ladder_is_a_slider_links_and_a_choice_without_a_script(client, run):
    html = page(client, sort="within")
    assert 'type="range" id="k-slider" min="0" max="1" step="1" value="1" aria-valuetext="k = 6"' in html
    assert 'href="/runs/synthetic/k/3/clusters/?sort=within&amp;k=3"' in html
    assert '<noscript><label class="field">Number of clusters<select name="k">' in html


def test_a_link_of_the_ladder_leads_to_that_k(client, run):
    response = client.get("/runs/synthetic/k/3/clusters/", {"sort": "within", "k": "3"})
    assert response.status_code == 200


def test_a_run_without_its_texts_lists_its_clusters_and_says_so(client, run, monkeypatch):
    has = Bundle.has
    monkeypatch.setattr(Bundle, "has", lambda self, name: not name.startswith("corpus/") and has(self, name))
    html = page(client)
    assert html.count('<li id="cluster-') == 6
    assert "came without its corpus" in html


def test_both_ends_of_a_long_ladder_and_its_own_place_are_named():
    ticks = ladder_ticks(list(range(10, 310, 10)), 150)
    named = [tick["k"] for tick in ticks if tick["css"] == ""]
    assert {10, 150, 300} <= set(named)
    assert 140 not in named
    assert [tick["k"] for tick in ticks if tick["is_on"]] == [150]


def test_the_column_in_use_says_its_direction():
    by = {column["sort"]: column["direction"] for column in columns("emergence", is_reversed=False)}
    assert by["emergence"] == "ascending"
    assert by["size"] == ""


def test_a_list_without_any_value_says_how_it_is_ordered_instead():
    assert sorted_note("monogenicity", 5, 5) == "Nothing to sort by here: no score. The clusters stand by size."
    assert sorted_note("size", 0, 5) == ""


def test_bars_too_narrow_to_see_are_one_bar_a_size():
    drawn = ruler([9, 4, *[2] * 500, *[1] * 500], None, width=300, height=64, with_note=True)
    assert drawn["bars"].count("M") == 4


def test_the_marked_bar_is_not_covered_by_its_equals():
    drawn = ruler([5] * 1000, 500, width=300, height=64, with_note=True)
    assert drawn["bars"].count("M") == 2


def test_queries_do_not_grow_with_filters_or_views(client, run, django_assert_max_num_queries):
    page(client)
    for query in ({}, {"answer": "cat", "text": "dog", "least": "1"}, {"view": "table", "sort": "emergence"}):
        with django_assert_max_num_queries(9):
            page(client, **query)

"""One cluster's page: rank, evidence, crosswalk, contexts; and what an unknown one is told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clusters.charts.cluster import bars_title, fall_window
from clusters.charts.crosswalk import NARROW, WIDE, crosswalk_drawing
from clusters.charts.ruler import ruler
from clusters.queries.cluster_ladder import crosswalk
from clusters.queries.clusters import evenly
from tests.factories import make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def cluster(run):
    return run.clusterings.get(k=6, affinity="signed").clusters.get(rank=2)


def address(cluster, *, twin: str = "/") -> str:
    return f"/runs/synthetic/k/6/clusters/{cluster.label}{twin}"


def page(client, path: str, status: int = 200, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode()


def test_rank_and_ties_are_stated(client, cluster):
    html = page(client, address(cluster))
    sizes = cluster.clustering.sizes
    n_tied = sizes.count(cluster.size) - 1
    words = {0: "no ties", 1: "tied with 1 other"}.get(n_tied, f"tied with {n_tied} others")
    assert words in html
    assert f"<dd>{cluster.rank} <small>of 6</small></dd>" in html


def test_the_ranks_beside_it_are_links_with_their_keys(client, cluster):
    html = page(client, address(cluster))
    before, after = (cluster.clustering.clusters.get(rank=rank) for rank in (1, 3))
    assert f'rel="prev" href="{address(before)}" data-key="ArrowLeft"' in html
    assert f'rel="next" href="{address(after)}" data-key="ArrowRight"' in html


def test_the_first_rank_has_no_rank_before_it(client, cluster):
    first = cluster.clustering.clusters.get(rank=1)
    assert 'rel="prev"' not in page(client, address(first))


def test_the_commonest_answers_are_counted(client, cluster):
    html = page(client, address(cluster))
    assert "Commonest answers" in html
    assert f'<td class="num">{cluster.top_answers[0][1]}</td>' in html


def test_curves_similarity_and_classes_are_figures(client, cluster):
    html = page(client, address(cluster))
    for slug in ("loss-over-parameters", "loss-over-steps", "members", "similarity", "ladder"):
        assert f'id="fig-{slug}"' in html


def test_losses_can_be_read_in_bits(client, cluster):
    assert "loss, bits" in page(client, address(cluster), unit="bits")


def test_the_answer_of_every_context_is_marked(client, cluster):
    html = page(client, address(cluster))
    assert html.count('class="t answer" tabindex="-1"') == html.count('<li id="c-')


def test_corpus_text_stands_in_isolation_and_out_of_htmx_s_reach(client, cluster):
    html = page(client, address(cluster))
    assert html.count('<div class="ctx" tabindex="0" hx-disable><bdi dir="auto">') == html.count('class="ctx"')


def test_hostile_corpus_text_is_drawn_as_text(client, run):
    shown = "".join(page(client, f"/runs/synthetic/k/3/clusters/{label}/", reach="200") for label in range(3))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script>alert" not in shown
    assert not set("\u202e\u200b\x00\x85") & set(shown)


def test_longer_contexts_hold_more_tokens(client, cluster):
    short = page(client, address(cluster), reach="5").count("data-tip")
    assert page(client, address(cluster), reach="200").count("data-tip") > short


def test_line_breaks_and_shade_can_be_turned_off_by_links(client, cluster):
    html = page(client, address(cluster))
    assert f'href="{address(cluster)}?breaks=off#contexts"' in html
    assert f'href="{address(cluster)}?shade=off#contexts"' in html
    assert 'class="t l' not in page(client, address(cluster), shade="off")


def test_contexts_are_paged_without_losing_the_rest_of_the_address(client, run):
    big = run.clusterings.get(k=3, affinity="signed").clusters.get(rank=1)
    assert big.size > 10
    html = page(client, f"/runs/synthetic/k/3/clusters/{big.label}/", reach="5")
    assert f'href="/runs/synthetic/k/3/clusters/{big.label}/?reach=5&amp;page=2#contexts"' in html


def test_a_page_of_contexts_after_the_last_has_a_way_back(client, cluster):
    assert "No contexts on page 99" in page(client, address(cluster), page="99")


def test_other_ks_are_drawn_for_wide_and_narrow_windows(client, cluster):
    html = page(client, address(cluster))
    assert html.count("Where the tokens of this cluster sit at other numbers of clusters") == 2
    assert "/runs/synthetic/k/3/clusters/" in html


def test_the_nearest_clusters_are_linked(client, cluster):
    html = page(client, address(cluster))
    for label, _ in cluster.nearest:
        assert f"/runs/synthetic/k/6/clusters/{label}/" in html


def test_the_other_affinity_is_its_own_clustering(client, run):
    other = run.clusterings.get(k=6, affinity="absolute").clusters.get(rank=1)
    html = page(client, f"/runs/synthetic/k/6/clusters/{other.label}/", affinity="absolute")
    assert "absolute affinity" in html
    assert f"{other.size} token" in html


@pytest.mark.parametrize("label", ["6", "-1", "abc", "1" * 41, "%00", "2.5", "²"])
def test_an_unknown_label_is_answered_with_the_labels_there_are(client, run, label):
    assert "Labels run from 0 to 5" in page(client, f"/runs/synthetic/k/6/clusters/{label}/", 404)


@pytest.mark.parametrize("query", ["reach=1000", "unit=bytes", "page=0", "breaks=2", "affinity="])
def test_no_query_breaks_the_page(client, cluster, query):
    assert client.get(f"{address(cluster)}?{query}").status_code in (200, 400)


def test_the_json_holds_every_member(client, cluster):
    facts = json.loads(page(client, address(cluster, twin=".json")))
    assert facts["label"] == cluster.label
    assert len(facts["members"]) == cluster.size
    assert facts["members"][0].keys() == {"index", "document", "position", "answer", "loss_nats"}


def test_the_csv_holds_every_member(client, cluster):
    lines = client.get(address(cluster, twin=".csv")).getvalue().decode().splitlines()
    assert len(lines) == cluster.size + 1


def test_each_figure_can_be_taken_as_svg_and_csv(client, cluster):
    svg = page(client, address(cluster, twin=".svg"), figure="similarity")
    assert svg.startswith("<?xml") or "<svg" in svg
    assert client.get(address(cluster, twin=".csv"), {"figure": "loss-over-steps"}).status_code == 200


def test_reads_do_not_grow_with_the_members(client, run, django_assert_max_num_queries):
    clustering = run.clusterings.get(k=3, affinity="signed")
    counts = []
    for cluster in clustering.clusters.filter(rank__in=(1, 3)):
        with django_assert_max_num_queries(10) as reads:
            page(client, f"/runs/synthetic/k/3/clusters/{cluster.label}/")
        counts.append(len(reads))
    assert len(set(counts)) == 1


def test_the_crosswalk_conserves_the_tokens(run):
    rows = np.arange(0, 40, 3)
    rungs = crosswalk(run, "signed", [3, 6], 6, rows)
    assert [sum(part.n_shared for part in rung.parts) for rung in rungs] == [len(rows)] * 2
    assert sum(rungs[0].flows.values()) == len(rows)


def test_small_parts_of_the_crosswalk_are_gathered(run):
    rungs = crosswalk(run, "signed", [3, 6], 3, np.arange(40), most=4)
    assert rungs[1].parts[-1].label is None
    assert rungs[1].parts[-1].n_clusters == 3


@pytest.mark.parametrize("frame", [WIDE, NARROW])
def test_the_crosswalk_stays_on_its_paper(run, frame):
    rungs = crosswalk(run, "signed", [3, 6], 6, np.arange(40))
    drawing = crosswalk_drawing(rungs, 6, 40, frame)
    for node in drawing["nodes"]:
        x, y, height = (float(node[name]) for name in ("x", "y", "height"))
        assert 0 <= x <= frame.width - frame.node_width
        assert 0 < y < y + height <= frame.height


def test_the_fall_of_a_curve_is_found_where_it_is_steepest():
    assert fall_window([9.0, 9.0, 8.8, 0.3, 0.2]) == (2, 3)
    assert fall_window([1.0, 1.0, 0.99]) is None


def test_a_dominant_answer_is_said_to_be_perhaps_only_a_word():
    title, reading = bars_title([["a", 9], ["b", 1]], [["x", 10]], 10)
    assert title == "One answer dominates"
    assert "a word, not a skill" in reading


def test_an_even_sample_keeps_the_ends_and_is_the_same_every_time():
    values = np.arange(1000)
    sample = evenly(values, 10)
    assert (sample[0], sample[-1], len(sample)) == (0, 999, 10)
    np.testing.assert_array_equal(sample, evenly(values, 10))


def test_the_ruler_marks_one_bar_within_its_paper():
    drawn = ruler([100, 10, 1], 3, width=300, height=64, with_note=True)
    assert drawn["mark"]["x"] + drawn["mark"]["width"] <= 300
    assert drawn["label"] == "rank 3 · 1 token"

"""What a cluster's page draws and marks: one selection everywhere, true titles, and what is left without arrays."""

from __future__ import annotations

import base64
import csv
import json
import re
import warnings

import numpy as np
import pytest

from clusters.charts.cluster import (
    Members,
    bars_title,
    classes_title,
    course,
    mean_curve,
    quantile_curves,
    sizes_chart,
    steps_chart,
)
from clusters.charts.cluster_similarity import (
    MOST_ROWS,
    Member,
    centroid_affinity,
    heatmap,
    similarity_chart,
    similarity_title,
    with_margin,
)
from clusters.charts.ladder import ladder_chart, lasting_title
from clusters.queries.cluster_ladder import best_matches, overlaps
from clusters.queries.cluster_similarity import N_MEMBERS, similarities
from clusters.queries.clusters import member_rows
from clusters.stored.arrays import array_of
from clusters.values.readings import Match, Similarities, StepCurve
from compute.bundle import Bundle
from tests.factories import NETWORKS, make_run

pytestmark = pytest.mark.django_db
FIGURES = ("loss-over-parameters", "loss-over-steps", "members", "similarity", "ladder")


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def cluster(run):
    return run.clusterings.get(k=6, affinity="signed").clusters.get(rank=2)


@pytest.fixture
def without(monkeypatch):
    """A bundle that lacks the arrays whose names begin so."""
    has, array = Bundle.has, Bundle.array

    def drop(*starts: str) -> None:
        monkeypatch.setattr(Bundle, "has", lambda self, name: not name.startswith(starts) and has(self, name))
        monkeypatch.setattr(
            Bundle, "array", lambda self, name: array(self, "gone" if name.startswith(starts) else name)
        )

    return drop


def address(cluster, twin: str = "/") -> str:
    return f"/runs/synthetic/k/{cluster.clustering.k}/clusters/{cluster.label}{twin}"


def page(client, path: str, status: int = 200, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode()


def numbers(client, cluster) -> list[str]:
    """The numbers of all figures, those included that come later."""
    html = page(client, address(cluster))
    later = re.findall(r'<figure class="fig later" id="fig-([a-z-]+)"', html)
    text = html + "".join(page(client, address(cluster, ".html"), figure=slug) for slug in later)
    return sorted(re.findall(r"<i>Fig. (\d+)</i>", text))


def members_of(cluster) -> list[int]:
    rows = member_rows(cluster.clustering, cluster.label)
    return array_of(cluster.clustering.run, "selection/flat_index")[rows].tolist()


# ── figures ──


@pytest.mark.parametrize("slug", FIGURES)
def test_every_figure_comes_alone_in_a_frame_as_svg_and_as_csv(client, cluster, slug):
    assert f'id="fig-{slug}"' in page(client, address(cluster, ".html"), figure=slug)
    assert "<figure" in page(client, address(cluster), figure=slug, embed="true")
    assert "<svg" in page(client, address(cluster, ".svg"), figure=slug)
    assert len(client.get(address(cluster, ".csv"), {"figure": slug}).getvalue().splitlines()) > 2


@pytest.mark.parametrize("slug", FIGURES)
def test_every_figure_says_what_it_is(client, cluster, slug):
    assert "What is this?" in page(client, address(cluster, ".html"), figure=slug)


def test_the_contexts_can_stand_in_a_frame(client, cluster):
    html = page(client, address(cluster), figure="contexts", embed="true")
    assert '<ol class="ctxs' in html
    assert "<form" not in html
    assert "mark</a>" not in html


def test_figures_are_numbered_without_gaps(client, cluster):
    assert numbers(client, cluster) == [str(i) for i in range(1, 8)]


@pytest.mark.parametrize(
    ("gone", "n", "said"),
    [
        (("similarity/",), 5, "No similarities"),
        (("losses/", "curves/"), 4, "No losses over size"),
        (("corpus/", "vocabulary/"), 7, "No contexts"),
        (("curves/class",), 6, "Contexts"),
        (("similarity/", "losses/", "curves/", "corpus/", "vocabulary/"), 2, "came with cluster labels alone"),
    ],
)
def test_a_bundle_without_arrays_keeps_the_rest_of_the_page(client, cluster, without, gone, n, said):
    without(*gone)
    assert said in page(client, address(cluster))
    assert numbers(client, cluster) == [str(i) for i in range(1, n + 1)]
    assert page(client, address(cluster, ".json"))


def test_a_run_of_one_clustering_has_no_other_ks(client, tmp_path):
    one = [{"affinity": "signed", "k": 3, "array": "clustering/signed/k3"}]
    run = make_run(tmp_path, manifest={"clusterings": one})
    cluster = run.clusterings.get().clusters.get(rank=1)
    assert "At other numbers of clusters" not in page(client, address(cluster))


def test_a_cluster_of_one_token_has_no_pair(client, tmp_path):
    labels = np.ones(40, np.int32)
    labels[7] = 0
    run = make_run(tmp_path, arrays={"clustering/signed/k6": labels})
    cluster = run.clusterings.get(k=6, affinity="signed").clusters.get(label=0)
    html = page(client, address(cluster))
    assert "One token has one answer" in html
    assert 'id="fig-members"' not in html
    assert "One member has no pair to compare" in page(client, address(cluster, ".html"), figure="similarity")


def test_a_network_can_be_chosen_and_an_unknown_one_is_answered_with_those_there_are(client, cluster):
    assert "syn-800k" in page(client, address(cluster), lm="syn-800k")
    assert "networks measured at several steps are: syn-800k" in page(client, address(cluster), 400, lm="gpt-5")


# ── ties, neighbours ──


def test_ties_are_named_and_linked(client, tmp_path):
    labels = np.repeat(np.arange(6), [15, 5, 5, 5, 5, 5]).astype(np.int32)
    run = make_run(tmp_path, arrays={"clustering/signed/k6": labels})
    clustering = run.clusterings.get(k=6, affinity="signed")
    third = clustering.clusters.get(rank=3)
    html = page(client, address(third))
    assert "tied with 4 others" in html
    for rank in (2, 4, 5, 6):
        tie = clustering.clusters.get(rank=rank)
        assert f'<a href="{address(tie)}">cluster {tie.label}</a> (rank {rank})' in html


def test_many_ties_are_counted_and_lead_to_the_list(client, tmp_path):
    name = "clustering/signed/k20"
    pairs = np.arange(40, dtype=np.int32) // 2
    stated = {"clusterings": [{"affinity": "signed", "k": 20, "array": name}]}
    run = make_run(tmp_path, arrays={name: pairs}, manifest=stated)
    html = page(client, address(run.clusterings.get().clusters.get(rank=9)))
    assert "tied with 19 others" in html
    assert '?affinity=signed&amp;least=2&amp;most=2&amp;view=table">13 more</a>' in html


def test_the_same_cluster_elsewhere_is_the_best_match_by_jaccard(client, run, cluster):
    rows = member_rows(cluster.clustering, cluster.label)
    best = overlaps(run, "signed", 3, rows)[0]
    other = overlaps(run, "absolute", 6, rows)[0]
    html = page(client, address(cluster))
    assert f'href="/runs/synthetic/k/3/clusters/{best.label}/" data-key="-"' in html
    assert f'href="/runs/synthetic/k/6/clusters/{other.label}/?affinity=absolute" data-key="a"' in html
    assert 'data-key="+"' not in html  # 6 is the largest k


# ── one selection ──


def test_what_is_no_token_is_said_to_be_none(client, cluster):
    assert "“&lt;b&gt;abc” is no token" in page(client, address(cluster), token="<b>abc")
    assert "is no token" not in page(client, address(cluster), token=str(members_of(cluster)[0]))
    assert "is no token" not in page(client, address(cluster))


def test_a_marked_member_is_marked_in_its_row_its_curve_and_the_matrix(client, cluster):
    token = members_of(cluster)[1]
    html = page(client, address(cluster), token=str(token))
    assert f'data-token="{token}" class="is-on" aria-current="true"' in html
    for slug in ("loss-over-parameters", "loss-over-steps", "members"):
        figure = page(client, address(cluster, ".html"), figure=slug, token=str(token))
        assert f'data-token="{token}"' in figure
        assert "selected" in figure or slug == "members"
    assert "Marked member" in html
    assert f'/tokens/{token}/">token' in html


def test_the_page_of_contexts_that_shows_the_marked_member_is_opened(client, run):
    big = run.clusterings.get(k=3, affinity="signed").clusters.get(rank=1)
    last = members_of(big)[-1]
    html = page(client, address(big), token=str(last))
    assert f'id="c-{last}"' in html
    assert f'id="c-{last}"' not in page(client, address(big), token=str(last), page="1")


def test_a_marked_token_of_another_cluster_is_said_to_be_there(client, run, cluster):
    other = cluster.clustering.clusters.get(rank=1)
    html = page(client, address(cluster), token=str(members_of(other)[0]))
    assert f'at this k it belongs to <a href="{address(other)}">cluster {other.label}</a>' in html


@pytest.mark.parametrize("token", ["347", "999999999", "x", "-1"])
def test_no_marked_token_breaks_the_page(client, cluster, token):
    page(client, address(cluster), token=token)
    page(client, address(cluster, ".html"), figure="marked", token=token)


def test_every_context_can_be_marked_by_a_link(client, cluster):
    html = page(client, address(cluster))
    token = members_of(cluster)[0]
    assert f'href="{address(cluster)}?token={token}&amp;page=1#contexts"' in html


def test_repeats_beyond_some_are_counted_not_listed(client, tmp_path):
    ids = np.zeros(12 * 30, np.uint16)
    run = make_run(tmp_path, arrays={"corpus/token_ids": ids, "clustering/signed/k3": np.zeros(40, np.int32)})
    cluster = run.clusterings.get(k=3, affinity="signed").clusters.get()
    html = page(client, address(cluster))
    assert "more with the same last 8 tokens" in html
    assert html.count("<li><a href=") <= 40


# ── hostile text ──


def test_members_of_the_matrix_are_named_harmlessly(client, run):
    for cluster in run.clusterings.get(k=3, affinity="signed").clusters.all():
        html = page(client, address(cluster, ".html"), figure="members")
        assert "<script" not in html
        assert not set("\u202e\u200b\x00\x85") & set(html)
        [names] = re.findall(r'data-members="([^"]*)"', html)
        decoded = json.loads(names.replace("&quot;", '"').replace("&#x27;", "'").replace("&lt;", "<")
                             .replace("&gt;", ">").replace("&amp;", "&"))  # fmt: skip
        assert sorted(token for token, _ in decoded) == members_of(cluster)


# ── numbers ──


def test_matches_count_shared_tokens_and_are_ordered_by_jaccard(run):
    rows = np.arange(10)
    labels = array_of(run, "clustering/signed/k3")
    found = overlaps(run, "signed", 3, rows)
    for match in found:
        inside = set(np.flatnonzero(labels == match.label).tolist())
        assert (match.n_shared, match.size) == (len(inside & set(range(10))), len(inside))
        assert match.jaccard == pytest.approx(len(inside & set(range(10))) / len(inside | set(range(10))))
    assert [match.jaccard for match in found] == sorted((match.jaccard for match in found), reverse=True)


def test_the_best_matches_are_the_first_of_all_overlaps(run):
    rows = np.arange(0, 40, 3)
    ks = {"signed": [3, 6], "absolute": [3, 6]}
    assert best_matches(run, ks, rows) == [overlaps(run, kind, k, rows)[0] for kind in ks for k in ks[kind]]


def test_a_cluster_s_own_best_match_is_itself(run, cluster):
    [match] = best_matches(run, {"signed": [6]}, member_rows(cluster.clustering, cluster.label))
    assert (match.label, match.jaccard) == (cluster.label, 1.0)


def test_similarities_are_those_of_the_matrix(run):
    rows = np.array([2, 5, 11])
    matrix = array_of(run, "similarity/signed")
    found = similarities(run, "signed", rows)
    np.testing.assert_array_equal(found.within, [matrix[2, 5], matrix[2, 11], matrix[5, 11]])
    np.testing.assert_allclose(found.means, [(matrix[i, rows].sum() - matrix[i, i]) / 2 for i in rows], rtol=1e-5)
    assert found.n_outside == 37


def test_a_large_cluster_is_sampled_evenly_and_keeps_the_marked_row(run, monkeypatch):
    monkeypatch.setattr("clusters.queries.cluster_similarity.N_MEMBERS", 5)
    found = similarities(run, "signed", np.arange(30), keep=17)
    assert found.n_sampled == 6
    assert {0, 17, 29} <= set(found.rows.tolist())
    assert N_MEMBERS > MOST_ROWS


def test_affinity_of_centroids_follows_the_run_s_own():
    assert centroid_affinity(0.0, "signed") == pytest.approx(0.5)
    assert centroid_affinity(1.0000001, "signed") == 1.0
    assert centroid_affinity(0.3, "absolute") == 0.3


def test_an_interval_decides_the_digits():
    rng = np.random.default_rng(0)
    members = rng.normal(0.4, 0.3, (50, 50))
    found = Similarities(np.arange(50), (members + members.T) / 2, np.zeros(3), 50, 1, 1)
    mean, margin = with_margin(0.4, found)
    assert (len(mean), len(margin)) == (4, 4)
    assert with_margin(None, found) == ("", "")
    assert with_margin(0.5, None) == ("0.50", "")


def test_quantiles_agree_with_numpy_and_pass_over_what_is_no_number():
    losses = np.random.default_rng(0).random((31, 4))
    losses[:, 3] = np.nan
    losses[4, 1] = np.nan
    lines = quantile_curves(losses)
    for level in (0.1, 0.25, 0.75, 0.9):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a column without a number
            np.testing.assert_allclose(lines[f"{level:.0%}"], np.nanquantile(losses, level, axis=0))


# ── titles ──


@pytest.mark.parametrize(
    ("mean", "title"),
    [
        ([9.0, 8.0, 0.2, 0.1], "Members are learned between 200 and 300 parameters"),
        ([9.0, 8.0, 2.2, 2.1], "The members’ loss falls most between 200 and 300 parameters"),
        ([0.1, 0.1, 0.1, 0.1], "The members’ loss hardly changes with size"),
        ([0.1, 0.5, 0.9, 2.0], "The members’ loss rises with size"),
        ([4.0, 0.2, 0.2, 3.9], "The members’ loss falls between 100 and 200 parameters, then rises again"),
        ([0.3], "The members’ loss under one network"),
    ],
)
def test_a_title_says_what_the_mean_does(mean, title):
    chart = sizes_chart([100, 200, 300, 400][: len(mean)], np.array([mean, mean]), Members([1, 2]), "nats", number=1)
    assert chart["title"] == title


def test_networks_of_one_size_have_nothing_between_them():
    losses = np.array([[9.0, 8.0, 0.2], [9.0, 8.0, 0.2]])
    chart = sizes_chart([10_000, 10_000, 10_000], losses, Members([1, 2]), "nats", number=1)
    assert chart["title"] == "Members are learned among networks of 10 k parameters"


@pytest.mark.parametrize(
    ("mean", "title"),
    [
        ([9.0, 0.2], "big learns it between steps 0 and 512"),
        ([9.0, 3.0], "Under big the loss falls most between steps 0 and 512"),
        ([0.2, 0.2], "Training of big hardly changes the loss"),
        ([0.2, 5.0], "The member’s loss rises as big trains"),
    ],
)
def test_a_title_says_what_training_does(mean, title):
    curve = StepCurve("big", 1000, [0, 512], np.array([mean]))
    assert steps_chart([curve], "big", Members([7]), "nats", number=1)["title"] == title


def test_course_of_a_curve_that_cannot_be_told():
    assert course([float("nan"), 1.0]).kind == "flat"
    assert course([]).kind == "flat"


def test_many_members_are_bands_and_few_are_lines():
    losses = np.random.default_rng(0).random((150, 3))
    many = sizes_chart([1, 2, 3], losses, Members(range(150), selected=4), "nats", number=1)
    assert [s["name"] for s in many["series"] if s["kind"] == "band"] == ["10–90% range", "25–75% range"]
    assert [s["token"] for s in many["series"] if s["token"] is not None] == [4]
    few = sizes_chart([1, 2, 3], losses[:9], Members(range(9)), "nats", number=1)
    assert [s["token"] for s in few["series"] if s["css"] == "faint"] == list(range(9))
    assert len(few["table"]["rows"]) == 3 * (1 + 4 + 9)


def test_what_is_no_number_is_no_point():
    losses = np.array([[1.0, np.nan], [3.0, np.nan]])
    assert mean_curve(losses)[0] == 2.0
    chart = sizes_chart([1, 2], losses, Members([1, 2]), "nats", number=1)
    assert [len(s["points"]) for s in chart["series"] if s["name"] == "mean"] == [1]


@pytest.mark.parametrize(
    ("within", "across", "title"),
    [
        (0.5, 0.1, "Members resemble each other, not the rest"),
        (0.15, 0.1, "Members resemble each other a little more than the rest"),
        (0.1, 0.2, "Members resemble the rest as much as each other"),
        (None, 0.2, "One member has no pair to compare"),
        (0.2, None, "Every clustered token is a member"),
    ],
)
def test_a_title_compares_within_and_across(within, across, title):
    assert similarity_title(within, across) == title


def test_a_histogram_without_anything_across_still_draws():
    found = Similarities(np.arange(2), np.array([[1.0, -0.4], [-0.4, 1.0]]), np.array([]), 2, 0, 0)
    chart = similarity_chart(found, number=1, within=-0.4, across=None)
    assert chart["x"]["lo"] <= -0.4
    assert "sample" not in chart["reading"]


def test_the_matrix_shows_cosines_in_the_order_it_states():
    cosines = np.array([[1.0, 0.9, -0.2], [0.9, 1.0, 0.3], [-0.2, 0.3, 1.0]])
    found = Similarities(np.array([4, 6, 9]), cosines, np.array([0.0, 0.1]), 3, 1, 1)
    members = {4: Member(40, "b", "b"), 6: Member(60, "a", "a"), 9: Member(90, "c", "c")}
    for order, tokens in (("mean similarity", [60, 40, 90]), ("answer", [60, 40, 90]), ("place", [40, 60, 90])):
        drawn = heatmap(found, members, order, number=5, selected=60)
        assert [one.token for one in drawn.members] == tokens
        values = np.frombuffer(base64.b64decode(drawn.values), np.int8).reshape(3, 3)
        by = {40: 0, 60: 1, 90: 2}
        for i, a in enumerate(tokens):
            for j, b in enumerate(tokens):
                assert values[i, j] == round(100 * cosines[by[a], by[b]])
    assert drawn.chart["title"].startswith("67% of 3 pairs")
    rows = drawn.chart["table"]["rows"]
    pairs = {(40, 60): 0.9, (40, 90): -0.2, (60, 90): 0.3}
    assert {(row[0], row[2]): row[4] for row in rows} == pairs
    assert [s["token"] for s in drawn.chart["series"] if s["name"] == "selected"] == [60]


def test_the_matrix_of_a_large_cluster_holds_the_marked_member():
    n = 100
    found = Similarities(np.arange(n), np.eye(n), np.array([0.0]), n, 1, 1)
    members = {row: Member(row, str(row), str(row)) for row in range(n)}
    drawn = heatmap(found, members, "mean similarity", number=1, selected=51)
    assert len(drawn.members) <= MOST_ROWS
    assert 51 in [one.token for one in drawn.members]


def test_a_lone_member_has_no_matrix():
    found = Similarities(np.array([3]), np.eye(1), np.array([0.0]), 1, 1, 1)
    assert heatmap(found, {3: Member(3, "x", "x")}, "answer", number=1, selected=None) is None


def test_a_cluster_lasts_as_long_as_its_matches_stay_alike():
    def match(k: int, jaccard: float) -> Match:
        return Match("signed", k, 0, 1, 1, jaccard)

    assert lasting_title([match(3, 0.1), match(6, 1.0), match(9, 0.6)], 6) == "The cluster lasts from k = 6 to 9"
    assert lasting_title([match(3, 0.5), match(6, 1.0)], 6).endswith("3 to 6, the whole ladder")
    assert lasting_title([match(3, 0.9), match(5, 0.2), match(6, 1.0)], 6) == "The cluster is there at k = 6 alone"
    assert lasting_title([match(6, 1.0)], 6) == "k = 6 is the only number of clusters at this affinity"


def test_every_place_of_the_ladder_leads_to_its_cluster():
    matches = [Match("signed", 3, 2, 4, 5, 0.8), Match("absolute", 3, 1, 2, 5, 0.2)]
    chart = ladder_chart(matches, "signed", 3, number=7, href=lambda match: f"/{match.affinity}/{match.label}/")
    assert [point[3] for series in chart["series"] for point in series["points"]] == ["/signed/2/", "/absolute/1/"]
    assert "its best match is cluster 1: 2 of 5 tokens, J 0.20" in chart["reading"]


@pytest.mark.parametrize(
    ("classes", "n", "title"),
    [
        ([("flat", 4)], 4, "All members’ curves are flat"),
        ([("flat", 3), ("mixed", 1)], 4, "Most members’ curves are flat"),
        ([("flat", 2), ("mixed", 2)], 4, "Many members’ curves are flat"),
        ([("mixed", 1)], 1, "The member’s curve is mixed"),
    ],
)
def test_a_title_names_the_commonest_class(classes, n, title):
    assert classes_title(classes, n) == title


@pytest.mark.parametrize(
    ("answers", "last", "n", "title"),
    [
        ([["a", 1]], [["b", 1]], 1, "One token has one answer"),
        ([["a", 4]], [["b", 4]], 4, "Every answer is the same"),
        ([["a", 2], ["c", 1], ["d", 1]], [["b", 4]], 4, "One answer dominates"),
        ([["a", 1], ["c", 1], ["d", 1], ["e", 1]], [["b", 4]], 4, "The answers differ, the token before is one"),
        ([["a", 1], ["c", 1], ["d", 1], ["e", 1]], [["b", 1]], 4, "Answers and tokens before them differ"),
    ],
)
def test_a_title_says_what_the_texts_have_in_common(answers, last, n, title):
    assert bars_title(answers, last, n)[0] == title


# ── cost ──


def test_a_page_asks_the_database_at_most_fifteen_times(client, run, cluster, django_assert_max_num_queries):
    token = str(members_of(cluster)[0])
    page(client, address(cluster))
    with django_assert_max_num_queries(15):
        page(client, address(cluster), token=token)
    for slug in FIGURES:
        with django_assert_max_num_queries(8):
            page(client, address(cluster, ".html"), figure=slug, token=token)


def test_the_page_reads_only_the_members_curves(client, cluster, monkeypatch):
    page(client, address(cluster))  # gathers once
    monkeypatch.setattr("clusters.queries.selected._rows_of", None)
    monkeypatch.setattr("clusters.queries.selected._side_by_side", None)
    assert "Fig. 2" in page(client, address(cluster))
    assert len(NETWORKS) == 4


def test_the_csvs_of_figures_name_members_by_their_index(client, run):
    cluster = run.clusterings.get(k=3, affinity="signed").clusters.order_by("rank").first()
    labels = np.asarray(array_of(run, "clustering/signed/k3"))
    flat = np.array([token.flat_index for token in run.tokens.order_by("row")])
    own = {str(index) for index in flat[labels == cluster.label].tolist()}

    def rows(slug: str) -> list[dict[str, str]]:
        response = client.get(address(cluster, ".csv"), {"figure": slug})
        return list(csv.DictReader(response.getvalue().decode().splitlines()))

    for slug in ("loss-over-parameters", "loss-over-steps"):
        assert {row["index"] for row in rows(slug)} == {"", *own}
        assert {row["line"] for row in rows(slug) if row["index"]} == {"token"}
    pairs = rows("members")
    assert {row["index"] for row in pairs} | {row["index of the other"] for row in pairs} == own
    place = {str(index): row for row, index in enumerate(flat.tolist())}
    cosines = np.asarray(array_of(run, "similarity/signed"), np.float64)
    for row in pairs:
        expected = cosines[place[row["index"]], place[row["index of the other"]]]
        assert float(row["cosine"]) == pytest.approx(expected, abs=1e-6)

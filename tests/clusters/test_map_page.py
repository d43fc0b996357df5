"""Maps of tokens: what colours them, what lies inside an area, and the binary that the canvas reads."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pytest

from clusters.charts.map_picture import CELLS, cells_of, map_picture, painted
from clusters.charts.maps import (
    REST,
    Category,
    Colouring,
    agreement,
    agreement_words,
    categories,
    correlation,
    correlation_words,
    framed,
    rank_edges,
    shades,
    told_apart,
)
from clusters.queries.maps import inside, nearest_of, prepare_maps
from clusters.stored.arrays import forget_bundles
from clusters.views.maps import version_of
from compute.bundle import Bundle
from compute.numerics.curves import CLASS_NAMES
from tests.factories import N_SELECTED, UserFactory, make_run, n_predictions

pytestmark = pytest.mark.django_db
EVERYWHERE = "-9,-9,9,-9,9,9,-9,9"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def page(client, path: str, status: int = 200, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode()


def binary(run, what: str) -> str:
    return f"/runs/synthetic/map/{version_of(run)}/{what}"


# ── geometry ──


def test_points_inside_a_concave_polygon_are_found():
    horseshoe = [(0, 0), (3, 0), (3, 3), (2, 3), (2, 1), (1, 1), (1, 3), (0, 3)]
    points = np.array([[0.5, 2], [1.5, 2], [2.5, 2], [1.5, 0.5], [9, 9]], np.float32)
    assert inside(points, horseshoe).tolist() == [0, 2, 3]


def test_the_direction_of_a_polygon_does_not_matter():
    rng = np.random.default_rng(0)
    points, corners = rng.uniform(-1, 1, (500, 2)).astype(np.float32), rng.uniform(-1, 1, (7, 2))
    assert inside(points, corners).tolist() == inside(points, corners[::-1]).tolist()


def test_a_rectangle_holds_what_its_sides_say():
    points = np.random.default_rng(1).uniform(-1, 1, (1000, 2)).astype(np.float32)
    expected = np.flatnonzero((points[:, 0] > -0.5) & (points[:, 0] < 0.25) & (points[:, 1] > 0) & (points[:, 1] < 0.5))
    assert inside(points, [(-0.5, 0), (0.25, 0), (0.25, 0.5), (-0.5, 0.5)]).tolist() == expected.tolist()


def test_where_a_polygon_crosses_itself_the_even_odd_rule_decides():
    bow = [(0, 0), (2, 2), (2, 0), (0, 2)]
    assert inside(np.array([[0.2, 1.0], [1.0, 1.8], [1.8, 1.0]], np.float32), bow).tolist() == [0, 2]


def test_the_paper_has_one_scale_in_both_directions():
    left, bottom, right, top = framed((0, 0, 1, 10))
    assert (right - left) / (top - bottom) == pytest.approx(1.5)
    assert (bottom, top) == (0, 10)


# ── what neighbours have in common ──


def test_neighbours_agree_wholly_where_labels_are_regions(run):
    labels = np.array([0, 0, 1, 1])
    found = agreement(labels, np.array([1, 0, 3, 2]))
    assert found is not None
    assert (found.value, found.by_chance, found.n) == (1.0, 0.5, 4)
    assert found.low < 1


def test_tokens_without_a_cluster_are_left_out_of_the_agreement():
    found = agreement(np.array([0, 0, -1, -1]), np.array([1, 0, 3, 2]))
    assert found is not None
    assert found.n == 2


def test_the_finding_says_whether_every_point_was_counted():
    places = np.arange(14)
    found = agreement(np.where(places < 12, 0, -1), places ^ 1)
    assert agreement_words(found, "cluster", 14)[0] == "Of neighbours that both have a cluster, 100% share it"
    assert agreement_words(found, "cluster", 12)[0] == "100% of points stand beside one of the same cluster"
    assert agreement_words(None, "cluster", 2)[0] == "Points by cluster"


def test_of_few_points_a_title_states_nothing():
    nearest = np.array([1, 0, 3, 2, 5, 4])
    assert agreement_words(agreement(np.zeros(6, int), nearest), "cluster", 6)[0] == "Points by cluster"
    assert correlation_words(correlation(np.array([1, 1, 2, 2, 3, 3.0]), nearest), "losses")[0] == "Points by losses"


def test_neighbours_that_never_agree_are_said_to_seldom_share():
    labels = np.array([0, 1, 0, 1])
    found = agreement(labels, np.array([1, 0, 3, 2]))
    assert "seldom shares its kind: 0%" in agreement_words(found, "kind", 4)[1]


def test_values_that_follow_their_neighbours_correlate():
    values = np.arange(100.0)
    along = np.minimum(np.arange(100) + 1, 99)
    found = correlation(values, along)
    assert found is not None
    assert found.value > 0.99
    assert found.low < found.value < found.high
    assert correlation(np.ones(100), along) is None


def test_unrelated_neighbours_are_said_to_be_unrelated():
    values = np.random.default_rng(0).normal(size=4000)
    found = correlation(values, np.roll(np.arange(4000), 1))
    assert correlation_words(found, "losses")[0] == "Neighbours on the map have unrelated losses"


def test_values_without_a_number_are_grey_and_not_counted():
    colouring = shades(np.array([0.05, 7.0, np.nan]), (0.1, 6.0), what="loss")
    assert colouring.codes.tolist() == [0, 2, 255]
    assert [swatch.n for swatch in colouring.swatches] == [1, 0, 1, 1]


@pytest.mark.parametrize("n_clusters", [1, 2, 5, 400])
def test_shades_of_ranks_change_at_rising_ranks(n_clusters):
    edges = rank_edges(n_clusters)
    assert list(edges) == sorted(set(edges))


def test_the_nearest_point_is_never_the_point_itself(tmp_path):
    points = np.zeros((N_SELECTED, 2), np.float32)  # all in one place
    run = make_run(tmp_path, arrays={"map/gradients": points})
    assert (nearest_of(run, "gradient") != np.arange(N_SELECTED)).all()


# ── the picture ──


def colouring_of(codes: list[int]) -> Colouring:
    shown = [Category(0, "common", "1"), Category(1, "rare", "2")]
    return categories(np.array(codes), shown, np.zeros((len(codes), 2)), what="cluster", rest="others")


def test_of_several_points_in_a_cell_the_rarest_category_is_seen_and_the_rest_never():
    points = np.array([[0.5, 0.5]] * 5 + [[1.5, 0.5], [9, 9]])
    at = cells_of(points, (0, 0, 4, 2), (4, 2))
    assert painted(at, colouring_of([1, 0, 0, 7, 7, 7, 0])).tolist() == [1, REST, -1, -1, -1, -1, -1, -1]


def test_the_picture_has_every_point_no_axis_numbers_and_the_colours_of_the_page():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2000, 2)).astype(np.float32)
    box = (-3.0, -2.0, 3.0, 2.0)
    chart = map_picture(points, box, colouring_of(rng.integers(0, 3, 2000).tolist()), area=[], made="", what="x")
    assert chart["x"]["ticks"] == chart["y"]["ticks"] == []
    inside = (np.abs(points) < [3, 2]).all(axis=1).sum()
    assert sum(row[2] for row in chart["table"]["rows"]) == inside
    cells = chart["series"][0]["points"]
    assert {cell[4] for cell in cells} == {"c1", "c2", "line2"}
    drawn = sum((cell[1] - cell[0]) * (cell[3] - cell[2]) for cell in cells)
    assert drawn == pytest.approx(len(chart["table"]["rows"]) * (6 / CELLS[0]) * (4 / CELLS[1]))


def test_labels_on_the_picture_keep_apart():
    points = np.array([[0.0, 0.0], [0.05, 0.0], [2.0, 1.0]])
    shown = [Category(i, f"rank {i}", str(i)) for i in range(3)]
    colouring = categories(np.arange(3), shown, points, what="cluster", rest="")
    chart = map_picture(points, (-3, -2, 3, 2), colouring, area=[], made="", what="x")
    assert [series["label"] for series in chart["series"][1:]] == ["0", "2"]


def test_clusters_with_one_answer_are_told_apart_by_the_token_before():
    texts = [([["s", 4]], [["it", 3]]), ([["_", 2]], [["a", 2]]), ([["_", 2]], [])]
    assert told_apart(texts) == ["s", "a ▸ _", "_"]


# ── the page ──


@pytest.mark.parametrize("by", ["gradient", "curve"])
@pytest.mark.parametrize("colour", ["cluster", "rank", "loss", "monogenicity", "n_eff", "class", "kind"])
def test_every_map_has_every_colour(client, run, by, colour):
    html = page(client, "/runs/synthetic/map/", by=by, colour=colour)
    assert 'id="fig-map"' in html
    codes = client.get(binary(run, "colours"), {"by": by, "colour": colour}, headers={"Accept-Encoding": ""})
    assert len(codes.content) == (N_SELECTED if by == "gradient" else n_predictions() // 2)


def test_one_cluster_can_be_shown_alone(client, run):
    labels = np.load(f"{run.bundle_path}/clustering/absolute/k6.npy")
    query = {"k": "6", "affinity": "absolute", "cluster": "4"}
    legend = json.loads(page(client, "/runs/synthetic/map.json", **query))["legend"]
    assert legend[0] == {"code": 0, "text": "cluster 4", "n_points": int((labels == 4).sum())}
    assert "/runs/synthetic/k/6/clusters/4/?affinity=absolute" in page(client, "/runs/synthetic/map/", **query)


def test_the_legend_counts_every_point_once(client, run):
    for colour in ("cluster", "loss", "class", "kind"):
        legend = json.loads(page(client, "/runs/synthetic/map.json", colour=colour))["legend"]
        assert sum(entry["n_points"] for entry in legend) == N_SELECTED


def test_the_codes_are_those_of_the_legend(client, run):
    legend = json.loads(page(client, "/runs/synthetic/map.json", colour="cluster", k="3"))["legend"]
    codes = np.frombuffer(client.get(binary(run, "colours"), {"colour": "cluster", "k": "3"}).content, np.uint8)
    assert {entry["code"]: entry["n_points"] for entry in legend} == dict(
        zip(*(part.tolist() for part in np.unique(codes, return_counts=True)), strict=True)
    )


def test_the_binary_holds_positions_and_flat_indices(client, run):
    raw = client.get(binary(run, "positions"), {"by": "curve"}).content
    n = n_predictions() // 2
    assert len(raw) == 12 * n
    points = np.load(f"{run.bundle_path}/map/curves.npy")
    assert np.array_equal(np.frombuffer(raw, "<f4", n), points[:, 0])
    assert np.array_equal(np.frombuffer(raw, "<f4", n, 4 * n), points[:, 1])
    assert np.cumsum(np.frombuffer(raw, "<u4", n, 8 * n)).tolist() == list(range(0, n_predictions(), 2))


def test_the_binary_is_compressed_and_kept_by_the_browser(client, run):
    response = client.get(binary(run, "positions"), headers={"Accept-Encoding": "gzip"})
    assert response["Content-Encoding"] == "gzip"
    assert response["Cache-Control"] == "private, max-age=31536000, immutable"  # the run may be hidden tomorrow
    assert "Accept-Encoding" in response["Vary"]
    assert gzip.decompress(response.content) == client.get(binary(run, "positions")).content


@pytest.mark.parametrize(
    ("gone", "said", "is_listed"),
    [(("corpus/", "vocabulary/"), "The tokens cannot be read", False), (("losses/", "curves/"), "token", True)],
)
def test_without_text_or_losses_an_area_keeps_what_there_is(client, run, monkeypatch, gone, said, is_listed):
    has, array = Bundle.has, Bundle.array
    forget_bundles()
    monkeypatch.setattr(Bundle, "has", lambda self, name: not name.startswith(gone) and has(self, name))
    monkeypatch.setattr(Bundle, "array", lambda self, name: array(self, "" if name.startswith(gone) else name))
    html = page(client, "/runs/synthetic/map/", area=EVERYWHERE, colour="kind")
    assert f"{N_SELECTED} tokens in the chosen area" in html
    assert said in html
    assert ('<li data-token="' in html) is is_listed
    assert json.loads(page(client, "/runs/synthetic/map.json", area=EVERYWHERE))["n_inside"] == N_SELECTED
    page(client, "/runs/synthetic/map.html", 200 if is_listed else 404, figure="near", token="7")


def test_the_binary_of_another_bundle_or_an_older_code_is_not_answered_with_this_one(client, run):
    for version in (f"{'0' * 16}-1", version_of(run).replace("-1", "-0")):
        for what in ("positions", "colours"):
            assert client.get(f"/runs/synthetic/map/{version}/{what}").status_code == 404
    html = page(client, "/runs/synthetic/map/")
    for what in ("positions", "colours"):
        assert f'data-{what}="{binary(run, what)}?' in html


def test_a_private_runs_binary_is_kept_by_its_owner_alone(client, tmp_path):
    owner = UserFactory(username="owner")
    run = make_run(tmp_path, owner=owner, private=True)
    assert client.get(binary(run, "positions")).status_code == 404
    client.force_login(owner)
    assert client.get(binary(run, "positions"))["Cache-Control"].startswith("private")


def test_the_area_lists_its_tokens(client, run):
    html = page(client, "/runs/synthetic/map/", area=EVERYWHERE)
    assert f"{N_SELECTED} tokens in the chosen area" in html
    assert html.count('<li data-token="') == 25
    assert 'rel="next"' in html
    assert page(client, "/runs/synthetic/map/", area=EVERYWHERE, page="2").count('<li data-token="') == N_SELECTED - 25


def test_the_answers_of_the_area_are_counted(client, run):
    facts = json.loads(page(client, "/runs/synthetic/map.json", area=EVERYWHERE))
    assert facts["n_inside"] == N_SELECTED
    tokens = run.tokens.all()
    for row in facts["answers"]:
        assert row["n"] == sum(token.answer == row["text"] for token in tokens)


def test_an_area_without_points_says_so(client, run):
    assert "No point lies inside" in page(client, "/runs/synthetic/map/", area="100,100,101,100,101,101")


def test_the_selected_token_is_marked_in_the_list(client, run):
    token = run.tokens.order_by("row")[2].flat_index
    html = page(client, "/runs/synthetic/map/", area=EVERYWHERE, token=str(token))
    assert f'<li data-token="{token}" class="is-on"' in html


def test_drawing_around_points_brings_the_list_alone(client, run):
    part = client.get("/runs/synthetic/map/", {"area": EVERYWHERE}, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<section id="chosen"')


def test_a_rectangle_by_its_sides_becomes_an_area(client, run):
    sides = {"left": "-1", "bottom": "-2", "right": "1.5", "top": "2", "by": "curve"}
    response = client.get("/runs/synthetic/map/", sides)
    assert response.status_code == 302
    assert response["Location"] == "/runs/synthetic/map/?by=curve&area=-1%2C-2%2C1.5%2C-2%2C1.5%2C2%2C-1%2C2#chosen"


def test_the_point_under_the_pointer_has_its_context(client, run):
    token = run.tokens.first()
    html = page(client, "/runs/synthetic/map.html", figure="near", token=str(token.flat_index))
    assert html.lstrip().startswith(f'<div class="found" data-token="{token.flat_index}"')
    assert "/runs/synthetic/k/" in html
    page(client, "/runs/synthetic/map.html", 404, figure="near", token="9999")


def csv_of(client, **query: str) -> list[list[str]]:
    response = client.get("/runs/synthetic/map.csv", query)
    return list(csv.reader(response.getvalue().decode().splitlines()))


@pytest.mark.parametrize("colour", ["cluster", "rank"])
def test_the_csv_of_clusters_has_every_points_label_and_rank(client, run, colour):
    head, *rows = csv_of(client, area=EVERYWHERE, colour=colour, k="6")
    assert head == ["index", "x", "y", "k", "affinity", "label", "rank"]
    labels = np.load(f"{run.bundle_path}/clustering/signed/k6.npy").tolist()
    assert [int(row[5]) for row in rows] == labels
    ranks = dict(run.clusterings.get(k=6, affinity="signed").clusters.values_list("label", "rank"))
    assert [int(row[6]) for row in rows] == [ranks[label] for label in labels]
    assert {(row[3], row[4]) for row in rows} == {("6", "signed")}


def test_the_csv_leaves_labels_empty_where_a_token_was_not_clustered(client, run):
    clustered = {str(token.flat_index) for token in run.tokens.all()}
    _, *rows = csv_of(client, by="curve", colour="cluster", k="6")
    assert {row[0] for row in rows if row[5]} == clustered & {row[0] for row in rows}
    assert any(row[5:] == ["", ""] for row in rows)


def test_the_csv_of_values_holds_them_as_they_are(client, run):
    flat = [token.flat_index for token in run.tokens.order_by("row")]
    losses = np.load(f"{run.bundle_path}/curves/losses.npy")[flat]
    lms = [size["lm"] for size in run.manifest["sizes"]]
    head, *rows = csv_of(client, colour="loss", lm=lms[1])
    assert head == ["index", "x", "y", "lm", "loss_nats"]
    assert [float(row[4]) for row in rows] == losses[:, 1].astype(float).tolist()
    assert csv_of(client, colour="monogenicity")[0][3:] == ["monogenicity"]
    assert {row[3] for row in csv_of(client, colour="class")[1:]} <= set(CLASS_NAMES)


def test_a_map_of_curves_says_how_many_sizes_and_steps_it_knows(client, run):
    words = "over the losses at {} sizes and 36 steps"
    n_sizes = len(run.manifest["sizes"])
    for curves in ({"n_checkpoints": n_sizes + 36}, {"n_checkpoints": 38, "n_sizes": 2, "n_steps": 36}):
        run.manifest["map"]["curves"] = curves
        run.save()
        assert words.format(curves.get("n_sizes", n_sizes)) in page(client, "/runs/synthetic/map/", by="curve")


def test_a_map_of_curves_is_coloured_by_class_where_there_are_scores(client, run):
    assert json.loads(page(client, "/runs/synthetic/map.json", by="curve"))["colour"] == "class"
    assert json.loads(page(client, "/runs/synthetic/map.json", by="gradient"))["colour"] == "cluster"


def test_the_picture_can_be_framed_and_downloaded(client, run):
    framed_page = client.get("/runs/synthetic/map/", {"embed": "true", "figure": "map"})
    assert framed_page.status_code == 200
    assert "X-Frame-Options" not in framed_page
    assert client.get("/runs/synthetic/map.svg", {"figure": "map"})["Content-Type"] == "image/svg+xml"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"by": "height"}, "gradient, curve"),
        ({"colour": "taste"}, "choose one of cluster"),
        ({"k": "7"}, "choose one of 3, 6"),
        ({"lm": "gpt-9"}, "choose one of syn-10k"),
        ({"cluster": "x"}, "give a cluster’s label"),
        ({"cluster": "6", "k": "6"}, "from 0 to 5"),
        ({"area": "0,0,1"}, "give x and y"),
        ({"area": "0,0,1,0,nan,1"}, "no number of a map"),
        ({"area": ",".join(["1"] * 130)}, "3 to 64 corners"),
        ({"view": "1,0,0,1"}, "left, bottom, right and top"),
        ({"left": "a"}, "no number of a map"),
    ],
)
def test_impossible_values_are_refused_with_what_is_possible(client, run, query, words):
    assert words in page(client, "/runs/synthetic/map/", 400, **query)


def test_a_bundle_without_positions_says_how_a_map_comes(client, tmp_path):
    run = make_run(tmp_path, curves=False)
    assert "This run has no map" in page(client, "/runs/synthetic/map/")
    assert client.get(binary(run, "positions")).status_code == 404


def test_a_bundle_with_one_map_offers_no_other(client, tmp_path, run):
    html = page(client, "/runs/synthetic/map/", by="gradient")
    assert "?by=curve" in html


def test_what_every_point_needs_is_worked_out_when_the_run_is_read_in(run, django_assert_num_queries):
    prepare_maps(run)
    with django_assert_num_queries(0):
        prepare_maps(run)


def test_reads_do_not_grow_with_the_points(client, run, django_assert_max_num_queries):
    with django_assert_max_num_queries(6):
        page(client, "/runs/synthetic/map/", area=EVERYWHERE, colour="rank")

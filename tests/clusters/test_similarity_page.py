"""The similarity matrix: pixels, pairs, means, and an address that holds the view."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from django.contrib.auth.models import User
from PIL import Image

from clusters.charts.raster import RAMPS, palette
from clusters.charts.standalone import STYLESHEET
from clusters.queries import similarity as reads
from clusters.queries.similarity import Matrix
from clusters.stored.arrays import array_of
from clusters.views.similarity_pixels import picture_address, tiles_address
from compute.numerics import mosaic
from compute.numerics.ranks import cluster_order
from tests.factories import N_SELECTED, make_run

pytestmark = pytest.mark.django_db
PATH = "/runs/synthetic/similarity/"


@pytest.fixture
def run(tmp_path, settings):
    settings.DERIVED_DIR = tmp_path / "derived"
    return make_run(tmp_path)


@pytest.fixture
def matrix(run) -> Matrix:
    return Matrix(run, "signed", 6)


def page(client, path=PATH, status=200, **query) -> str:
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode() if not response.streaming else b"".join(response.streaming_content).decode()


def twin(client, **query):
    return json.loads(page(client, "/runs/synthetic/similarity.json", **query))


def config(html: str) -> dict:
    return json.loads(re.search(r'<script id="matrix-config" type="application/json">(.*?)</script>', html)[1])


def ordered(run, affinity="signed", k=6) -> tuple[np.ndarray, np.ndarray]:
    """The matrix in the order that the page states, and the rank (from 0) at every place."""
    labels = np.asarray(array_of(run, f"clustering/{affinity}/k{k}"))
    rank = np.array([cluster_order(labels).tolist().index(label) for label in labels])
    order = np.lexsort((np.arange(len(rank)), rank))
    return np.asarray(array_of(run, f"similarity/{affinity}"))[np.ix_(order, order)], rank[order]


def pixels(response) -> np.ndarray:
    assert response["Content-Type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(response.content)))


@pytest.mark.parametrize("limits", ["99", "99.9"])
def test_colour_limits_come_from_a_sample_and_are_said_to_be_about(client, run, limits):
    html = page(client, limits=limits)
    assert f"which holds about {limits}% of pairs or more" in html
    assert f">about {limits}% of pairs</option>" in html


# ── pixels ──


def test_a_pixel_of_the_finest_level_is_a_pair_in_the_order_of_the_clusters(client, run, matrix):
    codes = pixels(client.get(f"{tiles_address(matrix)}0/0/0.png"))
    values, _ = ordered(run)
    assert codes.shape == (N_SELECTED, N_SELECTED)
    np.testing.assert_allclose(matrix.decoded()[codes], values, atol=0.01)


def test_affinities_have_tiles_of_their_own(client, run):
    matrix = Matrix(run, "signed", 6, "affinity")
    codes = pixels(client.get(f"{tiles_address(matrix)}0/0/0.png"))
    expected = 1 - np.arccos(np.clip(ordered(run)[0], -1, 1)) / np.pi
    np.testing.assert_allclose(matrix.decoded()[codes], expected, atol=0.01)


@pytest.mark.parametrize("affinity", ["signed", "absolute"])
def test_tiles_of_every_level_join_to_the_block_means(run, monkeypatch, affinity):
    monkeypatch.setattr(mosaic, "TILE", 4)
    matrix, (values, _) = Matrix(run, affinity, 6), ordered(run, affinity)
    assert mosaic.n_levels(N_SELECTED) == 5
    for level in range(5):
        width = mosaic.width_at(N_SELECTED, level)
        n_tiles = -(-width // 4)
        rows = [np.hstack([reads.tile(matrix, level, j, i) for j in range(n_tiles)]) for i in range(n_tiles)]
        found = matrix.decoded()[np.vstack(rows)]
        np.testing.assert_allclose(found, mosaic.block_means(values, 1 << level), atol=0.01)


def test_a_tile_is_kept_for_good_and_by_nobody_between(client, matrix):
    response = client.get(f"{tiles_address(matrix)}0/0/0.png")
    assert response["Cache-Control"] == "private, max-age=31536000, immutable"
    again = client.get(f"{tiles_address(matrix)}0/0/0.png", headers={"If-None-Match": response["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_an_etag_is_one_tile_s(client, run, matrix):
    other = Matrix(run, "signed", 3)
    tags = {client.get(f"{tiles_address(one)}0/0/0.png")["ETag"] for one in (matrix, other)}
    assert len(tags) == 2


@pytest.mark.parametrize("tail", ["0/1/0.png", "0/0/1.png", "1/0/0.png", "99/0/0.png"])
def test_tiles_beyond_the_matrix_are_not_there(client, matrix, tail):
    page(client, f"{tiles_address(matrix)}{tail}", 404)


def test_another_bundle_s_pixels_are_not_there(client, run, matrix):
    address = tiles_address(matrix).replace(run.bundle_sha256[:16], "0" * 16)
    page(client, f"{address}0/0/0.png", 404)


@pytest.mark.parametrize(("old", "new"), [("k6", "k7"), ("signed", "absolut"), ("/similarity/k", "/else/k")])
def test_a_matrix_that_the_run_has_not_is_not_there(client, matrix, old, new):
    page(client, f"{tiles_address(matrix).replace(old, new)}0/0/0.png", 404)


def test_pixels_pairs_and_numbers_of_a_private_run_are_its_owner_s(client, tmp_path, settings):
    settings.DERIVED_DIR = tmp_path / "derived"
    ana = User.objects.create_user("ana")
    run = make_run(tmp_path, name="secret", owner=ana, private=True)
    matrix = Matrix(run, "signed", 6)
    pair = "/runs/secret/similarity/pair/signed/similarity/k6/"
    paths = [f"{tiles_address(matrix)}0/0/0.png", picture_address(matrix, "99", 0, 9, "dark"), pair,
             "/runs/secret/similarity/", "/runs/secret/similarity.json"]  # fmt: skip
    assert {client.get(path).status_code for path in paths} == {404}
    client.force_login(ana)
    assert {client.get(path).status_code for path in paths} == {200}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_for_pages_without_a_canvas_has_the_stylesheet_s_colours(client, matrix, theme):
    image = Image.open(io.BytesIO(client.get(picture_address(matrix, "all", 3, 20, theme)).content)).convert("RGB")
    assert image.size == (17, 17)
    end = re.search(r"--d3:\s*light-dark\((#\w+), (#\w+)\)", STYLESHEET.read_text())
    colour = tuple(bytes.fromhex(end[2 if theme == "dark" else 1][1:]))
    assert reads.colour_limits(matrix, "all")[1] <= 1  # so a token's pair with itself has the colour of the end
    assert image.getpixel((4, 4)) == colour


def test_the_palette_runs_through_the_ramp(matrix):
    at = np.linspace(0, 1, 256)
    colours = palette(at, "diverging", "light")
    text = STYLESHEET.read_text()
    for place, name in ((0, "d-3"), (255, "d3")):
        stop = re.search(rf"--{name}:\s*light-dark\(#(\w+)", text)[1]
        assert colours[place].tolist() == list(bytes.fromhex(stop))
    assert len(RAMPS["diverging"]) == 7


@pytest.mark.parametrize("query", ["first=5&last=5", "first=-1", "last=99", "theme=blue", "limits=2"])
def test_impossible_pictures_are_refused(client, matrix, query):
    base = picture_address(matrix, "99", 0, 9, "dark").partition("?")[0]
    assert client.get(f"{base}?{query}").status_code == 400


# ── pairs ──


def test_a_pair_is_told_with_both_contexts_and_clusters(client, run):
    values, rank = ordered(run)
    html = page(client, "/runs/synthetic/similarity/pair/signed/similarity/k6/", row="3", column="20")
    assert f"<dd>{values[3, 20]:.3f}</dd>".replace("-", "−") in html
    assert html.count('class="ctx"') == 2
    assert f"rank {rank[3] + 1}," in html
    assert f"rank {rank[20] + 1}," in html


def test_a_pair_as_json_has_the_matrix_s_numbers(client, run):
    values, rank = ordered(run)
    path = "/runs/synthetic/similarity/pair/signed/similarity/k6.json"
    found = json.loads(page(client, path, row="0", column="39"))
    assert found["cosine"] == pytest.approx(values[0, 39])
    assert found["affinity"] == pytest.approx(1 - np.arccos(values[0, 39]) / np.pi)
    inside = values[np.ix_(rank == rank[0], rank == rank[39])]
    assert found["mean"] == pytest.approx(inside.mean(), abs=1e-6)
    assert found["n_pairs"] == inside.size
    flat = array_of(run, "selection/flat_index")
    assert set(found["indices"]) <= set(flat.tolist())


def test_the_tokens_most_like_the_row_s_are_listed_with_the_pair_kept(client, run, matrix):
    values, _ = ordered(run)
    found = reads.most_alike(matrix, 7, 5)
    others = np.delete(values[7], 7)
    assert [cosine for _, _, cosine in found] == pytest.approx(np.sort(others)[::-1][:5])
    assert 7 not in [place for place, _, _ in found]
    assert all(values[7, place] == pytest.approx(cosine) for place, _, cosine in found)
    path = "/runs/synthetic/similarity/pair/signed/similarity/k6/"
    assert "Most like the row" not in page(client, path, row="7")
    html = page(client, path, row="7", near="on")
    for _, index, _ in found:
        assert f"with={index}" in html


@pytest.mark.parametrize("query", [{"row": "40"}, {"row": "-1"}, {"column": "x"}, {"row": "1" * 400}])
def test_places_outside_the_matrix_are_refused(client, run, query):
    page(client, "/runs/synthetic/similarity/pair/signed/similarity/k6/", 400, **query)


def test_contexts_of_a_pair_are_harmless(client, run):
    shown = "".join(
        page(client, "/runs/synthetic/similarity/pair/signed/similarity/k6/", row=str(i), column=str(i + 1))
        for i in range(0, 39, 2)
    )
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script>alert" not in shown


def test_the_selected_pair_stands_on_the_page_without_a_canvas(client, run, matrix):
    flat = array_of(run, "selection/flat_index").tolist()
    html = page(client, k="6", token=str(flat[5]), **{"with": str(flat[9])})
    assert f'data-row="{flat[5]}" data-column="{flat[9]}"' in html
    assert config(html)["cursor"] == [reads.place_of(matrix, flat[5]), reads.place_of(matrix, flat[9])]


def test_a_token_that_was_not_clustered_selects_nothing(client, run):
    others = set(range(300)) - set(array_of(run, "selection/flat_index").tolist())
    assert config(page(client, token=str(min(others))))["cursor"] is None


# ── the page ──


def test_clusters_stand_by_rank(client, run):
    _, rank = ordered(run)
    starts = config(page(client, k="6"))["starts"]
    assert starts == [int(np.flatnonzero(rank == r)[0]) for r in range(6)] + [N_SELECTED]


def test_the_means_are_those_of_the_pairs(client, run):
    values, rank = ordered(run)
    found = twin(client, k="6")
    for a in range(6):
        for b in range(6):
            block = values[np.ix_(rank == a, rank == b)]
            if a == b:
                block = block[~np.eye(len(block), dtype=bool)]
            expected = None if not block.size else pytest.approx(block.mean(), abs=1e-6)
            assert found["means"][a][b] == expected


def test_the_title_s_numbers_are_the_means_of_all_pairs(client, run):
    values, rank = ordered(run)
    off = ~np.eye(N_SELECTED, dtype=bool)
    same = (rank[:, None] == rank) & off
    found = twin(client, k="6")
    assert found["mean_within"] == pytest.approx(values[same].mean(), abs=1e-6)
    assert found["mean_between"] == pytest.approx(values[~same & off].mean(), abs=1e-6)
    assert (found["n_pairs_within"], found["n_pairs_between"]) == (same.sum() // 2, (~same & off).sum() // 2)
    more = "more alike" if found["mean_within"] > found["mean_between"] else "less alike"
    assert f"Tokens of one cluster are {more} than tokens of two" in page(client, k="6")


@pytest.mark.parametrize(
    ("between", "words"),
    [(0.0849, "more alike than tokens of two: a mean cosine of 0.090 against 0.085"),
     (0.0901, "as alike as tokens of two: a mean cosine of 0.090 against 0.090"),
     (0.0951, "less alike than tokens of two: a mean cosine of 0.090 against 0.095")],
)  # fmt: skip
def test_the_title_says_no_more_than_its_numbers_show(client, run, monkeypatch, between, words):
    monkeypatch.setattr(reads, "contrast", lambda matrix: reads.Contrast(0.0902, between, 10, 20))
    assert words in page(client, k="6")


def test_all_limits_are_the_ends_of_the_matrix_about_zero(client, run):
    values, _ = ordered(run)
    most = np.abs(values[~np.eye(N_SELECTED, dtype=bool)]).max()
    assert twin(client, limits="all")["colour_limits"] == pytest.approx([-most, most], abs=1e-6)
    low, high = twin(client, limits="all", show="affinity")["colour_limits"]
    assert low + high == pytest.approx(1)


def test_limits_of_absolute_gradients_are_not_mirrored(client, run):
    values, _ = ordered(run, "absolute")
    off = values[~np.eye(N_SELECTED, dtype=bool)]
    found = twin(client, affinity="absolute", limits="all")
    assert found["colour_limits"] == pytest.approx([off.min(), off.max()], abs=1e-6)
    assert found["show"] == "similarity"


def test_a_cluster_in_the_address_is_looked_at(client, run):
    label = run.clusterings.get(k=6, affinity="signed").clusters.get(rank=3).label
    shown = config(page(client, k="6", cluster=str(label)))
    first, last = shown["focus"]
    assert first <= shown["starts"][2] < shown["starts"][3] <= last
    assert last - first < N_SELECTED


def test_ranks_in_the_address_are_looked_at_and_tabled(client, run):
    html = page(client, k="6", first="2", last="4", go="block")
    starts = config(html)["starts"]
    assert config(html)["focus"] == [starts[1], starts[4]]
    assert [one["rank"] for one in twin(client, k="6", first="2", last="4")["clusters"]] == [2, 3, 4]
    assert config(page(client, k="6", first="2", last="4"))["focus"] == [0, N_SELECTED]


def test_ranks_beyond_a_smaller_k_are_cut_with_a_sentence(client, run):
    assert "ranks 2 to 3 are shown" in page(client, k="3", first="2", last="6")


def test_centre_and_zoom_stand_in_the_address(client, run):
    assert config(page(client, x="12.5", y="3", z="8"))["view"] == [12.5, 3, 8]


@pytest.mark.parametrize(
    "query",
    [
        {"k": "7"}, {"affinity": "other"}, {"show": "x"}, {"limits": "50"}, {"cluster": "6"}, {"cluster": "x"},
        {"first": "0"}, {"first": "4", "last": "2"}, {"x": "nan", "y": "1", "z": "1"}, {"x": "1", "y": "1", "z": "65"},
        {"x": "1", "y": "1", "z": "0"}, {"x": "-1", "y": "1", "z": "1"}, {"x": "1e99", "y": "1", "z": "1"},
    ],
)  # fmt: skip
def test_impossible_values_are_refused_with_those_allowed(client, run, query):
    assert re.search(r"choose one of|has \d|run from|lies|counts", page(client, status=400, **query))


def test_without_javascript_there_is_a_picture_of_the_block(client, run):
    html = page(client, k="6", first="2", last="3", go="block")
    assert re.search(r"<noscript><div class=\"pixels\">.*first=\d+&amp;last=\d+", html, re.DOTALL)


def test_every_cluster_shown_links_to_its_page(client, run):
    html = page(client, k="6")
    for cluster in run.clusterings.get(k=6, affinity="signed").clusters.all():
        assert f'href="/runs/synthetic/k/6/clusters/{cluster.label}/"' in html


def test_the_paper_s_crop_is_offered_where_k_400_is(client, run, monkeypatch):
    assert "As in the paper" not in page(client)
    monkeypatch.setattr("clusters.views.similarity.PAPER_K", 6)
    html = page(client)
    assert "k=6&amp;show=affinity&amp;limits=all&amp;first=47&amp;last=57&amp;go=block" in html


def test_sketched_similarities_are_said_to_be_estimates(client, run):
    assert "estimates" not in page(client)
    run.manifest["similarity"] = {"mode": "sketch", "sketch_size": 4096, "refine": 20, "rms": 0.0156, "largest": 0.1}
    run.save()
    html = page(client)
    assert "estimates from sketches of 4,096 numbers: off by 0.0156 at most" in html
    assert "20 nearest were computed exactly" in html


def test_numbers_of_small_blocks_are_in_the_twins(client, run):
    values, _ = ordered(run)
    block = twin(client, k="6", rows="2-5", cols="10-11")["block"]
    np.testing.assert_allclose(block["values"], values[2:6, 10:12], atol=1e-6)
    lines = page(client, "/runs/synthetic/similarity.csv", k="6", rows="2-5", cols="10-11").splitlines()
    assert len(lines) == 1 + 4 * 2
    assert float(lines[1].split(",")[-1]) == pytest.approx(values[2, 10], abs=1e-6)


@pytest.mark.parametrize(
    "query", [{"rows": "0-64"}, {"rows": "5-2"}, {"cols": "0-40"}, {"rows": "a-b"}, {"cols": "-1"}]
)
def test_numbers_of_impossible_blocks_are_refused(client, run, query):
    page(client, "/runs/synthetic/similarity.json", 400, **query)


def test_the_csv_holds_every_pair_of_clusters(client, run):
    lines = page(client, "/runs/synthetic/similarity.csv", k="6").splitlines()
    assert len(lines) == 1 + 6 * 7 // 2


def test_means_can_be_taken_as_svg_with_their_colours(client, run):
    svg = page(client, "/runs/synthetic/similarity.svg", k="6", figure="cluster-means")
    assert re.search(r'fill="#\w{6}"[^>]*shape-rendering|shape-rendering[^>]*fill="#\w{6}"', svg)


def test_the_matrix_can_stand_in_other_pages_as_a_picture(client, run):
    response = client.get(PATH, {"embed": "true", "figure": "matrix"})
    assert "frame-ancestors *" in response["Content-Security-Policy"]
    assert "picture.png" in response.content.decode()
    assert "<canvas" not in response.content.decode()


def test_reads_do_not_grow_with_the_clusters(client, run, django_assert_max_num_queries):
    page(client)
    with django_assert_max_num_queries(6) as first:
        page(client, k="3")
    with django_assert_max_num_queries(6) as second:
        page(client, k="6")
    assert len(first) == len(second)


def test_a_run_without_similarities_says_what_is_missing(client, run, monkeypatch):
    monkeypatch.setattr("clusters.queries.similarity.bundle_of", lambda run: type("B", (), {"has": lambda *_: False})())
    assert "No similarities in this bundle" in page(client)
    assert json.loads(page(client, "/runs/synthetic/similarity.json"))["means"] == []


def test_what_the_page_works_out_can_be_made_beforehand(client, run, settings):
    assert reads.make_overviews(run) == 6  # two ks: signed cosines and affinities, absolute cosines
    kept = sorted(path.name for path in (settings.DERIVED_DIR / run.bundle_sha256 / "similarity").glob("*.npy"))
    assert len(kept) == 2 + 6 * 3


# ── tokens that are not in the matrix ──


@pytest.mark.parametrize("name", ["token", "with"])
def test_a_token_that_was_not_clustered_is_answered_with_a_sentence(client, run, name):
    flat = [token.flat_index for token in run.tokens.order_by("row")]
    other = next(index for index in range(flat[0], flat[-1]) if index not in flat)
    html = page(client, **({"token": str(flat[0]), "with": str(flat[0])} | {name: str(other)}))
    assert f"Token {other} was not clustered" in html
    at = int(np.searchsorted(flat, other))
    assert f"token {flat[at - 1]} and token {flat[at]}" in html
    assert "data-pair" not in html


@pytest.mark.parametrize(
    ("query", "words"),
    [({"token": "abc"}, "“abc” is no token"), ({"token": "<b>"}, "“&lt;b&gt;” is no token"),
     ({"with": "{first}"}, "but not its row")],
)  # fmt: skip
def test_what_names_no_pair_is_answered_with_a_sentence(client, run, query, words):
    first = run.tokens.order_by("row").first().flat_index
    html = page(client, **{name: value.format(first=first) for name, value in query.items()})
    assert words in html
    assert "data-pair" not in html


def test_a_form_names_the_pair_and_keeps_the_rest_of_the_address(client, run):
    first, second = (token.flat_index for token in run.tokens.order_by("row")[:2])
    html = page(client, token=str(first), **{"with": str(second), "limits": "all"})
    form = html[html.index('id="pair-form"') :]
    form = form[: form.index("</form>")]
    assert f'name="token" id="pair-row" min="0" value="{first}"' in form
    assert f'name="with" id="pair-column" min="0" value="{second}"' in form
    assert '<input type="hidden" name="limits" value="all">' in form

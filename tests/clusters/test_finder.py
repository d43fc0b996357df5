"""What the finder finds is what a plain float64 loop over all predictions finds."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusters.queries.finder import columns as columns_module
from clusters.queries.finder.answers import ids_of_answer
from clusters.queries.finder.columns import N_CELLS, Columns
from clusters.queries.finder.conditions import between
from clusters.queries.finder.pages import page_of
from clusters.queries.finder.polygon import INSIDE, ON_EDGE, cell_states, is_inside
from clusters.queries.finder.search import answer_counts, density, facet_counts, preset_counts, search
from clusters.stored.arrays import array_of
from clusters.values.finding import MOST_CORNERS, ORDERS, Bounds, Criteria, Cursor, Lasso, Order, Plane, planes, presets
from compute.numerics.curves import CLASS_NAMES, paper_monogenic, paper_polygenic
from compute.numerics.vocabulary import Vocabulary
from tests.factories import N_DOCUMENTS, VOCABULARY, make_run, n_predictions

pytestmark = pytest.mark.django_db
N = n_predictions()
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 64 predictions, so that a small corpus has several."""
    for name in ("columns", "search", "pages"):
        monkeypatch.setattr(f"clusters.queries.finder.{name}.BLOCK", 64)


def rough(seed: int = 0) -> dict[str, np.ndarray]:
    """Scores with ties, ends of their ranges, and some that are no numbers."""
    rng = np.random.default_rng(seed)
    m = rng.choice([-1.0, -0.5, 0.25, 0.5, 0.50000006, np.nan], N).astype(np.float32)
    m[::3] = rng.uniform(-1, 1, len(m[::3]))
    n_eff = rng.choice([0.0, 1.0, 2.0, 3.0], N).astype(np.float32)
    n_eff[::2] = rng.uniform(1, 3, len(n_eff[::2]))
    return {
        "curves/monogenicity": m,
        "curves/n_eff": n_eff,
        "curves/linearity": rng.uniform(-3, 3, N).astype(np.float32),
        "curves/breakthroughness": (np.exp(rng.uniform(0, 4.6, N)) * rng.choice([-1, 0, 1, 1], N)).astype(np.float32),
    }


@pytest.fixture(autouse=True)
def derived_beside_the_bundle(settings, tmp_path):
    settings.DERIVED_DIR = tmp_path / "derived"


@pytest.fixture
def columns(tmp_path, small_blocks) -> Columns:
    return Columns(make_run(tmp_path, arrays=rough()))


def naive(columns: Columns, criteria: Criteria) -> np.ndarray:
    """Every prediction tested by itself, in float64."""
    kept = []
    for i in range(columns.n):
        is_kept = True
        for name, bounds in criteria.bounds:
            value = float(columns.values(name)[i])
            is_kept &= not math.isnan(value)
            is_kept &= bounds.above is None or value > bounds.above
            is_kept &= bounds.below is None or value < bounds.below
        if criteria.lasso:
            plane = columns.planes[criteria.lasso.plane]
            x, y = (float(columns.values(name)[i]) for name in (plane.x, plane.y))
            is_kept &= _is_within(plane, criteria.lasso, x, y)
        if is_kept:
            kept.append(i)
    return np.array(kept, np.int64)


def _is_within(plane: Plane, lasso: Lasso, x: float, y: float) -> bool:
    if plane.is_log_y:
        y = math.log(y) if y > 0 else math.nan
    (x0, x1), (y0, y1) = plane.x_range, plane.y_ends
    if not (x0 <= x <= x1 and y0 <= y <= y1):
        return False
    crossed = False
    corners = lasso.on(plane)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            crossed = not crossed
    return crossed


def indices(columns: Columns, criteria: Criteria) -> list[int]:
    blocks = list(search(columns, criteria).blocks())
    return np.concatenate(blocks).tolist() if blocks else []


ends = st.one_of(st.none(), st.sampled_from([-1.0, -0.5, 0.25, 0.3, 0.5, 1.0, 2.0]), st.floats(-1.2, 4, width=64))


@many
@given(data=st.data())
def test_thresholds_find_what_a_plain_loop_finds(columns, data):
    names = data.draw(st.lists(st.sampled_from(["m", "n", "l", "b", "s1", "s4"]), min_size=1, max_size=4, unique=True))
    criteria = Criteria().with_bounds({name: Bounds(data.draw(ends), data.draw(ends)) for name in names})
    found = indices(columns, criteria)
    assert found == naive(columns, criteria).tolist()
    assert search(columns, criteria).count == len(found)


corner = st.tuples(st.integers(0, 4095), st.integers(0, 4095))


@many
@given(key=st.sampled_from(["mn", "lb"]), corners=st.lists(corner, min_size=3, max_size=MOST_CORNERS))
def test_a_lasso_finds_what_a_plain_loop_finds(columns, key, corners):
    criteria = Criteria(lasso=Lasso(key, tuple(corners)))
    assert indices(columns, criteria) == naive(columns, criteria).tolist()


def test_a_bound_itself_is_left_out(columns):
    values = columns.values("m")
    above = set(indices(columns, Criteria().with_bounds({"m": Bounds(above=0.5)})))
    assert above == {i for i in range(N) if values[i] > 0.5}
    assert {i for i in range(N) if values[i] == 0.5}
    assert not above & {i for i in range(N) if values[i] == 0.5}


@pytest.mark.parametrize("bound", [0.3, 0.1, -0.3, 0.98, 5.0, 1e-40, 0.0, 3.5e38])
def test_bounds_hold_as_in_float64(bound):
    near = np.float32(bound if abs(bound) < 3e38 else 3e38)
    values = np.array([near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf)), np.nan],
                      np.float32)  # fmt: skip
    rows = slice(0, len(values))
    assert between(values, Bounds(above=bound)).holds(rows).tolist() == (values.astype(float) > bound).tolist()
    assert between(values, Bounds(below=bound)).holds(rows).tolist() == (values.astype(float) < bound).tolist()


@many
@given(
    key=st.sampled_from([key for key in ORDERS if key not in ("rising", "falling", "step-rise", "step-peak")]),
    n_rows=st.integers(1, 40),
    bounds=st.sampled_from([Bounds(), Bounds(above=0.2), Bounds(below=-0.99)]),
)
def test_pages_show_every_token_once_and_in_order(columns, key, n_rows, bounds):
    criteria, order = Criteria().with_bounds({"m": bounds}), ORDERS[key]
    found, after, listed = search(columns, criteria), None, []
    while True:
        page, after = page_of(columns, found, order, n_rows, after)
        listed += page
        if after is None:
            break
        assert len(page) == n_rows
    assert listed == _sorted(columns, naive(columns, criteria).tolist(), order)


def _sorted(columns: Columns, those: list[int], order: Order) -> list[int]:
    if not order.column:
        return those
    values = columns.values(order.column)

    def key(i: int) -> tuple[float, int]:
        value = float(values[i])
        return (math.inf if math.isnan(value) else (-value if order.falls else value)), i

    return sorted(those, key=key)


def test_a_page_after_the_last_token_is_empty(columns):
    found = search(columns, Criteria())
    assert page_of(columns, found, ORDERS["index"], 5, Cursor(0.0, N - 1)) == ([], None)
    assert page_of(columns, found, ORDERS["loss"], 5, Cursor(-math.inf, N - 1)) == ([], None)


facets = st.fixed_dictionaries(
    {
        "classes": st.lists(st.sampled_from(CLASS_NAMES), max_size=2, unique=True).map(tuple),
        "bands": st.lists(st.integers(0, 8), max_size=3, unique=True).map(tuple),
        "induced": st.sampled_from([None, True, False]),
        "clustered": st.sampled_from([None, True, False]),
    }
)


@many
@given(chosen=facets, above=st.sampled_from([None, -0.9999, -0.4, 0.99, 2.0]))
def test_facets_agree_with_what_is_found(columns, chosen, above):
    criteria = Criteria(**chosen).with_bounds({"m": Bounds(above=above)})
    classes = _array(columns, "curves/class")
    induced = _array(columns, "selection/induced")
    clustered = np.isin(np.arange(N), _array(columns, "selection/flat_index"))
    bands = np.digitize(np.asarray(columns.values("loss"), np.float64), columns_module.BAND_EDGES_NATS) - 1
    expected = [
        i
        for i in naive(columns, criteria.base).tolist()
        if (not chosen["classes"] or CLASS_NAMES[classes[i]] in chosen["classes"])
        and (not chosen["bands"] or bands[i] in chosen["bands"])
        and chosen["induced"] in (None, bool(induced[i]))
        and chosen["clustered"] in (None, bool(clustered[i]))
    ]
    assert indices(columns, criteria) == expected
    assert facet_counts(columns, criteria).sum() == len(naive(columns, criteria.base))


def _array(columns: Columns, name: str) -> np.ndarray:
    return np.asarray(array_of(columns.run, name))


def test_kinds_are_those_that_documents_have_in_words_that_are_theirs(columns):
    lines = [{"kind": "x" * 80}, {}, {"kind": "prose"}, {"kind": "prose"}] * (N_DOCUMENTS // 4)
    path = Path(columns.run.bundle_path) / "documents.jsonl"
    path.chmod(0o644)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert columns.kinds == ["prose", "unknown kind", "x" * 60]
    places = (columns.facets.astype(int) - 1) // math.prod(columns.facets_shape[1:])
    per_document = places.reshape(N_DOCUMENTS, -1)
    assert per_document[:4].min(axis=1).tolist() == per_document[:4].max(axis=1).tolist() == [2, 1, 0, 0]


def test_facet_counts_hold_every_prediction_once(columns):
    counts = facet_counts(columns, Criteria())
    assert counts.shape == columns.facets_shape
    classes = np.bincount(_array(columns, "curves/class"), minlength=4)
    assert counts.sum(axis=(0, 1, 3, 4))[:4].tolist() == classes.tolist()
    assert counts[..., 1].sum() == len(_array(columns, "selection/flat_index"))


@pytest.mark.parametrize("key", ["mn", "lb"])
@pytest.mark.parametrize("bounds", [Bounds(), Bounds(above=-0.9999), Bounds(above=0.2), Bounds(above=0.999)])
def test_density_counts_what_is_found_in_each_cell(columns, key, bounds):
    plane, criteria = columns.planes[key], Criteria().with_bounds({"m": bounds})
    those = naive(columns, criteria)
    x, y = (columns.values(name)[those].astype(np.float64) for name in (plane.x, plane.y))
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(y) if plane.is_log_y else y
    known = np.isfinite(x) & np.isfinite(y)
    expected, _, _ = np.histogram2d(x[known], y[known], bins=N_CELLS, range=(plane.x_range, plane.y_ends))
    assert density(columns, criteria, plane).sum() == expected.sum()
    assert np.abs(density(columns, criteria, plane) - expected).sum() <= 4  # histogram2d rounds edges otherwise


def test_cells_off_the_edges_are_wholly_in_or_out():
    rng = np.random.default_rng(1)
    for _ in range(20):
        corners = rng.uniform(0, 1, (rng.integers(3, 20), 2))
        states = cell_states(corners, (0.0, 1.0), (0.0, 1.0), 40)[1:-1].reshape(40, 40)
        points = rng.uniform(0, 1, (4000, 2))
        cells = states[tuple((points * 40).astype(int).T)]
        known = cells != ON_EDGE
        assert ((cells == INSIDE) == is_inside(*points.T, corners))[known].all()


def test_a_square_holds_its_middle_and_not_what_is_beside_it():
    square = np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
    x, y = np.array([0.5, 0.1, 0.9, 0.5]), np.array([0.5, 0.5, 0.5, 0.95])
    assert is_inside(x, y, square).tolist() == [True, False, False, False]


# ── answers ──


def ids(text: str, *, is_whole: bool = False) -> list[int]:
    vocabulary = Vocabulary(np.frombuffer(b"".join(VOCABULARY), np.uint8), np.cumsum([0, *map(len, VOCABULARY)]))
    return ids_of_answer(vocabulary, text, is_whole=is_whole).tolist()


@pytest.mark.parametrize(
    ("text", "is_whole", "found"),
    [("cat", False, [2]), ("CAT", False, [2]), (" cat", True, [2]), ("cat", True, []), (" ", False, [2, 3, 5, 6, 18]),
     ("⏎", True, [4]), ("␣x", True, [18]), ("the cat", False, []), ("t", False, [0, 1, 2, 6, 15])],
)  # fmt: skip
def test_answers_are_found_within_single_tokens(text, is_whole, found):
    assert ids(text, is_whole=is_whole) == found


def test_an_answer_filter_finds_the_predictions_of_these_tokens(columns):
    token_ids = _array(columns, "corpus/token_ids").reshape(-1, 30)[:, 1:].ravel()
    assert indices(columns, Criteria(answer="dog")) == np.flatnonzero(token_ids == 3).tolist()
    assert indices(columns, Criteria(answer_id=3)) == np.flatnonzero(token_ids == 3).tolist()
    assert indices(columns, Criteria(answer=" ")) == np.flatnonzero(np.isin(token_ids, [2, 3, 5, 6, 18])).tolist()
    assert indices(columns, Criteria(answer_id=10**9)) == []


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(above=-0.9999), Bounds(above=0.2), Bounds(above=0.999)])
def test_answers_are_counted_among_what_is_found(columns, bounds):
    criteria = Criteria().with_bounds({"m": bounds})
    token_ids = _array(columns, "corpus/token_ids").reshape(-1, 30)[:, 1:].ravel()
    expected = np.bincount(token_ids[naive(columns, criteria)], minlength=len(VOCABULARY))
    assert answer_counts(columns, criteria).tolist() == expected.tolist()


# ── rules ──


def test_the_papers_monogenic_rule_is_the_numerics_one(tmp_path, small_blocks):
    rng = np.random.default_rng(3)
    tables = {f"losses/syn-{name}/step1000": rng.choice([0.1, 0.29, 0.3, 5.0, 5.1, 9.0], N).astype(np.float32)
              for name in ("10k", "40k", "200k", "800k")}  # fmt: skip
    columns = Columns(make_run(tmp_path, arrays=tables))
    steps = paper_monogenic(np.stack([columns.values(f"s{i}") for i in (1, 2, 3, 4)], axis=1))
    rules = {rule.key: rule.criteria for rule in presets(columns.offer)}
    for j in (1, 2, 3):
        assert indices(columns, rules[f"step-{j}"]) == np.flatnonzero(steps == j).tolist()
    assert (steps > 0).sum() > 3


def test_the_papers_polygenic_rule_is_the_numerics_one(columns):
    slope, r_squared = (_array(columns, f"curves/{name}") for name in ("slope", "r_squared"))
    rule = next(rule for rule in presets(columns.offer) if rule.key == "line")
    assert indices(columns, rule.criteria) == np.flatnonzero((slope < -0.3) & (r_squared > 0.98)).tolist()
    assert paper_polygenic([[9, 6, 3]], [0, 1, 2]).all()


def test_rules_are_counted_over_the_corpus(columns):
    known = list(presets(columns.offer))
    assert preset_counts(columns, known) == [len(indices(columns, rule.criteria)) for rule in known]


def test_a_run_with_two_sizes_has_losses_and_no_planes(tmp_path):
    networks = (("syn-10k", 10_000), ("syn-40k", 40_000))
    columns = Columns(make_run(tmp_path, networks=networks, curves=False))
    assert not columns.planes
    assert columns.offer.thresholds == ["s1", "s2"]
    assert columns.offer.orders == ("loss", "loss-high", "index")


def test_planes_of_three_sizes_are_not_flat():
    assert planes(3)["mn"].y_range == (1.0, 2.0)

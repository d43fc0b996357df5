"""The columns that the finder tests, one value a prediction; what every search needs is worked out once and kept."""

from __future__ import annotations

import json
from functools import cached_property

import numpy as np

from clusters.models import Run
from clusters.queries.documents import kinds_of
from clusters.queries.selected import StepNetwork, step_networks
from clusters.stored.arrays import array_of, bundle_of, corpus_of
from clusters.stored.columns import clustered_checkpoint, losses_under
from clusters.stored.derived import derived
from clusters.values.finding import BAND_EDGES_NATS, LEAST_SIZES, N_BANDS, ORDERS, SCORES, SHAPES, Offer, Plane, planes
from compute.numerics.curves import CLASS_NAMES
from compute.numerics.shapes import shape_scores, stages

BLOCK = 1 << 18  # predictions tested at a time: their values stay in a core's cache
N_CELLS = 240  # cells of a plane each way: coarser ones end at M = ±½ and at whole steps; one code more for none
MOST_KINDS = 250  # kinds of document told apart; those with fewest predictions are counted together
OTHER_KINDS = "other kinds"
UNKNOWN_CLASS, UNKNOWN_BAND = len(CLASS_NAMES), N_BANDS
N_CLASSES, N_ALL_BANDS = UNKNOWN_CLASS + 1, UNKNOWN_BAND + 1


class Columns:
    """What one run knows of its predictions; nothing is read before it is asked for."""

    def __init__(self, run: Run) -> None:
        self.run, self._bundle = run, bundle_of(run)

    @cached_property
    def n(self) -> int:
        return corpus_of(self.run).n_predictions

    @property
    def sizes(self) -> list[dict]:
        return self.run.manifest.get("sizes", [])

    @cached_property
    def planes(self) -> dict[str, Plane]:
        """The planes whose scores the run has."""
        both = planes(len(self.sizes))
        return {key: plane for key, plane in both.items() if {plane.x, plane.y} <= self.scores}

    @cached_property
    def scores(self) -> set[str]:
        """The scores that the run has."""
        return {key for key, score in SCORES.items() if self._bundle.has(f"curves/{score.name}")}

    @cached_property
    def shapes(self) -> set[str]:
        """The measures of rises and peaks that the run's losses allow."""
        by_size = {"rise", "peak"} if len(self.size_losses) >= LEAST_SIZES else set()
        return by_size | ({"step_rise", "step_peak"} if self.step_network else set())

    @cached_property
    def step_network(self) -> StepNetwork | None:
        """Whose training shapes are looked for: the clustered network's, else the largest that has enough steps."""
        known = [one for one in step_networks(self.run) if self._n_stages(one) >= LEAST_SIZES]
        own = [one for one in known if one.lm == self.run.manifest["clustered"]["lm"]]
        return own[0] if own else known[-1] if known else None

    def _n_stages(self, network: StepNetwork) -> int:
        return stages(network.steps).shape[1] if max(network.steps) > 0 else 0

    @cached_property
    def size_losses(self) -> list[np.ndarray]:
        """Losses of every size, smallest first, each (n,); none where one of them is missing."""
        by_key = {(c["lm"], c["revision"]): c for c in self.run.manifest["checkpoints"]}
        found = [losses_under(self.run, by_key[size["lm"], size["revision"]]) for size in self.sizes]
        there = [losses for losses in found if losses is not None]
        return there if len(there) == len(found) else []

    @cached_property
    def losses(self) -> np.ndarray | None:
        """The clustered network's losses, (n,)."""
        return losses_under(self.run, clustered_checkpoint(self.run))

    @property
    def has_class(self) -> bool:
        return self._bundle.has("curves/class")

    @property
    def has_induced(self) -> bool:
        return self._bundle.has("selection/induced")

    @property
    def has_clustered(self) -> bool:
        return self._bundle.has("selection/flat_index")

    @cached_property
    def offer(self) -> Offer:
        """What one may ask of this run."""
        return Offer(
            size_names=tuple(size["lm"] for size in self.sizes) if self.size_losses else (),
            scores=frozenset(self.scores),
            shapes=frozenset(self.shapes),
            planes=self.planes,
            kinds=tuple(self.kinds),
            orders=tuple(key for key, order in ORDERS.items() if not order.column or self.has(order.column)),
            has_class=self.has_class,
            has_induced=self.has_induced,
            has_clustered=self.has_clustered,
            has_loss=self.losses is not None,
        )

    def has(self, name: str) -> bool:
        """Whether there is a column of this name: a score, "loss", or s1, s2 …"""
        if name == "loss":
            return self.losses is not None
        if name in SCORES:
            return name in self.scores
        if name in SHAPES:
            return name in self.shapes
        return name[:1] == "s" and name[1:].isdecimal() and 1 <= int(name[1:]) <= len(self.size_losses)

    def values(self, name: str) -> np.ndarray:
        """The column, of shape (n,), memory-mapped."""
        if name in SCORES:
            return array_of(self.run, f"curves/{SCORES[name].name}")
        if name in SHAPES:
            return self._shape_columns(is_over_steps=name.startswith("step_"))[int(name.endswith("peak"))]
        found = self.losses if name == "loss" else self.size_losses[int(name[1:]) - 1]
        assert found is not None, f"this run has no column {name}: ask `has` first"  # noqa: S101
        return found

    def stage_losses(self, rows: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Geometric mean step of every stage of training, and the rows' mean losses there in nats, (n, n_stages)."""
        network = self.step_network
        assert network is not None, "this run has no training to look at: ask `shapes` first"  # noqa: S101
        weights, table = stages(network.steps), f"curves/steps/{network.lm}"
        if self._bundle.has(table) and array_of(self.run, table).shape[1] == len(network.steps):
            losses = np.asarray(array_of(self.run, table)[rows], np.float32)
        else:
            columns = [array_of(self.run, name)[rows] for name in network.columns]
            losses = np.stack(columns, axis=1).astype(np.float32)
        known = weights.any(axis=1)  # step 0 belongs to no stage
        steps = np.array(network.steps, np.float64)[known]
        return np.exp(np.log(steps) @ weights[known]), losses[:, known] @ weights[known]

    def _shape_columns(self, *, is_over_steps: bool) -> np.ndarray:
        """Rises and peaks of every prediction in bits, float32 (2, n)."""
        lm = self.step_network.lm if is_over_steps and self.step_network else "sizes"
        return derived(self.run, f"finder/shapes-{lm}", lambda: self._made_shapes(is_over_steps))

    @cached_property
    def kinds(self) -> list[str]:
        """The kinds of document by falling number of predictions."""
        kept = derived(self.run, "finder/kinds-2", self._made_kinds)
        return json.loads(kept.tobytes())

    @property
    def facets_shape(self) -> tuple[int, ...]:
        """Kinds, bands of loss, classes, induced or not, clustered or not."""
        return (max(len(self.kinds), 1), N_ALL_BANDS, N_CLASSES, 2, 2)

    @property
    def facets(self) -> np.ndarray:
        """Of every prediction: 1 + its place in an array of `facets_shape`, uint16."""
        return derived(self.run, "finder/facets-2", self._made_facets)

    @property
    def answers(self) -> np.ndarray:
        """Of every prediction: 1 + the id of the token that it is about."""
        return derived(self.run, "finder/answer-codes", self._made_answers)

    def cells(self, plane: Plane) -> np.ndarray:
        """Of every prediction: 1 + its cell of a plane, x-major, uint16; one more than the last cell for none."""
        name = f"finder/cells-{plane.key}-{N_CELLS}"
        return derived(self.run, name, lambda: self._made_cells(plane))

    # ── made once ──

    def _made_kinds(self) -> np.ndarray:
        codes, names = kinds_of(self.run)
        counts = np.zeros(len(names), np.int64)
        np.add.at(counts, codes, np.diff(corpus_of(self.run).prediction_starts))
        counted = dict(zip(names, counts.tolist(), strict=True))
        ordered = sorted(counted, key=lambda kind: (-counted[kind], kind))
        kept = ordered if len(ordered) <= MOST_KINDS else [*ordered[: MOST_KINDS - 1], OTHER_KINDS]
        return np.frombuffer(json.dumps(kept).encode(), np.uint8)

    def _made_facets(self) -> np.ndarray:
        corpus, place = corpus_of(self.run), {kind: i for i, kind in enumerate(self.kinds)}
        kinds, names = kinds_of(self.run)
        by_document = np.array([place.get(name, len(place) - 1) for name in names], np.int64)[kinds]
        codes = np.repeat(by_document, np.diff(corpus.prediction_starts)).astype(np.uint16)
        for name, size in (("band", N_ALL_BANDS), ("class", N_CLASSES), ("induced", 2), ("clustered", 2)):
            codes *= np.uint16(size)
            codes += self._part(name)
        return codes + np.uint16(1)

    def _part(self, name: str) -> np.ndarray:
        """One facet's number of every prediction, uint16 of shape (n,)."""
        if name == "band":
            return self._bands()
        part = np.zeros(self.n, np.uint16)
        if name == "class":
            known = array_of(self.run, "curves/class") if self.has_class else UNKNOWN_CLASS
            part[:] = np.minimum(known, UNKNOWN_CLASS)
        elif name == "induced" and self.has_induced:
            part[:] = array_of(self.run, "selection/induced")
        elif name == "clustered" and self.has_clustered:
            part[array_of(self.run, "selection/flat_index")] = 1
        return part

    def _bands(self) -> np.ndarray:
        bands = np.full(self.n, UNKNOWN_BAND, np.uint16)
        if self.losses is not None:
            for first in range(0, self.n, BLOCK):
                block = self.losses[first : first + BLOCK].astype(np.float64)
                found = np.searchsorted(BAND_EDGES_NATS, block, side="right") - 1
                bands[first : first + BLOCK] = np.where(np.isnan(block), UNKNOWN_BAND, np.maximum(found, 0))
        return bands

    def _made_shapes(self, is_over_steps: bool) -> np.ndarray:
        found = np.empty((2, self.n), np.float32)
        for first in range(0, self.n, BLOCK):
            rows = slice(first, first + BLOCK)
            if is_over_steps:
                losses = self.stage_losses(rows)[1]
            else:
                losses = np.stack([np.asarray(one[rows], np.float32) for one in self.size_losses], axis=1)
            scores = shape_scores(losses / np.float32(np.log(2)))
            found[0, rows], found[1, rows] = scores.rise, scores.peak
        return found

    def _made_answers(self) -> np.ndarray:
        corpus = corpus_of(self.run)
        is_predicted = np.ones(corpus.n_tokens, bool)
        is_predicted[corpus.offsets[:-1][corpus.lengths > 0]] = False  # nothing predicts a document's first token
        ids = corpus.token_ids[is_predicted]
        return ids + ids.dtype.type(1) if ids.max() < np.iinfo(ids.dtype).max else ids.astype(np.uint32) + np.uint32(1)

    def _made_cells(self, plane: Plane) -> np.ndarray:
        codes = np.empty(self.n, np.uint16)
        xs, ys = self.values(plane.x), self.values(plane.y)
        for first in range(0, self.n, BLOCK):
            rows = slice(first, first + BLOCK)
            x, y = on_plane(plane, xs[rows], ys[rows])
            i, j = (_steps(values, ends) for values, ends in ((x, plane.x_range), (y, plane.y_ends)))
            codes[rows] = np.where((i >= 0) & (j >= 0), i * N_CELLS + j + 1, N_CELLS**2 + 1)
        return codes


def on_plane(plane: Plane, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values in the plane's even coordinates, float64; no number where they have no place."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    if plane.is_log_y:
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.log(y)
    return x, y


def _steps(values: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """The cell of every value between the ends, both included; −1 beyond them and for no number."""
    low, high = ends
    with np.errstate(invalid="ignore"):
        inside = (values >= low) & (values <= high)
        steps = np.where(inside, (values - low) * (N_CELLS / (high - low)), -1.0)
    return np.minimum(steps.astype(np.int64), N_CELLS - 1)

"""The parts of the finder's page: facets, rules, what is asked for, fields, rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from clusters.charts.finder import SPARK_TOP, curve_spark
from clusters.charts.numbers import count, fixed
from clusters.contexts import Reader
from clusters.display import token_label
from clusters.forms.finder import BITS, Asked, address, is_loss, number_text
from clusters.forms.finder import parts as address_parts
from clusters.queries.finder import rows
from clusters.queries.finder.columns import Columns
from clusters.queries.finder.search import answer_counts, preset_counts
from clusters.stored.arrays import vocabulary_of
from clusters.values.finding import BAND_EDGES_NATS, MEASURES, N_BANDS, ORDERS, SHAPES, Bounds, Criteria, presets
from clusters.values.readings import Unit
from compute.numerics.curves import CLASS_NAMES

ROW_TOKENS = 16
BARS_SHOWN = 10
FACETS = ("class", "clustered", "induced", "band", "kind")  # in the order of the page
MARKS = {"monogenic": "on", "polygenic": "square", "mixed": "half"}
SHORT = {"m": "M", "n": "steps", "a": "bits lost", "l": "linearity", "b": "breakthr.", "slope": "nats per ln N",
         "r2": "R²", "rise": "bits up", "peak": "peak bits", "step_rise": "bits up",
         "step_peak": "peak bits"}  # fmt: skip
UNITS: tuple[Unit, ...] = ("nats", "bits")
YES_NO = ((True, "yes"), (False, "no"))


class Parts:
    """What templates show of one question to one run."""

    def __init__(self, columns: Columns, asked: Asked, path: str) -> None:
        self.columns, self.asked, self.path = columns, asked, path
        self.offer = columns.offer

    def href(self, asked: Asked) -> str:
        query = address(asked, self.offer)
        return f"{self.path}?{query}" if query else self.path

    # ── facets ──

    def facets(self, counts: np.ndarray) -> list[dict[str, Any]]:
        """Bars of every facet: how many there are under the other facets' choices."""
        own = self.asked.criteria
        names = {
            "kind": own.kinds, "band": own.bands, "class": own.classes,
            "induced": _chosen(own.induced), "clustered": _chosen(own.clustered),
        }  # fmt: skip
        facets = []
        for axis, (key, title, values, is_known) in enumerate(self._facet_values()):
            if not is_known:
                continue
            numbers = _along(counts, axis, self.picked())
            bars: list[dict[str, Any]] = [
                {"text": text, "n": int(numbers[place]), "is_on": value in names[key],
                 "href": self.href(self._toggled(key, value))}
                for place, value, text in values if numbers[place] or value in names[key]
            ]  # fmt: skip
            most = max((bar["n"] for bar in bars), default=0)
            for bar in bars:
                bar["length"] = round(100 * bar["n"] / most, 1) if most else 0
            facets.append({
                "key": key, "title": title, "bars": bars[:BARS_SHOWN], "more": bars[BARS_SHOWN:],
                "clear": self.href(self._cleared(key)) if names[key] else "", "is_short": key not in ("kind", "band"),
            })  # fmt: skip
        return sorted(facets, key=lambda facet: FACETS.index(facet["key"]))

    def answers_facet(self) -> dict[str, Any]:
        """Bars of the commonest answers among what is found whatever the answer's id."""
        own = self.asked.criteria
        counts = answer_counts(self.columns, replace(own, answer_id=None))
        vocabulary = vocabulary_of(self.columns.run)
        top = np.argsort(-counts, kind="stable")[:BARS_SHOWN].tolist()
        if own.answer_id is not None and own.answer_id < len(counts) and own.answer_id not in top:
            top[-1] = own.answer_id
        most = int(counts.max())
        bars = [
            {"text": token_label(vocabulary, i, limit=40), "n": int(counts[i]), "is_on": i == own.answer_id,
             "length": round(100 * int(counts[i]) / most, 1),
             "href": self.href(self.asked.having(answer_id=None if i == own.answer_id else i))}
            for i in top if counts[i]
        ]  # fmt: skip
        n_others = int(np.count_nonzero(counts)) - len(bars)
        return {
            "key": "answer", "title": "Answer", "bars": bars, "is_token": True, "n_others": n_others,
            "clear": self.href(self.asked.having(answer_id=None)) if own.answer_id is not None else "",
        }  # fmt: skip

    def _facet_values(self) -> list[tuple[str, str, list[tuple[int, Any, str]], bool]]:
        """Of each axis of the counts: key, title, and place, value, text of its bars."""
        offer, run = self.offer, self.columns.run
        two = [(int(value), value, text) for value, text in YES_NO]
        return [
            ("kind", "Kind of document", [(i, kind, kind) for i, kind in enumerate(offer.kinds)], True),
            ("band", f"Loss of {run.checkpoint.lm}, {self.asked.unit}",
             [(i, i, self._band_text(i)) for i in range(N_BANDS)], offer.has_loss),
            ("class", "Class of its curve", [(i, name, name) for i, name in enumerate(CLASS_NAMES)], offer.has_class),
            ("induced", "Could be copied from earlier text", two, offer.has_induced),
            ("clustered", "Clustered", two, offer.has_clustered),
        ]  # fmt: skip

    def picked(self) -> list[list[int]]:
        own = self.asked.criteria
        return [
            [self.offer.kinds.index(kind) for kind in own.kinds], list(own.bands),
            [CLASS_NAMES.index(name) for name in own.classes],
            [int(value) for value in _chosen(own.induced)], [int(value) for value in _chosen(own.clustered)],
        ]  # fmt: skip

    def _toggled(self, key: str, value: Any) -> Asked:
        own = self.asked.criteria
        if key in ("induced", "clustered"):
            return self.asked.having(**{key: None if getattr(own, key) is value else value})
        name = {"class": "classes", "kind": "kinds", "band": "bands"}[key]
        there: tuple[Any, ...] = getattr(own, name)
        values = tuple(v for v in there if v != value) if value in there else (*there, value)
        return self.asked.having(**{name: values})

    def _cleared(self, key: str) -> Asked:
        names = {"class": "classes", "kind": "kinds", "band": "bands"}
        return self.asked.having(**({names[key]: ()} if key in names else {key: None}))

    def _band_text(self, band: int) -> str:
        factor = 1 / BITS if self.asked.unit == "bits" else 1.0
        edges = [f"{edge * factor:.2g}" for edge in BAND_EDGES_NATS]
        return f"{edges[band]} and more" if band == N_BANDS - 1 else f"{edges[band]} to {edges[band + 1]}"

    # ── rules ──

    def rules(self) -> list[dict[str, Any]]:
        """Groups of presets, each with how many of all predictions satisfy it."""
        known = list(presets(self.offer))
        groups: dict[str, list[dict[str, Any]]] = {}
        for preset, n in zip(known, preset_counts(self.columns, known), strict=True):
            groups.setdefault(preset.group, []).append({
                "text": preset.text, "meaning": preset.meaning, "n": n,
                "is_on": self.asked.criteria == preset.criteria,
                "href": self.href(
                    replace(self.asked, criteria=preset.criteria, sort=preset.sort or self.asked.sort, after=None)
                ),
            })  # fmt: skip
        return [{"title": title, "rules": rules} for title, rules in groups.items()]

    def orders(self) -> list[dict[str, Any]]:
        return [{"key": key, "text": ORDERS[key].text, "is_on": key == self.asked.sort} for key in self.offer.orders]

    def plane_links(self) -> list[dict[str, Any]]:
        texts = {"mn": "M and steps", "lb": "linearity and breakthroughness"}
        return [
            {"text": texts[key], "is_on": key == self.asked.plane, "href": self.href(replace(self.asked, plane=key))}
            for key in self.offer.planes
        ]

    def unit_links(self) -> list[dict[str, Any]]:
        """Nats or bits, with the same thresholds in either."""
        return [
            {"text": unit, "is_on": unit == self.asked.unit, "href": self.href(replace(self.asked, unit=unit))}
            for unit in UNITS
        ]

    # ── what is asked for ──

    def chips(self) -> list[dict[str, str]]:
        """Every part of the question in words, with the address without it."""
        own = self.asked.criteria
        chips: list[tuple[str, dict[str, Any]]] = []
        for name, bounds in own.bounds:
            chips.append((self._bounds_text(name, bounds), {"bounds": own.with_bounds({name: Bounds()}).bounds}))
        if own.lasso:
            chips.append((f"inside a shape of {len(own.lasso.corners)} corners", {"lasso": None}))
        if own.answer:
            words = f"answer is “{own.answer}”" if own.is_whole else f"answer contains “{own.answer}”"
            chips.append((words, {"answer": "", "is_whole": False}))
        if own.answer_id is not None:
            chips.append((f"answer is token {own.answer_id}", {"answer_id": None}))
        chips += [(name, {"classes": tuple(v for v in own.classes if v != name)}) for name in own.classes]
        chips += [(kind, {"kinds": tuple(v for v in own.kinds if v != kind)}) for kind in own.kinds]
        for band in own.bands:
            words = f"loss {self._band_text(band)} {self.asked.unit}"
            chips.append((words, {"bands": tuple(v for v in own.bands if v != band)}))
        for key, words in (("induced", "could be copied"), ("clustered", "clustered")):
            value = getattr(own, key)
            if value is not None:
                chips.append((words if value else f"not {words}", {key: None}))
        return [{"text": text, "href": self.href(self.asked.having(**without))} for text, without in chips]

    def _bounds_text(self, name: str, bounds: Bounds) -> str:
        unit: str
        if is_loss(name):
            what, unit = f"loss at {self.offer.size_names[int(name[1:]) - 1]}", self.asked.unit
        else:
            what, unit = MEASURES[name].text, MEASURES[name].unit
        ends = [
            f"{word} {number_text(name, value, self.asked.unit)}".replace("-", "−")
            for word, value in zip(("above", "below"), bounds, strict=True) if value is not None
        ]  # fmt: skip
        return f"{what} {' and '.join(ends)} {unit}".strip()

    def fields(self) -> dict[str, list[dict[str, Any]]]:
        """Threshold fields: scores, and losses by size."""
        found: dict[str, list[dict[str, Any]]] = {"scores": [], "sizes": []}
        for name in self.offer.thresholds:
            bounds = self.asked.criteria.bound(name)
            text = self.offer.size_names[int(name[1:]) - 1] if is_loss(name) else MEASURES[name].text
            found["sizes" if is_loss(name) else "scores"].append({
                "name": name, "text": text, "unit": self.asked.unit if is_loss(name) else MEASURES[name].unit,
                "min": "" if bounds.above is None else number_text(name, bounds.above, self.asked.unit),
                "max": "" if bounds.below is None else number_text(name, bounds.below, self.asked.unit),
            })  # fmt: skip
        return found

    def hidden(self) -> list[tuple[str, str]]:
        """What the form sends along though it has no field of its own."""
        own = Criteria(lasso=self.asked.criteria.lasso, classes=self.asked.criteria.classes,
                       kinds=self.asked.criteria.kinds, bands=self.asked.criteria.bands,
                       induced=self.asked.criteria.induced, clustered=self.asked.criteria.clustered)  # fmt: skip
        kept = address_parts(replace(self.asked, criteria=own, after=None, sort=self.offer.orders[0]), self.offer)
        return [(name, value) for name, value in kept if value and name != "lasso"]

    # ── rows ──

    def hits(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of a page's list."""
        columns, unit = self.columns, self.asked.unit
        flat = np.asarray(indices, np.int64)
        scores = rows.scores_of(columns, flat)
        if (column := ORDERS[self.asked.sort].column) in SHAPES:
            scores[column] = rows.values_of(columns, column, flat)
        xs, curves = self._curves(flat)
        classes = rows.classes_of(columns, flat)
        reader = Reader(columns.run)
        places = reader.places(indices)
        return [
            {
                "index": index, "place": place, "class": name, "shape": MARKS.get(name, ""),
                "context": reader.context(place, ROW_TOKENS),
                "spark": curve_spark(xs, curves[i].tolist(), name, unit, over=self.spark_over, top=self.spark_top)
                if curves.shape[1] > 1 else None,
                "scores": self._shown(scores, i),
            }
            for i, (index, place, name) in enumerate(zip(indices, places, classes, strict=True))
        ]  # fmt: skip

    @property
    def is_over_training(self) -> bool:
        """Whether the list is in an order of training, so that its lines show that."""
        return ORDERS[self.asked.sort].column.startswith("step_")

    @property
    def spark_top(self) -> float:
        """The loss at the top of every row's line; peaks need room."""
        top = SPARK_TOP[self.asked.unit]
        return 2 * top if ORDERS[self.asked.sort].column in SHAPES else top

    @property
    def spark_over(self) -> str:
        return "stages of training" if self.is_over_training else "sizes"

    def _curves(self, flat: np.ndarray) -> tuple[list[float], np.ndarray]:
        """What the rows' lines show: losses in nats over size, or over training."""
        if self.is_over_training:
            steps, losses = self.columns.stage_losses(flat)
            return steps.tolist(), losses
        return [float(size["n_non_embedding"]) for size in self.columns.sizes], rows.curves_of(self.columns, flat)

    def _shown(self, scores: Mapping[str, np.ndarray], i: int) -> list[dict[str, str]]:
        """M, steps, amplitude, and what the list is sorted by, or the loss."""
        column = ORDERS[self.asked.sort].column
        last = column if column in MEASURES and column not in ("m", "n", "a") else "loss"
        factor = 1 / BITS if self.asked.unit == "bits" else 1.0
        shown = []
        for name in ("m", "n", "a", last):
            if name not in scores:
                continue
            value = float(scores[name][i]) * (factor if name == "loss" else 1.0)
            digits = 2 if name == "loss" else MEASURES[name].digits
            label = f"loss, {self.asked.unit}" if name == "loss" else SHORT[name]
            shown.append({"text": fixed(value, digits) if np.isfinite(value) else "unknown", "label": label})
        return shown


def dots(columns: Columns, asked: Asked, indices: Sequence[int], token_base: str) -> list[list[Any]]:
    """The listed tokens on the plane: x, y, tooltip, href, token."""
    plane = columns.planes[asked.plane]
    flat = np.asarray(indices, np.int64)
    xs, ys = (np.asarray(columns.values(name)[flat], np.float64).tolist() for name in (plane.x, plane.y))
    return [
        [x, y, f"token {count(index)}", f"{token_base}{index}/", index]
        for x, y, index in zip(xs, ys, indices, strict=True)
        if plane.x_range[0] <= x <= plane.x_range[1] and plane.y_range[0] <= y <= plane.y_range[1]
    ]


def class_counts(counts: np.ndarray, picked: list[list[int]]) -> dict[str, int]:
    """How many of the predictions found have each class."""
    kept = _narrowed(counts, picked)
    return dict(zip(CLASS_NAMES, kept.sum(axis=(0, 1, 3, 4)).tolist(), strict=False))


def _chosen(value: bool | None) -> tuple[bool, ...]:
    return () if value is None else (value,)


def _narrowed(counts: np.ndarray, picked: list[list[int]]) -> np.ndarray:
    """The counts with all but the picked values of each axis at 0."""
    kept = np.zeros_like(counts)
    places = np.ix_(*(values or range(size) for values, size in zip(picked, counts.shape, strict=True)))
    kept[places] = counts[places]
    return kept


def _along(counts: np.ndarray, axis: int, picked: list[list[int]]) -> np.ndarray:
    """Counts along one axis under the other axes' choices."""
    others = [[] if i == axis else values for i, values in enumerate(picked)]
    return _narrowed(counts, others).sum(axis=tuple(i for i in range(counts.ndim) if i != axis))

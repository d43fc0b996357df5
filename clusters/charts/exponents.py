"""Exponents over data against exponents over parameters, with the theory's curve between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clusters.charts.chart import Chart, Help, Series, log_axis, make_chart, make_series
from clusters.charts.numbers import fixed
from clusters.values.exponents import OURS, OWN, PUBLISHED, SHARED, Measurement
from compute.numerics.theory import exponents

STYLES = {"language": ("c1", "dot"), "vision": ("c2", "diamond"), "translation": ("c3", "square"),
          "speech": ("c4", "triangle"), "recommendation": ("c5", "square")}  # fmt: skip
OTHER = ("c6", "dot")
LEAST, MOST = 0.01, 5.0  # the axes at least
DRAWN = (0.001, 100.0)  # and at most: one stray exponent presses all others together
ORIGINS = (("measured here", OURS), ("added by you", (OWN,)), ("shared by others", (SHARED,)))
HELP = Help(
    what="Each point is one published scaling law: how fast loss falls with data, against how fast it falls with "
    "parameters. If both come from the same quanta, they lie on the solid curve, below the diagonal. Filled marks of "
    "ours and yours stand beside them; of runs, the exponent over training steps takes the place of that over data, "
    "for the theory gives both the same value.",
    formula="α_D = α_N / (1 + α_N)",
    source="§5 and Figure 18, after a table collected by Epoch",
)


def exponents_chart(rows: Sequence[Measurement], *, number: int) -> Chart:
    """The scatter of all rows that have both exponents, within what a figure can show."""
    known = [(row, x, y) for row in rows if (x := row.alpha_n) is not None and (y := _other(row)) is not None]
    placed = [one for one in known if all(DRAWN[0] <= value <= DRAWN[1] for value in one[1:])]
    xs = [x for _, x, _ in placed] + [LEAST, MOST]
    lo, hi = min([*xs, *(y for _, _, y in placed)]), max(xs)
    grid = np.geomspace(lo, hi, 60)
    theory = [[float(x), exponents(float(x)).data] for x in grid]
    series = [
        make_series("line", [[lo, lo], [hi, hi]], name="α_D = α_N", css="refl", label="α_D = α_N", label_at=[1.4, 1.4]),
        make_series("line", theory, name="theory", css="fitl", label="α_N/(1 + α_N)", label_at=theory[-6]),
    ]
    series += _published(placed) + _entered(placed)
    both = [row for row, *_ in placed if row.origin == PUBLISHED]
    return make_chart(
        slug="exponents", number=number, title=_title(both), size="wide", series=series, help=HELP,
        description="Exponent of loss in data against exponent in parameters, one mark a study, on logarithmic axes",
        reading=_reading(both, [row for row, *_ in placed], len(known) - len(placed)),
        x=log_axis([lo, hi], "α_N, over parameters", pad=1.1),
        y=log_axis([y for _, _, y in placed] + [LEAST, MOST / 2], "α_D, over data", pad=1.1),
        legend=[(STYLES[one][1], STYLES[one][0], one) for one in STYLES if sum(row.domain == one for row in both) > 1],
        table={"head": ["source", "task", "domain", "alpha_N", "alpha_D or alpha_S", "predicted alpha_D"],
               "rows": [[row.source, row.task, row.domain, x, y, row.predicted] for row, x, y in placed]},
    )  # fmt: skip


def _other(row: Measurement) -> float | None:
    """What stands against alpha_N: alpha_D, or alpha_S where there is none."""
    return row.alpha_d if row.alpha_d is not None else row.alpha_s


def _published(placed: Sequence[tuple[Measurement, float, float]]) -> list[Series]:
    """A series a domain and source, so that each source has one label."""
    groups: dict[tuple[str, str], list[tuple[Measurement, float, float]]] = {}
    for one in placed:
        if one[0].origin == PUBLISHED:
            groups.setdefault((one[0].source, one[0].domain), []).append(one)
    seen: set[str] = set()
    series = []
    for (source, domain), members in groups.items():
        css, marker = STYLES.get(domain, OTHER)
        first = members[0]
        label = "" if source in seen else f"{source.split()[0]} {first[0].year}"
        seen.add(source)
        series.append(make_series("points", [[x, y, _tip(row, x, y)] for row, x, y in members], name=first[0].source,
                                  css=css, marker=marker, label=label, label_at=[first[1], first[2]]))  # fmt: skip
    return series


def _entered(placed: Sequence[tuple[Measurement, float, float]]) -> list[Series]:
    """Ours and people's own, each with its name while they are few."""
    kinds = (("here", OURS, "act", "diamond"), ("yours", (OWN,), "ink", "square"),
             ("entered by others", (SHARED,), "ink3", "square"))  # fmt: skip
    series = []
    for name, origins, css, marker in kinds:
        members = [one for one in placed if one[0].origin in origins]
        for i, (row, x, y) in enumerate(members):
            label = row.source[:18] if len(members) <= 4 else name if i == 0 else ""
            href = row.link if row.origin in OURS else ""
            series.append(make_series("points", [[x, y, _tip(row, x, y), href]], name=name, css=css, marker=marker,
                                      label=label))  # fmt: skip
    return series


def _tip(row: Measurement, x: float, y: float) -> str:
    letter = "D" if row.alpha_d is not None else "S"
    return f"{row.name}: α_N {fixed(x, 3)}, α_{letter} {fixed(y, 3)}"


def _title(both: Sequence[Measurement]) -> str:
    if not both:
        return "No published law of this kind has both exponents"
    below = sum(bool(row.is_below) for row in both)
    return f"{below} of {len(both)} laws fall faster over parameters than over data"


def _reading(both: Sequence[Measurement], drawn: Sequence[Measurement], n_left_out: int) -> str:
    near = sum(1 for row in both if row.predicted and row.alpha_d and 0.5 <= row.alpha_d / row.predicted <= 2)
    counts = [(sum(row.origin in origins for row in drawn), name) for name, origins in ORIGINS]
    marked = ", ".join(f"{n} {name}" for n, name in counts if n)
    said = []
    if both:
        said.append(f"{near} of them lie within a factor of two of the theory’s curve, which has no number to fit.")
    if marked:
        said.append(f"Marked too: {marked}.")
    if n_left_out:
        who = "has it" if n_left_out == 1 else "has them"
        said.append(f"Not drawn: {n_left_out} with an exponent outside {DRAWN[0]:g} to {DRAWN[1]:g}; the table {who}.")
    return " ".join(said)

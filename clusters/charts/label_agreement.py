"""How far labelers agree, measure by measure, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from clusters.charts.chart import Chart, Help, category_axis, linear_axis, make_chart, make_series, vertical
from clusters.charts.numbers import count, fixed
from compute.numerics.label_agreement import Alpha

TENTATIVE, RELIABLE = 0.667, 0.8  # Krippendorff's own marks
HELP = Help(
    what="Krippendorff’s α of what people said independently of the same clusters: 1 is perfect agreement, 0 what "
    "chance would give, less than 0 systematic disagreement.",
    formula="α = 1 − D_o / D_e: disagreement seen within clusters, over that of labels dealt out at random.",
    source="Krippendorff’s marks: rely on 0.8 and above, draw tentative conclusions from 0.667.",
)


def agreement_chart(rows: Sequence[tuple[str, Alpha]], *, number: int = 1) -> Chart | None:
    """α of every measure that has one; None where none has."""
    known = [(name, found) for name, found in rows if found.alpha is not None]
    if not known:
        return None
    points = [[found.alpha, i, found.low, found.high] for i, (_, found) in enumerate(known)]
    ends = [value for _, found in known for value in (found.alpha, found.low, found.high) if value is not None]
    return make_chart(
        slug="agreement", number=number, title=_title(known), size="half", help=HELP,
        description="Krippendorff’s alpha of each measure with its 95% interval",
        reading=_reading(known), series=[make_series("intervals", points, name="α", css="c1", marker="dot")],
        rules=[vertical("refl", RELIABLE, "0.8")],
        x=linear_axis([min(0.0, *ends), 1.0], "Krippendorff’s α", n=5),
        y=category_axis([name for name, _ in known]),
        table={
            "head": ["measure", "alpha", "low", "high", "clusters or members", "values"],
            "rows": [[name, one.alpha, one.low, one.high, one.n_units, one.n_values] for name, one in rows],
        },
    )  # fmt: skip


def finding(rows: Sequence[tuple[str, Alpha]]) -> str:
    """What the intervals allow to be said of the first measure that has a value, which is the verdict."""
    name, found = next(((name, one) for name, one in rows if one.alpha is not None), ("", None))
    if found is None:
        return ""
    value = f"α = {fixed(found.alpha)}"
    if found.low is None or found.high is None:
        return f"On {name}, {value}; too little is in to say how sure"
    if found.low >= RELIABLE:
        return f"On {name}, people agree reliably: {value}"
    if found.low > 0:
        mark = f", and may reach {RELIABLE}" if found.high >= RELIABLE else f", but less than {RELIABLE}"
        return f"On {name}, people agree more than by chance{mark}: {value}"
    if found.high < 0:
        return f"On {name}, people disagree more than by chance: {value}"
    return f"On {name}, agreement cannot be told from chance: {value}"


def _title(known: Sequence[tuple[str, Alpha]]) -> str:
    """How many of the measures the data set apart from chance."""
    bounded = [found.low for _, found in known if found.low is not None]
    if not bounded:
        return f"{count(len(known))} measure{'' if len(known) == 1 else 's'} of agreement, none of them sure yet"
    above = sum(low > 0 for low in bounded)
    which = "None" if above == 0 else count(above)
    return (
        f"{which} of {count(len(known))} measures {'is' if above == 1 else 'are'} above chance with the whole interval"
    )


def _reading(known: Sequence[tuple[str, Alpha]]) -> str:
    n = max(found.n_units for name, found in known if name != "misfits") if len(known) > 1 else known[0][1].n_units
    bare = sum(found.low is None for _, found in known)
    missing = f" {count(bare)} without an interval: too few clusters, or too little variation." if bare else ""
    return f"Whiskers: 95% bootstrap intervals over {count(n)} clusters, seeded; people are not resampled.{missing}"

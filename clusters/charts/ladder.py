"""How well a cluster lasts: its best match in every clustering of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clusters.charts.chart import Chart, Help, linear_axis, log_axis, make_chart, make_series, vertical
from clusters.charts.ruler import counted
from clusters.values.readings import Match

SAME = 0.5  # a best match of at least this Jaccard index counts as the same cluster
_HELP = Help(
    what="For every number of clusters k, the cluster that shares most with this one, and how much: 1 means the same "
    "tokens, 0 none in common. A cluster that keeps a high value over many k does not hang on the choice of k.",
    formula="J(A, B) = |A ∩ B| / |A ∪ B|",
    source="§5: clusterings with many k; the overlap itself is ours",
)


def ladder_chart(
    matches: Sequence[Match], affinity: str, k: int, *, number: int, href: Callable[[Match], str]
) -> Chart:
    """Jaccard index of the best match against k, one line an affinity."""
    kinds = list(dict.fromkeys(match.affinity for match in matches))
    kinds.sort(key=lambda kind: kind != affinity)
    series = []
    for kind, css, marker in zip(kinds, ("c1", "c2"), ("dot", "diamond"), strict=False):
        points = [[one.k, one.jaccard, _tip(one), href(one)] for one in matches if one.affinity == kind]
        series.append(make_series("line", points, name=kind, css=css, marker=marker, label=kind))
    own = [one for one in matches if one.affinity == affinity]
    return make_chart(
        slug="ladder", number=number, title=lasting_title(own, k), size="band", help=_HELP,
        description="Jaccard index of the best match against the number of clusters",
        reading=_reading(matches, affinity, k),
        x=log_axis([one.k for one in matches], "number of clusters k", pad=1.1),
        y=linear_axis([0, 1.08], "Jaccard index of the best match", exact=True,
                      ticks=[(0, "0"), (0.25, "0.25"), (0.5, "0.5"), (0.75, "0.75"), (1, "1")]),
        series=series, rules=[vertical("edge", k, "this k", side="start")],
        table={
            "head": ["affinity", "k", "cluster", "shared tokens", "its tokens", "Jaccard index"],
            "rows": [[one.affinity, one.k, one.label, one.n_shared, one.size, one.jaccard] for one in matches],
        },
    )  # fmt: skip


def lasting_title(own: Sequence[Match], k: int) -> str:
    """Over which neighbouring ks the cluster stays the same one."""
    ks = [one.k for one in own]
    if len(ks) == 1:
        return f"k = {k} is the only number of clusters at this affinity"
    at = ks.index(k)
    first = last = at
    while first > 0 and own[first - 1].jaccard >= SAME:
        first -= 1
    while last + 1 < len(own) and own[last + 1].jaccard >= SAME:
        last += 1
    if first == last:
        return f"The cluster is there at k = {k} alone"
    whole = ", the whole ladder" if (first, last) == (0, len(own) - 1) else ""
    return f"The cluster lasts from k = {ks[first]} to {ks[last]}{whole}"


def _reading(matches: Sequence[Match], affinity: str, k: int) -> str:
    text = f"It counts as the same cluster where the index is at least {SAME:g}."
    other = next((one for one in matches if one.affinity != affinity and one.k == k), None)
    if other:
        text += (
            f" With {other.affinity} affinity at this k its best match is cluster {other.label}: "
            f"{other.n_shared:,} of {counted(other.size, 'token')}, J {other.jaccard:.2f}."
        )
    return text


def _tip(match: Match) -> str:
    shared = f"{match.n_shared:,} of {counted(match.size, 'token')}"
    return f"k = {match.k}, {match.affinity}: cluster {match.label}, {shared}, J {match.jaccard:.2f}"

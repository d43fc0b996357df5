"""What the similarity page's address asks for: a matrix, a place in it, the clusters whose means are shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.charts.numbers import count
from clusters.models import Run
from clusters.parameters import chosen, real_number, whole_number
from clusters.queries import similarity as reads
from clusters.queries.clusters import flat_indices
from clusters.queries.runs import default_k
from clusters.queries.similarity import AFFINITY, LIMITS, SIMILARITY, Matrix, Ordering

FIRST_CLUSTERS = 12
MOST_NUMBERS = 64  # rows and columns of the numbers in .json and .csv
MOST_ZOOM = 64.0  # pixels a pair
Span = tuple[int, int]


@dataclass(frozen=True)
class Asked:
    """What the address says of the view; the matrix apart."""

    limits: str
    first: int  # ranks whose means are shown
    last: int
    focus: Span  # places that the canvas shows at first
    view: tuple[float, float, float] | None  # centre and pixels a pair, where the address has them
    cursor: tuple[int, int] | None  # places of the selected pair
    complaint: str = ""  # a sentence about ranks that this k doesn't have
    pair_complaint: str = ""  # a sentence about tokens that are not in the matrix


def matrix_of(query: QueryDict, run: Run, ks: dict[str, list[int]]) -> Matrix:
    affinity = chosen(query, "affinity", list(ks), next(iter(ks)))
    shown = chosen(query, "show", (SIMILARITY, AFFINITY), SIMILARITY)
    text = query.get("k") or str(default_k(run, affinity))
    k = whole_number(text)
    if k not in ks[affinity]:
        raise BadRequest(f"k is {text[:20]!r}; this run has {', '.join(map(str, ks[affinity]))}.")
    # absolute gradients are clustered by their cosines as they are
    return Matrix(run, affinity, k, shown if affinity == "signed" else SIMILARITY)


def asked_of(query: QueryDict, matrix: Matrix) -> Asked:
    ordering = matrix.ordering
    n_clusters = len(ordering.labels)
    focus, (first, last), complaint = (0, ordering.n), (1, min(FIRST_CLUSTERS, n_clusters)), ""
    label = query.get("cluster")
    if label:
        rank = _rank_of(str(label), ordering)
        first, last = max(rank - FIRST_CLUSTERS // 2, 1), min(rank + FIRST_CLUSTERS // 2 - 1, n_clusters)
        focus = _widened(ordering.span(rank, rank), ordering.n)
    elif query.get("first") or query.get("last"):
        first, last, complaint = _ranks(query, n_clusters)
        if query.get("go") == "block":
            focus = ordering.span(first, last)
    cursor, pair_complaint = _cursor(query, matrix)
    return Asked(
        complaint=complaint,
        pair_complaint=pair_complaint,
        limits=chosen(query, "limits", list(LIMITS), "99"),
        first=first,
        last=last,
        focus=focus,
        view=_view(query, ordering.n),
        cursor=cursor,
    )


def _rank_of(text: str, ordering: Ordering) -> int:
    label = whole_number(text)
    found = np.flatnonzero(ordering.labels == (-1 if label is None else label))
    if not len(found):
        raise BadRequest(f"cluster is {text[:20]!r}; labels run from 0 to {len(ordering.labels) - 1} at this k.")
    return int(found[0]) + 1


def _ranks(query: QueryDict, n_clusters: int) -> tuple[int, int, str]:
    """The ranks asked for; where a smaller k has too few, those that there are, and a sentence."""
    ends = []
    for name, default in (("first", 1), ("last", n_clusters)):
        value = whole_number(query.get(name) or str(default))
        if not value:
            raise BadRequest(f"{name} is {query[name][:20]!r}; ranks run from 1 to {n_clusters} at this k.")
        ends.append(value)
    first, last = ends
    if first > last:
        raise BadRequest(f"The first rank, {first}, lies after the last, {last}.")
    if last <= n_clusters:
        return first, last, ""
    first = first if first <= n_clusters else 1
    sentence = f"At this k ranks end with {count(n_clusters)}: ranks {count(first)} to {count(n_clusters)} are shown."
    return first, n_clusters, sentence


def _view(query: QueryDict, n: int) -> tuple[float, float, float] | None:
    """The centre, in places from 0 to n, and the zoom, in pixels a pair."""
    if not all(query.get(name) for name in "xyz"):
        return None
    zoom = _number(query, "z", MOST_ZOOM)
    if not zoom:
        raise BadRequest(f"z is 0; it counts pixels a pair, at most {MOST_ZOOM:g}.")
    return _number(query, "x", float(n)), _number(query, "y", float(n)), zoom


def _number(query: QueryDict, name: str, most: float) -> float:
    text = query.get(name, "")[:40]
    value = real_number(text)
    if value is None or not 0 <= value <= most:
        raise BadRequest(f"{name} is {text[:20]!r}; it lies between 0 and {most:g}.")
    return value


def _cursor(query: QueryDict, matrix: Matrix) -> tuple[tuple[int, int] | None, str]:
    """The selected pair, and what is wrong with the tokens named: ?token= is its row and ?with= its column.

    Without the second, the pair is the token with itself.
    """
    row, of_row = _place(query.get("token", ""), matrix)
    column, of_column = _place(query.get("with", ""), matrix)
    if row is None and column is not None and not of_row:
        of_row = "The pair’s column is named, but not its row: give the flat index of a clustered token."
    if row is None or of_column:
        return None, " ".join(dict.fromkeys(part for part in (of_row, of_column) if part))
    return (row, row if column is None else column), ""


def _place(text: str, matrix: Matrix) -> tuple[int | None, str]:
    """Where a token stands along the matrix, or a sentence about why it does not."""
    if not text:
        return None, ""
    index = whole_number(text)
    if index is None:
        return None, f"“{text[:20]}” is no token; give its flat index, a whole number."
    place = reads.place_of(matrix, index)
    if place is not None:
        return place, ""
    flat = flat_indices(matrix.run)
    at = int(np.searchsorted(flat, index))
    near = " and ".join(f"token {value}" for value in flat[max(at - 1, 0) : at + 1].tolist())
    return None, f"Token {index} was not clustered, so it has no place here. Nearest in the corpus: {near}."


def _widened(span: Span, n: int, least: int = 12) -> Span:
    """A block with as much again around it, so that one sees what it lies in."""
    half = max(span[1] - span[0], least // 2)
    middle = (span[0] + span[1]) // 2
    return max(middle - half, 0), min(middle + half, n)


def block_of(query: QueryDict, n: int) -> tuple[Span, Span] | None:
    """The places of ?rows=a-b&cols=c-d, both ends included; None where neither is there."""
    if not (query.get("rows") or query.get("cols")):
        return None
    found: list[Span] = []
    for name, other in (("rows", "cols"), ("cols", "rows")):
        text = query.get(name) or query.get(other, "")
        start, _, end = text.partition("-")
        first, last = whole_number(start), whole_number(end or start)
        if first is None or last is None or not first <= last < n or last - first >= MOST_NUMBERS:
            raise BadRequest(
                f"{name} is {text[:40]!r}; give two places from 0 to {n - 1}, as in 0-63, at most {MOST_NUMBERS} long."
            )
        found.append((first, last + 1))
    return found[0], found[1]

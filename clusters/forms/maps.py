"""What the address of a map asks for: which map, what colours it, which part is shown and which tokens are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.parameters import chosen, page_number, real_number, selected_token, whole_number

LAYOUTS: Mapping[str, str] = {"gradient": "gradients", "curve": "loss curves"}
COLOURS: Mapping[str, str] = {
    "cluster": "cluster",
    "rank": "rank of the cluster",
    "loss": "loss",
    "monogenicity": "monogenicity M",
    "n_eff": "effective steps",
    "class": "class of the curve",
    "kind": "kind of document",
}
MAX_CORNERS = 64
SIDES = ("left", "bottom", "right", "top")


@dataclass(frozen=True)
class MapQuery:
    """How a map is drawn, and which part of it was chosen."""

    by: str
    colour: str
    affinity: str
    k: int | None
    cluster: int | None  # the label of one cluster to be shown alone
    lm: str  # whose losses colour the points
    area: list[tuple[float, float]]  # corners of the polygon whose tokens are listed
    view: tuple[float, float, float, float] | None  # left, bottom, right, top of what is shown
    token: int | None
    page: int


def map_query(
    query: QueryDict, *, layouts: Sequence[str], ks: Mapping[str, Sequence[int]], default_k: int | None,
    lms: Sequence[str], largest_lm: str, has_classes: bool = False,
) -> MapQuery:  # fmt: skip
    """Parse; whatever is impossible is refused with what is possible."""
    affinity = chosen(query, "affinity", list(ks), next(iter(ks))) if ks else "signed"
    there = list(ks.get(affinity, ()))
    k = _k(query, there, default_k)
    by = chosen(query, "by", layouts, layouts[0])
    own = "cluster" if there else "loss"
    return MapQuery(
        by=by,
        colour=chosen(query, "colour", list(COLOURS), "class" if by == "curve" and has_classes else own),
        affinity=affinity,
        k=k,
        cluster=_label(query, k),
        lm=chosen(query, "lm", lms, largest_lm),
        area=_area(query),
        view=_view(query),
        token=selected_token(query),
        page=page_number(query),
    )


def area_of_sides(query: QueryDict) -> str | None:
    """The polygon of a rectangle that four fields name, as an address writes it; None where no field is filled."""
    values = [query.get(side, "").strip() for side in SIDES]
    if not any(values):
        return None
    left, bottom, right, top = (_number(side, value) for side, value in zip(SIDES, values, strict=True))
    corners = ((left, bottom), (right, bottom), (right, top), (left, top))
    return ",".join(f"{value:g}" for corner in corners for value in corner)


def _k(query: QueryDict, ks: Sequence[int], default: int | None) -> int | None:
    if "k" not in query or not query["k"]:
        return default if default in ks else (ks[0] if ks else None)
    return int(chosen(query, "k", [str(k) for k in ks], ""))


def _label(query: QueryDict, k: int | None) -> int | None:
    text = query.get("cluster", "")
    label = whole_number(text)
    if text and (label is None or label >= (k or 0)):
        raise BadRequest(f"cluster is {text[:40]!r}; give a cluster’s label, from 0 to {(k or 1) - 1}.")
    return label


def _area(query: QueryDict) -> list[tuple[float, float]]:
    text = query.get("area", "")
    if not text:
        return []
    parts = text.split(",", 2 * MAX_CORNERS + 1)
    if len(parts) % 2 or not 6 <= len(parts) <= 2 * MAX_CORNERS:
        n = f"{len(parts)}" if len(parts) <= 2 * MAX_CORNERS else "too many"
        raise BadRequest(f"area holds {n} numbers; give x and y of 3 to {MAX_CORNERS} corners, such as 0,0,1,0,1,1.")
    values = [_number("area", part) for part in parts]
    return list(zip(values[::2], values[1::2], strict=True))


def _view(query: QueryDict) -> tuple[float, float, float, float] | None:
    text = query.get("view", "")
    if not text:
        return None
    values = [_number("view", part) for part in text.split(",", 4)]
    if len(values) != 4 or values[0] >= values[2] or values[1] >= values[3]:
        raise BadRequest(f"view is {text[:60]!r}; give left, bottom, right and top, such as 0,0,10,10.")
    left, bottom, right, top = values
    return left, bottom, right, top


def _number(name: str, text: str) -> float:
    value = real_number(text)
    if value is None or abs(value) >= 1e9 or len(text) > 24:
        raise BadRequest(f"{name} holds {text[:40]!r}, which is no number of a map. Choose the area on the map again.")
    return value

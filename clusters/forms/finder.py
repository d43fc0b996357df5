"""The finder's address: what it asks for, and the address of any other question."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.parameters import chosen, real_number, search_text, selected_token, unit_of, whole_number
from clusters.values.finding import (
    BAND_EDGES_NATS,
    LASSO_STEPS,
    MOST_CORNERS,
    ORDERS,
    SHAPES,
    Bounds,
    Criteria,
    Cursor,
    Lasso,
    Offer,
)
from clusters.values.readings import Unit
from compute.numerics.curves import CLASS_NAMES

BITS = math.log(2)  # nats in a bit
BANDS = tuple(f"{edge:g}" for edge in BAND_EDGES_NATS)
YES_NO = {"yes": True, "no": False}
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LASSO = re.compile(r"(mn|lb)\.((?:[A-Za-z0-9_-]{4})+)")


@dataclass(frozen=True)
class Asked:
    """What an address asks the finder for."""

    criteria: Criteria
    sort: str
    plane: str
    unit: Unit
    after: Cursor | None = None
    token: int | None = None

    @property
    def shapes(self) -> tuple[str, ...]:
        """Rises and peaks that it speaks of: tables show these too."""
        named = {name for name, _ in self.criteria.bounds} | {ORDERS[self.sort].column}
        return tuple(key for key in SHAPES if key in named)

    def having(self, **changes: Any) -> Asked:
        """The same question with parts of its criteria changed, from the first page on."""
        return replace(self, criteria=replace(self.criteria, **changes), after=None)

    def other(self, **changes: Any) -> Asked:
        """The same criteria seen otherwise, from the first page on."""
        return replace(self, **({"after": None} | changes))


def asked_of(query: QueryDict, offer: Offer) -> Asked:
    """Read an address; what a run cannot be asked is refused with what it can."""
    unit = unit_of(query)
    sort = chosen(query, "sort", offer.orders, offer.orders[0])
    plane = chosen(query, "plane", tuple(offer.planes), next(iter(offer.planes))) if offer.planes else ""
    return Asked(
        criteria=Criteria(
            lasso=_lasso(query, offer),
            answer=search_text(query, "answer"),
            is_whole=chosen(query, "whole", ("yes",), "") == "yes" if query.get("whole") else False,
            answer_id=_answer_id(query),
            classes=_several(query, "class", CLASS_NAMES if offer.has_class else ()),
            kinds=_several(query, "kind", offer.kinds),
            bands=tuple(map(BANDS.index, _several(query, "band", BANDS if offer.has_loss else ()))),
            induced=_yes_no(query, "induced", is_known=offer.has_induced),
            clustered=_yes_no(query, "clustered", is_known=offer.has_clustered),
        ).with_bounds(_bounds(query, offer, unit)),
        sort=sort,
        plane=plane,
        unit=unit,
        after=_cursor(query, sort),
        token=selected_token(query),
    )


def address(asked: Asked, offer: Offer) -> str:
    """The query string that asks for this, with nothing in it that goes without saying."""
    return urlencode([(name, value) for name, value in parts(asked, offer) if value])


def parts(asked: Asked, offer: Offer) -> list[tuple[str, str]]:
    """Names and values of the address."""
    own, pairs = asked.criteria, []
    for name, bounds in own.bounds:
        for end, value in zip(("min", "max"), bounds, strict=True):
            pairs.append((f"{name}_{end}", "" if value is None else number_text(name, value, asked.unit)))
    pairs += [("lasso", lasso_text(own.lasso) if own.lasso else "")]
    pairs += [("answer", own.answer), ("whole", "yes" if own.is_whole else "")]
    pairs += [("answer_id", "" if own.answer_id is None else str(own.answer_id))]
    pairs += [("class", name) for name in own.classes] + [("kind", kind) for kind in own.kinds]
    pairs += [("band", BANDS[band]) for band in own.bands]
    pairs += [(name, {None: "", True: "yes", False: "no"}[value])
              for name, value in (("induced", own.induced), ("clustered", own.clustered))]  # fmt: skip
    pairs += [("sort", asked.sort if asked.sort != offer.orders[0] else "")]
    pairs += [("plane", asked.plane if asked.plane != next(iter(offer.planes), "") else "")]
    pairs += [("unit", asked.unit if asked.unit != "nats" else "")]
    pairs += [("after", cursor_text(asked.after, asked.sort) if asked.after else "")]
    return [*pairs, ("token", "" if asked.token is None else str(asked.token))]


def number_text(name: str, value: float, unit: Unit) -> str:
    """A bound as its field shows it; losses in the unit asked for."""
    return f"{value / BITS if unit == 'bits' and is_loss(name) else value:.9g}"


def is_loss(name: str) -> bool:
    """Whether bounds of this name are losses at a size."""
    return name[:1] == "s" and name[1:].isdecimal()


def nats(bits: float) -> float:
    """Bits in nats; a number of few digits that was written in bits comes back as it was."""
    value = bits * BITS
    near = round(value, 4)
    return near if abs(near - value) < 1e-7 else value


def lasso_text(lasso: Lasso) -> str:
    """Four letters a corner: twelve bits each way."""
    corners = (f"{_ALPHABET[n >> 6]}{_ALPHABET[n & 63]}" for corner in lasso.corners for n in corner)
    return f"{lasso.plane}.{''.join(corners)}"


def cursor_text(cursor: Cursor, sort: str) -> str:
    raw = f"{sort} {cursor.key.hex()} {cursor.index}".encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bounds(query: QueryDict, offer: Offer, unit: Unit) -> dict[str, Bounds]:
    known = offer.thresholds
    found = {}
    for name in known:
        ends = [_number(query, f"{name}_{end}") for end in ("min", "max")]
        if unit == "bits" and is_loss(name):
            ends = [None if value is None else nats(value) for value in ends]
        if ends != [None, None]:
            found[name] = Bounds(*ends)
    for key, value in query.items():
        name, _, end = key.rpartition("_")
        if value and end in ("min", "max") and name not in known:
            there = ", ".join(known) or "none: no network's losses are here"
            raise BadRequest(f"{key[:40]} is no threshold of this run; it has _min and _max of {there}.")
    return found


def _number(query: QueryDict, name: str) -> float | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    value = real_number(text)
    if value is None or abs(value) > 1e9:
        raise BadRequest(f"{name} is {text[:40]!r}; give a number, such as 0.5, or leave it out.")
    return value + 0.0  # no negative zero


def _several(query: QueryDict, name: str, known: Sequence[str]) -> tuple[str, ...]:
    values = [value for value in query.getlist(name) if value]
    for value in values:
        if value not in known:
            there = ", ".join(known[:40]) or "nothing: this run does not know it"
            raise BadRequest(f"{name} is {value[:40]!r}; choose of {there}.")
    return tuple(sorted(set(values), key=list(known).index))


def _yes_no(query: QueryDict, name: str, *, is_known: bool) -> bool | None:
    value = query.get(name)
    if not value:
        return None
    if value not in YES_NO or not is_known:
        raise BadRequest(f"{name} is {value[:40]!r}; {'say yes or no' if is_known else 'this run does not know it'}.")
    return YES_NO[value]


def _answer_id(query: QueryDict) -> int | None:
    text = query.get("answer_id", "").strip()
    number = whole_number(text)
    if text and number is None:
        raise BadRequest(f"answer_id is {text[:40]!r}; token ids count from 0.")
    return number


def _lasso(query: QueryDict, offer: Offer) -> Lasso | None:
    text = query.get("lasso", "")
    if not text:
        return None
    match = _LASSO.fullmatch(text)
    numbers = [_ALPHABET.index(a) << 6 | _ALPHABET.index(b) for a, b in re.findall("(.)(.)", match[2])] if match else []
    corners = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    if not match or match[1] not in offer.planes or not 3 <= len(corners) <= MOST_CORNERS:
        raise BadRequest(
            f"lasso is {text[:40]!r}; draw one on the chart: “mn.” or “lb.” and 3 to {MOST_CORNERS} corners, four "
            f"letters each that count from 0 to {LASSO_STEPS} across and up."
        )
    return Lasso(match[1], corners)


def _cursor(query: QueryDict, sort: str) -> Cursor | None:
    text = query.get("after", "")
    if not text:
        return None
    try:
        raw = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)).decode()
        of, key, index = raw.split(" ")
        cursor = Cursor(float.fromhex(key), -1 if (number := whole_number(index)) is None else number)
    except (ValueError, binascii.Error, OverflowError):
        of, cursor = "", Cursor(0.0, -1)
    if of != sort or of not in ORDERS or cursor.index < 0 or math.isnan(cursor.key):
        raise BadRequest(f"after is {text[:40]!r}; follow the link to the next page, or leave it out for the first.")
    return cursor

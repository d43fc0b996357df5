"""The address of a curve of one's own: the points as text, and what they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from clusters.parameters import chosen
from clusters.values.readings import Unit
from compute.curve_text import LADDERS, Points, curve_from_text
from compute.errors import FitError
from compute.numerics.theories import Over

LONGEST_QUERY = 8_000  # bytes of an address that every server takes
LONGEST_NAME = 120
OVER: dict[Over, str] = {
    "parameters": "non-embedding parameters",
    "samples": "training samples",
    "steps": "training step",
    "scale": "scale",
}  # what a curve may be over


@dataclass(frozen=True)
class CurveQuery:
    """What an address says of a curve."""

    text: str = ""
    ladder: str = ""  # whose sizes the losses belong to; "" where the text says scales itself
    unit: Unit = "nats"  # of the losses
    over: Over = "parameters"
    name: str = ""

    @cached_property
    def read(self) -> tuple[Points | None, str]:
        """The points, or the sentence that says why there are none."""
        try:
            return curve_from_text(self.text, ladder=self.ladder), ""
        except FitError as error:
            return None, str(error)

    @property
    def points(self) -> Points | None:
        return self.read[0]

    @property
    def problem(self) -> str:
        return self.read[1]

    @property
    def is_empty(self) -> bool:
        return not self.text.strip()

    @property
    def n_bytes(self) -> int:
        """Of the query of its own address."""
        return len(self.query)

    @property
    def query(self) -> str:
        """Only what differs from the usual."""
        usual = CurveQuery()
        values = {
            "text": self.text,
            "sizes": self.ladder,
            "unit": self.unit,
            "over": self.over if not self.ladder else usual.over,
            "name": self.name,
        }
        return urlencode({name: value for name, value in values.items() if value and value != getattr(usual, name, "")})

    @property
    def href(self) -> str:
        return f"{reverse('clusters:curve-paste')}?{self.query}"

    def in_unit(self, unit: Unit) -> CurveQuery:
        """The same text read in another unit."""
        return replace(self, unit=unit)


def curve_query(query: QueryDict) -> CurveQuery:
    """Read the address; 400 where a choice is none of those offered."""
    ladder = chosen(query, "sizes", list(LADDERS), "") if query.get("sizes") else ""
    return CurveQuery(
        text=query.get("text", "").replace("\0", ""),
        ladder=ladder,
        unit=chosen(query, "unit", get_args(Unit), "nats"),
        over="parameters" if ladder else chosen(query, "over", list(OVER), "parameters"),
        name=query.get("name", "").replace("\0", "").strip()[:LONGEST_NAME],
    )


def lab_href(points: Iterable[tuple[float, float]], *, over: Over, name: str) -> str:
    """Where a curve of the site, in nats, is open in the lab; "" where it has too few points."""
    known = [(x, y) for x, y in points if x > 0 and y == y and y >= 0]
    if len({x for x, _ in known}) < 2:
        return ""
    text = "\n".join(f"{x:.12g} {y:.5g}" for x, y in known)
    return CurveQuery(text=text, over=over, name=name).href

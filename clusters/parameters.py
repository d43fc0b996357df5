"""What a page's address asks for: parsed once; every bad value is answered with a sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.models import Affinity
from clusters.values.readings import Unit

Choice = TypeVar("Choice", bound=str)
MAX_DIGITS = 18  # any such number fits every database's integers
MAX_PAGE = 100_000
MAX_TEXT = 200
_GROUPED = re.compile(r"[+−-]?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]*)?")
_WHOLE = re.compile(r"-?[0-9]{1,100}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

REACHES: Mapping[str, int] = {"snippet": 40, "5": 5, "16": 16, "200": 200}  # tokens shown before the answer


def whole_number(text: str) -> int | None:
    """The number that a piece of an address writes in plain digits, or None."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS
    return int(text) if is_number else None


def ungrouped(text: str) -> str:
    """A number without the commas between its thousands; "1,5" keeps its comma, with which it is no number."""
    return text.replace(",", "") if _GROUPED.fullmatch(text) else text


def integer(text: str) -> int | None:
    """The whole number of any size that somebody writes in the digits 0 to 9, thousands in groups or not, or None."""
    plain = ungrouped(text.strip()).replace("−", "-")
    return int(plain) if _WHOLE.fullmatch(plain) else None


def real_number(text: str) -> float | None:
    """The finite number that somebody writes in the digits 0 to 9, with a decimal point or a power of ten, or None."""
    plain = ungrouped(text.strip()).replace("−", "-")
    value = float(plain) if _NUMBER.fullmatch(plain) else math.nan
    return value if math.isfinite(value) else None


def chosen(query: QueryDict, name: str, choices: Sequence[Choice], default: Choice) -> Choice:
    """One of the choices; a value that is none of them is refused, not guessed at."""
    value = query.get(name) or default
    if value not in choices:
        raise BadRequest(f"{name} is {value[:40]!r}; choose one of {', '.join(choices)}.")
    return choices[choices.index(value)]


def page_number(query: QueryDict) -> int:
    """The page asked for, from 1."""
    value = query.get("page") or "1"
    number = whole_number(value)
    if not number or number > MAX_PAGE:
        raise BadRequest(f"page is {value[:40]!r}; it counts from 1 to {MAX_PAGE}.")
    return number


def search_text(query: QueryDict, name: str) -> str:
    """What to look for, without what no database can hold."""
    return query.get(name, "").replace("\0", "").encode("utf-8", "ignore").decode()[:MAX_TEXT]


def selected_token(query: QueryDict) -> int | None:
    """The flat index of the token that the page's views have selected together, or None."""
    return whole_number(query.get("token", ""))


def affinity_of(query: QueryDict) -> str:
    return chosen(query, "affinity", Affinity.values, Affinity.SIGNED)


@dataclass(frozen=True)
class ContextView:
    """How contexts are shown."""

    reach: str = "snippet"
    breaks: bool = True
    is_shaded: bool = True

    @property
    def n_tokens(self) -> int:
        return REACHES[self.reach]


def context_view(query: QueryDict, reach: str = "snippet") -> ContextView:
    return ContextView(
        reach=chosen(query, "reach", list(REACHES), reach),
        breaks=chosen(query, "breaks", ("on", "off"), "on") == "on",
        is_shaded=chosen(query, "shade", ("on", "off"), "on") == "on",
    )


def reach_choices(chosen_reach: str, default: str = "snippet") -> list[dict[str, object]]:
    """The lengths of context that a page offers; `e` goes to the longest, and from it back to a shorter one."""
    shorter = default if default != "200" else "snippet"
    target = shorter if chosen_reach == "200" else "200"
    return [
        {
            "reach": None if reach == default else reach,
            "text": "200 tokens" if reach == "200" else reach,
            "is_on": reach == chosen_reach,
            "key": "e" if reach == target else "",
        }
        for reach in REACHES
    ]


def unit_of(query: QueryDict) -> Unit:
    return "bits" if chosen(query, "unit", ("nats", "bits"), "nats") == "bits" else "nats"


def changed(path: str, query: QueryDict, **changes: object) -> str:
    """An address with some of its query changed; None takes a name out."""
    kept = query.copy()
    for name, value in changes.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = str(value)
    return f"{path}?{kept.urlencode()}" if kept else path

"""The knobs of the quantization model, as an address has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict

from compute.numerics.knobs import CASES, KNOBS, Knob, Knobs, read_some

MOST_TYPED = 40  # characters of a number


@dataclass(frozen=True)
class TheoryQuery:
    """What was typed, what it means, and a sentence for each that means nothing."""

    texts: dict[str, str]
    knobs: Knobs
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def permalink(self) -> str:
        """The query that leads here again: only what differs from the usual."""
        usual = {knob.name: number_text(knob.default) for knob in KNOBS} | {"case": "constant"}
        return urlencode({name: text for name, text in self.texts.items() if text and text != usual.get(name)})

    def typed(self, knob: Knob) -> str:
        """What stands in a knob's field."""
        return self.texts.get(knob.name) or number_text(knob.default)


def theory_query(query: QueryDict) -> TheoryQuery:
    """Read the knobs; those that mean nothing have their usual values."""
    names = [knob.name for knob in KNOBS] + ["case"]
    texts = {name: text for name in names if (text := query.get(name, "").strip()[:MOST_TYPED])}
    knobs, problems = read_some(texts)
    return TheoryQuery(texts, knobs, problems)


def number_text(value: float | None) -> str:
    """A number as a field holds it; nothing for none."""
    if value is None:
        return ""
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.12g}"


def case_choices(knobs: Knobs) -> list[dict[str, Any]]:
    return [{"value": value, "text": text, "is_on": value == knobs.case} for value, text in CASES.items()]

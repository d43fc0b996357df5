"""What people ask of the table of exponents, and what they enter into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict

from clusters.forms.values import NumberField, WholeField
from clusters.parameters import chosen
from clusters.values.exponents import SORTS

RISING, FALLING = "rising", "falling"


@dataclass(frozen=True)
class ExponentQuery:
    """Which rows, in which order."""

    domain: str  # empty: all
    sort: str
    is_falling: bool


def exponent_query(query: QueryDict, domains: Sequence[str]) -> ExponentQuery:
    domain = chosen(query, "domain", [*domains, "all"], "all")
    sort = chosen(query, "sort", list(SORTS), "source")
    order = chosen(query, "order", (RISING, FALLING), RISING)
    return ExponentQuery("" if domain == "all" else domain, sort, order == FALLING)


class StudyForm(forms.Form):
    """An entry's words and numbers. Services check what they may be; here is only what they are."""

    name = forms.CharField(required=False)
    year = WholeField(required=False)
    domain = forms.CharField(required=False)
    alpha_n = NumberField(required=False)
    alpha_d = NumberField(required=False)
    alpha_s = NumberField(required=False)
    note = forms.CharField(required=False)
    link = forms.CharField(required=False)
    is_shared = forms.BooleanField(required=False)

    def values(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.fields}

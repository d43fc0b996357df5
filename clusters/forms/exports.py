"""What an address asks an export for."""

from __future__ import annotations

from collections.abc import Sequence

from django import forms
from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.forms.finder import Asked, parts
from clusters.models import Affinity, Export
from clusters.parameters import chosen, whole_number
from clusters.values.finding import Offer

VIEW_ONLY = frozenset(  # parts of the finder's address that say how it is shown, not what is found
    ("sort", "plane", "unit", "after", "token", "figure", "part", "embed", "tour", "theme")
)


class ExportForm(forms.Form):
    """A file for a worker to write."""

    what = forms.CharField(max_length=40)  # "tokens.parquet"
    query = forms.CharField(max_length=2000, required=False)

    def clean_what(self) -> tuple[str, str]:
        kind, _, form = self.cleaned_data["what"].partition(".")
        if kind not in Export.Kind.values or form not in Export.Format.values:
            raise forms.ValidationError("Choose one of the files that are offered.")
        return kind, form


def chosen_clusterings(query: QueryDict, there: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The clusterings, (affinity, k) each, that `affinity` and `k` leave; all where neither is given."""
    if unknown := sorted(set(query) - {"affinity", "k"}):
        raise BadRequest(f"No such parameter: {', '.join(unknown)[:200]}. Allowed: affinity, k.")
    left = list(there)
    if query.get("affinity"):
        affinity = chosen(query, "affinity", Affinity.values, "")
        left = [one for one in left if one[0] == affinity]
    if text := query.get("k"):
        left = [one for one in left if one[1] == whole_number(text)]
    if not left and there:
        ks = ", ".join(map(str, sorted({k for _, k in there})))
        raise BadRequest(f"There is no such clustering: k is {(text or 'any')[:20]!r}, and this run has k = {ks}.")
    return left


def unknown_conditions(query: QueryDict, asked: Asked, offer: Offer) -> list[str]:
    """Names in a finder's query that narrow nothing: left unsaid, everything would be exported."""
    understood = {name for name, value in parts(asked, offer) if value} | VIEW_ONLY
    return sorted(name for name in query if query.get(name) and name not in understood)

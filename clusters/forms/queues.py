"""What the pages of labeling ask for: a new queue, its people, which queue comes next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.forms.values import WholeField
from clusters.models import Affinity, Clustering
from clusters.parameters import whole_number

FILTER = ("answer", "text", "least", "most", "sort", "order")  # what of the cluster list's query chooses and orders
USUAL_CLUSTERS, MOST_CLUSTERS, MOST_EACH = 50, 2000, 20


def whole(query: QueryDict, name: str) -> int | None:
    """A number that stands in the query; None where it doesn't."""
    text = query.get(name, "")
    number = whole_number(text)
    if text and number is None:
        raise BadRequest(f"{name} is {text[:40]!r}; it is a number in plain digits, or left out.")
    return number


def filter_of(query: QueryDict) -> QueryDict:
    """The part of a cluster list's query that says which clusters, in which order."""
    kept = QueryDict(mutable=True)
    for name in FILTER:
        if query.get(name):
            kept[name] = query.get(name, "")
    return kept


@dataclass(frozen=True)
class Place:
    """One clustering, as a form's choice: `demo/signed/400`."""

    run: str
    affinity: str
    k: int

    @property
    def text(self) -> str:
        return f"{self.run}/{self.affinity}/{self.k}"


def place_of(query: QueryDict) -> Place | None:
    """The clustering that the address names, as one word or as run, affinity and k."""
    run, affinity, k = query.get("run", ""), query.get("affinity") or Affinity.SIGNED, query.get("k", "")
    if query.get("of"):
        run, _, rest = query.get("of", "").partition("/")
        affinity, _, k = rest.partition("/")
    if not run and not k:
        return None
    number = whole_number(k)
    if not run or number is None or affinity not in Affinity.values:
        raise BadRequest("Name one clustering: of=RUN/AFFINITY/K, such as of=demo/signed/100.")
    return Place(run, str(affinity), number)


def clustering_choices(clusterings: Iterable[Clustering]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Clusterings as groups of a select, by run and affinity."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for one in clusterings:
        value = Place(one.run.slug, one.affinity, one.k).text
        groups.setdefault(f"{one.run.name}, {one.affinity}", []).append(
            (value, f"{one.run.name}, {one.affinity}, k = {one.k}")
        )
    return list(groups.items())


class PeopleForm(forms.Form):
    """Who works on a queue."""

    people = forms.TypedMultipleChoiceField(
        label="People", coerce=int, widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one person."},
    )  # fmt: skip

    def __init__(self, *args: Any, people: Iterable[User] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["people"].choices = [(person.pk, person.get_username()) for person in people]  # type: ignore[attr-defined]


class DescriptionForm(forms.Form):
    """What a queue is called, and what its people are to mind."""

    name = forms.CharField(label="Name", max_length=120, help_text="As people see it beside every cluster.")
    guidelines = forms.CharField(
        label="Guidelines", required=False, max_length=10_000, strip=False, widget=forms.Textarea(attrs={"rows": 6}),
        help_text="Shown beside every cluster: what counts as one rule, when to call a cluster not coherent.",
    )  # fmt: skip


class QueueForm(PeopleForm, DescriptionForm):
    """A new queue; the clusters come from the address."""

    at_most = WholeField(
        label="At most", min_value=1, max_value=MOST_CLUSTERS, initial=USUAL_CLUSTERS,
        help_text="clusters, the first ones in the order of the list.",
    )  # fmt: skip
    labels_each = WholeField(
        label="People for each cluster", min_value=1, max_value=MOST_EACH, initial=2,
        help_text="Agreement needs at least 2.",
    )  # fmt: skip
    is_blind = forms.BooleanField(
        label="Hide others’ labels from people until their own is in", required=False, initial=True
    )
    field_order = ("name", "at_most", "labels_each", "is_blind", "people", "guidelines")

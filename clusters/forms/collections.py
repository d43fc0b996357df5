"""What people send to collections."""

from __future__ import annotations

from typing import Any

from django import forms

from clusters.forms.values import WholeField
from clusters.models import Collection
from clusters.parameters import whole_number


class CollectionForm(forms.Form):
    """A collection's own words. Services check their lengths; here is only what they are."""

    name = forms.CharField(required=False, strip=True)
    description = forms.CharField(required=False)
    access = forms.ChoiceField(choices=Collection.Access.choices, required=False)
    version = WholeField(min_value=1, max_value=2**31 - 1, required=False)

    def clean_access(self) -> str:
        return self.cleaned_data["access"] or Collection.Access.PRIVATE


class KeepForm(forms.Form):
    """Something to keep, and where: in a collection, or in a new one of this name."""

    collection = forms.CharField(max_length=43, required=False)
    remove = forms.CharField(max_length=43, required=False)  # the collection that it leaves
    new = forms.CharField(required=False, strip=True)
    note = forms.CharField(required=False)
    cluster = forms.CharField(max_length=20, required=False)
    run = forms.CharField(max_length=80, required=False)
    token = forms.CharField(max_length=20, required=False)
    path = forms.CharField(max_length=2000, required=False)

    def clean_cluster(self) -> int | None:
        return whole_number(self.cleaned_data["cluster"])

    def clean_token(self) -> int | None:
        return whole_number(self.cleaned_data["token"])

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if not any(found.get(name) for name in ("collection", "remove", "new")):
            raise forms.ValidationError("Choose a collection, or name a new one.")
        return found


def sentences(form: forms.Form) -> str:
    """All that is wrong with what was sent."""
    return " ".join(str(message) for found in form.errors.values() for message in found)

"""What the pages of agreement and adjudication ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from django import forms
from django.http import QueryDict

from clusters.forms.queues import Place, place_of, whole
from clusters.forms.values import WholeField
from clusters.models import Label, Tag
from clusters.models.labels import MAX_NAME, MAX_TEXT
from clusters.parameters import chosen


@dataclass(frozen=True)
class AgreementQuery:
    """Which labels, and in which words: as first submitted, or as they stand now."""

    queue: int | None
    place: Place | None
    which: Literal["first", "now"]


def agreement_query(query: QueryDict) -> AgreementQuery:
    which = chosen(query, "labels", ("first", "now"), "first")
    return AgreementQuery(whole(query, "queue"), place_of(query), cast(Literal["first", "now"], which))


class AgreedForm(forms.Form):
    """What is agreed on of one cluster."""

    name = forms.CharField(label="Name", max_length=MAX_NAME, required=False)
    description = forms.CharField(
        label="The rule, in words", max_length=MAX_TEXT, required=False, strip=False,
        widget=forms.Textarea(attrs={"rows": 4}),
    )  # fmt: skip
    kind = forms.ChoiceField(
        label="It is a", required=False, widget=forms.RadioSelect, choices=[*Label.Kind.choices, ("", "open")]
    )
    confidence = forms.TypedChoiceField(
        label="How sure", required=False, coerce=int, empty_value=None, widget=forms.RadioSelect,
        choices=[*((str(value), text) for value, text in Label.Confidence.choices), ("", "open")],
    )  # fmt: skip
    tags = forms.MultipleChoiceField(label="Tags", required=False, widget=forms.CheckboxSelectMultiple)
    misfits = forms.CharField(
        label="Members that do not fit", required=False, max_length=20_000,
        help_text="Their flat indices, with spaces between them.",
    )  # fmt: skip
    version = WholeField(min_value=0, max_value=2**31 - 1, widget=forms.HiddenInput)

    def __init__(self, *args: Any, tags: list[Tag], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tags"].choices = [(tag.slug, tag.name) for tag in tags]  # type: ignore[attr-defined]

    def clean_misfits(self) -> tuple[int, ...]:
        words = self.cleaned_data["misfits"].replace(",", " ").split()
        if wrong := [word for word in words if not (word.isascii() and word.isdecimal() and len(word) <= 18)]:
            raise forms.ValidationError(f"Not a flat index: {wrong[0][:40]}. Write whole numbers with spaces between.")
        return tuple(sorted({int(word) for word in words}))

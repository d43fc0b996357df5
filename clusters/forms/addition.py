"""Settings of an experiment on modular addition as people type them, and what its page's address asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import Http404, QueryDict

from clusters.parameters import chosen, unit_of, whole_number
from clusters.values.addition import Network, Sweep, Times
from clusters.values.readings import Unit
from compute.errors import ConfigError
from compute.labs.addition import AdditionConfig
from compute.numerics.addition import ACTIVATIONS

MOST_LISTED = 60
_LISTS = ("fractions", "weight_decays")
_STARTS = {"A fraction": "fractions"}  # of sentences that do not begin with their field


@dataclass(frozen=True)
class Asked:
    """One network, what tells its times, and how losses are shown."""

    unit: Unit
    by: Times
    network: Network

    @property
    def factor(self) -> float:
        """From bits to the unit."""
        return 1.0 if self.unit == "bits" else math.log(2)


def asked_of(query: QueryDict, known: Sweep) -> Asked:
    """BadRequest or Http404 with a sentence for what the experiment does not have."""
    by: Times = "accuracy" if chosen(query, "by", ("loss", "accuracy"), "loss") == "accuracy" else "loss"
    return Asked(unit_of(query), by, _network(query.get("network", ""), known, by))


def _network(text: str, known: Sweep, by: Times) -> Network:
    if not text:
        return known.telling(by)
    index = whole_number(text)
    if index is None or index >= len(known.networks):
        raise Http404(
            f"This experiment has no network “{text[:20]}”. "
            f"It trained {len(known.networks):,}, numbered from 0 to {len(known.networks) - 1:,}."
        )
    return known.networks[index]


class AdditionForm(forms.Form):
    """Every setting; what stands against one is said beside its field."""

    name = forms.CharField(label="Name", max_length=80, help_text="Letters, digits, dots, dashes.")
    is_private = forms.BooleanField(label="Only I may see this experiment", required=False)
    modulus = forms.IntegerField(label="Modulus p", help_text="Sums of all p² pairs are taken modulo p.")
    fractions = forms.CharField(label="Fractions of the pairs", help_text="Trained on; the others are tested.")
    weight_decays = forms.CharField(label="Weight decays", help_text="0 leaves the weights free to grow.")
    n_seeds = forms.IntegerField(label="Seeds", help_text="Networks of each fraction and decay.")
    width = forms.IntegerField(label="Neurons", help_text="Of the one hidden layer.")
    activation = forms.ChoiceField(label="Activation", choices=[(one, one) for one in ACTIVATIONS])
    learning_rate = forms.FloatField(label="Learning rate", help_text="Of AdamW.")
    steps = forms.IntegerField(label="Steps at most", help_text="Ends earlier once a network generalises.")
    seed = forms.IntegerField(label="First seed", help_text="Of the split and the first weights.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if isinstance(field.widget, forms.NumberInput):
                field.widget.attrs["step"] = "any" if isinstance(field, forms.FloatField) else "1"
            elif name in _LISTS:
                field.widget.attrs["inputmode"] = "decimal"

    @property
    def config(self) -> AdditionConfig:
        """Of a valid form."""
        found: AdditionConfig = self.cleaned_data["config"]
        return found

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        for name in _LISTS:
            try:
                values[name] = numbers(values.get(name, ""))
            except forms.ValidationError as error:
                self.add_error(name, error)
        if not self.errors:
            try:
                values["config"] = AdditionConfig(**{key: one for key, one in values.items() if key != "is_private"})
            except ConfigError as error:
                self.add_error(*_placed(str(error)))
        return values


def initial_of(config: AdditionConfig) -> dict[str, Any]:
    """The fields as these settings fill them."""
    lists = {name: config.typed(name) for name in _LISTS}
    return vars(config) | lists


def numbers(text: str) -> tuple[float, ...]:
    """Numbers out of "0.1, 0.2"; commas and blanks part them."""
    found = []
    for part in text.replace(";", ",").replace(" ", ",").split(","):
        if not part:
            continue
        try:
            value = float(part)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise forms.ValidationError(f"“{part[:20]}” is no number. Write them like 0.3, 0.5.")
        found.append(value)
    if len(found) > MOST_LISTED:
        raise forms.ValidationError(f"These are {len(found):,} numbers; at most {MOST_LISTED} are taken.")
    return tuple(found)


def _placed(sentence: str) -> tuple[str | None, str]:
    """The field that a sentence about the settings belongs to, and the sentence as the form names it."""
    first, _, rest = sentence.partition(" ")
    if first in AdditionForm.base_fields:
        return first, f"{AdditionForm.base_fields[first].label} {rest}"
    return next((name for start, name in _STARTS.items() if sentence.startswith(start)), None), sentence

"""Settings of an experiment on sparse parity, as people type them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from django import forms

from compute.errors import ConfigError
from compute.labs.parity import ParityConfig

MOST_LISTED = 200
Number = TypeVar("Number", int, float)
_LISTS = {"alphas": float, "widths": int, "sizes": int, "data_widths": int, "seeds": int}
_PLACES = {  # where a sentence belongs that begins with no field's name
    "A training set": "sizes", "samples": "sizes", "The training sets": "sizes", "Batches": "batch_size",
}  # fmt: skip


class ParityForm(forms.Form):
    """Every knob; what is left out of a list is said in a sentence beside its field."""

    name = forms.CharField(label="Name", max_length=80, help_text="Letters, digits, dots, dashes.")
    is_private = forms.BooleanField(label="Only I may see this experiment", required=False)

    n_tasks = forms.IntegerField(label="Tasks T", help_text="Each is a parity of its own bits.")
    n_bits = forms.IntegerField(label="Bits n", help_text="Of the string that every input holds.")
    k = forms.IntegerField(label="Bits of a task k", help_text="More make a task harder to find.")
    alphas = forms.CharField(
        label="α", help_text="Frequencies fall as rank to the power −(α + 1); several make a sweep."
    )

    widths = forms.CharField(label="Widths", help_text="Hidden units; several give the law over parameters.")
    seeds = forms.CharField(label="Seeds", help_text="Of tasks, data and weights; several show the spread.")
    is_online = forms.BooleanField(label="Networks that see every batch once", required=False)
    sizes = forms.CharField(
        label="Training samples D", required=False, help_text="Sets that are seen again and again; empty for none."
    )
    data_widths = forms.CharField(
        label="Widths with training sets", required=False, help_text="Empty: all widths above."
    )

    n_steps = forms.IntegerField(label="Steps", help_text="Of every network.")
    batch_size = forms.IntegerField(label="Batch", help_text="Samples of a step.")
    is_batch_capped = forms.BooleanField(label="A set smaller than a batch is taken whole", required=False)
    learning_rate = forms.FloatField(label="Learning rate", help_text="Of AdamW; the paper’s is 0.001.")
    weight_decay = forms.FloatField(label="Weight decay", help_text="0 makes it Adam.")
    log_every = forms.IntegerField(label="Log every", help_text="So many steps.")

    test_points = forms.IntegerField(label="Test samples", help_text="Shared out by frequency, at every log.")
    task_points = forms.IntegerField(label="Of each task at least", help_text="For rare tasks.")
    fit_from = forms.IntegerField(
        label="Fit α_S from step", required=False, help_text="Empty: where loss begins to fall."
    )
    fit_to = forms.IntegerField(label="to step", required=False, help_text="Empty: where it stops falling.")
    n_stacked = forms.IntegerField(
        label="Trained together", help_text="Training sets, α and seeds of one piece of work; more need more memory."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if isinstance(field.widget, forms.NumberInput):
                field.widget.attrs["step"] = "any" if isinstance(field, forms.FloatField) else "1"
            elif name in _LISTS:
                field.widget.attrs["inputmode"] = "decimal"

    @property
    def config(self) -> ParityConfig:
        """Of a valid form."""
        found: ParityConfig = self.cleaned_data["config"]
        return found

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        for name, kind in _LISTS.items():
            try:
                values[name] = _numbers(values.get(name, ""), kind)
            except forms.ValidationError as error:
                self.add_error(name, error)
        if not self.errors and not values["is_online"] and not values["sizes"]:
            self.add_error(
                "sizes",
                "Nothing to train on: name sizes of training sets, or tick the networks that see every batch once.",
            )
        if not self.errors:
            try:
                values["config"] = _config(values)
            except ConfigError as error:
                self.add_error(_place(str(error)), _shown(str(error)))
        return values


def initial_of(config: ParityConfig) -> dict[str, Any]:
    """The fields as these settings fill them."""
    values = {name: value for name, value in vars(config).items() if name in ParityForm.base_fields}
    lists = {name: config.typed(name) for name in _LISTS if name != "sizes"}
    return values | lists | {"is_online": None in config.samples, "sizes": config.typed("samples")}


def _config(values: dict[str, Any]) -> ParityConfig:
    samples = ((None,) if values["is_online"] else ()) + values["sizes"]
    names = [name for name in ParityForm.base_fields if name not in ("is_private", "is_online", "sizes")]
    return ParityConfig(samples=samples, **{name: values[name] for name in names})


def _numbers(text: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    """Numbers out of "0.1, 0.2" or "1000 3000"; commas and blanks part them."""
    found = []
    for part in text.replace(";", ",").replace(" ", ",").split(","):
        if not part:
            continue
        try:
            value = kind(part)
            is_number = math.isfinite(value)
        except (ValueError, OverflowError):
            is_number = False
        if not is_number:
            what = "whole number" if kind is int else "number"
            raise forms.ValidationError(
                f"“{part[:20]}” is no {what}. Write them like {'10, 30, 100' if kind is int else '0.2, 0.4'}."
            )
        found.append(value)
    if len(found) > MOST_LISTED:
        raise forms.ValidationError(f"These are {len(found):,} numbers; at most {MOST_LISTED} are taken.")
    return tuple(found)


def _place(sentence: str) -> str | None:
    """The field that a sentence about the settings belongs to; None for one about several."""
    first = sentence.split(" ", 1)[0]
    if first in ParityForm.base_fields:
        return first
    return next((name for start, name in _PLACES.items() if sentence.startswith(start)), None)


def _shown(sentence: str) -> str:
    """The sentence of the computing side, with the fields named as the form names them."""
    first, _, rest = sentence.partition(" ")
    if first in ParityForm.base_fields:
        label = ParityForm.base_fields[first].label
        return f"{label} {rest}"
    return sentence

"""Settings of an experiment as people type them: what every lab's form shares."""

from __future__ import annotations

from typing import Any

from django import forms

from clusters.parameters import integer, real_number
from compute.errors import ConfigError
from compute.labs.settings import LabConfig


class LabForm(forms.Form):
    """Fields named as the settings of one lab; what stands against one is said beside its field.

    A subclass names the settings it reads, which of its fields are lists of numbers, and ``places``: the field that a
    sentence belongs to which does not begin with a field's name, by words of that sentence.
    """

    reads: type[LabConfig]
    lists: dict[str, type] = {}
    places: dict[str, str] = {}
    others: dict[str, str] = {}  # settings that a field of another name holds: the field, by the setting
    most_listed = 60

    name = forms.CharField(label="Name", max_length=80, help_text="Letters, digits, dots, dashes.")
    is_private = forms.BooleanField(label="Only I may see this experiment", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if isinstance(field.widget, forms.NumberInput):
                field.widget.attrs["step"] = "any" if isinstance(field, forms.FloatField) else "1"
            elif name in self.lists:
                field.widget.attrs["inputmode"] = "decimal"

    @property
    def config(self) -> Any:
        """Of a valid form."""
        return self.cleaned_data["config"]

    @classmethod
    def initial_of(cls, config: Any) -> dict[str, Any]:
        """The fields as these settings fill them."""
        return vars(config) | {name: config.typed(name) for name in cls.lists}

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        for name, kind in self.lists.items():
            try:
                values[name] = self._numbers(values.get(name, ""), kind)
            except forms.ValidationError as error:
                self.add_error(name, error)
        self.check_together(values)
        if not self.errors:
            try:
                values["config"] = self.reads(**self.settings_of(values))
            except ConfigError as error:
                self.add_error(*self._placed(str(error)))
        return values

    def check_together(self, values: dict[str, Any]) -> None:
        """Add errors that only the form can know."""

    def settings_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """What the settings are made of."""
        return {name: value for name, value in values.items() if name != "is_private"}

    def _numbers(self, text: str, kind: type) -> tuple[float, ...]:
        """Numbers out of "0.1, 0.2" or "1000 3000"; commas and blanks part them."""
        found: list[float] = []
        for part in text.replace(";", ",").replace(" ", ",").split(","):
            if not part:
                continue
            value = integer(part) if kind is int else real_number(part)
            if value is None:
                what, like = ("whole number", "10, 30, 100") if kind is int else ("number", "0.3, 0.5")
                raise forms.ValidationError(f"“{part[:20]}” is no {what}. Write them like {like}.")
            found.append(value)
        if len(found) > self.most_listed:
            raise forms.ValidationError(f"These are {len(found):,} numbers; at most {self.most_listed} are taken.")
        return tuple(found)

    def _placed(self, sentence: str) -> tuple[str | None, str]:
        """The field that a sentence about the settings belongs to, and the sentence as the form names it."""
        first, _, rest = sentence.partition(" ")
        first = self.others.get(first, first)
        if first in self.base_fields:
            return first, f"{self.base_fields[first].label} {rest}"
        return next((name for words, name in self.places.items() if words in sentence), None), sentence

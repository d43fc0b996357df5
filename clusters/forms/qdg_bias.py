"""Settings of the labs of QDG's bias as people type them, and what their pages' addresses ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.parameters import whole_number
from compute.errors import ConfigError
from compute.labs.parity_qdg import ParityQdgConfig
from compute.labs.settings import LabConfig
from compute.labs.toy_qdg import ToyQdgConfig

MOST_LISTED = 60
MOST_SLOPE = 100.0


def measured_slope(query: QueryDict) -> tuple[float | None, str]:
    """The slope to read backwards; None and a sentence where what was typed is none."""
    text = query.get("slope", "").strip()
    if not text:
        return None, ""
    try:
        value = float(text.replace("−", "-"))
    except ValueError:
        return None, f"“{text[:20]}” is no number: write a slope like −1.24."
    if not (math.isfinite(value) and abs(value) <= MOST_SLOPE):
        return None, f"A slope of {text[:20]} is out of reach: give a number like −1.24."
    return (-value if value > 0 else value), ""  # "1.24" can only mean a falling line


def draw_number(query: QueryDict, n_draws: int) -> int:
    """Which draw of every world is shown, from 1."""
    text = query.get("draw") or "1"
    number = whole_number(text)
    if number is None or not 1 <= number <= n_draws:
        raise BadRequest(f"draw is {text[:40]!r}; draws count from 1 to {n_draws:,}.")
    return number


def ranks_asked(query: QueryDict, last_usual: int, longest: int) -> tuple[tuple[int, int], str]:
    """The window of the fit, and a sentence where what was typed is none."""
    usual = (1, last_usual)
    texts = (query.get("first", ""), query.get("last", ""))
    if not any(texts):
        return usual, ""
    first, last = (whole_number(text) if text else value for text, value in zip(texts, usual, strict=True))
    if first is None or last is None or not 1 <= first <= last - 2 or last > longest:
        said = " to ".join(text[:12] or "the usual" for text in texts)
        return usual, (
            f"Ranks {said} cannot be fitted: a slope takes at least three ranks between 1 and {longest:,}. "
            f"1 to {last_usual:,} is shown instead."
        )
    return (first, last), ""


def numbers(text: str, kind: type) -> tuple[float, ...]:
    """Numbers out of "0.8, 1, 1.2"; commas and blanks part them."""
    found = []
    for part in text.replace(";", ",").replace(" ", ",").split(","):
        if not part:
            continue
        try:
            found.append(kind(part))
            is_finite = math.isfinite(found[-1])
        except (ValueError, OverflowError) as error:
            what = "whole number" if kind is int else "number"
            raise forms.ValidationError(f"“{part[:20]}” is no {what}. Write them like 20, 40, 80.") from error
        if not is_finite:
            raise forms.ValidationError(f"“{part[:20]}” is no number that can be used.")
    if len(found) > MOST_LISTED:
        raise forms.ValidationError(f"These are {len(found):,} numbers; at most {MOST_LISTED} are taken.")
    return tuple(found)


class SettingsForm(forms.Form):
    """Every setting of one lab; what stands against one is said beside its field."""

    reads: type[LabConfig]
    lists: dict[str, type] = {}
    first_words: dict[str, str] = {}  # of sentences that do not begin with their field's name, by their start

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("auto_id", f"id_{type(self).__name__.lower()}_%s")  # one page has several forms
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if isinstance(field.widget, forms.NumberInput):
                field.widget.attrs["step"] = "any" if isinstance(field, forms.FloatField) else "1"
            elif name in self.lists:
                field.widget.attrs["inputmode"] = "decimal"

    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """Fields by their headings."""
        return [(title, [self[name] for name in names]) for title, names in self.headings.items()]

    headings: dict[str, Sequence[str]] = {}

    @property
    def config(self) -> Any:
        """Of a valid form."""
        return self.cleaned_data["config"]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        for name, kind in self.lists.items():
            try:
                values[name] = numbers(values.get(name, ""), kind)
            except forms.ValidationError as error:
                self.add_error(name, error)
        if not self.errors:
            try:
                values["config"] = self.reads(**{key: one for key, one in values.items() if key != "is_private"})
            except ConfigError as error:
                self.add_error(*self._placed(str(error)))
        return values

    def _placed(self, sentence: str) -> tuple[str | None, str]:
        """The field that a sentence about the settings belongs to, and the sentence as the form names it."""
        first, _, rest = sentence.partition(" ")
        if first in self.base_fields:
            return first, f"{self.base_fields[first].label} {rest}"
        return next((name for start, name in self.first_words.items() if start in sentence), None), sentence

    @classmethod
    def initial_of(cls, config: LabConfig) -> dict[str, Any]:
        """The fields as these settings fill them."""
        lists = {name: config.typed(name) for name in cls.lists}
        return vars(config) | lists


class ToyForm(SettingsForm):
    """Toy worlds."""

    reads = ToyQdgConfig
    lists = {"n_dimensions": int, "noises": float, "exponents": float, "ks": int}
    first_words = {
        "clusters are asked": "ks", "clusters make": "ks", "The slope is": "last_rank", "can be clustered": "largest",
    }  # fmt: skip
    headings = {
        "The points": ("n_subtasks", "largest", "exponents", "sweep_dimensions", "sweep_noise"),
        "At exponent 1": ("n_dimensions", "noises"),
        "Clustering and fit": ("ks", "first_rank", "last_rank", "n_init", "n_seeds", "seed"),
    }

    n_subtasks = forms.IntegerField(label="Subtasks", help_text="N; those without a point drop out.")
    largest = forms.IntegerField(label="Points of the commonest", help_text="A: subtask i has ⌊A / i^α⌋.")
    exponents = forms.CharField(label="True exponents α", help_text="One sweep over these.")
    sweep_dimensions = forms.IntegerField(label="Dimensions of the sweep", help_text="d there.")
    sweep_noise = forms.FloatField(label="Noise of the sweep", help_text="σ there.")
    n_dimensions = forms.CharField(label="Dimensions", help_text="d: each with every noise.")
    noises = forms.CharField(label="Noises", help_text="σ, where means have variance 1.")
    ks = forms.CharField(label="Numbers of clusters", help_text="At most as many as points.")
    first_rank = forms.IntegerField(label="First rank of the fit")
    last_rank = forms.IntegerField(label="Last rank of the fit")
    n_init = forms.IntegerField(label="Starts of k-means")
    n_seeds = forms.IntegerField(label="Draws", help_text="Of every world.")
    seed = forms.IntegerField(label="First seed")
    name = forms.CharField(label="Name", max_length=80, help_text="Letters, digits, dots, dashes.")
    is_private = forms.BooleanField(label="Only I may see this experiment", required=False)


class ParityForm(SettingsForm):
    """A parity network and its gradients."""

    reads = ParityQdgConfig
    lists = {"ks": int}
    first_words = {
        "clusters are asked": "ks", "different tasks": "n_tasks", "A network of width": "width",
        "Batches of": "batch_size", "bits each are": "subset_bits",
    }  # fmt: skip
    headings = {
        "The tasks": ("n_tasks", "n_bits", "subset_bits", "alpha"),
        "Network and training": ("width", "n_steps", "batch_size", "learning_rate"),
        "What is compared": ("n_samples", "threshold_nats", "ks", "n_init", "seed"),
    }

    n_tasks = forms.IntegerField(label="Tasks", help_text="T.")
    n_bits = forms.IntegerField(label="Bits", help_text="n, beside the task.")
    subset_bits = forms.IntegerField(label="Bits of a task", help_text="k: their parity is the answer.")
    alpha = forms.FloatField(label="α", help_text="Task i is asked ∝ i^−(α+1).")
    width = forms.IntegerField(label="Hidden units")
    n_steps = forms.IntegerField(label="Steps")
    batch_size = forms.IntegerField(label="Samples a step")
    learning_rate = forms.FloatField(label="Learning rate", help_text="Of Adam.")
    n_samples = forms.IntegerField(label="Gradients", help_text="Samples that are compared.")
    threshold_nats = forms.FloatField(label="Loss below, nats", help_text="Other samples are passed over.")
    ks = forms.CharField(label="Numbers of clusters")
    n_init = forms.IntegerField(label="Starts of k-means")
    seed = forms.IntegerField(label="Seed")
    name = forms.CharField(label="Name", max_length=80, help_text="Letters, digits, dots, dashes.")
    is_private = forms.BooleanField(label="Only I may see this experiment", required=False)


FORMS: dict[str, type[SettingsForm]] = {"toy-qdg": ToyForm, "parity-qdg": ParityForm}

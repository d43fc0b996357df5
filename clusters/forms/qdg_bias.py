"""Settings of the labs of QDG's bias as people type them, and what their pages' addresses ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.forms.lab import LabForm
from clusters.parameters import whole_number
from compute.labs.parity_qdg import ParityQdgConfig
from compute.labs.toy_qdg import ToyQdgConfig

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


class BiasForm(LabForm):
    """One of the forms of a page that has several."""

    headings: dict[str, Sequence[str]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("auto_id", f"id_{type(self).__name__.lower()}_%s")
        super().__init__(*args, **kwargs)

    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """Fields by their headings."""
        return [(title, [self[name] for name in names]) for title, names in self.headings.items()]


class ToyForm(BiasForm):
    """Toy worlds."""

    reads = ToyQdgConfig
    lists = {"n_dimensions": int, "noises": float, "exponents": float, "ks": int}
    places = {
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


class ParityGradientsForm(BiasForm):
    """A parity network and its gradients."""

    reads = ParityQdgConfig
    lists = {"ks": int}
    places = {
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


FORMS: dict[str, type[BiasForm]] = {"toy-qdg": ToyForm, "parity-qdg": ParityGradientsForm}

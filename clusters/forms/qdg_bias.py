"""Settings of the labs of QDG's bias as people type them, and what their pages' addresses ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.forms.lab import LabForm
from clusters.forms.values import NumberField, WholeField
from clusters.parameters import real_number, whole_number
from compute.labs.parity_qdg import ParityQdgConfig
from compute.labs.toy_qdg import ToyQdgConfig

MOST_SLOPE = 100.0


def measured_slope(query: QueryDict) -> float | None:
    """The slope to read backwards, if one was typed; BadRequest with a sentence where it cannot be."""
    text = query.get("slope", "").strip()
    if not text:
        return None
    value = real_number(text)
    if value is None:
        raise BadRequest(f"slope is {text[:20]!r}, which is no number; write one such as −1.24.")
    if value > 0:
        raise BadRequest(f"slope is {text[:20]!r}, but clusters grow smaller with rank; write a falling one: −1.24.")
    if value < -MOST_SLOPE:
        raise BadRequest(f"slope is {text[:20]!r}, which is out of reach; write one from −{MOST_SLOPE:g} to 0.")
    return value


def draw_number(query: QueryDict, n_draws: int) -> int:
    """Which draw of every world is shown, from 1."""
    text = query.get("draw") or "1"
    draw = whole_number(text)
    if draw is None or not 1 <= draw <= n_draws:
        raise BadRequest(f"draw is {text[:40]!r}; draws count from 1 to {n_draws:,}.")
    return draw


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

    n_subtasks = WholeField(label="Subtasks", help_text="N; those without a point drop out.")
    largest = WholeField(label="Points of the commonest", help_text="A: subtask i has ⌊A / i^α⌋.")
    exponents = forms.CharField(label="True exponents α", help_text="One sweep over these.")
    sweep_dimensions = WholeField(label="Dimensions of the sweep", help_text="d there.")
    sweep_noise = NumberField(label="Noise of the sweep", help_text="σ there.")
    n_dimensions = forms.CharField(label="Dimensions", help_text="d: each with every noise.")
    noises = forms.CharField(label="Noises", help_text="σ, where means have variance 1.")
    ks = forms.CharField(label="Numbers of clusters", help_text="At most as many as points.")
    first_rank = WholeField(label="First rank of the fit")
    last_rank = WholeField(label="Last rank of the fit")
    n_init = WholeField(label="Starts of k-means")
    n_seeds = WholeField(label="Draws", help_text="Of every world.")
    seed = WholeField(label="First seed")


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

    n_tasks = WholeField(label="Tasks", help_text="T.")
    n_bits = WholeField(label="Bits", help_text="n, beside the task.")
    subset_bits = WholeField(label="Bits of a task", help_text="k: their parity is the answer.")
    alpha = NumberField(label="α", help_text="Task i is asked ∝ i^−(α+1).")
    width = WholeField(label="Hidden units")
    n_steps = WholeField(label="Steps")
    batch_size = WholeField(label="Samples a step")
    learning_rate = NumberField(label="Learning rate", help_text="Of Adam.")
    n_samples = WholeField(label="Gradients", help_text="Samples that are compared.")
    threshold_nats = NumberField(label="Loss below, nats", help_text="Other samples are passed over.")
    ks = forms.CharField(label="Numbers of clusters")
    n_init = WholeField(label="Starts of k-means")
    seed = WholeField(label="Seed")


FORMS: dict[str, type[BiasForm]] = {"toy-qdg": ToyForm, "parity-qdg": ParityGradientsForm}

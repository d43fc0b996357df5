"""Settings of an experiment on sparse parity, as people type them."""

from __future__ import annotations

from typing import Any

from django import forms

from clusters.forms.lab import LabForm
from clusters.forms.values import NumberField, WholeField
from compute.labs.parity import ParityConfig


class ParityForm(LabForm):
    """Every knob; what is left out of a list is said in a sentence beside its field."""

    reads = ParityConfig
    lists = {"alphas": float, "widths": int, "sizes": int, "data_widths": int, "seeds": int}
    places = {"training set": "sizes", "Batches": "batch_size"}
    others = {"samples": "sizes"}
    most_listed = 200

    n_tasks = WholeField(label="Tasks T", help_text="Each is a parity of its own bits.")
    n_bits = WholeField(label="Bits n", help_text="Of the string that every input holds.")
    k = WholeField(label="Bits of a task k", help_text="More make a task harder to find.")
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

    n_steps = WholeField(label="Steps", help_text="Of every network.")
    batch_size = WholeField(label="Batch", help_text="Samples of a step.")
    is_batch_capped = forms.BooleanField(label="A set smaller than a batch is taken whole", required=False)
    learning_rate = NumberField(label="Learning rate", help_text="Of AdamW; the paper’s is 0.001.")
    weight_decay = NumberField(label="Weight decay", help_text="0 makes it Adam.")
    log_every = WholeField(label="Log every", help_text="So many steps.")

    test_points = WholeField(label="Test samples", help_text="Shared out by frequency, at every log.")
    task_points = WholeField(label="Of each task at least", help_text="For rare tasks.")
    fit_from = WholeField(label="Fit α_S from step", required=False, help_text="Empty: where loss begins to fall.")
    fit_to = WholeField(label="to step", required=False, help_text="Empty: where it stops falling.")
    n_stacked = WholeField(
        label="Trained together", help_text="Training sets, α and seeds of one piece of work; more need more memory."
    )

    @classmethod
    def initial_of(cls, config: Any) -> dict[str, Any]:
        values = {name: config.typed(name) for name in cls.lists if name != "sizes"}
        return vars(config) | values | {"is_online": None in config.samples, "sizes": config.typed("samples")}

    def check_together(self, values: dict[str, Any]) -> None:
        if not self.errors and not values["is_online"] and not values["sizes"]:
            self.add_error(
                "sizes",
                "Nothing to train on: name sizes of training sets, or tick the networks that see every batch once.",
            )

    def settings_of(self, values: dict[str, Any]) -> dict[str, Any]:
        kept = super().settings_of(values)
        return kept | {"samples": ((None,) if kept.pop("is_online") else ()) + kept.pop("sizes")}

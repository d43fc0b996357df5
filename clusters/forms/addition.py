"""Settings of an experiment on modular addition as people type them, and what its page's address asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from django import forms
from django.http import Http404, QueryDict

from clusters.forms.lab import LabForm
from clusters.forms.values import NumberField, WholeField
from clusters.parameters import chosen, unit_of, whole_number
from clusters.values.addition import Network, Sweep, Times
from clusters.values.readings import Unit
from compute.labs.addition import AdditionConfig
from compute.numerics.addition import ACTIVATIONS


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


class AdditionForm(LabForm):
    """Every setting; what stands against one is said beside its field."""

    reads = AdditionConfig
    lists = {"fractions": float, "weight_decays": float}
    places = {"A fraction": "fractions"}

    modulus = WholeField(label="Modulus p", help_text="Sums of all p² pairs are taken modulo p.")
    fractions = forms.CharField(label="Fractions of the pairs", help_text="Trained on; the others are tested.")
    weight_decays = forms.CharField(label="Weight decays", help_text="0 leaves the weights free to grow.")
    n_seeds = WholeField(label="Seeds", help_text="Networks of each fraction and decay.")
    width = WholeField(label="Neurons", help_text="Of the one hidden layer.")
    activation = forms.ChoiceField(label="Activation", choices=[(one, one) for one in ACTIVATIONS])
    learning_rate = NumberField(label="Learning rate", help_text="Of AdamW.")
    steps = WholeField(label="Steps at most", help_text="Ends earlier once a network generalises.")
    seed = WholeField(label="First seed", help_text="Of the split and the first weights.")

"""Forms filled from an earlier experiment: every number as it was, so that the same settings come back."""

from __future__ import annotations

import pytest

from clusters.forms import addition, parity_start, qdg_bias
from clusters.forms.lab import LabForm
from compute.labs.addition import AdditionConfig
from compute.labs.parity import ParityConfig
from compute.labs.parity_qdg import ParityQdgConfig
from compute.labs.settings import LabConfig
from compute.labs.toy_qdg import ToyQdgConfig

FORMS: list[tuple[LabConfig, type[LabForm]]] = [
    (
        ParityConfig(
            name="odd", alphas=(0.12345678, 1.0), samples=(None, 1_234_567), seeds=(12_345_678, 1), learning_rate=1e-5
        ),
        parity_start.ParityForm
    ),
    (
        AdditionConfig(name="odd", fractions=(0.33333333, 0.5), weight_decays=(0.0, 1e-3, 1e-7, 1.0)),
        addition.AdditionForm
    ),
    (
        ToyQdgConfig(name="odd", exponents=(0.87654321, 1.0), noises=(0.0, 1 / 3, 2.0)),
        qdg_bias.ToyForm
    ),
    (ParityQdgConfig(name="odd", alpha=0.123456789), qdg_bias.ParityGradientsForm),
]  # fmt: skip


@pytest.mark.parametrize(("config", "form"), FORMS, ids=lambda one: type(one).__name__)
def test_a_form_filled_from_settings_gives_the_same_settings(config, form):
    sent = {name: value for name, value in form.initial_of(config).items() if value is not None and value is not False}
    filled = form(sent)
    assert filled.is_valid(), filled.errors
    assert filled.config == config


def test_numbers_are_written_as_people_write_them():
    assert FORMS[1][0].typed("weight_decays") == "0, 0.001, 1e-07, 1"
    assert FORMS[0][0].typed("seeds") == "12345678, 1"


@pytest.mark.parametrize(
    ("place", "changes", "field"),
    [
        (0, {"n_bits": 4096, "batch_size": 1_000_000}, "batch_size"),
        (0, {"n_bits": 4096, "sizes": "100000000"}, "sizes"),
        (2, {"n_subtasks": 2000, "largest": 2000, "exponents": "1", "n_seeds": 333,
             "ks": ", ".join(map(str, range(3441, 3501)))}, "ks"),
        (3, {"n_tasks": 1000, "n_bits": 10_000, "width": 20_000}, "width"),
        (3, {"n_bits": 10_000, "batch_size": 1_000_000}, "batch_size"),
    ],
)  # fmt: skip
def test_what_no_worker_could_hold_is_said_beside_a_field(place, changes, field):
    config, form = FORMS[place]
    filled = form(form.initial_of(config) | changes)
    assert not filled.is_valid()
    assert list(filled.errors) == [field]
    assert "at most" in filled.errors[field][0]

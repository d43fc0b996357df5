"""The model with its knobs set: every number against the closed forms, and what follows from them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics import quantization as model
from compute.numerics import theory, zipf
from compute.numerics.knobs import Knobs

FINITE = Knobs(n_quanta=500)
CASES = [Knobs(), FINITE, Knobs(case="removed"), Knobs(case="removed", n_quanta=60), Knobs(case="lowered", gain=1.5),
         Knobs(case="lowered", n_quanta=60), Knobs(a=0.2, b=3.0, n_quanta=60)]  # fmt: skip


@pytest.mark.parametrize("knobs", CASES)
def test_the_loss_falls_from_nothing_learned_to_its_floor(knobs):
    last = knobs.n_quanta or 10**15
    losses = model.loss(knobs, [0, 1, 5, 50, last])
    assert np.all(np.diff(losses) < 0)
    slack = 0.0 if knobs.n_quanta else 0.05  # an endless world comes near its floor, slowly
    assert losses[-1] == pytest.approx(model.floor(knobs), abs=1e-12 + slack)


def test_the_three_cases_are_those_of_the_appendix():
    n = np.array([0.0, 3, 20])
    assert model.loss(Knobs(case="removed"), n) == pytest.approx(theory.loss_surprise_removed(n, 0.4))
    assert model.loss(Knobs(case="lowered", gain=3.0), n) == pytest.approx(theory.loss_surprise_lowered(n, 0.4, 3.0))
    assert model.loss(Knobs(a=0.5, b=2.0), n) == pytest.approx(theory.expected_loss(n, 0.4, None, 0.5, 2.0))


def test_t_is_what_the_knob_says_or_what_the_data_need():
    assert model.first_steps(Knobs(first_steps=700.0)) == 700
    assert model.first_steps(Knobs()) == pytest.approx(15_000 * zipf.normaliser(0.4) / 20_000)


def test_steps_that_bring_as_many_samples_teach_as_much():
    knobs = Knobs(n_steps=250.0, n_samples=250.0 * 20_000)
    quanta = model.joint(knobs).quanta
    assert quanta["steps"] == pytest.approx(quanta["samples"])


@pytest.mark.parametrize(
    ("changes", "limited_by", "n"),
    [
        ({"n_parameters": 67_000.0}, ("parameters",), 10),
        ({"n_samples": 0.0}, ("samples",), 0),
        ({"n_steps": 1.0}, ("steps",), 0),
        ({"n_steps": 1.0, "n_parameters": 1.0}, ("parameters", "steps"), 0),
        ({"n_parameters": 1e9, "n_samples": 1e12, "n_steps": 1e9}, ("parameters", "samples", "steps"), 500),
    ],
)
def test_the_scarcest_resource_limits(changes, limited_by, n):
    found = model.joint(replace(FINITE, **changes))
    assert found.limited_by == limited_by
    assert found.n == n
    assert found.loss == pytest.approx(float(model.loss(FINITE, n)))
    assert found.next_use == pytest.approx(float(zipf.probabilities(n + 1, 0.4, 500)))


@pytest.mark.parametrize("resource", list(model.RESOURCES))
@pytest.mark.parametrize("knobs", [Knobs(), FINITE, Knobs(n_quanta=1), Knobs(n_quanta=3, case="removed")])
def test_a_curve_over_a_resource_holds_what_the_resource_allows(knobs, resource):
    curve = model.resource_curve(knobs, resource)
    assert np.all(np.diff(curve.x) >= 0)
    assert np.all(np.diff(curve.n) >= 0)
    after = np.append(np.diff(curve.x) > 0, True)  # at a step, the second of the two points
    allowed = model.quanta_from(knobs, resource, curve.x[after] * (1 + 1e-9))
    assert curve.n[after] == pytest.approx(allowed, rel=1e-6)
    assert curve.loss == pytest.approx(model.loss(knobs, curve.n))
    assert np.all(curve.joint >= curve.loss - 1e-12)
    assert curve.joint[-1] == pytest.approx(float(model.loss(knobs, min(curve.n[-1], *(
        n for name, n in model.joint(knobs).quanta.items() if name != resource)))))  # fmt: skip


def test_the_measured_exponents_are_those_of_the_finite_universe():
    found = model.measured_exponents(FINITE)
    assert found is not None
    assert (round(found.parameters, 4), round(found.data, 4)) == (0.4934, 0.3524)
    seen = model.measured_exponents(Knobs(resolution=500))
    assert seen == found  # whether the others are not there or not seen, it is the same
    assert model.measured_exponents(Knobs(n_quanta=1, window=None)) is None
    assert model.measured_exponents(Knobs(resolution=20)) is None


def test_over_all_alphas_each_is_that_of_its_own_world():
    shown = model.measured_over_alpha(FINITE, [0.1, 0.4, 0.8])
    assert shown == pytest.approx([0.3119, 0.4934, 0.7956], abs=1e-4)


def test_a_measured_exponent_leads_back_to_alpha():
    assert model.corrected(replace(FINITE, measured=0.3119)) == pytest.approx(0.1, abs=3e-4)
    assert model.corrected(FINITE) is None
    with pytest.raises(FitError, match="a = 0 only"):
        model.corrected(replace(FINITE, measured=0.4, case="removed"))
    said = model.summary(replace(FINITE, measured=0.01))
    assert said["true_alpha"] is None
    assert "never 0.01" in said["true_alpha_problem"]


def test_local_exponents_come_near_the_theory_s_far_out():
    assert model.slopes(Knobs(), 1e6) == pytest.approx(0.4, abs=1e-5)
    assert model.slopes(FINITE, 490.0) > 5


@pytest.mark.parametrize("knobs", [*CASES, Knobs(n_quanta=1, window=None), Knobs(alpha=10.0), Knobs(alpha=0.001)])
def test_everything_that_is_said_is_a_number(knobs):
    said = model.summary(knobs)
    json.dumps(said, allow_nan=False)
    n = model.n_grid(model.reach(knobs))
    table = model.table_over_n(knobs, n)
    assert {len(column) for column in table.values()} == {len(n)}
    assert all(math.isfinite(value) for value in table["loss"] + table["use"] + table["loss_midpoint"])
    for resource, letter in model.RESOURCES.items():
        over = model.table_over(knobs, resource, [0.0, 1e6, 1e20])
        assert list(over) == [letter, "n", "loss", "joint_n", "joint_loss"]
        assert over["n"][0] == 0


def test_at_n_zero_there_is_no_integral_and_no_use():
    table = model.table_over_n(FINITE, [0.0, 1.0])
    assert math.isnan(table["loss_integral"][0])
    assert math.isnan(table["use"][0])
    assert table["loss"][0] == 1


def test_what_a_window_shows_at_every_alpha_does_not_depend_on_this_one() -> None:
    alphas = [0.1, 0.4, 0.8]
    first = model.measured_over_alpha(FINITE, alphas)
    expected = [model.measured_exponents(replace(FINITE, alpha=alpha)).parameters for alpha in alphas]
    assert first.tolist() == expected
    first[:] = 0  # whoever was given it may change it
    assert model.measured_over_alpha(replace(FINITE, alpha=0.7), alphas).tolist() == expected
    assert model.measured_over_alpha(replace(FINITE, n_quanta=80), alphas).tolist() != expected

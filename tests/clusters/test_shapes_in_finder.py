"""Losses that rise, or rise and fall again, among all predictions: counted, listed, drawn over size and training."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest

from clusters.queries.finder.columns import Columns
from clusters.queries.finder.search import preset_counts
from clusters.queries.tokens import size_curves, step_curves
from clusters.values.finding import SHAPE_BITS, presets
from compute.numerics.shapes import shape_scores, stages
from tests.factories import make_run, n_predictions

pytestmark = pytest.mark.django_db
BASE = "/api/v1/runs/synthetic/tokens/"
BITS = np.log(2)


@pytest.fixture
def run(tmp_path, settings):
    settings.DERIVED_DIR = tmp_path / "derived"
    return make_run(tmp_path)


@pytest.fixture
def trained(tmp_path, settings, monkeypatch):
    """A run whose networks were looked at on the way."""
    settings.DERIVED_DIR = tmp_path / "derived"
    monkeypatch.setattr("tests.factories.STEPS", (0, 10, 100, 1000, 10_000))
    return make_run(tmp_path)


def by_size(run):
    return shape_scores(size_curves(run, np.arange(n_predictions())) / BITS)


def test_rules_count_the_curves_that_rise_and_those_with_a_peak(client, run):
    scores = by_size(run)
    rules = {one["rule"]: one for one in client.get(f"{BASE}rules/").json()["results"]}
    assert rules["inverse"]["count"] == np.count_nonzero(scores.rise > SHAPE_BITS)
    assert rules["double"]["count"] == np.count_nonzero(scores.peak > SHAPE_BITS)
    assert client.get(rules["double"]["tokens"]).json()["count"] == rules["double"]["count"]


def test_a_bound_finds_exactly_those_above_it_highest_first(client, run):
    peaks = by_size(run).peak
    bound = float(np.quantile(peaks, 0.9))
    told = client.get(f"{BASE}?peak_min={bound}&sort=peak&limit=5").json()
    assert told["count"] == np.count_nonzero(peaks > np.float32(bound))
    found = [one["index"] for one in told["results"]]
    assert peaks[found].tolist() == sorted(peaks.tolist(), reverse=True)[: len(found)]


def test_training_is_looked_at_in_stages(trained):
    columns = Columns(trained)
    assert {"step_rise", "step_peak"} <= columns.shapes
    every = np.arange(columns.n)
    [own] = [one for one in step_curves(trained, every) if one.lm == columns.step_network.lm]
    expected = shape_scores(np.asarray(own.losses, np.float32) @ stages(own.steps) / np.float32(BITS))
    assert columns.values("step_peak") == pytest.approx(expected.peak, abs=2e-3)
    assert columns.values("step_rise") == pytest.approx(expected.rise, abs=2e-3)
    rules = [one for one in presets(columns.offer) if one.key.startswith("step-")]
    assert "step-double" in [one.key for one in rules]
    assert preset_counts(columns, rules)[-1] == np.count_nonzero(columns.values("step_peak") > SHAPE_BITS)


def test_a_list_by_training_draws_training(client, trained):
    text = client.get("/runs/synthetic/tokens/?sort=step-peak").content.decode()
    assert "over the training of syn-" in text
    assert re.search(r"Loss in nats at 4 stages of training", text)
    assert "peak bits" in text


def test_runs_without_enough_training_are_not_asked_for_it(client, run):
    assert "step_rise" not in Columns(run).shapes
    response = client.get("/runs/synthetic/tokens/?step_rise_min=1")
    assert response.status_code == 400
    assert b"step_rise_min is no threshold of this run" in response.content


def test_tables_of_what_was_found_by_its_shape_show_that_shape(client, run):
    peaks = by_size(run).peak
    query = {"peak_min": float(np.quantile(peaks, 0.9))}
    response = client.get("/runs/synthetic/tokens.csv", query)
    *rows, end = csv.DictReader(io.StringIO(response.getvalue().decode()))
    assert end["index"] == "# end"
    assert len(rows) > 10
    for row in rows:
        assert float(row["peak_bits"]) == pytest.approx(peaks[int(row["index"])])
        assert "rise_bits" not in row
    listed = client.get("/runs/synthetic/tokens.json", {"sort": "rise"}).json()["tokens"]
    rises = [one["rise_bits"] for one in listed]
    assert rises == sorted(rises, reverse=True)
    assert "peak_bits" not in client.get("/runs/synthetic/tokens.json").json()["tokens"][0]

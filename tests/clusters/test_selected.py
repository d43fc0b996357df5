"""Curves of the clustered tokens: the same numbers as in the whole corpus' tables, gathered once."""

from __future__ import annotations

import numpy as np
import pytest

from clusters.queries.selected import make_selected, selected_size_curves, selected_step_curves, step_networks
from clusters.stored.arrays import array_of
from clusters.stored.derived import has_derived
from compute.bundle import Bundle
from tests.factories import STEPS, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DERIVED_DIR = tmp_path / "derived"


def test_size_curves_are_the_clustered_tokens_rows(tmp_path):
    run = make_run(tmp_path)
    curves = selected_size_curves(run)
    assert curves.dtype == np.float32
    np.testing.assert_array_equal(curves, array_of(run, "curves/losses")[array_of(run, "selection/flat_index")])


def test_size_curves_come_from_the_columns_where_there_is_no_table(tmp_path):
    run = make_run(tmp_path, curves=False)
    flat = array_of(run, "selection/flat_index")
    np.testing.assert_array_equal(selected_size_curves(run)[:, 0], array_of(run, "losses/syn-10k/step1000")[flat])


def test_step_curves_follow_the_steps(tmp_path):
    run = make_run(tmp_path)
    [network] = step_networks(run)
    assert (network.lm, network.steps) == ("syn-800k", STEPS)
    curves = selected_step_curves(run, network)
    assert curves.dtype == np.float16
    flat = array_of(run, "selection/flat_index")
    for place, step in enumerate(STEPS):
        np.testing.assert_array_equal(curves[:, place], array_of(run, f"losses/syn-800k/step{step}")[flat].astype("f2"))


def test_a_token_major_table_is_read_where_there_is_one(tmp_path):
    table = np.random.default_rng(0).random((348, len(STEPS))).astype(np.float16)
    run = make_run(tmp_path, arrays={"curves/steps/syn-800k": table})
    [network] = step_networks(run)
    np.testing.assert_array_equal(selected_step_curves(run, network), table[array_of(run, "selection/flat_index")])


def test_all_is_gathered_at_once(tmp_path):
    run = make_run(tmp_path)
    make_selected(run)
    assert has_derived(run, "selected/sizes")
    assert has_derived(run, "selected/steps-0")


def test_a_run_without_losses_has_no_curves(tmp_path, monkeypatch):
    run = make_run(tmp_path)
    monkeypatch.setattr(Bundle, "has", lambda self, name: not name.startswith(("losses/", "curves/")))
    assert selected_size_curves(run) is None
    assert step_networks(run) == []

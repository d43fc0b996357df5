"""Grokking as an experiment: its settings, kills, what it finds, and its command."""

from __future__ import annotations

import dataclasses
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from compute import cli
from compute.bundle import open_bundle
from compute.errors import ConfigError, TrainingError
from compute.labs import LABS, addition
from compute.labs.addition import LAB, PRESETS, AdditionConfig
from compute.labs.frame import plan, run_lab
from compute.numerics.addition import logged_steps

TINY = AdditionConfig(
    name="tiny",
    modulus=19,
    width=48,
    fractions=(0.1, 0.8),
    weight_decays=(0.6,),
    learning_rate=0.03,
    steps=1800,
    n_seeds=1,
)


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("addition")
    return open_bundle(run_lab(LAB, TINY, folder / "work", folder / "bundles"))


def test_presets_are_plain_settings_that_can_be_read_back():
    assert LABS["addition"] is LAB
    for preset in PRESETS:
        assert LAB.read(preset.config.to_json()) == preset.config
        assert len(plan(LAB, preset.config)) == preset.config.n_networks + 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"modulus": 2}, "modulus is 2; it must be at least 3"),
        ({"modulus": 4.5}, "modulus is 4.5; it must be a whole number"),
        ({"width": 0}, "width is 0"),
        ({"activation": "tanh"}, "activation is 'tanh'; choose one of quadratic, relu"),
        ({"fractions": []}, "fractions is empty"),
        ({"fractions": [0.5, 0.5]}, "fractions names 0.5 twice"),
        ({"fractions": [1.0]}, "fractions names 1; a fraction of the pairs lies between 0 and 1"),
        ({"fractions": [0.0001]}, "leaves none to train on"),
        ({"fractions": [0.9999]}, "none to test"),
        ({"weight_decays": [-1.0]}, "weight_decays is -1"),
        ({"learning_rate": 0.0}, "learning_rate is 0; it must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"steps": 0}, "steps is 0"),
        ({"n_seeds": 101}, "n_seeds is 101"),
        ({"rate": 1}, "There is no setting 'rate'"),
    ],
)
def test_impossible_settings_are_refused_with_a_sentence(given, sentence):
    with pytest.raises(ConfigError) as refused:
        LAB.read(TINY.to_json() | given)
    assert sentence in str(refused.value)


def test_more_networks_than_one_experiment_may_train_are_refused():
    with pytest.raises(ConfigError, match="2 fractions, 4 weight decays and 60 seeds are 480 networks; at most 300"):
        dataclasses.replace(TINY, weight_decays=(0.0, 1.0, 2.0, 3.0), n_seeds=60)


def test_what_is_found_agrees_with_the_curves(published):
    found, steps = published.manifest["found"], published.array("steps")
    few, many = found["networks"]
    assert (few["fraction"], many["fraction"]) == (0.1, 0.8)
    assert few["t_test"] is None
    assert few["n_steps"] == TINY.steps
    test, train = published.array("loss/test"), published.array("loss/train")
    for row, one in enumerate((few, many)):
        for curve, step in ((train[row], one["t_train"]), (test[row], one["t_test"])):
            below = np.flatnonzero(curve < 0.1)
            assert step == (int(steps[below[0]]) if len(below) else None)
    assert many["gap"] == many["t_test"] / many["t_train"] > 1
    assert found["n_generalised"] == 1
    assert many["final"]["test_bits"] == pytest.approx(test[1][np.isfinite(test[1])][-1])


def test_training_ends_at_twice_the_step_of_generalising(published):
    many = published.manifest["found"]["networks"][1]
    steps = logged_steps(TINY.steps)
    assert many["n_steps"] == next(step for step in steps if step >= 2 * many["t_test"])
    after = published.array("steps") > many["n_steps"]
    assert np.isnan(published.array("loss/test")[1][after]).all()


def test_the_peak_of_the_test_loss_is_a_rise_that_falls_again(published):
    peak, test = published.manifest["found"]["networks"][1]["peak"], published.array("loss/test")[1]
    assert peak["bits"] == pytest.approx(np.nanmax(test))
    assert peak["height_bits"] <= peak["bits"]


def test_a_killed_training_goes_on_and_gives_the_same_bundle(tmp_path: Path, published, monkeypatch):
    calls = count()
    monkeypatch.setattr(addition.SaveTimer, "is_due", lambda self: next(calls) % 97 == 0)
    monkeypatch.setattr("compute.steps.run.REPORT_EVERY", 0.0)

    def killed(at):
        def report(spec, n_done, n_total):
            if spec.phase == "training" and n_done == at:
                raise KilledError

        return report

    for at in (5, 70, 71, 433):
        with pytest.raises(KilledError):
            run_lab(LAB, TINY, tmp_path / "work", tmp_path / "bundles", report=killed(at))
    path = run_lab(LAB, TINY, tmp_path / "work", tmp_path / "bundles")
    assert open_bundle(path).sha256 == published.sha256
    assert not list((tmp_path / "work").glob("partial/*"))


def test_diverging_training_fails_with_step_and_rate(tmp_path: Path):
    wild = dataclasses.replace(TINY, learning_rate=100.0, weight_decays=(100.0,))
    with pytest.raises(TrainingError, match=r"at step \d+ .* learning rate 100"):
        run_lab(LAB, wild, tmp_path / "work", tmp_path / "bundles")


def test_the_command_prints_what_was_found(tmp_path: Path, capsys):
    given = ["addition", "--name", "cli", "--modulus", "11", "--width", "32", "--fractions", "0.7", "--steps", "250",
             "--weight-decays", "1", "--n-seeds", "1", "--out", str(tmp_path)]  # fmt: skip
    assert cli.main(given) == 0
    head, row, path = capsys.readouterr().out.splitlines()
    one = open_bundle(Path(path)).manifest["found"]["networks"][0]
    assert head.split()[:3] == ["fraction", "decay", "seed"]
    assert row.split()[3:5] == [str(one["t_train"]), "never" if one["t_test"] is None else str(one["t_test"])]
    assert one["t_train"] < 250


def test_the_command_refuses_with_the_same_sentence(tmp_path: Path, capsys):
    assert cli.main(["addition", "--fractions", "1.5", "--out", str(tmp_path)]) == 2
    assert "fractions names 1.5; a fraction of the pairs lies between 0 and 1" in capsys.readouterr().err

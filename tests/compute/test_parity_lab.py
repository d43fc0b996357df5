"""Sparse parity as an experiment: its settings, kills, what it finds, and its command."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compute import cli
from compute.bundle import Bundle, open_bundle
from compute.errors import ConfigError, TrainingError
from compute.labs import LABS
from compute.labs.frame import plan, run_lab
from compute.labs.parity import LAB, ParityConfig

TINY = ParityConfig(
    name="tiny",
    n_tasks=5,
    n_bits=8,
    k=2,
    alphas=(0.4, 0.8),
    widths=(4, 24),
    samples=(None, 150, 2000),
    data_widths=(24,),
    seeds=(0, 1),
    n_steps=170,
    batch_size=100,
    learning_rate=0.03,
    log_every=20,
    test_points=300,
    task_points=20,
    n_stacked=3,
)
ROWS = [
    (alpha, seed, n_samples, width)
    for alpha, seed, n_samples in product(TINY.alphas, TINY.seeds, TINY.samples)
    for width in ((4, 24) if n_samples is None else (24,))
]


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("parity")
    return open_bundle(run_lab(LAB, TINY, folder / "work", folder / "bundles"))


def test_presets_are_plain_settings_that_can_be_read_back() -> None:
    assert LABS["parity"] is LAB
    assert [one.key for one in LAB.presets] == [
        "two-core",
        "p-scaling-15",
        "d-scaling-6",
        "p-scaling-17",
        "d-scaling-9",
    ]
    for preset in LAB.presets:
        assert LAB.read(json.loads(json.dumps(preset.config.to_json()))) == preset.config
        assert preset.needs_gpu == (preset.key != "two-core")


def test_the_paper_presets_are_the_papers_runs() -> None:
    configs: dict[str, Any] = {one.key: one.config for one in LAB.presets}
    assert {
        (c.n_tasks, c.n_bits, c.k, c.batch_size, c.test_points) for key, c in configs.items() if key != "two-core"
    } == {(500, 100, 3, 20_000, 1_000_000)}
    p15, d6, p17, d9 = (configs[key] for key in ("p-scaling-15", "d-scaling-6", "p-scaling-17", "d-scaling-9"))
    assert (len(p15.widths), p15.widths[0], p15.widths[-1], p15.n_steps, p15.log_every) == (30, 10, 500, 200_000, 100)
    assert (len(d6.samples), d6.samples[0], d6.samples[-1], d6.n_steps) == (30, 10_000, 5_000_000, 1_000_000)
    assert (p17.alphas, len(p17.widths), p17.widths[-1], p17.seeds) == (
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), 20, 300, (0, 1, 2),
    )  # fmt: skip
    assert (len(d9.alphas), len(d9.samples), d9.widths, d9.n_steps) == (15, 25, (500,), 100_000)


def test_pieces_train_networks_of_the_same_widths() -> None:
    specs = plan(LAB, TINY)
    assert [(one.phase, one.name, one.n_total) for one in specs] == [
        ("training", "width 4–24, α = 0.4–0.8, seed 0–1, new samples", 170),
        ("training", "width 4–24, α = 0.8, seed 1, new samples", 170),
        ("training", "width 24, α = 0.4, seed 0–1, 150–2,000 samples", 170),
        ("training", "width 24, α = 0.4–0.8, seed 0–1, 150–2,000 samples", 170),
        ("training", "width 24, α = 0.8, seed 1, 150–2,000 samples", 170),
        ("bundle", "tiny", 1),
    ]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"alphas": [0.4, 0.0]}, "alphas is 0; it must be above 0"),
        ({"alphas": [-1]}, "alphas is -1; it must be above 0"),
        ({"alphas": []}, "alphas is empty"),
        ({"n_tasks": 0}, "n_tasks is 0; it must be at least 1"),
        ({"k": 9}, "k is 9, but a string has only 8 bits"),
        ({"n_tasks": 29}, "29 different tasks are asked for, but 8 bits have only 28 subsets of 2"),
        ({"samples": [99]}, "A training set of 99 samples is smaller than a batch of 100"),
        ({"samples": [0], "is_batch_capped": True}, "samples is 0; it must be at least 1"),
        ({"samples": [200, 200]}, "samples names 200 twice"),
        ({"samples": ["all"]}, "samples is 'all'; it must be a whole number"),
        ({"widths": [4, 4]}, "widths names 4 twice"),
        ({"widths": [0]}, "widths is 0"),
        ({"data_widths": [-3]}, "data_widths is -3"),
        ({"n_steps": 0}, "n_steps is 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5; it must be a whole number"),
        ({"learning_rate": 0}, "learning_rate is 0; it must be above 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"log_every": 171}, "log_every is 171; it must be at least 1 and at most 170"),
        ({"fit_from": 50, "fit_to": 50}, "fit_from is 50, which does not lie before 50"),
        ({"seeds": list(range(1000))}, "8,000 networks are asked for; at most 5,000"),
        ({"n_tasks": 28, "n_steps": 10_000_000, "log_every": 1}, "losses; at most 1,073,741,824 are kept"),
        ({"rate": 1}, "There is no setting 'rate'"),
    ],
)
def test_impossible_settings_are_refused_with_a_sentence(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        LAB.read(TINY.to_json() | given)
    assert sentence in str(refused.value)


def test_a_small_set_is_taken_whole_where_that_is_asked_for() -> None:
    assert LAB.read(TINY.to_json() | {"samples": [99], "is_batch_capped": True}).samples == (99,)


def test_the_last_step_is_always_logged() -> None:
    assert TINY.steps.tolist() == [0, 20, 40, 60, 80, 100, 120, 140, 160, 170]
    assert dataclasses.replace(TINY, log_every=85).steps.tolist() == [0, 85, 170]


def test_runs_are_in_order_and_rows_belong_to_them(published: Bundle) -> None:
    found = published.manifest["found"]
    assert [(one["alpha"], one["seed"], one["n_samples"], one["width"]) for one in found["runs"]] == ROWS
    assert {one["n_parameters"] for one in found["runs"]} == {4 * 16 + 2, 24 * 16 + 2}
    test, by_task = published.array("loss/test"), published.array("loss/tasks")
    assert test.shape == published.array("loss/train").shape == (16, 10)
    assert by_task.shape == published.array("loss/tasks_train").shape == (16, 10, 5)
    for i, one in enumerate(found["runs"]):
        assert one["test_loss_nats"] == pytest.approx(float(test[i, -1]))
        assert one["best_test_loss_nats"] == pytest.approx(float(test[i].min()))
        assert one["best_step"] == TINY.steps[int(test[i].argmin())]
        assert one["n_learned"] == int((by_task[i] < 0.1).any(axis=0).sum())
        assert one["diverged_at"] is None


def test_mean_test_loss_is_the_sum_over_tasks_by_frequency(published: Bundle) -> None:
    frequencies, by_task = published.array("tasks/probabilities"), published.array("loss/tasks")
    for i, (alpha, *_) in enumerate(ROWS):
        expected = by_task[i] @ frequencies[TINY.alphas.index(alpha)]
        np.testing.assert_allclose(published.array("loss/test")[i], expected, atol=1e-6)


def test_arrays_have_the_types_and_shapes_that_pages_read(published: Bundle) -> None:
    kinds = {name: (array["dtype"], tuple(array["shape"])) for name, array in published.manifest["arrays"].items()}
    assert kinds["tasks/probabilities"] == ("float64", (2, 5))
    assert kinds["tasks/bits"] == ("int16", (2, 5, 2))
    assert kinds["steps"] == ("int64", (10,))
    assert {kinds[f"loss/{name}"][0] for name in ("test", "train", "tasks", "tasks_train")} == {"float32"}
    train = published.array("loss/tasks_train")
    for i, (_, _, n_samples, _) in enumerate(ROWS):
        assert np.isnan(train[i]).all() == (n_samples is None)


def test_wide_networks_learn_and_small_sets_are_overfitted(published: Bundle) -> None:
    runs = published.manifest["found"]["runs"]
    narrow, wide = (
        [one["test_loss_nats"] for one in runs if one["width"] == w and one["n_samples"] is None] for w in (4, 24)
    )
    assert np.mean(wide) < np.mean(narrow)
    small, large = ([one for one in runs if one["n_samples"] == n] for n in (150, 2000))
    assert np.mean([one["test_loss_nats"] for one in small]) > np.mean([one["test_loss_nats"] for one in large]) + 0.05
    assert all(one["best_step"] < 170 for one in small)
    train = published.array("loss/train")
    assert all(train[i, -1] < one["test_loss_nats"] for i, one in enumerate(runs) if one["n_samples"] == 150)


def test_laws_name_their_range_and_theory_or_the_reason_why_there_is_none(published: Bundle) -> None:
    fits = published.manifest["found"]["fits"]
    assert set(fits) == {"N", "S", "D", "n_of_D", "convergence"}
    for name, entries in fits.items():
        assert {one["alpha"] for one in entries} == {0.4, 0.8}, name
        assert {one["seed"] for one in entries} == {None, 0, 1}, name
        for one in entries:
            if "reason" in one:
                assert one["reason"].endswith(".")
                continue
            assert {"exponent", "low", "high", "theory", "finite_k", "first", "last", "n_points", "r_squared"} <= set(
                one
            )
            assert one["first"] < one["last"]
    pooled = fits["N"][0]
    assert (pooled["alpha"], pooled["seed"], pooled["n_points"], pooled["theory"]) == (0.4, None, 4, 0.4)
    assert (pooled["first"], pooled["last"]) == (66, 386)
    assert fits["S"][0]["width"] == fits["D"][0]["width"] == 24
    assert fits["S"][0]["theory"] == pytest.approx(0.4 / 1.4)
    assert fits["n_of_D"][0]["theory"] == pytest.approx(1 / 1.4)
    assert fits["convergence"][0]["theory"] == -1


def test_a_typed_range_of_steps_is_fitted(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, alphas=(0.4,), seeds=(0,), samples=(None,), fit_from=40, fit_to=100)
    found = open_bundle(run_lab(LAB, config, tmp_path / "work", tmp_path)).manifest["found"]
    assert [(one["first"], one["last"], one["n_points"]) for one in found["fits"]["S"]] == [(40, 100, 4)]
    assert found["fits"]["D"] == [{"alpha": 0.4, "reason": found["fits"]["n_of_D"][0]["reason"]}]
    assert "training set of a given size" in found["fits"]["D"][0]["reason"]


def test_a_killed_experiment_goes_on_where_it_was_saved_and_gives_the_same_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(TINY, alphas=(0.4,), seeds=(0,), samples=(None, 150), widths=(4, 8), n_steps=90)
    whole = run_lab(LAB, config, tmp_path / "undisturbed", tmp_path / "a")
    monkeypatch.setattr("compute.steps.run.SAVE_EVERY", 0.0)
    monkeypatch.setattr("compute.steps.run.REPORT_EVERY", 0.0)
    reached: list[int] = []

    def killed(spec: object, n_done: int, n_total: int) -> None:
        reached.append(n_done)
        if n_done == 70:
            raise KilledError

    with pytest.raises(KilledError):
        run_lab(LAB, config, tmp_path / "work", tmp_path / "b", report=killed)
    assert len(reached) > 5
    reached.clear()
    path = run_lab(LAB, config, tmp_path / "work", tmp_path / "b", report=lambda spec, n, of: reached.append(n))
    assert min(n for n in reached[: reached.index(90)] if n > 0) >= 60  # nothing before the last save is done again
    assert open_bundle(path).sha256 == open_bundle(whole).sha256
    assert not list((tmp_path / "work").glob("partial/*/*"))


def test_an_experiment_whose_networks_all_diverge_fails_with_step_and_rate(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, learning_rate=1e5, alphas=(0.4,), seeds=(0,), samples=(None,))
    with pytest.raises(TrainingError, match=r"diverged at step 1: .* learning rate is 100000; lower it"):
        run_lab(LAB, config, tmp_path / "work", tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="The device 'cuda' is not there"):
        run_lab(LAB, TINY, tmp_path / "work", tmp_path, device="cuda")


def test_the_command_does_an_experiment_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        *("parity", "--out", str(tmp_path), "--name", "small", "--tasks", "4", "--bits", "8", "--k", "2"),
        *("--alphas", "0.4,1", "--widths", "4,8", "--samples", "new,60", "--data-widths", "8", "--batch", "100"),
        *("--steps", "20", "--log-every", "10", "--learning-rate", "0.02", "--test-points", "100"),
        *("--task-points", "10", "--cap-batch"),
    ]  # fmt: skip
    assert cli.main(command) == 0
    printed = capsys.readouterr().out.splitlines()
    bundle = open_bundle(Path(printed[-1]))
    assert bundle.manifest["config"]["samples"] == [None, 60]
    assert len([line for line in printed if line.split()[:1] in (["0.4"], ["1"])]) == 6
    assert any(line.startswith("loss over parameters, α = 0.4: ") and "theory 0.400" in line for line in printed)
    assert cli.main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(bundle.path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--alphas", "0"], "alphas is 0; it must be above 0"),
        (["--k", "40"], "k is 40, but a string has only 32 bits"),
        (["--samples", "1000", "--no-cap-batch"], "A training set of 1,000 samples is smaller than a batch of 2,000"),
    ],
)
def test_the_command_says_what_is_wrong(
    wrong: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["parity", "--out", str(tmp_path), *wrong]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("option", "text"), [("--samples", "some"), ("--alphas", "a,b")])
def test_lists_that_are_no_numbers_are_refused(option: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        cli.main(["parity", "--out", str(tmp_path), option, text])

"""QDG where the truth is known, as experiments: settings, kills, what is found, and their commands."""

from __future__ import annotations

import dataclasses
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from compute import cli
from compute.bundle import Bundle, open_bundle
from compute.errors import ConfigError, SelectionError, TrainingError
from compute.labs import LABS, parity_qdg, toy_qdg
from compute.labs.frame import plan, run_lab
from compute.numerics.calibration import calibrate
from compute.numerics.mosaic import cluster_means
from compute.numerics.parity import Recipe, Supply, train_network
from compute.numerics.parity_gradients import parity_cosines
from compute.numerics.parity_tasks import Source
from compute.numerics.ranks import adjusted_rand_index, envelope, fit_envelope
from compute.numerics.toy import toy_slope
from tests.qdg_bias import PARITY, TOY, tiny_bundle


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def toy() -> Bundle:
    return open_bundle(tiny_bundle("toy-qdg"))


@pytest.fixture(scope="module")
def parity() -> Bundle:
    return open_bundle(tiny_bundle("parity-qdg"))


def test_presets_are_plain_settings_that_can_be_read_back():
    for kind, lab in (("toy-qdg", toy_qdg.LAB), ("parity-qdg", parity_qdg.LAB)):
        assert LABS[kind] is lab
        for preset in lab.presets:
            assert lab.read(preset.config.to_json()) == preset.config
            assert len({(one.phase, one.name) for one in plan(lab, preset.config)}) == len(plan(lab, preset.config))


def test_the_paper_s_presets_are_the_paper_s():
    toy = toy_qdg.LAB.preset("paper").config
    assert toy.n_points(toy_qdg.Cell(1000, 2.0, 1.0)) == 7069
    assert [one.exponent for one in toy.sweep] == [0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    assert {(one.n_dimensions, one.noise) for one in toy.grid} == {(d, s) for d in (30, 100, 1000) for s in (0, 0.5, 2)}
    parity = parity_qdg.LAB.preset("paper").config
    assert (parity.width, parity.n_tasks, parity.n_bits, parity.alpha, parity.n_samples) == (500, 500, 100, 0.4, 10_000)
    assert (parity.learning_rate, parity.batch_size, parity.subset_bits, parity.threshold_nats) == (
        1e-3,
        20_000,
        3,
        0.1,
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"exponents": [0.0]}, "exponents is 0; it must be above 0"),
        ({"exponents": []}, "exponents is empty"),
        ({"exponents": [1.0, 1.0]}, "exponents names 1.0 twice"),
        ({"n_subtasks": 0}, "n_subtasks is 0; it must be at least 1"),
        ({"noises": [-1.0]}, "noises is -1"),
        ({"n_dimensions": [0]}, "n_dimensions is 0"),
        ({"ks": [10, 5]}, "they must rise without repeats"),
        ({"ks": [1, 30]}, "ks is 1; it must be at least 2"),
        ({"ks": [20, 400]}, "400 clusters are asked for, but exponent 1.6 gives only"),
        ({"last_rank": 40}, "over ranks 2 to 40; the window must hold at least 3 ranks between 1 and 30"),
        ({"n_seeds": 900}, "4 worlds of 900 draws are 3600 clusterings"),
        ({"exponents": [0.1], "n_subtasks": 10_000}, "points; at most 20,000 can be clustered"),
        ({"speed": 1}, "There is no setting 'speed'"),
    ],
)
def test_impossible_toys_are_refused_with_a_sentence(given, sentence):
    with pytest.raises(ConfigError) as refused:
        toy_qdg.LAB.read(TOY.to_json() | given)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"alpha": 0}, "alpha is 0; it must be above 0"),
        ({"n_tasks": 29}, "29 different tasks are asked for, but 8 bits have only 28 subsets of 2"),
        ({"n_tasks": 0}, "n_tasks is 0"),
        ({"subset_bits": 9}, "subset_bits is 9; it must be at least 1 and at most 8"),
        ({"ks": [2, 200]}, "200 clusters are asked for, but only 120 samples are compared"),
        ({"threshold_nats": 0}, "threshold_nats is 0"),
        ({"learning_rate": -1}, "learning_rate is -1"),
    ],
)
def test_impossible_networks_are_refused_with_a_sentence(given, sentence):
    with pytest.raises(ConfigError) as refused:
        parity_qdg.LAB.read(PARITY.to_json() | given)
    assert sentence in str(refused.value)


def test_slopes_are_those_of_the_toy_model(toy):
    for place, world in enumerate(toy.manifest["found"]["worlds"]):
        cell = TOY.cells[place]
        assert (world["n_dimensions"], world["noise"], world["exponent"]) == dataclasses.astuple(cell)
        assert world["slopes"][1] == pytest.approx(toy_slope(cell.exponent, TOY.setting(cell), 1))


def test_the_sizes_kept_are_those_that_the_slopes_are_of(toy):
    found, sizes = toy.manifest["found"], toy.array("sizes")
    assert sizes.shape == (4, 2, 3, 30)
    for world, by_draw in zip(found["worlds"], sizes, strict=True):
        assert (by_draw.sum(axis=2) == world["n_points"]).all()
        slopes = [fit_envelope(envelope(draw), TOY.first_rank, TOY.last_rank).slope for draw in by_draw]
        assert world["slopes"] == pytest.approx(slopes)
        assert world["mean"] == pytest.approx(np.mean(slopes))
        assert world["low"] < world["mean"] < world["high"]


def test_without_noise_the_right_k_finds_every_subtask(toy):
    silent = TOY.cells.index(toy_qdg.Cell(60, 0.0, 1.0))
    assert toy.array("agreement")[silent, :, TOY.ks.index(30)].tolist() == [1.0, 1.0]


def test_the_line_that_reads_slopes_backwards_goes_through_all_draws(toy):
    found = toy.manifest["found"]
    slopes = [found["worlds"][i]["slopes"] for i in found["sweep"]]
    assert found["calibration"] == pytest.approx(dataclasses.asdict(calibrate([0.8, 1.0, 1.6], slopes)))
    assert found["n_rises"] == sum(np.diff(np.mean(slopes, axis=1)) > 0)


def test_one_exponent_and_one_draw_calibrate_nothing_and_say_why(tmp_path: Path):
    one = dataclasses.replace(TOY, exponents=(1.0,), noises=(1.0,), n_seeds=1)
    found = open_bundle(run_lab(toy_qdg.LAB, one, tmp_path / "work", tmp_path / "bundles")).manifest["found"]
    assert found["calibration"] is found["spearman"] is found["worlds"][0]["sd"] is None
    assert "at least 3" in found["no_calibration"]


def test_a_killed_toy_goes_on_and_gives_the_same_bundle(tmp_path: Path, toy, monkeypatch):
    monkeypatch.setattr("compute.steps.run.REPORT_EVERY", 0.0)

    def killed(spec, n_done, n_total):
        if spec.phase == "clustering" and spec.phase_ordinal == 2 and n_done == 4:
            raise KilledError

    with pytest.raises(KilledError):
        run_lab(toy_qdg.LAB, TOY, tmp_path / "work", tmp_path / "bundles", report=killed)
    path = run_lab(toy_qdg.LAB, TOY, tmp_path / "work", tmp_path / "bundles")
    assert open_bundle(path).sha256 == toy.sha256


def test_cosines_and_tasks_are_those_of_the_network_that_was_trained(parity):
    recipe = Recipe(n_tasks=8, n_bits=8, k=2, batch_size=256, learning_rate=0.01)
    lm, tasks = train_network(Supply(alpha=0.4), 64, 500, recipe)
    samples = Source(tasks, 300).batch(1)
    cosine, task = parity_cosines(lm, samples), samples.tasks.numpy()
    expected = cluster_means(np.abs(cosine), np.arange(len(task)), np.searchsorted(task, np.arange(8)))
    measured = parity.array("tasks/means")
    assert parity.array("tasks/present")[:2].tolist() == [0, 1]
    assert measured[:2, :2] == pytest.approx(expected[:2, :2], abs=0.05)
    assert (parity.array("loss_nats") < PARITY.threshold_nats).all()


def test_samples_stand_by_task_and_answer(parity):
    order = 2 * parity.array("task") + parity.array("answer")
    assert len(order) == PARITY.n_samples
    assert (np.diff(order) >= 0).all()


def test_equal_answers_pull_one_way_and_different_ones_apart(parity):
    picture, answer = parity.array("picture"), parity.array("answer")
    same = answer[:, None] == answer
    assert parity.manifest["found"]["block"] == 1
    assert (picture[same] > 0).all()
    assert (picture[~same] < 0).all()


def test_agreement_and_slopes_are_those_of_the_labels(parity):
    found, labels, task = parity.manifest["found"], parity.array("labels"), parity.array("task")
    assert labels.shape == (2, len(PARITY.ks), PARITY.n_samples)
    for place, affinity in enumerate(("signed", "absolute")):
        expected = [adjusted_rand_index(task, one) for one in labels[place]]
        assert found["agreement"][affinity]["tasks"] == pytest.approx(expected)
        fit = fit_envelope(envelope(parity.array("sizes")[place]), 1, found["last_rank"])
        assert found["fits"][affinity]["slope"] == pytest.approx(fit.slope)
    assert sum(found["true_sizes"]) == PARITY.n_samples
    assert found["known_slope"] == -1.4


def test_every_pair_is_counted_once(parity):
    found, n = parity.manifest["found"], PARITY.n_samples
    within, between = parity.array("cosines/within").sum(), parity.array("cosines/between").sum()
    assert within + between == n * (n - 1) // 2
    assert (within, between) == (found["n_pairs_within"], found["n_pairs_between"])
    assert found["within"] > found["between"]


def test_a_killed_parity_run_goes_on_and_gives_the_same_bundle(tmp_path: Path, parity, monkeypatch):
    calls = count()
    monkeypatch.setattr(parity_qdg.SaveTimer, "is_due", lambda self: next(calls) % 7 == 6)
    monkeypatch.setattr("compute.steps.run.REPORT_EVERY", 0.0)

    def killed(phase, at):
        def report(spec, n_done, n_total):
            if (spec.phase, n_done) == (phase, at):
                raise KilledError

        return report

    for phase, at in (("training", 200), ("training", 430), ("gradients", 120), ("clustering", 2)):
        with pytest.raises(KilledError):
            run_lab(parity_qdg.LAB, PARITY, tmp_path / "work", tmp_path / "bundles", report=killed(phase, at))
    path = run_lab(parity_qdg.LAB, PARITY, tmp_path / "work", tmp_path / "bundles")
    assert open_bundle(path).sha256 == parity.sha256


def test_too_few_samples_that_pass_say_what_to_change(tmp_path: Path):
    raw = dataclasses.replace(PARITY, n_steps=3)
    with pytest.raises(SelectionError, match=r"Only \d+ of [\d,]+ samples .* 120 are wanted. Train for more than 3"):
        run_lab(parity_qdg.LAB, raw, tmp_path / "work", tmp_path / "bundles")


def test_diverging_training_fails_with_step_and_rate(tmp_path: Path):
    wild = dataclasses.replace(PARITY, learning_rate=10.0, n_steps=200, width=128, n_bits=9)
    with pytest.raises(TrainingError, match=r"at step \d+: .*rate is 10"):
        run_lab(parity_qdg.LAB, wild, tmp_path / "work", tmp_path / "bundles")


def test_the_commands_print_what_was_found(tmp_path: Path, capsys):
    given = ["--name", "cli", "--out", str(tmp_path), "--ks", "5,10", "--n-init", "1"]
    toy = ["toy-qdg", "--n-subtasks", "20", "--largest", "30", "--n-dimensions", "20", "--noises", "1", "--exponents",
           "0.8,1.2", "--sweep-dimensions", "20", "--sweep-noise", "1", "--first-rank", "1", "--last-rank", "8",
           "--n-seeds", "2"]  # fmt: skip
    assert cli.main([*toy, *given]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["dimensions", "noise", "exponent", "points"]
    assert len(lines) == 1 + 3 + 1 + 1
    assert Path(lines[-1]).is_dir()
    small = ["parity-qdg", "--n-tasks", "4", "--n-bits", "6", "--subset-bits", "1", "--width", "32", "--n-steps",
             "100", "--batch-size", "128", "--learning-rate", "0.03", "--n-samples", "40"]  # fmt: skip
    assert cli.main([*small, *given]) == 0
    assert "of 4 tasks passed" in capsys.readouterr().out
    assert cli.main(["toy-qdg", "--exponents", "0", "--out", str(tmp_path)]) == 2
    assert "exponents is 0; it must be above 0" in capsys.readouterr().err

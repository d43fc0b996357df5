"""The frame that every lab stands in: pieces, kills, publication; settings that say what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute import methods
from compute.bundle import open_bundle
from compute.errors import ConfigError
from compute.labs import LABS, frame
from compute.labs.frame import Lab
from tests.compute.counting import COUNTING, Counting, do, plan, results


class KilledError(Exception):
    pass


def test_an_experiment_is_published_with_what_was_asked_and_found(tmp_path: Path) -> None:
    path = frame.run_lab(COUNTING, Counting(name="few"), tmp_path / "work", tmp_path / "bundles")
    bundle = open_bundle(path)
    bundle.verify()
    assert (frame.lab_of(bundle), bundle.manifest["found"]) == ("counting", {"total": 9.0})
    assert Counting.from_json(bundle.manifest["config"]) == Counting(name="few")
    assert bundle.array("counts").tolist() == [[0, 1, 2], [0, 2, 4]]


def test_a_killed_experiment_goes_on_and_gives_the_same_bundle(tmp_path: Path) -> None:
    whole = frame.run_lab(COUNTING, Counting(name="few"), tmp_path / "a", tmp_path / "bundles-a")
    reports: list[str] = []

    def killed(spec: frame.ShardSpec, n_done: int, n_total: int) -> None:
        reports.append(spec.name)
        if len(reports) == 9:
            raise KilledError

    with pytest.raises(KilledError):
        frame.run_lab(COUNTING, Counting(name="few"), tmp_path / "b", tmp_path / "bundles-b", report=killed)
    assert not (tmp_path / "bundles-b").exists() or not list((tmp_path / "bundles-b").iterdir())
    again = frame.run_lab(COUNTING, Counting(name="few"), tmp_path / "b", tmp_path / "bundles-b")
    assert open_bundle(again).sha256 == open_bundle(whole).sha256


def test_what_was_published_is_not_done_again_unless_it_was_damaged(tmp_path: Path) -> None:
    done: list[int] = []
    lab = Lab("counting", "Counting", Counting.from_json, plan,
              lambda config, work, phase, i: (done.append(i), do(config, work, phase, i))[1], results)  # fmt: skip
    path = frame.run_lab(lab, Counting(name="few"), tmp_path / "work", tmp_path / "bundles")
    assert frame.run_lab(lab, Counting(name="few"), tmp_path / "work", tmp_path / "bundles") == path
    assert done == [0, 1]
    (path / "counts.npy").write_bytes(b"damaged")
    assert frame.run_lab(lab, Counting(name="few"), tmp_path / "work", tmp_path / "bundles") == path
    open_bundle(path).verify()


def test_its_shards_end_with_the_bundle() -> None:
    specs = frame.plan(COUNTING, Counting(name="few"))
    assert [(one.phase, one.phase_ordinal, one.name) for one in specs] == [
        ("count", 0, "by 1"), ("count", 1, "by 2"), ("bundle", 0, "few"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"upto": 0}, "upto is 0; it must be at least 1 and at most 100."),
        ({"upto": 1_000_001}, "upto is 1,000,001; it must be at least 1 and at most 100."),
        ({"scales": [-0.25]}, "scales is -0.25; it must be above 0."),
        ({"upto": 1.5}, "upto is 1.5; it must be a whole number."),
        ({"upto": True}, "upto is True; it must be a whole number."),
        ({"upto": float("nan")}, "upto is nan; it must be a whole number."),
        ({"scales": 2.0}, "scales is 2.0; give a list."),
        ({"scales": [1.0, -1.0]}, "scales is -1; it must be above 0."),
        ({"scales": ["a"]}, "scales is 'a'; it must be a number."),
        ({"scales": [float("inf")]}, "scales is inf; it must be a number."),
        ({"scales": []}, "scales is empty; name at least one value."),
        ({"scales": [1, 1]}, "scales names 1.0 twice; once is enough."),
        ({"colour": 1}, "There is no setting 'colour'; there are name, upto, scales, limits."),
        ({"name": "../up"}, "name '../up' may hold letters, digits, '.', '_' and '-' only, at most 80."),
        ({"name": 3}, "name is 3; it must be a word."),
        ({"upto": 10**400}, "upto is 10000000000000000000…; no whole number here is as large as that."),
        ({"scales": list(range(1, 5002))}, "scales lists 5,001 values; at most 5,000 are taken."),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        Counting.from_json({"name": "few", **wrong})
    assert str(error.value) == sentence


def test_a_whole_number_that_no_float_holds_is_named_wherever_it_comes_from() -> None:
    with pytest.raises(ConfigError, match="upto is 10000"):
        Counting(name="few", upto=10**400)


def test_a_missing_name_is_named() -> None:
    with pytest.raises(ConfigError, match="'name' is missing"):
        Counting.from_json({})


def test_settings_come_back_as_they_were() -> None:
    config = Counting(name="few", scales=(0.5,), limits=(None, 3))
    assert Counting.from_json(config.to_json()) == config


def test_a_job_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="knows no work of kind 'weaving'"):
        methods.read("weaving", {})


@pytest.mark.parametrize("kind", sorted(LABS))
def test_every_preset_of_every_lab_can_be_planned(kind: str) -> None:
    lab = LABS[kind]
    assert lab.presets
    for preset in lab.presets:
        assert lab.read(preset.config.to_json()) == preset.config
        assert frame.plan(lab, preset.config)[-1].phase == "bundle"

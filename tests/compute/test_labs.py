"""The frame that every lab stands in: pieces, kills, publication; settings that say what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from compute import methods
from compute.bundle import open_bundle
from compute.errors import ConfigError
from compute.labs import LABS, frame
from compute.labs.frame import Lab, Piece, Preset, Results
from compute.labs.settings import LabConfig
from compute.steps.run import Work
from compute.workspace import digest


@dataclass(frozen=True, kw_only=True)
class Counting(LabConfig):
    upto: int = 3
    scales: tuple[float, ...] = (1.0, 2.0)
    limits: tuple[int | None, ...] = (None,)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least("upto", 1, 100)
        self.above("scales", 0)
        self.distinct("scales")


class Killed(Exception):
    pass


def _plan(config: Counting) -> list[Piece]:
    return [Piece("count", f"by {scale:g}", "steps", config.upto) for scale in config.scales]


def _do(config: Counting, work: Work, phase: str, ordinal: int) -> None:
    stamp = digest([config.to_json(), ordinal])
    if work.files.has(f"count/{ordinal}", stamp):
        return
    for n_done in range(config.upto):
        work.report(n_done, config.upto)
    work.files.save(f"count/{ordinal}", config.scales[ordinal] * np.arange(config.upto), stamp)


def _results(config: Counting, work: Work) -> Results:
    counts = [work.files.load(f"count/{i}", digest([config.to_json(), i])) for i in range(len(config.scales))]
    whole = np.stack([count for count in counts if count is not None])
    return Results({"total": float(whole.sum())}, [("counts", whole, "steps")])


COUNTING = Lab("counting", "Counting", Counting.from_json, _plan, _do, _results,
               (Preset("few", "A few", "Counts to three.", Counting(name="few")),))  # fmt: skip


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
            raise Killed

    with pytest.raises(Killed):
        frame.run_lab(COUNTING, Counting(name="few"), tmp_path / "b", tmp_path / "bundles-b", report=killed)
    assert not (tmp_path / "bundles-b").exists() or not list((tmp_path / "bundles-b").iterdir())
    again = frame.run_lab(COUNTING, Counting(name="few"), tmp_path / "b", tmp_path / "bundles-b")
    assert open_bundle(again).sha256 == open_bundle(whole).sha256


def test_what_was_published_is_not_done_again_unless_it_was_damaged(tmp_path: Path) -> None:
    done: list[int] = []
    lab = Lab("counting", "Counting", Counting.from_json, _plan,
              lambda config, work, phase, i: (done.append(i), _do(config, work, phase, i))[1], _results)  # fmt: skip
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
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        Counting.from_json({"name": "few", **wrong})
    assert str(error.value) == sentence


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

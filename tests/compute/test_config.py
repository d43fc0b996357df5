"""Settings: a conflict is refused when the object is made."""

import dataclasses
import json

import pytest

from compute.config import (
    CheckpointRef,
    ClusteringConfig,
    CorpusConfig,
    MapConfig,
    RunConfig,
    SelectionConfig,
    SuiteConfig,
)
from compute.errors import ConfigError
from compute.suites import demo_config

REF = CheckpointRef(lm="tiny", revision="step10", path="folder")
SUITE = SuiteConfig(name="own", checkpoints=(REF,), tokenizer="tokenizer.json")
CONFIG = RunConfig(name="run", suite=SUITE, clustered="tiny/step10")


def test_json_gives_the_same_settings_back():
    assert RunConfig.from_json(json.loads(json.dumps(CONFIG.to_json()))) == CONFIG


def test_the_step_is_read_from_the_revision():
    assert REF.step == 10
    assert dataclasses.replace(REF, revision="main").step is None


def test_the_clustered_checkpoint_is_found_by_its_key():
    assert CONFIG.clustered_checkpoint == REF


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden", "a b", "x" * 81, "a\x00"])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(ConfigError, match="may hold letters"):
        dataclasses.replace(CONFIG, name=name)


@pytest.mark.parametrize("revision", ["a..b", "x/y", ""])
def test_a_revision_that_leaves_its_folder_is_refused(revision):
    with pytest.raises(ConfigError, match="revision"):
        dataclasses.replace(REF, revision=revision)


def test_a_clustered_checkpoint_outside_the_suite_is_refused():
    with pytest.raises(ConfigError, match="none of the suite's"):
        dataclasses.replace(CONFIG, clustered="other/step10")


def test_k_beyond_the_tokens_is_refused():
    with pytest.raises(ConfigError, match="only 100 tokens"):
        dataclasses.replace(CONFIG, selection=SelectionConfig(n_tokens=100))


@pytest.mark.parametrize("ks", [(), (1,), (5, 5), (9, 3)])
def test_ks_must_rise_from_two(ks):
    with pytest.raises(ConfigError):
        ClusteringConfig(ks=ks)


@pytest.mark.parametrize("affinities", [(), ("euclidean",)])
def test_an_unknown_affinity_is_refused(affinities):
    with pytest.raises(ConfigError, match="choose among"):
        ClusteringConfig(affinities=affinities)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_outside_its_range_is_refused(seed):
    with pytest.raises(ConfigError, match="seed"):
        ClusteringConfig(seed=seed)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 100.0, float("nan")])
def test_a_threshold_that_makes_no_sense_is_refused(threshold):
    with pytest.raises(ConfigError, match="threshold_nats"):
        SelectionConfig(threshold_nats=threshold)


@pytest.mark.parametrize("settings", [{"n_tokens": 1}, {"n_tokens": 2.5}, {"stride": 0}])
def test_counts_must_be_whole_and_large_enough(settings):
    with pytest.raises(ConfigError, match="whole number"):
        SelectionConfig(**settings)


def test_documents_of_one_token_are_refused():
    with pytest.raises(ConfigError, match="max_length"):
        CorpusConfig(max_length=1)


def test_a_suite_that_names_a_checkpoint_twice_is_refused():
    with pytest.raises(ConfigError, match="twice"):
        SuiteConfig(name="own", checkpoints=(REF, REF), tokenizer="t")


@pytest.mark.parametrize("data", [{}, {"name": "run"}, {"suite": 3}, {"suite": {"checkpoints": [{}]}}])
def test_settings_that_are_incomplete_are_refused(data):
    with pytest.raises(ConfigError, match="cannot be read"):
        RunConfig.from_json(data)


def test_settings_from_before_there_were_maps_have_the_usual_ones():
    data = demo_config().to_json()
    del data["map"]
    assert RunConfig.from_json(data).map == MapConfig()


def test_maps_may_be_left_out():
    without = dataclasses.replace(demo_config(), map=None)
    assert RunConfig.from_json(without.to_json()) == without


@pytest.mark.parametrize("settings", [{"n_curves": 0}, {"n_neighbors": 1}, {"min_dist": 1.0}, {"seed": -1}])
def test_settings_of_a_map_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError):
        MapConfig(**settings)

"""Suites: the embedded one, and folders of a person's own."""

from pathlib import Path

import pytest

from compute.config import DEMO_KS
from compute.demo.suite import SUITE_FOLDER
from compute.errors import ConfigError
from compute.suites import changed, demo_config, expected_sha256, folder_suite, resolve


def test_the_demo_clusters_three_thousand_tokens_at_its_own_ks():
    config = demo_config()
    assert config.name == "demo"
    assert config.selection.n_tokens == 3000
    assert config.clustering.ks == DEMO_KS


def test_the_demo_names_every_checkpoint_once_and_each_exists():
    checkpoints = demo_config().suite.checkpoints
    assert len({c.key for c in checkpoints}) == len(checkpoints) >= 6
    assert all((resolve(c.path) / "config.json").is_file() for c in checkpoints)


def test_the_demo_knows_the_hash_of_its_weights():
    assert all(expected_sha256(c) for c in demo_config().suite.checkpoints)


def test_a_change_reaches_the_part_that_it_belongs_to():
    config = demo_config(name="other", n_tokens=500, ks=(5, 10), max_documents=9)
    assert config.name == "other"
    assert config.selection.n_tokens == 500
    assert config.clustering.ks == (5, 10)
    assert config.corpus.max_documents == 9


def test_an_unknown_change_is_refused():
    with pytest.raises(ConfigError, match="no setting 'colour'"):
        demo_config(colour="red")


def test_changes_that_conflict_are_refused():
    with pytest.raises(ConfigError, match="largest k"):
        changed(demo_config(), n_tokens=100)


def test_a_demo_path_lies_in_the_suites_folder():
    assert resolve("demo:tokenizer.json") == SUITE_FOLDER / "tokenizer.json"


@pytest.mark.parametrize("path", ["demo:../train.py", "demo:/etc/passwd"])
def test_a_demo_path_cannot_leave_the_suites_folder(path):
    with pytest.raises(ConfigError, match="leaves"):
        resolve(path)


def test_a_path_of_ones_own_is_taken_as_it_is():
    assert resolve("/some/where") == Path("/some/where")


def test_folders_become_checkpoints():
    suite = folder_suite(["small/step5=/a", "large=/b"], tokenizer="/t")
    assert [(c.key, c.path) for c in suite.checkpoints] == [("small/step5", "/a"), ("large/main", "/b")]


@pytest.mark.parametrize("folder", ["", "small", "=path", "small="])
def test_a_folder_without_a_name_is_refused(folder):
    with pytest.raises(ConfigError, match="NAME=PATH"):
        folder_suite([folder], tokenizer="/t")


def test_weights_of_ones_own_have_no_expected_hash():
    (checkpoint,) = folder_suite(["small=/a"], tokenizer="/t").checkpoints
    assert expected_sha256(checkpoint) is None

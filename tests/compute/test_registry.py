"""Suites known by name, and the names of checkpoints."""

import pytest

from compute.config import CheckpointRef, SuiteConfig
from compute.errors import ConfigError
from compute.registry import (
    SUITES,
    expected_non_embedding,
    find_checkpoint,
    guessed_parameters,
    hub_suite,
    known_suite,
    suite_config,
)

COUNTS = [  # non-embedding, with the unembedding, total: the repository's own table
    ("pythia-70m", 18_915_328, 44_670_976, 70_426_624),
    ("pythia-160m", 85_056_000, 123_689_472, 162_322_944),
    ("pythia-410m", 302_311_424, 353_822_720, 405_334_016),
    ("pythia-1b", 805_736_448, 908_759_040, 1_011_781_632),
    ("pythia-1.4b", 1_208_602_624, 1_311_625_216, 1_414_647_808),
    ("pythia-2.8b", 2_517_652_480, 2_646_430_720, 2_775_208_960),
    ("pythia-6.9b", 6_444_163_072, 6_650_732_544, 6_857_302_016),
    ("pythia-12b", 11_327_027_200, 11_586_549_760, 11_846_072_320),
]


@pytest.mark.parametrize(("lm", "non_embedding", "with_unembedding", "total"), COUNTS)
def test_the_sizes_count_as_published(lm, non_embedding, with_unembedding, total):
    size = next(size for size in known_suite("pythia").sizes if size.lm == lm)
    assert size.n_non_embedding == non_embedding
    assert size.n_non_embedding + size.n_unembedding == with_unembedding
    assert size.n_parameters == total


def test_every_suite_holds_the_same_eight_shapes():
    for suite in SUITES.values():
        assert [size.n_parameters for size in suite.sizes] == [total for *_, total in COUNTS]


def test_pythia_has_154_revisions_and_v0_has_143():
    steps = known_suite("pythia").revisions
    assert len(steps) == 154
    assert steps[:4] == ("step0", "step1", "step2", "step4")
    assert steps[10:13] == ("step512", "step1000", "step2000")
    v0 = known_suite("pythia-v0").revisions
    assert (len(v0), v0[0], v0[-1]) == (143, "step1000", "step143000")


def test_hub_ids_follow_the_suites_naming():
    ids = [suite.sizes[4].hub_id for suite in SUITES.values()]
    assert ids == [
        "EleutherAI/pythia-1.4b",
        "EleutherAI/pythia-1.4b-deduped",
        "EleutherAI/pythia-1.4b-v0",
        "EleutherAI/pythia-1.4b-deduped-v0",
    ]


def test_a_suite_gives_final_weights_of_every_size():
    config = suite_config("pythia-v0")
    assert [ref.key for ref in config.checkpoints][:2] == ["pythia-70m-v0/step143000", "pythia-160m-v0/step143000"]
    assert len(config.checkpoints) == 8
    assert config.checkpoints[0].path == "hub:EleutherAI/pythia-70m-v0@step143000"


def test_the_tokenizer_is_that_of_the_smallest_size_chosen():
    assert suite_config("pythia").tokenizer == "hub:EleutherAI/pythia-70m@step143000"
    assert suite_config("pythia", sizes=["1b", "410m"]).tokenizer == "hub:EleutherAI/pythia-410m@step143000"


def test_all_revisions_of_a_size():
    config = suite_config("pythia", sizes=["pythia-70m"], revisions=["all"])
    assert tuple(ref.revision for ref in config.checkpoints) == known_suite("pythia").revisions


def test_a_range_takes_each_tenth_and_final_can_be_added_in_any_order():
    config = suite_config("pythia", sizes=["70m"], revisions=["final", "step1000..step31000:10", "step0"])
    assert [ref.step for ref in config.checkpoints] == [0, 1000, 11000, 21000, 31000, 143000]


@pytest.mark.parametrize(
    ("revision", "sentence"),
    [
        ("step1500", "no revision 'step1500'; did you mean"),
        ("main", "no revision 'main'; it has step0 to step143000"),
        ("step2000..step1000", "runs backwards"),
        ("step1000..step2000:0", "no range"),
        ("step1000:2", "no range"),
        ("step1000..nowhere", "no revision 'nowhere'"),
        ("refs/../x", "no revision 'refs/'"),
    ],
)
def test_a_revision_that_is_none_is_refused(revision, sentence):
    with pytest.raises(ConfigError, match=sentence):
        suite_config("pythia", revisions=[revision])


@pytest.mark.parametrize("sizes", [["3b"], []])
def test_a_size_that_is_none_is_refused_with_the_sizes(sizes):
    with pytest.raises(ConfigError, match="70m, 160m, 410m, 1b, 1.4b, 2.8b, 6.9b, 12b"):
        suite_config("pythia", sizes=sizes)


def test_an_unknown_suite_is_refused_with_the_names():
    with pytest.raises(ConfigError, match="choose among pythia, pythia-deduped, pythia-v0"):
        known_suite("pythea")


@pytest.mark.parametrize("size", ["70m", "pythia-70m-v0", "19m", "pythia-19m", "EleutherAI/pythia-19m", "PYTHIA-19M"])
def test_a_size_of_v0_goes_by_its_old_names(size):
    (ref,) = suite_config("pythia-v0", sizes=[size]).checkpoints
    assert ref.lm == "pythia-70m-v0"


@pytest.mark.parametrize(
    "text",
    [
        "pythia-160m-v0/step143000",
        "pythia-160m-v0",
        "EleutherAI/pythia-160m-v0",
        "hub:EleutherAI/pythia-160m-v0@step143000",
        "EleutherAI/pythia-160m-v0/step143000",
        "pythia-125m",
        "pythia-125m@step143000",
        "EleutherAI/pythia-125m/step143000",
        "85m",
        "160m",
    ],
)
def test_a_checkpoint_is_found_by_each_of_its_names(text):
    assert find_checkpoint(suite_config("pythia-v0"), text).key == "pythia-160m-v0/step143000"


def test_a_network_alone_means_its_last_checkpoint():
    suite = suite_config("pythia", sizes=["70m"], revisions=["step0", "step8000", "step64"])
    assert find_checkpoint(suite, "pythia-70m").revision == "step8000"
    assert find_checkpoint(suite, "pythia-70m/step64").revision == "step64"


def test_checkpoints_of_local_folders_are_found_by_key():
    suite = SuiteConfig(
        name="own", checkpoints=(CheckpointRef(lm="small", revision="main", path="/a"),), tokenizer="/t"
    )
    assert find_checkpoint(suite, "small/main").path == "/a"


def test_the_old_name_is_not_taken_for_the_newer_release():
    with pytest.raises(ConfigError, match="old name of EleutherAI/pythia-70m-v0, another release"):
        find_checkpoint(suite_config("pythia"), "pythia-19m")


def test_a_misspelt_checkpoint_is_answered_with_near_ones():
    suite = suite_config("pythia", sizes=["70m"], revisions=["step1000", "step2000"])
    with pytest.raises(ConfigError, match="near to it are pythia-70m/step"):
        find_checkpoint(suite, "pythia-70/step200")
    with pytest.raises(ConfigError, match="it holds pythia-70m/step1000, pythia-70m/step2000."):
        find_checkpoint(suite, "gpt2")


def test_a_hub_suite_reads_ids_and_revisions():
    suite = hub_suite(["openai-community/gpt2", "me/net@step5"])
    assert [(ref.key, ref.path) for ref in suite.checkpoints] == [
        ("gpt2/main", "hub:openai-community/gpt2@main"),
        ("net/step5", "hub:me/net@step5"),
    ]
    assert suite.tokenizer == "hub:openai-community/gpt2@main"


def test_networks_of_one_name_and_two_owners_are_told_apart():
    suite = hub_suite(["me/net", "you/net"])
    assert [ref.lm for ref in suite.checkpoints] == ["me.net", "you.net"]


def test_an_old_pythia_id_stands_for_todays():
    (ref,) = hub_suite(["EleutherAI/pythia-13b-deduped@step1000"]).checkpoints
    assert ref.path == "hub:EleutherAI/pythia-12b-deduped-v0@step1000"


def test_a_repository_of_another_owner_keeps_its_name():
    (ref,) = hub_suite(["me/pythia-13b"]).checkpoints
    assert ref.path == "hub:me/pythia-13b@main"


@pytest.mark.parametrize("ref", ["../../etc", "..%2f..%2fetc", r"me\net", "me/net@refs/../x", "a/b/c", "", "me/net@"])
def test_a_name_that_is_no_hub_id_is_refused(ref):
    with pytest.raises(ConfigError, match=r"is no (Hub id|revision)"):
        hub_suite([ref])


def test_a_suite_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="No repository is named"):
        hub_suite([])


def test_the_expected_count_is_known_for_known_suites_only():
    assert expected_non_embedding("EleutherAI/pythia-12b-deduped-v0") == 11_327_027_200
    assert expected_non_embedding("openai-community/gpt2") is None


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("EleutherAI/pythia-1.4b-deduped", 1_400_000_000),
        ("facebook/opt-125m", 125_000_000),
        ("Qwen/Qwen2.5-0.5B-Instruct", 500_000_000),
        ("roneneldan/TinyStories-33M", 33_000_000),
        ("demo-793k", 793_000),
        ("openai-community/gpt2", None),
        ("mistralai/Mixtral-8x7B-v0.1", None),
        ("me/my-2bit-net", None),
    ],
)
def test_a_repositorys_name_may_state_its_size(name, parameters):
    assert guessed_parameters(name) == parameters

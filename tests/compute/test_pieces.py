"""Commands that do one step on plain files: what they write, in which order, and how they go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import SpectralClustering

from compute.bundle import Bundle, open_bundle
from compute.cli import REFUSED, main
from compute.numerics.similarity import angular_affinity
from compute.pipeline import run_qdg
from tests.tiny import CLUSTERED, MAX_LENGTH, tiny_config

COMMANDS = (
    "qdg",
    "bundle",
    "losses",
    "select",
    "gradients",
    "similarity",
    "cluster",
    "curves",
    "verify",
    "info",
    "fetch",
    "fit",
    "dimension",
)


@pytest.fixture(scope="module")
def reference(tiny_suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("reference")
    return open_bundle(run_qdg(tiny_config(tiny_suite), folder / "work", folder / "bundles"))


@pytest.fixture(scope="module")
def model(tiny_suite: Path) -> list[str]:
    text = ["--tokenizer", f"{tiny_suite}/tokenizer.json", "--corpus", f"{tiny_suite}/text.jsonl"]
    return ["--model", str(tiny_suite / CLUSTERED), *text, "--max-length", str(MAX_LENGTH)]


@pytest.fixture(scope="module")
def lost(model: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("losses")
    assert main(["losses", *model, "--out", str(out)]) == 0
    return out


def write_tokens(folder: Path, tokens: np.ndarray) -> str:
    np.save(folder / "tokens.npy", tokens)
    return str(folder / "tokens.npy")


# losses


def test_losses_are_float32_nats_in_canonical_order(lost, reference):
    losses = np.load(lost / "losses.npy")
    assert losses.dtype == np.float32
    np.testing.assert_allclose(losses, reference.array(f"losses/{CLUSTERED}"), atol=1e-5)


def test_starts_say_where_each_document_begins(lost, reference):
    starts = np.load(lost / "starts.npy")
    assert starts.dtype == np.int64
    lengths = np.diff(np.array(reference.array("corpus/offsets")))
    assert starts.tolist() == [0, *np.cumsum(np.maximum(lengths - 1, 0)).tolist()]


def test_losses_computed_once_are_not_computed_again(lost, model, monkeypatch, capsys):
    def computed_again(*args: object, **options: object) -> None:
        raise AssertionError("the losses were there already")

    monkeypatch.setattr("compute.numerics.losses.token_losses", computed_again)
    assert main(["losses", *model, "--out", str(lost)]) == 0
    assert "nats" in capsys.readouterr().out


def test_a_model_that_is_neither_folder_nor_hub_id_is_one_sentence(model, tmp_path, capsys):
    for name, sentence in (("/nowhere/at/all", "There is no checkpoint folder"), ("../../etc", "no checkpoint folder")):
        assert main(["losses", "--model", name, *model[2:], "--out", str(tmp_path)]) == REFUSED
        assert sentence in capsys.readouterr().err


def test_a_revision_of_a_folder_is_the_folder_of_that_name_in_it(lost, model, tiny_suite, tmp_path):
    lm, step = CLUSTERED.split("/")
    assert main(["losses", "--model", f"{tiny_suite / lm}@{step}", *model[2:], "--out", str(tmp_path)]) == 0
    assert np.array_equal(np.load(tmp_path / "losses.npy"), np.load(lost / "losses.npy"))


# select


def test_selected_tokens_are_those_of_a_run(lost, model, tmp_path, reference):
    arguments = ["select", *model, "--losses", f"{lost}/losses.npy", "--n-tokens", "40", "--threshold", "0.5"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert np.load(tmp_path / "tokens.npy").tolist() == reference.array("selection/flat_index").tolist()
    facts = json.loads((tmp_path / "selection.json").read_text())
    assert facts["n_candidates"] == reference.manifest["selection"]["n_candidates"]


def test_losses_of_another_text_are_refused(model, tmp_path, capsys):
    np.save(tmp_path / "other.npy", np.zeros(7, np.float32))
    arguments = ["select", *model, "--losses", f"{tmp_path}/other.npy", "--n-tokens", "5"]
    assert main([*arguments, "--out", str(tmp_path)]) == REFUSED
    assert "holds 7 losses" in capsys.readouterr().err


# similarity


def test_similarities_stand_in_the_order_of_the_file(model, tmp_path, reference):
    tokens = np.array(reference.array("selection/flat_index"))
    shuffled = np.random.default_rng(0).permutation(len(tokens))
    asked = np.concatenate([tokens[shuffled], tokens[:2]])  # two of them twice
    given = write_tokens(tmp_path, asked)
    assert main(["similarity", *model, "--tokens", given, "--mode", "exact", "--out", str(tmp_path)]) == 0
    order = np.concatenate([shuffled, [0, 1]])
    for kind, name in (("signed", "similarity"), ("absolute", "similarity_abs")):
        found = np.load(tmp_path / f"{name}.npy")
        assert found.dtype == np.float32
        np.testing.assert_allclose(
            found, np.array(reference.array(f"similarity/{kind}"))[np.ix_(order, order)], atol=2e-5
        )


def test_sketched_similarities_are_near_the_exact_ones(model, tmp_path, reference):
    given = write_tokens(tmp_path, np.array(reference.array("selection/flat_index")))
    arguments = ["similarity", *model, "--tokens", given, "--mode", "sketch", "--sketch-size", "4096"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    error = np.load(tmp_path / "similarity.npy") - reference.array("similarity/signed")
    assert 0 < np.abs(error).max() < np.sqrt(4 * np.log(40) / 4096)


def test_similarity_goes_on_from_gradients_that_were_computed_in_parts(model, tmp_path, reference, monkeypatch):
    monkeypatch.setattr("compute.steps.gradients.ROWS_PER_FILE", (1, 2, 5))
    given = write_tokens(tmp_path, np.array(reference.array("selection/flat_index")))
    for part in ("1/2", "2/2"):
        assert main(["gradients", *model, "--tokens", given, "--part", part, "--out", str(tmp_path)]) == 0

    def computed_again(*args: object, **options: object) -> None:
        raise AssertionError("the gradients were there already")

    monkeypatch.setattr("compute.numerics.gradients.gradient_rows", computed_again)
    assert main(["similarity", *model, "--tokens", given, "--out", str(tmp_path)]) == 0
    assert np.load(tmp_path / "similarity.npy").shape == (40, 40)


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        (np.array([3]), "at least 2 different"),
        (np.array([0.5, 1.5]), "flat array of integers"),
        (np.array([1, 10**9]), "1,000,000,000|1000000000"),
        (np.array([-1, 5]), "-1"),
    ],
)
def test_tokens_that_are_none_are_refused(model, tmp_path, capsys, tokens, sentence):
    import re

    given = write_tokens(tmp_path, tokens)
    assert main(["similarity", *model, "--tokens", given, "--out", str(tmp_path)]) == REFUSED
    assert re.search(sentence, capsys.readouterr().err)


# cluster


def test_labels_are_those_of_scikit_learn(tmp_path, reference):
    cosines = np.array(reference.array("similarity/signed"))
    np.save(tmp_path / "similarity.npy", cosines)
    arguments = ["cluster", "--similarity", f"{tmp_path}/similarity.npy", "--affinity", "signed", "--counts", "2,5,9"]
    assert main([*arguments, "--seed", "3", "--out", str(tmp_path)]) == 0
    with np.load(tmp_path / "labels.npz") as labels:
        assert sorted(labels.files, key=int) == ["2", "5", "9"]
        for k in (2, 5, 9):
            wanted = SpectralClustering(k, affinity="precomputed", n_init=30, random_state=3)
            assert labels[str(k)].tolist() == wanted.fit_predict(angular_affinity(cosines)).tolist()


def test_ranks_are_sizes_by_falling_order(tmp_path, reference):
    np.save(tmp_path / "s.npy", np.array(reference.array("similarity/absolute")))
    arguments = ["cluster", "--similarity", f"{tmp_path}/s.npy", "--affinity", "absolute", "--counts", "5,2"]
    assert main([*arguments, "--effort", "fast", "--out", str(tmp_path)]) == 0
    ranks = json.loads((tmp_path / "ranks.json").read_text())
    assert set(ranks["counts"]) == {"2", "5"}
    assert sum(ranks["counts"]["5"]["sizes"]) == 40
    assert ranks["counts"]["5"]["sizes"] == sorted(ranks["counts"]["5"]["sizes"], reverse=True)
    assert ranks["envelope"][0] == max(ranks["counts"][k]["sizes"][0] for k in ("2", "5"))


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((3, 4), np.float32), "square"),
        (np.full((4, 4), np.nan, np.float32), "nan"),
        (np.array(["a"]), "square"),
    ],
)
def test_what_is_no_similarity_is_refused(tmp_path, capsys, array, sentence):
    np.save(tmp_path / "s.npy", array)
    assert main(["cluster", "--similarity", f"{tmp_path}/s.npy", "--counts", "2", "--out", str(tmp_path)]) == REFUSED
    assert sentence in capsys.readouterr().err


def test_a_pickle_is_refused(tmp_path, capsys):
    np.save(tmp_path / "s.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert main(["cluster", "--similarity", f"{tmp_path}/s.npy", "--counts", "2", "--out", str(tmp_path)]) == REFUSED
    assert "cannot be read" in capsys.readouterr().err


# curves


def test_scores_of_files_are_those_of_a_run(tmp_path, reference, capsys):
    files = []
    for name in ("tiny-s", "tiny-m", "tiny-l"):
        np.save(tmp_path / f"{name}.npy", reference.array(f"losses/{name}/step120"))
        files.append(f"{tmp_path}/{name}.npy")
    sizes = ",".join(str(size["n_non_embedding"]) for size in reference.manifest["sizes"])
    assert main(["curves", "--losses", *files, "--parameters", sizes, "--out", str(tmp_path)]) == 0
    with np.load(tmp_path / "curves.npz") as scores:
        for name in ("monogenicity", "n_eff", "class"):
            np.testing.assert_allclose(scores[name], reference.array(f"curves/{name}"), rtol=1e-4, atol=1e-5)
    assert "monogenic" in capsys.readouterr().out


# qdg in parts


def test_a_run_in_parts_is_published_by_bundle(tiny_suite, tmp_path, capsys):
    folders = [f"{name}/step120={tiny_suite / name / 'step120'}" for name in ("tiny-s", "tiny-m", "tiny-l")]
    run = [
        *("qdg", "--suite-folder", *folders, "--tokenizer", f"{tiny_suite}/tokenizer.json", "--clustered", CLUSTERED),
        *("--corpus", f"{tiny_suite}/text.jsonl", "--max-length", str(MAX_LENGTH), "--tokens", "30", "--ks", "2,5"),
        *("--threshold", "0.5", "--n-init", "2", "--workspace", f"{tmp_path}/work", "--out", f"{tmp_path}/bundles"),
    ]
    for phase in ("corpus", "losses", "gradients"):
        for part in ("1/2", "2/2"):
            assert main([*run, "--only", phase, "--part", part]) == 0
    capsys.readouterr()
    assert main(["bundle", f"{tmp_path}/work", "--out", f"{tmp_path}/bundles"]) == 0
    parts = open_bundle(Path(capsys.readouterr().out.strip()))
    assert main([*run[: run.index("--workspace")], "--out", f"{tmp_path}/whole"]) == 0
    assert parts.sha256 == open_bundle(Path(capsys.readouterr().out.strip())).sha256


def test_an_estimate_computes_nothing(tiny_suite, tmp_path, capsys):
    run = ["qdg", "--suite", "pythia", "--clustered-model", "EleutherAI/pythia-70m-v0", "--corpus", "pile.jsonl.zst"]
    run += ["--mode", "auto"]
    assert main([*run, "--documents", "20000", "--estimate", "--device", "cuda", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "in all" in printed.out
    assert "49.1 GB" in printed.out
    assert "belongs to the suite pythia-v0" in printed.err
    assert not any(tmp_path.iterdir())


def test_an_estimate_says_that_a_network_reads_less_than_documents_hold(tiny_suite, tmp_path, capsys):
    run = ["qdg", "--suite-folder", f"mine={tiny_suite / CLUSTERED}", "--tokenizer", f"{tiny_suite}/tokenizer.json"]
    run += ["--clustered", "mine", "--corpus", f"{tiny_suite}/text.jsonl", "--documents", "60", "--ks", "2"]
    assert main([*run, "--max-length", "1024", "--estimate", "--out", str(tmp_path)]) == 0
    assert "mine/main reads at most 48 tokens, but documents are cut at 1,024" in capsys.readouterr().out
    assert main([*run, "--max-length", "48", "--estimate", "--out", str(tmp_path)]) == 0
    assert "reads at most" not in capsys.readouterr().out


def test_a_result_says_beside_it_what_it_was_made_of(lost, model, tmp_path, reference):
    assert json.loads((lost / "losses.json").read_text())["precision"] == "float32"
    given = write_tokens(tmp_path, np.array(reference.array("selection/flat_index")))
    arguments = ["similarity", *model, "--tokens", given, "--mode", "sketch", "--sketch-size", "1024"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    facts = json.loads((tmp_path / "similarity.json").read_text())
    assert (facts["mode"], facts["sketch_size"]) == ("sketch", 1024)
    assert facts["weights_sha256"] == reference.manifest["checkpoints"][-1]["weights_sha256"]
    assert facts["corpus"]["sha256"] == reference.manifest["corpus"]["sha256"]


# every command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out) > 100


def test_the_command_line_works_where_django_cannot_be_imported(tiny_suite, model, tmp_path):
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('django', 'celery', 'rest_framework', 'redis', 'psycopg'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from compute.cli import main\n"
        "raise SystemExit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, "losses", *model, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "losses.npy").is_file()

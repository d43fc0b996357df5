"""Published labels become a bundle; what is no such file is refused with a sentence."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compute import published
from compute.bundle import open_bundle
from compute.cli import main
from compute.errors import ConfigError
from compute.json_entries import json_entries
from compute.published import Told, build_bundle, read_labels
from tests.published_files import CONTEXTS, LABELS, write

REFUSED: dict[str, tuple[str, str]] = {
    "negative": ('{"2": [[0, 1, -1]]}', "a label is -1"),
    "float": ('{"2": [[0, 1, 0.5]]}', "a label is 0.5"),
    "huge": ('{"2": [[0, 1, 1e40]]}', "a label is 1e+40"),
    "a huge whole number": ('{"2": [[0, 1, 1' + "0" * 40 + "]]}", "a label is 1000"),
    "truth": ('{"2": [[0, 1, true]]}', "a label is True"),
    "NaN": ('{"2": [[0, 1, NaN]]}', "NaN is no number"),
    "as large as k": ('{"2": [[0, 1, 2]]}', "a label is 2"),
    "too few clusters": ('{"3": [[0, 1, 1]]}', "name 2 clusters, not 3"),
    "other length": ('{"2": [[0, 1, 1], [0, 1]]}', "there are 2 labels, elsewhere 3"),
    "same key": ('{"2": [[0, 1]], "2": [[1, 0]]}', "the key '2' stands in it twice"),
    "same k": ('{"2": [[0, 1]], "02": [[1, 0]]}', "has k = 2 twice"),
    "no k": ('{"k2": [[0, 1]]}', "has a key 'k2'"),
    "three lists": ('{"2": [[0, 1], [0, 1], [0, 1]]}', "one list of labels, or two"),
    "a list": ("[[0, 1]]", "is a list"),
    "nothing": ("{}", "is empty"),
    "no file at all": ("", "must be one JSON object"),
    "cut": ('{"2": [[0, 1', "cannot be read"),
    "more behind": ('{"2": [[0, 1]]} x', "something stands after its end"),
    "no comma": ('{"2": [[0, 1]] "3": [[0, 1]]}', "a comma or } is missing"),
    "nested": ('{"2": ' + "[" * 100_000, "nested too deep"),
}


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write(tmp_path / "labels.json", LABELS)


def test_labels_become_clusterings_of_both_affinities(labels: Path, tmp_path: Path) -> None:
    bundle = open_bundle(build_bundle(labels, None, tmp_path))
    assert [(one["affinity"], one["k"]) for one in bundle.manifest["clusterings"]] == [
        ("signed", 2), ("signed", 3), ("absolute", 2), ("absolute", 3),
    ]  # fmt: skip
    assert bundle.array("clustering/absolute/k3").tolist() == LABELS["3"][1]
    assert bundle.manifest["source"]["rank_origin"] == 0
    assert not bundle.has("corpus/token_ids")
    bundle.verify()


def test_the_same_files_give_the_same_hash(labels: Path, tmp_path: Path) -> None:
    assert build_bundle(labels, None, tmp_path / "a").name == build_bundle(labels, None, tmp_path / "b").name


def test_every_token_is_the_last_of_its_own_document(labels: Path, tmp_path: Path) -> None:
    contexts = write(tmp_path / "contexts.json", CONTEXTS)
    bundle = open_bundle(build_bundle(labels, contexts, tmp_path, told=Told(name="with text")))
    ids, offsets = bundle.array("corpus/token_ids"), bundle.array("corpus/offsets")
    ends = bundle.array("vocabulary/offsets")
    pieces = [bundle.array("vocabulary/bytes")[a:b].tobytes() for a, b in itertools.pairwise(ends)]
    texts = [[pieces[i].decode() for i in ids[a:b]] for a, b in itertools.pairwise(offsets)]
    by_index = sorted(CONTEXTS, key=int)
    assert texts == [[*CONTEXTS[name]["context"], CONTEXTS[name]["answer"]] for name in by_index]
    assert [one["source"] for one in bundle.documents()] == [f"flat index {name}" for name in by_index]
    lengths = np.diff(offsets)
    assert bundle.array("selection/flat_index").tolist() == (np.cumsum(lengths - 1) - 1).tolist()


def test_a_list_of_contexts_keeps_its_order(labels: Path, tmp_path: Path) -> None:
    contexts = write(tmp_path / "contexts.json", list(CONTEXTS.values()))
    bundle = open_bundle(build_bundle(labels, contexts, tmp_path))
    assert [one["source"] for one in bundle.documents()][:2] == ["entry 0", "entry 1"]
    assert [one["n_tokens"] for one in bundle.documents()] == [len(one["context"]) + 1 for one in CONTEXTS.values()]


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_file_of_labels_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    text, said = REFUSED[name]
    file = tmp_path / "labels.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match="(?s)" + _escaped(said)):
        build_bundle(file, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"7": None}, "holds NoneType|should read"),
        ({"7": {"context": [], "answer": "x"}}, "has 0 tokens"),
        ({"7": {"context": ["a", 3], "answer": "x"}}, "holds 3, which is no text"),
        ({"7": {"context": ["a"]}}, "holds None, which is no text"),
        ({"7": {"context": ["a"], "answer": "\ud800"}}, "half of a character"),
        ({"-7": {"context": ["a"], "answer": "x"}}, "a key '-7'"),
        ({"1" + "0" * 40: {"context": ["a"], "answer": "x"}}, "its keys are flat indices"),
    ],
)
def test_wrong_contexts_are_refused(change: dict[str, Any], said: str, labels: Path, tmp_path: Path) -> None:
    rest = dict(list(CONTEXTS.items())[: len(CONTEXTS) - 1])
    rest.pop("7", None)
    file = write(tmp_path / "contexts.json", change | rest)
    with pytest.raises(ConfigError, match=said):
        build_bundle(labels, file, tmp_path / "out")


@pytest.mark.parametrize("n", [-1, 1])
def test_as_many_contexts_as_labels(n: int, labels: Path, tmp_path: Path) -> None:
    entries = list(CONTEXTS.values())
    file = write(tmp_path / "contexts.json", entries[:n] if n < 0 else entries + entries[:n])
    with pytest.raises(ConfigError, match="5 contexts and 6 labelled|more entries than"):
        build_bundle(labels, file, tmp_path / "out")


def test_one_flat_index_written_twice_is_refused(labels: Path, tmp_path: Path) -> None:
    entries = dict(list(CONTEXTS.items())[:-1]) | {"0" + next(iter(CONTEXTS)): CONTEXTS["7"]}
    with pytest.raises(ConfigError, match="the same flat index twice"):
        build_bundle(labels, write(tmp_path / "c.json", entries), tmp_path / "out")


@pytest.mark.parametrize(("raw", "said"), [("{}".encode("utf-16"), "not UTF-8"), (b'{"2": "\xff"}', "not UTF-8")])
def test_other_encodings_are_named(raw: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    file.write_bytes(raw)
    with pytest.raises(ConfigError, match=said):
        read_labels(file)


def test_too_many_tokens_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "MAX_TOKENS", 5)
    with pytest.raises(ConfigError, match="at most 5 tokens"):
        read_labels(write(tmp_path / "labels.json", LABELS))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    with file.open("wb") as handle:
        handle.truncate(100_000_001)
    with pytest.raises(ConfigError, match="at most 100,000,000"):
        read_labels(file)


def test_an_endless_entry_is_given_up(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    file.write_text('{"2": [[' + "0," * 4_000_000)
    with pytest.raises(ConfigError, match="an entry is longer than 4,000,000"):
        read_labels(file)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_entries_do_not_depend_on_how_the_file_is_cut(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.json_entries._CHUNK_BYTES", size)
    value = {"é": [1, 22, 333], "b": {"c": "日"}, "n": 12345}
    file = tmp_path / "any.json"
    file.write_text("\ufeff" + json.dumps(value, ensure_ascii=False, indent=1))
    assert dict(json_entries(file, what="It")) == value


def test_the_command_line_says_where_the_bundle_is(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import-published", str(labels), "--out", str(tmp_path), "--name", "ours"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.name.startswith("ours-")
    assert main(["info", str(path)]) == 0
    assert "6 below 0.1 nats" in capsys.readouterr().out


def _escaped(text: str) -> str:
    return "".join(f"\\{one}" if one in "[]{}().*+?^$|" else one for one in text)

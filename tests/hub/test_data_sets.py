"""Data sets of the Hub as corpora: one split at one commit, streamed, with every failure in a sentence."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from compute.config import CorpusConfig
from compute.errors import CorpusError
from compute.steps.corpus import Corpus
from compute.steps.run import Run
from compute.texts import open_texts, pinned, signature
from compute.workspace import Workspace
from tests.hub.fake import FakeHub
from tests.tiny import MAX_LENGTH, sentences, tiny_config

TEXTS = sentences(30, seed=7)
CARD = b"""---
configs:
- config_name: en
  data_files:
  - {split: train, path: en/0.parquet}
  - {split: test, path: en/held-out.parquet}
- config_name: de
  data_files: de/*.parquet
---
# A data set
"""


@pytest.fixture
def hub(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """The fake Hub, for libraries that read its address when they are imported."""
    import datasets
    from huggingface_hub import HfFileSystem, constants
    from huggingface_hub.utils import _http

    for module, name in ((constants, "ENDPOINT"), (datasets.config, "HF_ENDPOINT")):
        monkeypatch.setattr(module, name, fake_hub.url)
    template = fake_hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(
        datasets.config, "HUB_DATASETS_URL", fake_hub.url + "/datasets/{repo_id}/resolve/{revision}/{path}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf" / "datasets")
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "hf" / "downloads")
    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
    HfFileSystem.clear_instance_cache()
    yield fake_hub
    HfFileSystem.clear_instance_cache()


def lines(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text, "meta": {"n": n}}) + "\n" for n, text in enumerate(texts)).encode()


def table(texts: list[str]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": texts}), out, row_group_size=4)
    return out.getvalue()


def add(hub: FakeHub, files: dict[str, bytes], name: str = "owner/texts", **where: str) -> str:
    return hub.add(name, files, kind="datasets", **where)


def read(source: str, **settings: str | int) -> list[str]:
    texts = open_texts(CorpusConfig(source=source, **settings), Path())  # type: ignore[arg-type]
    return [document.text for document in texts.documents()]


def tokenized(config: CorpusConfig, suite: Path, work: Path) -> Corpus:
    import dataclasses

    run = dataclasses.replace(tiny_config(suite), corpus=config)
    return Run(config=run, files=Workspace(work), bundles=work, report=lambda n_done, n_total: None).corpus


@pytest.mark.parametrize("kind", ["lines", "gzip", "zstandard", "tables"])
def test_every_kind_of_file_gives_the_documents_in_order(hub, kind):
    make = {
        "lines": (".jsonl", lines),
        "gzip": (".json.gz", lambda texts: gzip.compress(lines(texts))),
        "zstandard": (".jsonl.zst", lambda texts: zstandard.compress(lines(texts))),
        "tables": (".parquet", table),
    }
    suffix, pack = make[kind]
    files = {f"data/train-0000{n}-of-00003{suffix}": pack(TEXTS[10 * n : 10 * n + 10]) for n in range(3)}
    commit = add(hub, files | {"README.md": b"# Texts\n"})
    texts = open_texts(CorpusConfig(source="hub:owner/texts"), Path())
    documents = list(texts.documents())
    assert [document.text for document in documents] == TEXTS
    assert documents[10].source == f"data/train-00001-of-00003{suffix}:1"
    assert (texts.name, texts.revision) == ("texts", commit)


def add_subsets(hub: FakeHub) -> None:
    files = {"en/0.parquet": table(["a"]), "en/held-out.parquet": table(["b"]), "de/0.parquet": table(["c"])}
    add(hub, files | {"README.md": CARD})


def test_subset_and_split_are_those_of_the_card(hub):
    add_subsets(hub)
    assert read("hub:owner/texts", subset="en") == ["a"]
    assert read("hub:owner/texts", subset="en", split="test") == ["b"]
    assert read("hub:owner/texts", subset="de") == ["c"]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({}, r"has 2 subsets; choose among \['en', 'de'\]"),
        ({"subset": "fr"}, r"has no subset 'fr'; choose among \['en', 'de'\]"),
        ({"subset": "en", "split": "dev"}, r"has no split 'dev'; choose among \['test', 'train'\]"),
    ],
)
def test_an_unknown_subset_or_split_is_refused_with_those_there_are(hub, settings, fault):
    add_subsets(hub)
    with pytest.raises(CorpusError, match=f"owner/texts {fault}"):
        read("hub:owner/texts", **settings)


def test_a_branch_is_pinned_to_the_commit_it_stands_for(hub):
    old = add(hub, {"train.jsonl": lines(["old"])})
    config = pinned(CorpusConfig(source="hub:owner/texts"))
    add(hub, {"train.jsonl": lines(["new"])})
    assert config.source == f"hub:owner/texts@{old}"
    assert read(config.source) == ["old"]
    assert read("hub:owner/texts") == ["new"]
    n_asked = len(hub.asked())
    assert pinned(config) == config
    assert signature(config) == config.source
    assert len(hub.asked()) == n_asked


def test_only_what_is_needed_is_asked_for(hub):
    files = {f"train-{n:05d}-of-00005.jsonl": lines([str(n)]) for n in range(5)}
    add(hub, files)
    assert read("hub:owner/texts", max_documents=2) == ["0", "1"]
    assert [bool(hub.asked(f"train-{n:05d}")) for n in range(5)] == [True, True, False, False, False]


def test_fields_that_nobody_asked_for_cannot_stop_it(hub):
    add(hub, {"train.jsonl": b'{"text": "a", "meta": 1}\n{"text": "b", "meta": {"c": []}, "d": null}\n'})
    assert read("hub:owner/texts") == ["a", "b"]


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"cut_at": 10}])
@pytest.mark.parametrize("make", [table, lines])
def test_a_fault_on_the_way_is_got_over(hub, fault, make):
    suffix = ".parquet" if make is table else ".jsonl.zst"
    add(hub, {f"train{suffix}": make(TEXTS) if make is table else zstandard.compress(lines(TEXTS))})
    hub.fail("/cdn/", times=2, **fault)
    assert read("hub:owner/texts") == TEXTS


def test_the_commit_is_asked_for_again_when_the_hub_is_busy(hub, monkeypatch):
    commit = add(hub, {"train.jsonl": lines(["a"])})
    hub.fail("/revision/main", status=503)
    assert pinned(CorpusConfig(source="hub:owner/texts")).source.endswith(commit)


def test_a_hub_that_keeps_failing_is_a_sentence(hub):
    add(hub, {"train.jsonl.gz": gzip.compress(lines(TEXTS))})
    hub.fail("/cdn/", times=100, status=503)
    with pytest.raises(CorpusError, match="owner/texts cannot be had from the Hub .*503.*start again"):
        read("hub:owner/texts")


def test_no_network_is_a_sentence(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CorpusError, match="owner/texts cannot be had from the Hub .*Check the network"):
        pinned(CorpusConfig(source="hub:owner/texts"))


def test_a_gated_data_set_says_what_to_do(hub, monkeypatch):
    add(hub, {"train.jsonl": lines(["a"])})
    hub.repositories["datasets", "owner/texts"].is_gated = True
    with pytest.raises(CorpusError, match="owner/texts is gated. Ask for access .* HF_TOKEN"):
        read("hub:owner/texts")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert read("hub:owner/texts") == ["a"]


def test_a_missing_or_private_data_set_says_so(hub):
    with pytest.raises(CorpusError, match="owner/absent is not on the Hub, or is private"):
        read("hub:owner/absent")


@pytest.mark.parametrize("revision", ["v2", "0" * 40])
def test_an_unknown_revision_is_named(hub, revision):
    add(hub, {"train.jsonl": lines(["a"])})
    with pytest.raises(CorpusError, match=f"owner/texts has no revision '{revision}'"):
        read(f"hub:owner/texts@{revision}")


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"train.csv": b"text\na\n"}, "files that cannot be read, train.csv among them"),
        ({"notes.bin": b"a"}, "cannot be read: .*data files"),
        ({"README.md": None, "notes.bin": b"a"}, "cannot be read: .*data files"),
        ({"texts.py": b"raise SystemExit", "train.jsonl": b'{"text": "a"}\n'}, "cannot be read: Dataset scripts"),
        ({}, "cannot be read: .*data files"),
        ({"train.jsonl": b"", "test.parquet": b""}, "cannot be read: .*same data file format"),
        ({"README.md": b"---\nconfigs: [\n---\n", "train.jsonl": b""}, "cannot be read: .*"),
        ({"README.md": b"---\nconfigs: 3\n---\n", "train.jsonl": b""}, "cannot be read: .*"),
    ],
)
def test_a_data_set_without_files_that_can_be_read_is_refused(hub, files, fault):
    everything = {"README.md": b"# Nothing\n"} | files
    add(hub, {name: content for name, content in everything.items() if content is not None})
    with pytest.raises(CorpusError, match=f"owner/texts .*{fault}"):
        read("hub:owner/texts")


def test_a_bad_line_is_named_by_file_and_number(hub):
    add(hub, {"train.jsonl": b'{"text": "a"}\n{"text": 3}\n'})
    with pytest.raises(CorpusError, match=r"Line 2 of owner/texts/train\.jsonl has no text"):
        read("hub:owner/texts")


def test_a_run_keeps_its_commit_and_needs_the_hub_no_more(hub, tiny_suite, tmp_path, monkeypatch):
    old = add(hub, {"train.parquet": table(TEXTS)})
    config = CorpusConfig(source="hub:owner/texts", max_length=MAX_LENGTH)
    first = tokenized(config, tiny_suite, tmp_path / "work")
    assert first.facts["revision"] == old
    add(hub, {"train.parquet": table(TEXTS[::-1])})
    n_asked = len(hub.asked())
    again = tokenized(config, tiny_suite, tmp_path / "work")
    assert (again.stamp, again.facts) == (first.stamp, first.facts)
    assert len(hub.asked()) == n_asked
    other = tokenized(config, tiny_suite, tmp_path / "another run")
    assert other.facts["revision"] != old
    assert other.stamp != first.stamp


def test_a_data_set_gives_the_same_tokens_as_a_file(hub, tiny_suite, tmp_path):
    (tmp_path / "texts.jsonl").write_bytes(lines(TEXTS))
    add(hub, {"train.parquet": table(TEXTS)})
    here = tokenized(CorpusConfig(source=str(tmp_path / "texts.jsonl")), tiny_suite, tmp_path / "here")
    there = tokenized(CorpusConfig(source="hub:owner/texts"), tiny_suite, tmp_path / "there")
    assert there.stamp == here.stamp
    assert there.facts["sha256"] == here.facts["sha256"]
    assert "revision" not in here.facts

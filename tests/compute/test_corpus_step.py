"""Tokenising a run's text: the same arrays whatever it comes from, and however often the work was stopped."""

from __future__ import annotations

import dataclasses
import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from tokenizers import Tokenizer

from compute.config import CorpusConfig, RunConfig
from compute.errors import CorpusError
from compute.steps import corpus as step
from compute.steps import run as run_module
from compute.steps.corpus import Corpus
from compute.steps.run import Run
from compute.workspace import Workspace
from tests.tiny import MAX_LENGTH, sentences, tiny_config

TEXTS = [text * (1 + n % 3) for n, text in enumerate(sentences(40, seed=5))]


class Killed(BaseException):
    """Stands for the end of the process."""


def lines(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


@pytest.fixture
def config(tiny_suite: Path, tmp_path: Path) -> RunConfig:
    (tmp_path / "text.jsonl").write_bytes(lines(TEXTS))
    return reading(tiny_config(tiny_suite), tmp_path / "text.jsonl")


def reading(config: RunConfig, source: Path, **settings: Any) -> RunConfig:
    corpus = CorpusConfig(source=str(source), max_length=MAX_LENGTH, **settings)
    return dataclasses.replace(config, corpus=corpus)


def nobody(n_done: int, n_total: int) -> None:
    """Hears of progress and does nothing."""


def tokenized(config: RunConfig, work: Path, report: Callable[[int, int], None] = nobody) -> Corpus:
    return Run(config=config, files=Workspace(work), bundles=work / "bundles", report=report).corpus


def arrays(corpus: Corpus) -> tuple[bytes, bytes, dict[str, Any], list[dict[str, Any]]]:
    return corpus.tokens.token_ids.tobytes(), corpus.tokens.offsets.tobytes(), corpus.facts, corpus.documents


def write_parquet(path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": TEXTS}), path)


def test_tokens_are_those_of_the_tokenizer_cut_to_length(config, tmp_path):
    corpus = tokenized(config, tmp_path / "work")
    tokenizer = Tokenizer.from_file(config.suite.tokenizer)
    expected = [tokenizer.encode(text, add_special_tokens=False).ids[:MAX_LENGTH] for text in TEXTS]
    assert [corpus.tokens.document_tokens(n).tolist() for n in range(len(TEXTS))] == expected
    assert [document["n_tokens"] for document in corpus.documents] == list(map(len, expected))
    assert max(map(len, expected)) == MAX_LENGTH
    assert corpus.facts["n_tokens"] == sum(map(len, expected))
    assert corpus.tokens.token_ids.dtype == np.uint16


def test_arrays_are_memory_mapped(config, tmp_path):
    first = tokenized(config, tmp_path / "work")
    again = tokenized(config, tmp_path / "work")
    for corpus in (first, again):
        assert isinstance(corpus.tokens.token_ids, np.memmap)
        assert isinstance(corpus.tokens.offsets, np.memmap)
    assert not (tmp_path / "work" / "partial" / "corpus").exists()


def test_every_kind_of_source_gives_the_same_arrays_and_hash(config, tmp_path):
    expected = tokenized(config, tmp_path / "plain")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines(TEXTS)))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(lines(TEXTS)))
    write_parquet(tmp_path / "c.parquet")
    for name in ("shards", "texts"):
        (tmp_path / name).mkdir()
    (tmp_path / "shards" / "0.jsonl").write_bytes(lines(TEXTS[:7]))
    (tmp_path / "shards" / "1.jsonl.gz").write_bytes(gzip.compress(lines(TEXTS[7:])))
    for n, text in enumerate(TEXTS):
        (tmp_path / "texts" / f"{n:03d}.txt").write_text(text)
    for name in ("c.jsonl.gz", "c.jsonl.zst", "c.parquet", "shards", "texts"):
        found = tokenized(reading(config, tmp_path / name), tmp_path / f"work of {name}")
        assert arrays(found)[:2] == arrays(expected)[:2], name
        assert found.facts["sha256"] == expected.facts["sha256"], name
        assert found.stamp == expected.stamp, name


def test_the_document_limit_holds(config, tmp_path):
    corpus = tokenized(reading(config, tmp_path / "text.jsonl", max_documents=3), tmp_path / "work")
    assert corpus.tokens.n_documents == corpus.facts["n_documents"] == 3


def test_text_that_spells_a_special_token_becomes_it(config, tmp_path):
    tokenizer = Tokenizer.from_file(config.suite.tokenizer)
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "c.jsonl").write_bytes(lines(["a<|endoftext|>b"]))
    suite = dataclasses.replace(config.suite, tokenizer=str(tmp_path / "tokenizer.json"))
    corpus = tokenized(dataclasses.replace(reading(config, tmp_path / "c.jsonl"), suite=suite), tmp_path / "work")
    assert corpus.tokens.document_tokens(0)[1] == tokenizer.token_to_id("<|endoftext|>")
    assert corpus.tokens.n_tokens == 3


@pytest.fixture
def saved_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of three documents, each saved at once."""
    monkeypatch.setattr(step, "DOCUMENTS_PER_BATCH", 3)
    monkeypatch.setattr(run_module, "SAVE_EVERY", -1.0)
    monkeypatch.setattr(run_module, "REPORT_EVERY", -1.0)


def killed_after(n_documents: int) -> Callable[[int, int], None]:
    def report(n_done: int, n_total: int) -> None:
        if n_done >= n_documents:
            raise Killed

    return report


@pytest.mark.usefixtures("saved_often")
def test_work_that_was_killed_goes_on_and_ends_with_the_same_bytes(config, tmp_path, monkeypatch):
    whole = tokenized(config, tmp_path / "whole")
    work = tmp_path / "work"
    for n_documents in (4, 5, 20):
        with pytest.raises(Killed):
            tokenized(config, work, killed_after(n_documents))
    encoded: list[str] = []
    monkeypatch.setattr(step, "encoder", noting(step.encoder, encoded))
    resumed = tokenized(config, work)
    assert arrays(resumed) == arrays(whole)
    assert 0 < len(encoded) <= len(TEXTS) - 18


def noting(make: Callable[[Path], Any], encoded: list[str]) -> Callable[[Path], Any]:
    def noting_encoder(path: Path) -> Any:
        encode = make(path)

        def note(texts: list[str]) -> Any:
            encoded.extend(texts)
            return encode(texts)

        return note

    return noting_encoder


@pytest.mark.usefixtures("saved_often")
@pytest.mark.parametrize("damage", ["altered", "gone"])
def test_parts_after_a_damaged_one_are_tokenised_again(config, tmp_path, damage):
    whole = tokenized(config, tmp_path / "whole")
    work = tmp_path / "work"
    with pytest.raises(Killed):
        tokenized(config, work, killed_after(20))
    part = next((work / "partial" / "corpus").glob("00002.*.npy"))
    if damage == "gone":
        part.unlink()
    else:
        part.write_bytes(part.read_bytes()[:-1] + b"\xff")
    with pytest.raises(Killed):
        tokenized(config, work, killed_after(9))
    assert arrays(tokenized(config, work)) == arrays(whole)


@pytest.mark.usefixtures("saved_often")
def test_parts_of_another_text_are_not_used(config, tmp_path):
    work = tmp_path / "work"
    with pytest.raises(Killed):
        tokenized(config, work, killed_after(20))
    (tmp_path / "text.jsonl").write_bytes(lines(TEXTS[::-1]))
    found = tokenized(config, work)
    assert arrays(found) == arrays(tokenized(config, tmp_path / "whole"))


def test_progress_counts_documents_up_to_all_of_them(config, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "DOCUMENTS_PER_BATCH", 10)
    monkeypatch.setattr(run_module, "REPORT_EVERY", -1.0)
    told: list[tuple[int, int]] = []
    tokenized(config, tmp_path / "work", lambda n_done, n_total: told.append((n_done, n_total)))
    counts = [n_done for n_done, _ in told if n_done]
    assert counts[0] == 10
    assert counts[-1] == 40
    assert all(n_done <= n_total for n_done, n_total in told if n_done)


@pytest.mark.usefixtures("saved_often")
def test_a_fault_in_the_text_stops_the_work_with_its_sentence_and_what_is_done_is_kept(config, tmp_path):
    work = tmp_path / "work"
    (tmp_path / "text.jsonl").write_bytes(lines(TEXTS[:10]) + b"{\n")
    with pytest.raises(CorpusError, match="Line 11 of .*text.jsonl is not JSON"):
        tokenized(config, work)
    assert list((work / "partial" / "corpus").glob("00000.*.npy"))


@pytest.mark.parametrize(
    ("texts", "fault"), [([], "holds no text"), ([""], "holds no text"), (["a"], "nothing to predict")]
)
def test_text_without_anything_to_predict_is_refused(config, tmp_path, texts, fault):
    (tmp_path / "text.jsonl").write_bytes(lines(texts))
    with pytest.raises(CorpusError, match=fault):
        tokenized(config, tmp_path / "work")


def test_a_tokenizer_that_gives_more_ids_than_it_lists_is_refused(config, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "encoder", lambda path: lambda texts: [[5, 70_000] for _ in texts])
    with pytest.raises(CorpusError, match="id 70000 in document 0"):
        tokenized(config, tmp_path / "work")


def test_a_tokenizer_that_is_not_there_is_a_sentence(config, tmp_path):
    suite = dataclasses.replace(config.suite, tokenizer=str(tmp_path / "absent"))
    with pytest.raises(CorpusError, match="There is no tokenizer"):
        tokenized(dataclasses.replace(config, suite=suite), tmp_path / "work")


def test_texts_are_never_all_in_memory(config, tmp_path):
    text = " ".join(TEXTS)
    text *= 1_000_000 // len(text)
    with (tmp_path / "text.jsonl").open("wb") as file:
        for _ in range(60):
            file.write(lines([text]))
    tracemalloc.start()
    try:
        corpus = tokenized(config, tmp_path / "work")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert corpus.tokens.n_tokens == 60 * MAX_LENGTH
    assert peak < 45_000_000  # batches of 8 MB: one at work, two ahead, one being read

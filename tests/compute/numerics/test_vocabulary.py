"""Bytes of tokens, read without a tokenizer library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from compute.errors import CorpusError
from compute.numerics.vocabulary import Vocabulary, byte_alphabet, vocabulary_from_tokenizer

TEXT = 'naïve café — 数学 😀\n\tdef f(x): return "x"\r\n' * 20


@pytest.fixture
def tokenizer_path(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=["<|end|>"])
    tokenizer.train_from_iterator([TEXT], trainer)
    tokenizer.add_tokens([AddedToken("   ", normalized=True), AddedToken("Ġé", normalized=False)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_bytes_of_tokens_join_to_the_text(tokenizer_path: Path) -> None:
    vocabulary = vocabulary_from_tokenizer(tokenizer_path)
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    text = TEXT + "<|end|>" + "   Ġé" + "\x00\x7f\u00a0\u00ad"
    ids = tokenizer.encode(text).ids
    assert b"".join(vocabulary.token_bytes(i) for i in ids) == text.encode()
    assert len(vocabulary) == tokenizer.get_vocab_size()


def test_added_tokens_are_taken_literally(tokenizer_path: Path) -> None:
    vocabulary = vocabulary_from_tokenizer(tokenizer_path)
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    for text in ("<|end|>", "   ", "Ġé"):
        assert vocabulary.token_bytes(tokenizer.token_to_id(text)) == text.encode()


@pytest.mark.parametrize("token_id", [-1, 10**9])
def test_ids_outside_the_vocabulary_stand_for_nothing(tokenizer_path: Path, token_id: int) -> None:
    assert vocabulary_from_tokenizer(tokenizer_path).token_bytes(token_id) == b""


def test_ids_that_the_file_leaves_out_stand_for_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, model={"type": "BPE", "vocab": {"a": 0, "Ġb": 3}})
    vocabulary = vocabulary_from_tokenizer(path)
    assert [vocabulary.token_bytes(i) for i in range(5)] == [b"a", b"", b"", b" b", b""]


def test_the_alphabet_names_every_byte_once() -> None:
    alphabet = byte_alphabet()
    assert sorted(alphabet.values()) == list(range(256))
    assert [alphabet[c] for c in "AĠĊÿ"] == [65, 32, 10, 255]
    assert set(alphabet) == set(pre_tokenizers.ByteLevel.alphabet())


def write(folder: Path, **changes: Any) -> Path:
    """A tokenizer file of one token, with changes."""
    content = {"model": {"type": "BPE", "vocab": {"a": 0}}, "decoder": {"type": "ByteLevel"}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps({**content, **changes}))
    return folder / "tokenizer.json"


def test_a_byte_level_stage_within_a_sequence_is_found(tmp_path: Path) -> None:
    stage = {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"}]}
    assert len(vocabulary_from_tokenizer(write(tmp_path, decoder=None, pre_tokenizer=stage))) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"type": "Unigram", "vocab": []}},
        {"decoder": {"type": "Metaspace"}},
        {"model": {"type": "BPE"}},
        {"model": {"type": "BPE", "vocab": {}}},
        {"model": {"type": "BPE", "vocab": {"a": "x"}}},
        {"model": None},
        {"added_tokens": [{"id": 1}]},
    ],
)
def test_other_tokenizers_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CorpusError, match=r"tokenizer\.json"):
        vocabulary_from_tokenizer(write(tmp_path, **changes))


@pytest.mark.parametrize("content", [b"", b'{"model": {', b"[]", b"\xff\xfe"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(CorpusError, match="Save"):
        vocabulary_from_tokenizer(tmp_path / "tokenizer.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="cannot be read"):
        vocabulary_from_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("offsets", [[0, 2], [1, 3], [0, 3, 2, 3], []])
def test_arrays_that_contradict_each_other_are_refused(offsets: list[int]) -> None:
    with pytest.raises(CorpusError):
        Vocabulary(np.frombuffer(b"abc", np.uint8), np.array(offsets, np.int64))


def test_reading_a_vocabulary_imports_no_model_library() -> None:
    code = (
        "import sys, compute.numerics.vocabulary, compute.numerics.corpus, compute.numerics.selection\n"
        "assert not {'torch', 'transformers', 'tokenizers', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])

"""The canonical prediction index, with documents of every length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compute.errors import CorpusError
from compute.numerics.corpus import TokenizedCorpus, first_tokens, has_word_breaks, tokenize
from compute.numerics.vocabulary import Vocabulary
from tests.compute.numerics.networks import corpus_of

# Lengths 0, 3, 1, 0, 2, 1, 0: predictions are 8, 9 of document 1 and 4 of document 4.
MIXED = [[], [7, 8, 9], [5], [], [3, 4], [6], []]


def encode(texts: list[str]) -> list[list[int]]:
    """One token a character."""
    return [[ord(character) for character in text] for text in texts]


def test_starts_skip_documents_without_predictions() -> None:
    corpus = corpus_of(MIXED)
    assert (corpus.n_documents, corpus.n_tokens, corpus.n_predictions) == (7, 7, 3)
    assert corpus.prediction_starts.tolist() == [0, 0, 2, 2, 2, 3, 3, 3]
    assert corpus.lengths.tolist() == [0, 3, 1, 0, 2, 1, 0]
    assert corpus.document_tokens(4).tolist() == [3, 4]
    assert corpus.document_tokens(0).tolist() == []


def test_locate_finds_document_and_position() -> None:
    corpus = corpus_of(MIXED)
    assert [corpus.locate(i) for i in range(3)] == [(1, 1), (1, 2), (4, 1)]
    document, position = corpus.locate(np.array([2, 0]))
    assert (document.tolist(), position.tolist()) == ([4, 1], [1, 1])


def test_flat_index_is_the_inverse_of_locate() -> None:
    corpus = corpus_of(MIXED)
    assert [corpus.flat_index(1, 1), corpus.flat_index(1, 2), corpus.flat_index(4, 1)] == [0, 1, 2]
    assert corpus.flat_index(*corpus.locate(np.arange(3))).tolist() == [0, 1, 2]


@pytest.mark.parametrize("index", [-1, 3, np.array([0, 3]), np.array([-1, 1]), 1.5, True])
def test_locate_refuses_what_is_no_prediction(index: int) -> None:
    with pytest.raises(CorpusError):
        corpus_of(MIXED).locate(index)


@pytest.mark.parametrize("place", [(-1, 1), (7, 1), (1, 0), (1, 3), (0, 1), (2, 1)])
def test_flat_index_refuses_what_is_not_predicted(place: tuple[int, int]) -> None:
    with pytest.raises(CorpusError):
        corpus_of(MIXED).flat_index(*place)


@pytest.mark.parametrize("document", [-1, 7])
def test_unknown_documents_are_refused(document: int) -> None:
    with pytest.raises(CorpusError, match="0 to 6"):
        corpus_of(MIXED).document_tokens(document)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30).filter(lambda lengths: max(lengths) >= 2))
def test_every_prediction_has_one_place(lengths: list[int]) -> None:
    corpus = corpus_of([[1] * n for n in lengths])
    places = [(d, p) for d, n in enumerate(lengths) for p in range(1, n)]
    assert [corpus.locate(i) for i in range(corpus.n_predictions)] == places


def test_texts_are_cut_and_indexed_in_order() -> None:
    corpus = tokenize(iter(["", "abcdef", "x", "yz"]), encode, max_length=4, n_vocabulary=256)
    assert corpus.token_ids.tolist() == [*map(ord, "abcdxyz")]
    assert corpus.offsets.tolist() == [0, 0, 4, 5, 7]
    assert corpus.token_ids.dtype == np.uint16


def test_more_texts_than_one_encoding_takes_keep_their_order() -> None:
    texts = [chr(40 + i % 80) * (i % 4) for i in range(1000)]
    corpus = tokenize(texts, encode, max_length=8, n_vocabulary=256)
    assert ["".join(map(chr, corpus.document_tokens(i))) for i in range(1000)] == texts


def test_large_vocabularies_take_four_bytes() -> None:
    corpus = tokenize(["\U0001f600a"], encode, max_length=4, n_vocabulary=1 << 21)
    assert corpus.token_ids.dtype == np.uint32
    assert corpus.token_ids.tolist() == [0x1F600, 97]
    assert tokenize(["ab"], encode, max_length=4, n_vocabulary=1 << 16).token_ids.dtype == np.uint16


@pytest.mark.parametrize("texts", [[], [""], ["", "a", "b"]])
def test_text_without_anything_to_predict_is_refused(texts: list[str]) -> None:
    with pytest.raises(CorpusError, match="nothing to predict"):
        tokenize(texts, encode, max_length=4, n_vocabulary=256)


def test_a_tokenizer_that_exceeds_the_vocabulary_is_refused() -> None:
    with pytest.raises(CorpusError, match="id 122 in document 1"):
        tokenize(["ab", "az"], encode, max_length=4, n_vocabulary=100)


def test_documents_cut_to_one_token_are_refused() -> None:
    with pytest.raises(CorpusError, match="at least 2"):
        tokenize(["ab"], encode, max_length=1, n_vocabulary=256)


@pytest.mark.parametrize(
    ("ids", "offsets"),
    [([1, 2, 3], [0, 2]), ([1, 2, 3], [1, 3]), ([1, 2, 3], [0, 3, 2, 3]), ([1, 2, 3], [0.0, 3.0]), ([1, 2], [])],
)
def test_arrays_that_contradict_each_other_are_refused(ids: list[int], offsets: list[int]) -> None:
    with pytest.raises(CorpusError):
        TokenizedCorpus(np.array(ids, np.uint16), np.array(offsets))


def test_other_number_formats_are_refused() -> None:
    with pytest.raises(CorpusError, match="int64"):
        TokenizedCorpus(np.array([1, 2]), np.array([0, 2]))


def test_memory_mapped_arrays_serve_as_well(tmp_path: Path) -> None:
    corpus = corpus_of(MIXED)
    np.save(tmp_path / "ids.npy", corpus.token_ids)
    np.save(tmp_path / "offsets.npy", corpus.offsets)
    mapped = TokenizedCorpus(
        np.load(tmp_path / "ids.npy", mmap_mode="r"), np.load(tmp_path / "offsets.npy", mmap_mode="r")
    )
    assert mapped.locate(2) == (4, 1)
    assert mapped.document_tokens(1).tolist() == [7, 8, 9]
    assert mapped.sha256() == corpus.sha256()


def test_the_hash_tells_tokens_and_borders_apart_but_not_widths() -> None:
    corpus = corpus_of(MIXED)
    assert corpus.sha256() == corpus_of(MIXED, np.uint32).sha256()
    others = [corpus_of(MIXED[1:]), corpus_of([*MIXED[:4], [3, 5], [6], []]), corpus_of([[], [7, 8], [9, 5]])]
    assert corpus.sha256() not in {other.sha256() for other in others}


def vocabulary_of(*tokens: bytes) -> Vocabulary:
    offsets = np.concatenate([[0], np.cumsum([len(token) for token in tokens])])
    return Vocabulary(np.frombuffer(b"".join(tokens), np.uint8), offsets.astype(np.int64))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([b"of", b" the", b"\n", b"  ", b".\n", b"x"], True),
        ([b"of", b"", b" the"], True),
        ([b"of the"], False),
        ([b" a", b"end\n"], False),
        ([b"7 "], False),
        ([], True),
    ],
)
def test_word_breaks_are_places_that_no_token_holds(tokens: list[bytes], expected: bool) -> None:
    assert has_word_breaks(vocabulary_of(*tokens)) is expected


def splits() -> dict[str, tuple[Any, Any]]:
    """Normaliser and splitting of text as language models have it."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    word = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    late = Regex(word + r"|\s*[\r\n]+|\s+(?!\S)|\s+")
    return {
        "GPT-2": (None, pre_tokenizers.ByteLevel(add_prefix_space=False)),
        "GPT-NeoX": (normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False)),
        "Llama 3": (
            None,
            pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(late, "isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            ),
        ),
    }


@pytest.fixture(scope="module", params=["GPT-2", "GPT-NeoX", "Llama 3"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """Trained on a little code and prose, with runs of spaces as tokens of their own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    normalizer, tokenizer.pre_tokenizer = splits()[request.param]
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([Path(__file__).read_text(encoding="utf-8")], trainer)
    tokenizer.add_tokens(["  ", "    ", "\n\n"])
    return tokenizer


SPACES = [" ", "  ", "    ", "\n", "\n\n", "\t"]
OTHERS = ["a", "the", "don't", ".", "),\n", "e\u0301", "\u0300", "한국어", "中文", "12345", "_x", "😀"]
PIECES = st.sampled_from(SPACES + OTHERS)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, max_size=200), max_length=st.integers(2, 12))
def test_a_head_gives_the_first_tokens_of_the_whole_text(tokenizer: Any, pieces: list[str], max_length: int) -> None:
    text = "".join(pieces)
    lengths: list[int] = []

    def encode(texts: list[str]) -> list[list[int]]:
        lengths.extend(map(len, texts))
        return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]

    whole = tokenizer.encode(text, add_special_tokens=False).ids[:max_length]
    (found,) = first_tokens([text], encode, max_length=max_length, n_vocabulary=2000, has_word_breaks=True)
    assert found.tolist() == whole
    assert len(lengths) > 1 or lengths[0] == len(text) or len(whole) == max_length


def test_a_long_text_is_not_encoded_whole() -> None:
    seen: list[str] = []

    def note(texts: list[str]) -> list[list[int]]:
        seen.extend(texts)
        return encode(texts)

    text = "x" * 30 + " y" * 1000
    found = first_tokens(["ab", text], note, max_length=4, n_vocabulary=256, has_word_breaks=True)
    assert seen == ["ab", "x" * 30]
    assert [ids.tolist() for ids in found] == [[97, 98], [120] * 4]
    seen.clear()
    first_tokens([text], note, max_length=4, n_vocabulary=256)
    assert seen == [text]


def test_a_head_that_gives_too_few_tokens_is_made_longer() -> None:
    seen: list[int] = []

    def words(texts: list[str]) -> list[list[int]]:
        seen.extend(map(len, texts))
        return [[len(word) for word in text.split()] for text in texts]

    text = " ".join(["w" * 50] * 40)
    (found,) = first_tokens([text], words, max_length=10, n_vocabulary=256, has_word_breaks=True)
    assert found.tolist() == [50] * 10
    assert seen == [101, 254, 968]  # the ends of words after 60, 240 and 960 characters

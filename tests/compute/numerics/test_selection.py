"""The two filters, and which candidates are taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.errors import SelectionError
from compute.numerics import selection
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.selection import induction_mask, largest_stride, select_tokens, zero_loss_mask
from tests.compute.numerics.networks import corpus_of


def dictionary_mask(corpus: TokenizedCorpus) -> np.ndarray:
    """The definition, one token after the other."""
    mask = np.zeros(corpus.n_predictions, bool)
    flat = 0
    for document in range(corpus.n_documents):
        tokens = corpus.document_tokens(document).tolist()
        seen = set()
        for j in range(1, len(tokens)):
            if j >= 2:
                trigram = tuple(tokens[j - 2 : j + 1])
                mask[flat] = trigram in seen
                seen.add(trigram)
            flat += 1
    return mask


streams = st.lists(st.lists(st.integers(0, 3), max_size=40), min_size=1, max_size=12).filter(
    lambda documents: max(map(len, documents)) >= 2
)


@given(streams, st.sampled_from([0, 65_530, 65_536, 2**21 - 4, 2**21, 2**32 - 4]))
@settings(deadline=None)
def test_induction_agrees_with_a_dictionary(documents: list[list[int]], lowest: int) -> None:
    corpus = corpus_of([[lowest + i for i in document] for document in documents], np.uint32)
    assert np.array_equal(induction_mask(corpus), dictionary_mask(corpus))


@pytest.mark.parametrize(("lowest", "tokens_per_group"), [(0, 100), (0, 1), (65_530, 1000), (2**21, 300)])
def test_induction_agrees_over_many_documents(
    monkeypatch: pytest.MonkeyPatch, lowest: int, tokens_per_group: int
) -> None:
    monkeypatch.setattr(selection, "TOKENS_PER_GROUP", tokens_per_group)
    rng = np.random.default_rng(0)
    documents = [(lowest + rng.integers(0, 3, rng.integers(0, 25))).tolist() for _ in range(600)]
    corpus = corpus_of(documents, np.uint32)
    mask = induction_mask(corpus)
    assert np.array_equal(mask, dictionary_mask(corpus))
    assert 0.1 < mask.mean() < 0.9


def test_more_documents_than_one_key_holds_are_taken_in_groups() -> None:
    documents = [[2**20, 5, 6, 2**20, 5, 6]] * 3  # 21 bits an id leave none for the document
    mask = induction_mask(corpus_of(documents, np.uint32))
    assert mask.tolist() == [False, False, False, False, True] * 3


def test_overlapping_repeats_count() -> None:
    assert induction_mask(corpus_of([[9, 9, 9, 9]])).tolist() == [False, False, True]


def test_repeats_of_another_document_do_not_count() -> None:
    mask = induction_mask(corpus_of([[1, 2, 3], [], [1, 2, 3], [4], [1, 2, 3, 1, 2, 3]]))
    assert np.flatnonzero(mask).tolist() == [8]


def test_a_repeated_trigram_in_another_order_does_not_count() -> None:
    assert not induction_mask(corpus_of([[1, 2, 3, 2, 1]])).any()


def test_the_threshold_is_strict() -> None:
    losses = np.array([0.0, 0.0999, 0.1, 5.0])
    assert zero_loss_mask(losses, 0.1).tolist() == [True, True, False, False]


@pytest.mark.parametrize("threshold", [0.0, -1.0, np.nan, np.inf])
def test_thresholds_that_are_no_positive_numbers_are_refused(threshold: float) -> None:
    with pytest.raises(SelectionError, match="positive"):
        zero_loss_mask(np.zeros(3), threshold)


def test_losses_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(SelectionError, match="flat index 1"):
        zero_loss_mask(np.array([0.0, np.nan]), 0.1)


def test_the_papers_stride_takes_every_fiftieth() -> None:
    chosen = select_tokens(np.arange(7, 499_958), n_tokens=10_000, stride=50)
    assert (len(chosen), chosen[0], chosen[1], chosen[-1]) == (10_000, 7, 57, 499_957)
    assert chosen.dtype == np.int64


def test_one_candidate_less_is_too_few_for_the_papers_stride() -> None:
    with pytest.raises(
        SelectionError, match=r"499,950 candidates gives 9,999 .* 10,000 .* stride to 49 or ask for 9,999"
    ):
        select_tokens(np.arange(499_950), n_tokens=10_000, stride=50)


@given(st.integers(1, 60), st.data())
def test_no_stride_takes_the_largest_that_is_enough(n_candidates: int, data: st.DataObject) -> None:
    n_tokens = data.draw(st.integers(1, n_candidates))
    candidates = np.arange(n_candidates) * 3 + 1
    stride = largest_stride(n_candidates, n_tokens)
    assert len(candidates[::stride]) >= n_tokens
    assert n_tokens == 1 or len(candidates[:: stride + 1]) < n_tokens
    assert (
        select_tokens(candidates, n_tokens=n_tokens, stride=None).tolist() == candidates[::stride][:n_tokens].tolist()
    )


@pytest.mark.parametrize("stride", [None, 50])
def test_too_few_candidates_are_refused_with_their_number(stride: int | None) -> None:
    with pytest.raises(
        SelectionError, match="1,234 tokens pass the filters, but 3,000 were asked for. Ask for at most"
    ):
        select_tokens(np.arange(1234), n_tokens=3000, stride=stride)


def test_no_candidates_are_refused() -> None:
    with pytest.raises(SelectionError, match="0 tokens pass the filters.*Evaluate more text"):
        select_tokens(np.array([]), n_tokens=1, stride=None)


@pytest.mark.parametrize(
    ("candidates", "n_tokens", "stride"),
    [([3, 2, 1], 1, None), ([1, 1], 1, None), ([1, 2], 0, None), ([1, 2], 1, 0), ([0.5, 1.5], 1, 1)],
)
def test_wrong_requests_are_refused(candidates: list[int], n_tokens: int, stride: int | None) -> None:
    with pytest.raises(SelectionError):
        select_tokens(np.array(candidates), n_tokens=n_tokens, stride=stride)

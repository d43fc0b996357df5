"""A tokenised corpus and its canonical prediction index.

Every token but the first of its document is predicted once. Predictions are counted over the corpus in
document order, so that one integer, the flat index, names a prediction in every array of a run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, overload

import numpy as np

from compute.errors import CorpusError
from compute.numerics.vocabulary import Vocabulary

DOCUMENTS_PER_ENCODING = 256
CHARS_PER_TOKEN = 6  # more than most text has, so that one head of a long document is nearly always enough
HEAD_SEARCH_CHARS = 1 << 20
TOKENS_PER_HASH = 1 << 22
_BREAK = re.compile(r"[A-Za-z0-9](?=[ \n])")
_BYTES_OF_BREAK = re.compile(_BREAK.pattern.encode())


@dataclass(frozen=True, eq=False)
class TokenizedCorpus:
    """Token ids of all documents end to end, and where each document begins.

    Attributes
    ----------
    token_ids : ndarray of shape (n_tokens,), uint16 or uint32
        Token ids, 0 <= id < size of the vocabulary. May be memory-mapped.
    offsets : ndarray of shape (n_documents + 1,), int64
        Document i is ``token_ids[offsets[i]:offsets[i + 1]]``.

    Raises
    ------
    CorpusError
        If the two arrays contradict each other or nothing can be predicted.

    Notes
    -----
    With ``starts = [0, cumsum(max(length - 1, 0))]``, flat index i belongs to the last document d with
    ``starts[d] <= i``, and predicts the token at position ``i - starts[d] + 1`` of that document. Empty and
    one-token documents hold no predictions and are passed over.

    Examples
    --------
    >>> corpus = TokenizedCorpus(np.array([7, 8, 9, 5, 3, 4], np.uint16), np.array([0, 3, 3, 4, 6]))
    >>> corpus.n_predictions, corpus.locate(2)
    (3, (3, 1))
    """

    token_ids: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        if self.token_ids.ndim != 1 or self.token_ids.dtype not in (np.uint16, np.uint32):
            raise CorpusError(
                f"Token ids must be a flat array of uint16 or uint32, not {self.token_ids.dtype} of shape "
                f"{self.token_ids.shape}."
            )
        if self.offsets.ndim != 1 or len(self.offsets) < 1 or self.offsets.dtype != np.int64:
            raise CorpusError(f"Document offsets must be a flat array of int64, not {self.offsets.dtype}.")
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.token_ids) or np.any(np.diff(self.offsets) < 0):
            raise CorpusError(
                f"Document offsets must rise from 0 to the {len(self.token_ids)} tokens; these run from "
                f"{self.offsets[0]} to {self.offsets[-1]}. The corpus arrays are damaged: tokenise the text again."
            )
        if self.n_predictions == 0:
            raise CorpusError(
                f"None of the {self.n_documents} documents has two tokens, so there is nothing to predict. "
                "Give text with longer documents."
            )

    @property
    def n_documents(self) -> int:
        """Number of documents, the empty ones included."""
        return len(self.offsets) - 1

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return len(self.token_ids)

    @property
    def n_predictions(self) -> int:
        """Number of predicted tokens."""
        return int(self.prediction_starts[-1])

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of every document, int64 of shape (n_documents,)."""
        return np.diff(self.offsets)

    @cached_property
    def prediction_starts(self) -> np.ndarray:
        """Flat index of every document's first prediction, int64 of shape (n_documents + 1,)."""
        starts = np.zeros(self.n_documents + 1, np.int64)
        np.cumsum(np.maximum(self.lengths - 1, 0), out=starts[1:])
        return starts

    def document_tokens(self, document: int) -> np.ndarray:
        """Token ids of one document.

        Raises
        ------
        CorpusError
            If there is no such document.
        """
        if not 0 <= document < self.n_documents:
            raise CorpusError(f"There is no document {document}: the corpus holds 0 to {self.n_documents - 1}.")
        return self.token_ids[self.offsets[document] : self.offsets[document + 1]]

    @overload
    def locate(self, flat_index: int) -> tuple[int, int]: ...
    @overload
    def locate(self, flat_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    def locate(self, flat_index: Any) -> tuple[Any, Any]:
        """Find the documents and positions of predicted tokens.

        Parameters
        ----------
        flat_index : int or integer ndarray of shape (n,)
            0 <= flat_index < n_predictions.

        Returns
        -------
        document, position : int or int64 ndarray of shape (n,)
            ``position`` is the predicted token's place in its document, from 1.

        Raises
        ------
        CorpusError
            If an index lies outside the corpus.
        """
        index = _integers(flat_index, "Flat index")
        outside = (index < 0) | (index >= self.n_predictions)
        if np.any(outside):
            raise CorpusError(
                f"There is no prediction {index[outside].flat[0]}: flat indices run from 0 to {self.n_predictions - 1}."
            )
        document = np.searchsorted(self.prediction_starts, index, side="right") - 1
        position = index - self.prediction_starts[document] + 1
        if np.ndim(flat_index) == 0:
            return int(document), int(position)
        return document, position

    @overload
    def flat_index(self, document: int, position: int) -> int: ...
    @overload
    def flat_index(self, document: np.ndarray, position: np.ndarray) -> np.ndarray: ...

    def flat_index(self, document: Any, position: Any) -> Any:
        """Flat index of the token at ``position`` (from 1) of ``document``; the inverse of `locate`.

        Raises
        ------
        CorpusError
            If there is no such document, or the position is not predicted.
        """
        documents, positions = np.broadcast_arrays(_integers(document, "Document"), _integers(position, "Position"))
        wrong = (documents < 0) | (documents >= self.n_documents)
        if np.any(wrong):
            raise CorpusError(
                f"There is no document {documents[wrong].flat[0]}: the corpus holds 0 to {self.n_documents - 1}."
            )
        wrong = (positions < 1) | (positions >= self.lengths[documents])
        if np.any(wrong):
            first = documents[wrong].flat[0]
            raise CorpusError(
                f"Position {positions[wrong].flat[0]} of document {first} is not predicted: the document has "
                f"{self.lengths[first]} tokens, of which all but the first are."
            )
        index = self.prediction_starts[documents] + positions - 1
        return int(index) if np.ndim(document) == 0 and np.ndim(position) == 0 else index

    def sha256(self) -> str:
        """Hash of documents and tokens, the same for uint16, uint32 and memory-mapped arrays."""
        digest = hashlib.sha256(b"quantaweb corpus 1\n")
        digest.update(np.array([self.n_documents], "<i8").tobytes())
        digest.update(np.asarray(self.offsets, "<i8").tobytes())
        for start in range(0, self.n_tokens, TOKENS_PER_HASH):
            digest.update(np.asarray(self.token_ids[start : start + TOKENS_PER_HASH], "<u4").tobytes())
        return digest.hexdigest()


def tokenize(
    documents: Iterable[str],
    encode: Callable[[list[str]], list[list[int]]],
    *,
    max_length: int,
    n_vocabulary: int,
) -> TokenizedCorpus:
    """Turn texts into a corpus, every document cut to its first tokens.

    Parameters
    ----------
    documents : iterable of str
        Texts in corpus order; read once, a few hundred at a time.
    encode : callable
        Takes a list of texts, returns their token ids; adds no special tokens.
    max_length : int
        Tokens kept of each document, at least 2.
    n_vocabulary : int
        Size of the vocabulary; decides between uint16 and uint32.

    Returns
    -------
    TokenizedCorpus

    Raises
    ------
    CorpusError
        If no document has two tokens, or an id lies outside the vocabulary.
    """
    pieces: list[np.ndarray] = []
    for batch in _batches(documents, DOCUMENTS_PER_ENCODING):
        pieces += first_tokens(
            batch, encode, max_length=max_length, n_vocabulary=n_vocabulary, first_document=len(pieces)
        )
    offsets = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum(np.array([len(piece) for piece in pieces], np.int64), out=offsets[1:])
    return TokenizedCorpus(np.concatenate(pieces) if pieces else np.empty(0, np.uint16), offsets)


def first_tokens(
    texts: Sequence[str],
    encode: Callable[[list[str]], list[list[int]]],
    *,
    max_length: int,
    n_vocabulary: int,
    has_word_breaks: bool = False,
    first_document: int = 0,
) -> list[np.ndarray]:
    """Token ids of some documents, each cut to its first tokens.

    Parameters
    ----------
    texts : sequence of str
        Some hundred documents.
    encode, max_length, n_vocabulary
        As in `tokenize`.
    has_word_breaks : bool
        What `has_word_breaks` says of the vocabulary; if so, what is cut off a long text is mostly not encoded at all.
    first_document : int
        Number of the first of the documents, for messages.

    Returns
    -------
    list of ndarray of shape (<= max_length,), uint16 or uint32
        One for each text.

    Raises
    ------
    CorpusError
        As in `tokenize`.

    Notes
    -----
    Where no token holds a letter or digit followed by a space or newline, every text has a token's end at each such
    place, and neither merges (BPE) nor the best segmentation (unigram) before it depend on what follows. So the tokens
    of a head that ends there are the first tokens of the whole; a head that gives too few is made four times as long.
    A text without such a place within a million characters is cut after these, far beyond the tokens that are kept.

    Examples
    --------
    >>> first_tokens(["abc"], lambda texts: [[ord(c) for c in t] for t in texts], max_length=2, n_vocabulary=256)
    [array([97, 98], dtype=uint16)]
    """
    if max_length < 2:
        raise CorpusError(f"Documents cut to {max_length} tokens hold nothing to predict: allow at least 2.")
    found: dict[int, np.ndarray] = {}
    n_chars = CHARS_PER_TOKEN * max_length if has_word_breaks else max(map(len, texts), default=0)
    while len(found) < len(texts):
        heads = {i: _head(text, n_chars) for i, text in enumerate(texts) if i not in found}
        for (i, head), ids in zip(heads.items(), encode(list(heads.values())), strict=True):
            if len(ids) >= max_length or len(head) == len(texts[i]):
                found[i] = _checked_ids(ids[:max_length], n_vocabulary, first_document + i)
        n_chars *= 4
    dtype = token_dtype(n_vocabulary)
    return [found[i].astype(dtype) for i in range(len(texts))]


def has_word_breaks(vocabulary: Vocabulary) -> bool:
    """Whether no token holds an ASCII letter or digit followed by a space or newline.

    So it is with byte-level BPE that splits text into words before it merges (GPT-2, GPT-NeoX, Llama 3, Qwen).

    Examples
    --------
    >>> has_word_breaks(Vocabulary(np.frombuffer(b"of the", np.uint8), np.array([0, 2, 6])))
    True
    >>> has_word_breaks(Vocabulary(np.frombuffer(b"of the", np.uint8), np.array([0, 6])))
    False
    """
    places = np.array([match.start() for match in _BYTES_OF_BREAK.finditer(vocabulary.bytes.tobytes())], np.int64)
    token_of, token_of_next = (np.searchsorted(vocabulary.offsets, at, side="right") for at in (places, places + 1))
    return not np.any(token_of == token_of_next)


def token_dtype(n_vocabulary: int) -> type[np.uint16] | type[np.uint32]:
    """The narrower type that holds every id of a vocabulary."""
    return np.uint16 if n_vocabulary <= 1 << 16 else np.uint32


def _head(text: str, n_chars: int) -> str:
    """The text up to the first place after so many characters that no token crosses."""
    if len(text) <= n_chars:
        return text
    last = n_chars + HEAD_SEARCH_CHARS
    place = _BREAK.search(text, n_chars, last)
    return text[: place.end() if place else last]


def _checked_ids(ids: list[int], n_vocabulary: int, document: int) -> np.ndarray:
    """Ids as int64, refused if the vocabulary does not hold them."""
    array = np.asarray(ids, np.int64)
    if array.size and (array.min() < 0 or array.max() >= n_vocabulary):
        wrong = array[(array < 0) | (array >= n_vocabulary)][0]
        raise CorpusError(
            f"The tokenizer gave id {wrong} in document {document}, but the vocabulary has {n_vocabulary} entries. "
            "Use the tokenizer that the models were trained with."
        )
    return array


def _batches(documents: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lists of at most ``size`` documents."""
    iterator = iter(documents)
    while batch := list(islice(iterator, size)):
        yield batch


def _integers(value: Any, what: str) -> np.ndarray:
    """The value as an int64 array; floats and booleans are refused rather than rounded."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu" and array.size:
        raise CorpusError(f"{what} must be an integer, not {value!r}.")
    return array.astype(np.int64)

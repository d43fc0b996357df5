"""First step: documents become token ids, in one memory-mapped file."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any

import numpy as np

from compute.bundle import file_sha256, storage_errors
from compute.config import CorpusConfig
from compute.errors import CorpusError, StorageError
from compute.steps.run import Run, SaveTimer
from compute.steps.weights import bring_tokenizer
from compute.suites import resolve_tokenizer
from compute.texts import ContentHash, Document, Meter, Texts, is_pinned, open_texts, pinned, signature
from compute.workspace import digest

if TYPE_CHECKING:
    from compute.numerics.corpus import TokenizedCorpus

DOCUMENTS_PER_BATCH = 256
CHARS_PER_BATCH = 1 << 23
BATCHES_AHEAD = 2
PARTIAL = "partial/corpus"


@dataclass(frozen=True)
class Corpus:
    """The tokenised corpus, its documents' sources and kinds, and the facts that the manifest states."""

    tokens: TokenizedCorpus
    documents: list[dict[str, Any]]
    facts: dict[str, Any]
    stamp: str


def tokenized_corpus(run: Run) -> Corpus:
    """Read and tokenise the text, once; what is kept in memory of it does not grow with the documents' lengths."""
    from compute.numerics.corpus import TokenizedCorpus

    stamp = source_stamp(run)
    found = _load(run, stamp)
    if found is None:
        with run.files.alone("corpus", tell=run.keep_alive):
            found = _load(run, stamp)  # another process may have been at it
            if found is None:
                _tokenize(run, stamp)
                found = _load(run, stamp)
    if found is None:
        raise CorpusError(f"The tokens of {run.config.corpus.source} were altered while they were read. Start again.")
    ids, offsets, rest = found
    tokens = TokenizedCorpus(ids, offsets)
    return Corpus(tokens, rest["documents"], rest["facts"], tokens.sha256())


def source_stamp(run: Run) -> str:
    """Changes when the text's files, the tokenizer or what is read of them change."""
    corpus = pinned_corpus(run)
    settings = dataclasses.asdict(corpus) | {"source": Path(corpus.source).name}  # its folder is the host's own matter
    return digest([settings, signature(corpus), file_sha256(tokenizer_path(run))])


def pinned_corpus(run: Run) -> CorpusConfig:
    """The run's corpus; a branch of the Hub stands for the same commit from the run's first step to its last."""
    config = run.config.corpus
    if is_pinned(config):
        return config
    stamp = digest(dataclasses.asdict(config))
    source = run.files.load_json("corpus/source", stamp)
    if source is None:
        source = run.wait_for(lambda: pinned(config)).source
        run.files.save_json("corpus/source", source, stamp)
    return dataclasses.replace(config, source=source)


def tokenizer_path(run: Run) -> Path:
    """The run's tokenizer.json."""
    bring_tokenizer(run)
    path = resolve_tokenizer(run.config.suite.tokenizer)
    if not path.is_file():
        raise CorpusError(f"There is no tokenizer {path}. Give the path of the tokenizer.json that the models share.")
    return path


def demo_cache(run: Run) -> Path:
    """Where the demo's text is kept for all runs whose workspaces lie side by side."""
    return run.files.root.parent / "demo-corpus"


def _load(run: Run, stamp: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]] | None:
    ids = run.files.load("corpus/token_ids", stamp, mmap=True)
    offsets = run.files.load("corpus/offsets", stamp, mmap=True)
    rest = run.files.load_json("corpus/documents", stamp)
    return None if ids is None or offsets is None or rest is None else (ids, offsets, rest)


def _tokenize(run: Run, stamp: str) -> None:
    """Go through the documents from where an earlier attempt stopped, then put its parts together."""
    from compute.numerics.corpus import TokenizedCorpus, first_tokens, has_word_breaks
    from compute.numerics.vocabulary import vocabulary_from_tokenizer

    path = tokenizer_path(run)
    vocabulary = vocabulary_from_tokenizer(path)
    config = pinned_corpus(run)
    cut = partial(
        first_tokens,
        encode=encoder(path),
        max_length=config.max_length,
        n_vocabulary=len(vocabulary),
        has_word_breaks=has_word_breaks(vocabulary),
    )
    texts = run.wait_for(lambda: open_texts(config, demo_cache(run)))
    parts = _Parts(run, stamp)
    meter, timer = Meter(), SaveTimer()
    for batch in _ahead(run, texts.documents(start=parts.n_documents, meter=meter)):
        whole = [document.text for document in batch]
        ids = run.wait_for(partial(cut, whole, first_document=parts.n_documents))
        parts.add(batch, ids)
        run.tell(parts.n_documents, _expected(texts, meter, parts.n_documents))
        if timer.is_due():
            parts.save()
    parts.save()
    tokens = TokenizedCorpus(parts.token_ids(), parts.offsets())
    run.files.save("corpus/token_ids", tokens.token_ids, stamp)
    run.files.save("corpus/offsets", tokens.offsets, stamp)
    facts = _facts(texts, tokens, parts.content) | {
        "max_length": config.max_length,
        "tokenizer_sha256": file_sha256(path),
    }
    run.files.save_json("corpus/documents", {"documents": parts.documents, "facts": facts}, stamp)
    run.files.here.remove(PARTIAL)


def encoder(path: Path) -> Any:
    """Texts to token ids. None is added, but text that spells a special token, as <|endoftext|> does, becomes it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def _expected(texts: Texts, meter: Meter, n_done: int) -> int:
    """Documents in all: known, or estimated from the bytes that those so far took."""
    if texts.n_documents is not None:
        return texts.n_documents
    limit = texts.max_documents or 0
    estimate = round(n_done * texts.n_bytes / meter.n_stored) if texts.n_bytes and meter.n_stored else limit
    return max(n_done, min(estimate, limit) if limit else estimate)


def _facts(texts: Texts, tokens: TokenizedCorpus, content: ContentHash) -> dict[str, Any]:
    facts = {
        "name": texts.name,
        "sha256": texts.sha256 or content.hexdigest(),
        "n_documents": tokens.n_documents,
        "n_tokens": tokens.n_tokens,
        "n_predictions": tokens.n_predictions,
    }
    return facts if texts.revision is None else facts | {"revision": texts.revision}


class _Parts:
    """What is tokenised so far, saved piece by piece; one that begins at another document than expected is no part."""

    def __init__(self, run: Run, stamp: str) -> None:
        self.files = run.files.here
        self.stamp = stamp
        self.documents: list[dict[str, Any]] = []
        self.content = ContentHash()
        self._ids: list[np.ndarray] = []  # not saved yet
        self._firsts: list[int] = []  # document that each saved part begins with
        self._n_saved = 0
        while found := self._load(len(self._firsts), self._n_saved):
            self.documents += found[1]["documents"]
            self.content.digests += bytes.fromhex(found[1]["digests"])
            self._end_part()

    @property
    def n_documents(self) -> int:
        return len(self.documents)

    def add(self, batch: list[Document], ids: list[np.ndarray]) -> None:
        for document, tokens in zip(batch, ids, strict=True):
            self.documents.append({"source": document.source, "kind": document.kind, "n_tokens": len(tokens)})
            self.content.add(document.text)
        self._ids += ids

    def save(self) -> None:
        """Keep what was added since the last time."""
        if self.n_documents == self._n_saved:
            return
        digests = self.content.digests[ContentHash.BYTES * self._n_saved :].hex()
        facts = {"documents": self.documents[self._n_saved :], "digests": digests}
        name, stamp = self._key(len(self._firsts), self._n_saved)
        self.files.save(name, np.concatenate(self._ids), stamp, **facts)
        self._ids = []
        self._end_part()

    def offsets(self) -> np.ndarray:
        """Where each document begins, int64 of shape (n_documents + 1,)."""
        lengths = np.array([document["n_tokens"] for document in self.documents], np.int64)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

    def token_ids(self) -> np.ndarray:
        """All saved parts end to end, memory-mapped."""
        path = self.files.root / PARTIAL / "whole"
        dtype = np.dtype(np.uint16)
        with storage_errors(self.files.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as whole:
                for part, first in enumerate(self._firsts):
                    found = self._load(part, first)
                    if found is None:
                        raise StorageError(f"{path.parent} was altered while it was written. Start again.")
                    dtype = found[0].dtype
                    whole.write(found[0].data)
        return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)

    def _end_part(self) -> None:
        self._firsts.append(self._n_saved)
        self._n_saved = self.n_documents

    def _load(self, part: int, first: int) -> tuple[np.ndarray, dict[str, Any]] | None:
        return self.files.load_with_facts(*self._key(part, first), mmap=True)

    def _key(self, part: int, first: int) -> tuple[str, str]:
        """Name and stamp of a part that begins with a document."""
        return f"{PARTIAL}/{part:05d}", digest([self.stamp, first])


def _ahead(run: Run, documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Batches of documents, read by a thread of its own while those before are encoded; tells that work goes on."""
    ready: Queue[list[Document] | BaseException | None] = Queue(BATCHES_AHEAD)
    is_over = threading.Event()

    def offer(item: list[Document] | BaseException | None) -> None:
        while not is_over.is_set():
            with suppress(Full):
                ready.put(item, timeout=0.2)
                break

    def read() -> None:
        try:
            for batch in _batches(documents):
                offer(batch)
                if is_over.is_set():
                    return
            offer(None)
        except BaseException as error:
            offer(error)

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            try:
                item = ready.get(timeout=1.0)
            except Empty:
                run.keep_alive()
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        is_over.set()


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Lists of some hundred documents, fewer where they are long."""
    batch: list[Document] = []
    n_chars = 0
    for document in documents:
        batch.append(document)
        n_chars += len(document.text)
        if len(batch) == DOCUMENTS_PER_BATCH or n_chars >= CHARS_PER_BATCH:
            yield batch
            batch, n_chars = [], 0
    if batch:
        yield batch

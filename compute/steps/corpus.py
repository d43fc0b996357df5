"""First step: documents become token ids."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compute.bundle import file_sha256
from compute.errors import CorpusError
from compute.steps.run import Run
from compute.suites import resolve
from compute.texts import read_texts, signature
from compute.workspace import digest

if TYPE_CHECKING:
    from compute.numerics.corpus import TokenizedCorpus


@dataclass(frozen=True)
class Corpus:
    """The tokenised corpus, its documents' sources and kinds, and the facts that the manifest states."""

    tokens: TokenizedCorpus
    documents: list[dict[str, Any]]
    facts: dict[str, Any]
    stamp: str


def tokenized_corpus(run: Run) -> Corpus:
    """Read and tokenise the text."""
    from compute.numerics.corpus import TokenizedCorpus

    stamp = source_stamp(run)
    ids = run.files.load("corpus/token_ids", stamp)
    offsets = run.files.load("corpus/offsets", stamp)
    rest = run.files.load_json("corpus/documents", stamp)
    if ids is None or offsets is None or rest is None:
        tokens, rest = _tokenize(run)
        ids, offsets = tokens.token_ids, tokens.offsets
        run.files.save("corpus/token_ids", ids, stamp)
        run.files.save("corpus/offsets", offsets, stamp)
        run.files.save_json("corpus/documents", rest, stamp)
    tokens = TokenizedCorpus(ids, offsets)
    return Corpus(tokens, rest["documents"], rest["facts"], tokens.sha256())


def source_stamp(run: Run) -> str:
    """Changes when the text's files, the tokenizer or what is read of them change."""
    corpus = run.config.corpus
    return digest([dataclasses.asdict(corpus), signature(corpus), file_sha256(tokenizer_path(run))])


def tokenizer_path(run: Run) -> Path:
    """The run's tokenizer.json."""
    path = resolve(run.config.suite.tokenizer)
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise CorpusError(f"There is no tokenizer {path}. Give the path of the tokenizer.json that the models share.")
    return path


def demo_cache(run: Run) -> Path:
    """Where the demo's text is kept for all runs whose workspaces lie side by side."""
    return run.files.root.parent / "demo-corpus"


def _tokenize(run: Run) -> tuple[TokenizedCorpus, dict[str, Any]]:
    from tokenizers import Tokenizer

    from compute.numerics.corpus import tokenize
    from compute.numerics.vocabulary import vocabulary_from_tokenizer

    path = tokenizer_path(run)
    vocabulary = vocabulary_from_tokenizer(path)
    encoder = Tokenizer.from_file(str(path))
    encoder.no_truncation()
    encoder.no_padding()
    texts = run.wait_for(lambda: read_texts(run.config.corpus, demo_cache(run)))
    n_encoded = 0

    def encode(batch: list[str]) -> list[list[int]]:
        nonlocal n_encoded
        n_encoded += len(batch)
        run.tell(n_encoded, len(texts.documents))
        return [encoding.ids for encoding in encoder.encode_batch(batch, add_special_tokens=False)]

    everything = (document.text for document in texts.documents)
    max_length = run.config.corpus.max_length
    tokens = tokenize(everything, encode, max_length=max_length, n_vocabulary=len(vocabulary))
    pairs = zip(texts.documents, np.diff(tokens.offsets).tolist(), strict=True)
    documents = [{"source": document.source, "kind": document.kind, "n_tokens": n} for document, n in pairs]
    facts = {
        "name": texts.name,
        "sha256": texts.sha256,
        "n_documents": tokens.n_documents,
        "n_tokens": tokens.n_tokens,
        "n_predictions": tokens.n_predictions,
        "max_length": max_length,
        "tokenizer_sha256": file_sha256(path),
    }
    return tokens, {"documents": documents, "facts": facts}

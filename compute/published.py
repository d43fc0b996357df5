"""Clusters that somebody published as a file of labels become a bundle, with the tokens' contexts where there are any.

The labels: ``{"400": [labels, labels_of_absolute_gradients], …}``, one list a token. The contexts:
``{"12345": {"context": ["the", " cat"], "answer": " sat"}, …}`` by flat index, or a list of such entries. Label i is of
the i-th token by ascending flat index, as the published lists are; of a list of contexts, of its i-th entry.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from compute.bundle import BundleWriter, file_sha256
from compute.config import AFFINITIES
from compute.errors import ConfigError
from compute.json_entries import json_entries
from compute.numerics.corpus import TokenizedCorpus, token_dtype

KIND = "published"
MAX_TOKENS, MAX_LABELS = 100_000, 5_000_000
MAX_CONTEXT, MAX_CONTEXT_TOKENS, MAX_VOCABULARY = 8_192, 20_000_000, 500_000
Report = Callable[[str, int, int], None]  # what is done, how much of it, of how much


@dataclass(frozen=True, eq=False)
class PublishedLabels:
    """Labels of the same tokens at several k: int32 (n_tokens,) by affinity and k."""

    by_kind: dict[tuple[str, int], np.ndarray]
    n_tokens: int


@dataclass(frozen=True, eq=False)
class PublishedContexts:
    """One document a clustered token, of which that token is the last; `names` say which token of the original."""

    corpus: TokenizedCorpus
    vocabulary: list[bytes]
    names: list[str]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What no file says: whose clusters these are. The defaults are the paper's."""

    name: str = "published"
    lm: str = "pythia-70m-v0"
    revision: str = "published"
    n_non_embedding: int = 18_915_328
    n_parameters: int = 70_426_624
    threshold_nats: float = 0.1


def build_bundle(
    labels_file: Path,
    contexts_file: Path | None,
    directory: Path,
    *,
    told: Told = Told(),
    report: Report = lambda what, done, total: None,
) -> Path:
    """Write the bundle `<directory>/<name>-<hash12>` and give its path.

    Raises
    ------
    ConfigError
        If a file is not as described, or the two are not of the same tokens. Nothing is written then.
    """
    report("reading labels", 0, 1)
    labels = read_labels(labels_file)
    contexts = read_contexts(contexts_file, labels.n_tokens, report) if contexts_file else None
    report("writing the bundle", 0, 1)
    return _write(labels, contexts, labels_file, contexts_file, directory, told)


def read_labels(path: Path) -> PublishedLabels:
    """Read and check a file of labels."""
    by_kind: dict[tuple[str, int], np.ndarray] = {}
    n_tokens = n_labels = 0
    for key, value in json_entries(path, what="The file of labels"):
        k = _k_of(key)
        if (AFFINITIES[0], k) in by_kind:
            raise ConfigError(f"The file of labels has k = {k} twice.")
        if not isinstance(value, list) or not 1 <= len(value) <= len(AFFINITIES):
            raise ConfigError(
                f"At k = {k} there must be one list of labels, or two: of gradients and of absolute gradients."
            )
        for affinity, raw in zip(AFFINITIES, value, strict=False):
            by_kind[affinity, k] = _checked_labels(raw, k, affinity, n_tokens)
            n_tokens = len(raw)
            n_labels += n_tokens
            if n_labels > MAX_LABELS:
                raise ConfigError(f"The file holds more than {MAX_LABELS:,} labels; leave some k out.")
    if not by_kind:
        raise ConfigError('The file of labels is empty; it should read {"400": [labels, labels_abs], …}.')
    return PublishedLabels(by_kind, n_tokens)


def _k_of(key: str | None) -> int:
    if key is None:
        raise ConfigError('The file of labels is a list; it should read {"400": [labels, labels_abs], …}.')
    if not (key.isascii() and key.isdecimal() and 0 < len(key) <= 6 and int(key) > 0):
        raise ConfigError(f"The file of labels has a key {key[:40]!r}; its keys are numbers of clusters, such as 400.")
    return int(key)


def _checked_labels(raw: Any, k: int, affinity: str, n_tokens: int) -> np.ndarray:
    where = f"At k = {k} ({affinity})"
    if not isinstance(raw, list) or not raw:
        raise ConfigError(f"{where} there is no list of labels.")
    if len(raw) > MAX_TOKENS:
        raise ConfigError(f"{where} there are {len(raw):,} labels; at most {MAX_TOKENS:,} tokens are taken.")
    if n_tokens and len(raw) != n_tokens:
        raise ConfigError(
            f"{where} there are {len(raw):,} labels, elsewhere {n_tokens:,}; every list needs one a token."
        )
    for one in raw:
        if type(one) is not int or not 0 <= one < k:
            raise ConfigError(f"{where} a label is {_short(one)}; labels are whole numbers from 0 to {k - 1}.")
    found = np.array(raw, np.int32)
    n_clusters = len(np.unique(found))
    if n_clusters != k:
        raise ConfigError(f"{where} the labels name {n_clusters:,} clusters, not {k:,}; is the key right?")
    return found


def read_contexts(
    path: Path, n_tokens: int, report: Report = lambda what, done, total: None
) -> PublishedContexts:  # fmt: skip
    """Read and check a file of contexts: one of each clustered token, at most 8,192 tokens long."""
    ids: dict[str, int] = {}
    tokens, lengths, order = array("I"), array("q"), array("q")
    is_keyed = False
    for place, (key, value) in enumerate(json_entries(path, what="The file of contexts")):
        if place >= n_tokens:
            raise ConfigError(f"The file of contexts has more entries than there are labelled tokens, {n_tokens:,}.")
        is_keyed = key is not None
        order.append(_flat_index(key) if key is not None else place)
        pieces = _pieces(value, key if key is not None else f"entry {place}")
        for piece in pieces:
            tokens.append(ids.setdefault(piece, len(ids)))
        lengths.append(len(pieces))
        if len(ids) > MAX_VOCABULARY or len(tokens) > MAX_CONTEXT_TOKENS:
            raise ConfigError(
                f"The contexts hold more than {MAX_CONTEXT_TOKENS:,} tokens or {MAX_VOCABULARY:,} different ones; "
                "shorten them."
            )
        if place % 500 == 0:
            report("reading contexts", place, n_tokens)
    if len(lengths) != n_tokens:
        raise ConfigError(
            f"There are {len(lengths):,} contexts and {n_tokens:,} labelled tokens; every token needs one context."
        )
    return _in_order(tokens, lengths, order, ids, is_keyed=is_keyed)


def _in_order(
    tokens: array[int], lengths: array[int], order: array[int], ids: dict[str, int], *, is_keyed: bool
) -> PublishedContexts:
    """The contexts by ascending flat index, as the labels are."""
    flat, n = np.array(order, np.int64), np.array(lengths, np.int64)
    by_index = np.argsort(flat, kind="stable")
    if np.any(np.diff(flat[by_index]) == 0):
        raise ConfigError("The file of contexts names the same flat index twice.")
    starts = np.cumsum(n) - n
    offsets = np.concatenate([[0], np.cumsum(n[by_index])]).astype(np.int64)
    all_ids = np.frombuffer(tokens, np.uint32).astype(token_dtype(len(ids)))
    sorted_ids = np.concatenate([all_ids[starts[i] : starts[i] + n[i]] for i in by_index])
    names = [f"{'flat index' if is_keyed else 'entry'} {flat[i]}" for i in by_index]
    return PublishedContexts(TokenizedCorpus(sorted_ids, offsets), [piece.encode() for piece in ids], names)


def _flat_index(key: str) -> int:
    if not (key.isascii() and key.isdecimal() and len(key) <= 18):
        raise ConfigError(f"The file of contexts has a key {key[:40]!r}; its keys are flat indices, such as 12345.")
    return int(key)


def _pieces(value: Any, name: str) -> list[str]:
    """The context's tokens and the answer."""
    where = f"The context of {name[:40]}"
    if not isinstance(value, dict) or not isinstance(value.get("context"), list):
        raise ConfigError(f'{where} should read {{"context": [tokens], "answer": token}}.')
    pieces = [*value["context"], value.get("answer")]
    if wrong := [piece for piece in pieces if not isinstance(piece, str)]:
        raise ConfigError(f"{where} holds {_short(wrong[0])}, which is no text.")
    if not 2 <= len(pieces) <= MAX_CONTEXT + 1:
        raise ConfigError(f"{where} has {len(pieces) - 1:,} tokens; it must have 1 to {MAX_CONTEXT:,}.")
    try:
        "".join(pieces).encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{where} holds half of a character (a lone surrogate); write whole characters.") from None
    return pieces


def _write(
    labels: PublishedLabels,
    contexts: PublishedContexts | None,
    labels_file: Path,
    contexts_file: Path | None,
    directory: Path,
    told: Told,
) -> Path:
    hashes = {
        "labels_sha256": file_sha256(labels_file),
        "contexts_sha256": file_sha256(contexts_file) if contexts_file else None,
    }
    with BundleWriter(directory, told.name) as writer:
        for (affinity, k), one in sorted(labels.by_kind.items()):
            writer.add_array(f"clustering/{affinity}/k{k}", one)
        writer.add_array("selection/flat_index", _flat_indices(labels, contexts))
        if contexts:
            _add_text(writer, contexts)
        names = contexts.names if contexts else []
        sizes = contexts.corpus.lengths.tolist() if contexts else []
        lines = zip(names, sizes, strict=True)
        writer.add_lines("documents.jsonl", ({"source": s, "kind": "context", "n_tokens": n} for s, n in lines))
        manifest = _manifest(labels, contexts, told) | {"source": {"kind": KIND, "rank_origin": 0, **hashes}}
        return writer.publish(manifest, {"finished": datetime.now(UTC).isoformat(timespec="seconds")})


def _flat_indices(labels: PublishedLabels, contexts: PublishedContexts | None) -> np.ndarray:
    """Where the clustered tokens stand in this bundle's corpus: at its documents' ends; without text, their order."""
    if contexts is None:
        return np.arange(labels.n_tokens, dtype=np.int64)
    return contexts.corpus.prediction_starts[1:] - 1


def _add_text(writer: BundleWriter, contexts: PublishedContexts) -> None:
    lengths = [len(piece) for piece in contexts.vocabulary]
    writer.add_array("corpus/token_ids", contexts.corpus.token_ids)
    writer.add_array("corpus/offsets", contexts.corpus.offsets)
    writer.add_array("vocabulary/bytes", np.frombuffer(b"".join(contexts.vocabulary), np.uint8))
    writer.add_array("vocabulary/offsets", np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def _manifest(labels: PublishedLabels, contexts: PublishedContexts | None, told: Told) -> dict[str, Any]:
    network = {"lm": told.lm, "revision": told.revision}
    return {
        "config": {},
        "corpus": _corpus(labels, contexts),
        "checkpoints": [
            {
                **network, "suite": "published", "step": None, "weights_sha256": "", "column": "", "is_final": True,
                "n_non_embedding": told.n_non_embedding, "n_parameters": told.n_parameters, "mean_loss_nats": None,
            }
        ],
        "sizes": [],
        "clustered": network,
        "selection": {"threshold_nats": told.threshold_nats, "n_selected": labels.n_tokens},
        "overlap": None,
        "clusterings": [
            {"affinity": affinity, "k": k, "array": f"clustering/{affinity}/k{k}"}
            for affinity, k in sorted(labels.by_kind, key=lambda kind: (AFFINITIES.index(kind[0]), kind[1]))
        ],
    }  # fmt: skip


def _corpus(labels: PublishedLabels, contexts: PublishedContexts | None) -> dict[str, Any]:
    if contexts is None:
        digest = hashlib.sha256(b"labels without text\n")
        for kind, one in sorted(labels.by_kind.items()):
            digest.update(repr(kind).encode() + one.astype("<i4").tobytes())
        facts = {"name": "no text", "sha256": digest.hexdigest(), "n_documents": 0, "n_tokens": 0}
        return facts | {"n_predictions": 0, "max_length": 0, "tokenizer_sha256": ""}
    corpus = contexts.corpus
    return {
        "name": "contexts of published tokens", "sha256": corpus.sha256(), "n_documents": corpus.n_documents,
        "n_tokens": corpus.n_tokens, "n_predictions": corpus.n_predictions,
        "max_length": int(corpus.lengths.max()), "tokenizer_sha256": "",
    }  # fmt: skip


def _short(value: Any) -> str:
    text = f"{type(value).__name__}" if isinstance(value, (dict, list)) else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"

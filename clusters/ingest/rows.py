"""Everything the database will hold of a bundle, as plain values."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from clusters.display import clean_text, token_label
from clusters.ingest.summaries import Clustered, ClusteredText, Partition, summarise
from compute.bundle import Bundle
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.curves import CLASS_NAMES
from compute.numerics.vocabulary import Vocabulary

CONTEXT_TOKENS, CONTEXT_CHARACTERS = 200, 20_000
THREADS = 2
NOWHERE = -1  # document, position and answer of tokens that came without text


@dataclass(frozen=True)
class ClusteringRows:
    """One clustering: its clusters by rank, and the rank (from 0) of every token."""

    affinity: str
    k: int
    clusters: list[dict[str, Any]]
    rank: np.ndarray


@dataclass(frozen=True)
class Rows:
    """A whole run."""

    run: dict[str, Any]
    checkpoints: list[dict[str, Any]]
    tokens: list[dict[str, Any]]
    clusterings: list[ClusteringRows]


def read_rows(bundle: Bundle) -> Rows:
    """Read and work out all rows; the bundle has been checked."""
    flat = np.array(bundle.array("selection/flat_index"))
    text = _text(bundle, flat) if bundle.has("corpus/token_ids") else None
    steps, step_curves = _over_steps(bundle, flat)
    clustered = Clustered(
        text=text,
        curves=_curves(bundle, flat),
        monogenicity=_score(bundle, "monogenicity", flat),
        sizes=np.array([size["n_non_embedding"] for size in bundle.manifest["sizes"]], np.float64),
        step_curves=step_curves,
        steps=steps,
    )
    tokens = _tokens(bundle, flat, clustered)
    return Rows(_run(bundle), _checkpoints(bundle), tokens, _clusterings(bundle, clustered))


def _text(bundle: Bundle, flat: np.ndarray) -> ClusteredText:
    """Where the clustered tokens stand and what they say."""
    corpus = TokenizedCorpus(bundle.array("corpus/token_ids"), bundle.array("corpus/offsets"))
    vocabulary = Vocabulary(np.array(bundle.array("vocabulary/bytes")), np.array(bundle.array("vocabulary/offsets")))
    document, position = corpus.locate(flat)
    at = corpus.offsets[document] + position
    answer_id, last_id = (np.array(corpus.token_ids[place], np.int64) for place in (at, at - 1))
    ids = np.unique(np.concatenate([answer_id, last_id]))
    piece = cache(vocabulary.token_bytes)
    contexts = []
    for start, end in zip(np.maximum(corpus.offsets[document], at - CONTEXT_TOKENS), at, strict=True):
        raw = b"".join(map(piece, corpus.token_ids[start:end].tolist()))
        contexts.append(clean_text(raw.decode("utf-8", "replace"), limit=CONTEXT_CHARACTERS))
    return ClusteredText(
        document=document,
        position=position,
        answer_id=answer_id,
        last_id=last_id,
        labels={int(token_id): token_label(vocabulary, token_id) for token_id in ids},
        contexts=contexts,
    )


def _curves(bundle: Bundle, flat: np.ndarray) -> np.ndarray:
    """Losses of the clustered tokens over the sizes, float64 (n, n_sizes)."""
    if bundle.has("curves/losses"):
        return bundle.array("curves/losses")[flat].astype(np.float64)
    columns = {(c["lm"], c["revision"]): c["column"] for c in bundle.manifest["checkpoints"]}
    names = [columns[size["lm"], size["revision"]] for size in bundle.manifest["sizes"]]
    return _side_by_side(bundle, names, flat)


def _over_steps(bundle: Bundle, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training steps of the clustered network, and the clustered tokens' losses at these; none where it has one."""
    lm = bundle.manifest["clustered"]["lm"]
    own = [c for c in bundle.manifest["checkpoints"] if c["lm"] == lm and c["step"] is not None]
    own.sort(key=lambda c: c["step"])
    table = f"curves/steps/{lm}"
    if len(own) < 2:
        return np.empty(0), np.empty((len(flat), 0))
    steps = np.array([c["step"] for c in own], np.float64)
    if bundle.has(table) and bundle.array(table).shape[1] == len(own):
        return steps, np.array(bundle.array(table)[flat], np.float32)
    return steps, _side_by_side(bundle, [c["column"] for c in own], flat)


def _side_by_side(bundle: Bundle, names: list[str], flat: np.ndarray) -> np.ndarray:
    columns = [bundle.array(name)[flat].astype(np.float64) for name in names]
    return np.stack(columns, 1) if columns else np.empty((len(flat), 0))


def _score(bundle: Bundle, name: str, flat: np.ndarray) -> np.ndarray | None:
    return np.array(bundle.array(f"curves/{name}")[flat]) if bundle.has(f"curves/{name}") else None


def _tokens(bundle: Bundle, flat: np.ndarray, clustered: Clustered) -> list[dict[str, Any]]:
    own = bundle.manifest["clustered"]
    column = next(
        c["column"] for c in bundle.manifest["checkpoints"] if (c["lm"], c["revision"]) == (own["lm"], own["revision"])
    )
    loss = bundle.array(column)[flat] if column else None
    text = clustered.text
    n_eff, kind = _score(bundle, "n_eff", flat), _score(bundle, "class", flat)
    return [
        {
            "row": row,
            "flat_index": int(flat[row]),
            "document": int(text.document[row]) if text else NOWHERE,
            "position": int(text.position[row]) if text else NOWHERE,
            "answer_id": int(text.answer_id[row]) if text else NOWHERE,
            "answer": text.labels[int(text.answer_id[row])] if text else "",
            "context": text.contexts[row] if text else "",
            "loss_nats": None if loss is None else float(loss[row]),
            "monogenicity": _finite(clustered.monogenicity, row),
            "n_eff": _finite(n_eff, row),
            "curve_class": "" if kind is None or kind[row] >= len(CLASS_NAMES) else CLASS_NAMES[kind[row]],
        }
        for row in range(len(flat))
    ]


def _finite(values: np.ndarray | None, row: int) -> float | None:
    return float(values[row]) if values is not None and np.isfinite(values[row]) else None


def _checkpoints(bundle: Bundle) -> list[dict[str, Any]]:
    shares = _shares_below(bundle, float(bundle.manifest["selection"]["threshold_nats"]))
    return [
        {
            **{key: clean_text(str(entry[key]), limit=80) for key in ("suite", "lm", "revision")},
            **{key: entry[key] for key in ("step", "n_non_embedding", "n_parameters", "is_final")},
            "weights_sha256": str(entry["weights_sha256"])[:64],
            "mean_loss_nats": None if entry["mean_loss_nats"] is None else float(entry["mean_loss_nats"]),
            "column": str(entry["column"]),
            "ordinal": ordinal,
            "fraction_below": share,
        }
        for ordinal, (entry, share) in enumerate(zip(bundle.manifest["checkpoints"], shares, strict=True))
    ]


def _shares_below(bundle: Bundle, threshold: float) -> list[float | None]:
    """Share of the predictions under the threshold, of every checkpoint; None of one that nobody has measured.

    Where a histogram has an edge there, it has counted them already: 143 steps of a network are gigabytes to read.
    """
    n = int(bundle.manifest["corpus"]["n_predictions"])
    for name, n_outer in (("losses/log_histogram", 1), ("losses/histogram", 0)):
        if not (bundle.has(name) and bundle.has(f"{name}_edges")):
            continue
        place = np.flatnonzero(np.isclose(bundle.array(f"{name}_edges"), threshold, rtol=1e-12, atol=0))
        if len(place):
            counts = np.asarray(bundle.array(name))[:, : int(place[0]) + n_outer]
            return (counts.sum(axis=1) / n).tolist()
    columns = (entry["column"] for entry in bundle.manifest["checkpoints"])
    return [np.count_nonzero(bundle.array(column) < threshold) / n if column else None for column in columns]


def _clusterings(bundle: Bundle, clustered: Clustered) -> list[ClusteringRows]:
    """All clusterings, by affinity and k; most of the work is sums over arrays, which threads share."""

    def made(entry: dict[str, Any]) -> ClusteringRows:
        partition = Partition(np.array(bundle.array(entry["array"])))
        name = f"similarity/{entry['affinity']}"
        similarity = np.asarray(bundle.array(name)) if bundle.has(name) else None
        clusters = summarise(partition, clustered, similarity)
        return ClusteringRows(entry["affinity"], entry["k"], clusters, partition.rank)

    entries = sorted(bundle.manifest["clusterings"], key=lambda entry: (entry["affinity"], entry["k"]))
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(made, entries))


def _run(bundle: Bundle) -> dict[str, Any]:
    return {
        "bundle_sha256": bundle.sha256,
        "bundle_path": str(bundle.path),
        "n_bytes": bundle.n_bytes,
        "n_tokens": int(bundle.manifest["selection"]["n_selected"]),
        "manifest": storable({key: value for key, value in bundle.manifest.items() if key != "arrays"}),
        "provenance": storable(bundle.run),
        "score_density": _density(bundle),
    }


def _density(bundle: Bundle) -> dict[str, Any]:
    """Counts of predictions over monogenicity × n_eff, and by class of curve."""
    density: dict[str, Any] = {}
    if bundle.has("curves/density"):
        density["counts"] = bundle.array("curves/density").tolist()
        density["monogenicity"] = [-1, 1]
        density["n_eff"] = [1, max(len(bundle.manifest["sizes"]) - 1, 2)]
    if bundle.has("curves/class"):
        counts = np.bincount(bundle.array("curves/class"), minlength=len(CLASS_NAMES))
        density["classes"] = {name: int(counts[i]) for i, name in enumerate(CLASS_NAMES)}
    return density


def storable(value: Any) -> Any:
    """JSON that both databases take: no NUL, no lone surrogate, no NaN."""
    if isinstance(value, dict):
        return {clean_text(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value

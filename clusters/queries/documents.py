"""Reads of documents: where a text comes from and where its tokens begin."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from django.core.exceptions import BadRequest

from clusters.models import Run
from clusters.parameters import whole_number
from clusters.queries.missing import Missing
from clusters.stored.arrays import array_of, bundle_of, corpus_of
from clusters.stored.derived import derived
from compute.numerics.curves import CLASS_NAMES, MONOGENIC, POLYGENIC

MAX_KIND = 60  # characters of a kind's name


@dataclass(frozen=True)
class DocumentFacts:
    """What is known of one document besides its text."""

    number: int
    source: str
    kind: str
    n_tokens: int


@dataclass(frozen=True)
class Network:
    """One network of the run with its checkpoints, by step."""

    lm: str
    n_non_embedding: int
    checkpoints: list[dict[str, Any]]

    def nearest(self, step: int | None) -> dict[str, Any]:
        """The checkpoint at a step, or at the nearest one; the last where no step is named."""
        known = [c for c in self.checkpoints if c["step"] is not None]
        if step is None or not known:
            return self.checkpoints[-1]
        return min(known, key=lambda c: abs(c["step"] - step))


def document_number(run: Run, text: str) -> int:
    """The document that an address names; 404 with those that there are."""
    number, n = whole_number(text), corpus_of(run).n_documents
    if number is None or number >= n:
        raise Missing(f"“{run.name}” has no document {text[:20]}", f"Its documents count from 0 to {n - 1}.")
    return number


def checkpoint_named(run: Run, key: str) -> dict[str, Any]:
    """The manifest's entry of a checkpoint "lm/revision"; without a key, that of the clustered one."""
    clustered = run.manifest["clustered"]
    wanted = key or f"{clustered['lm']}/{clustered['revision']}"
    for checkpoint in run.manifest["checkpoints"]:
        if f"{checkpoint['lm']}/{checkpoint['revision']}" == wanted:
            return checkpoint
    raise BadRequest(f"The run has no checkpoint {wanted[:80]!r}; choose one from the list on the page.")


def networks_of(run: Run) -> list[Network]:
    """Every network with its checkpoints, smallest first; only checkpoints whose losses the bundle holds."""
    by_lm: dict[str, list[dict[str, Any]]] = {}
    for checkpoint in run.manifest["checkpoints"]:
        by_lm.setdefault(checkpoint["lm"], []).append(checkpoint)
    networks = [
        Network(lm, own[0]["n_non_embedding"], sorted(own, key=lambda c: (c["step"] is None, c["step"] or 0)))
        for lm, own in by_lm.items()
    ]
    return sorted(networks, key=lambda network: (network.n_non_embedding, network.lm))


def facts_of(run: Run, number: int) -> DocumentFacts:
    """Source, kind and length of a document."""
    line = _described(str(bundle_of(run).path), run.bundle_sha256, number)
    return DocumentFacts(
        number=number,
        source=str(line.get("source") or "unknown source"),
        kind=str(line.get("kind") or "unknown kind"),
        n_tokens=int(corpus_of(run).lengths[number]),
    )


def losses_in(run: Run, number: int, losses: np.ndarray | None) -> np.ndarray:
    """A document's losses in nats out of those of the corpus: float64 (n_predicted,), NaN where they are unknown."""
    first, last = (int(i) for i in corpus_of(run).prediction_starts[number : number + 2])
    return np.full(last - first, np.nan) if losses is None else np.asarray(losses[first:last], np.float64)


def classes_in(run: Run, number: int) -> dict[int, str]:
    """Class of every monogenic or polygenic token of a document, by flat index."""
    if not bundle_of(run).has("curves/class"):
        return {}
    first, last = (int(i) for i in corpus_of(run).prediction_starts[number : number + 2])
    codes = np.asarray(array_of(run, "curves/class")[first:last])
    places = np.flatnonzero((codes == MONOGENIC) | (codes == POLYGENIC))
    return {first + int(place): CLASS_NAMES[codes[place]] for place in places}


def clustered_in(run: Run, number: int) -> frozenset[int]:
    """Flat indices of the clustered tokens of a document."""
    starts = corpus_of(run).prediction_starts
    flat = array_of(run, "selection/flat_index")
    first, last = np.searchsorted(flat, starts[number : number + 2])
    return frozenset(flat[first:last].tolist())


def kinds_of(run: Run) -> tuple[np.ndarray, list[str]]:
    """Kind of every document as a number, and the kinds' names, the commonest first."""
    names = derived(run, "documents/kind_names", lambda: _kinds(run)[0])
    return derived(run, "documents/kind_codes", lambda: _kinds(run)[1]), names.tolist()


def _kinds(run: Run) -> tuple[np.ndarray, np.ndarray]:
    kinds = [str(line.get("kind") or "unknown kind")[:MAX_KIND] for line in bundle_of(run).documents()]
    names = [name for name, _ in Counter(kinds).most_common()]
    place = {name: i for i, name in enumerate(names)}
    return np.array(names, f"<U{MAX_KIND}"), np.array([place[kind] for kind in kinds], np.int32)


def _described(path: str, sha256: str, number: int) -> dict[str, Any]:
    """One line of documents.jsonl."""
    starts = _line_starts(path, sha256)
    with (Path(path) / "documents.jsonl").open("rb") as handle:
        handle.seek(starts[number])
        return json.loads(handle.readline())


@lru_cache(maxsize=16)
def _line_starts(path: str, sha256: str) -> list[int]:
    """Where each line of documents.jsonl begins."""
    starts, at = [], 0
    with (Path(path) / "documents.jsonl").open("rb") as handle:
        for line in handle:
            starts.append(at)
            at += len(line)
    return starts

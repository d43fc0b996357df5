"""Last step: everything lands in a bundle, whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from compute.bundle import BundleWriter, open_bundle
from compute.config import HUB, CheckpointRef, RunConfig
from compute.errors import BundleError
from compute.steps.checkpoints import (
    checkpoint_facts,
    final_checkpoints,
    order_of_step,
    precision_of,
    sizes,
    weights_stamp,
)
from compute.steps.clustering import clustering
from compute.steps.corpus import demo_cache, source_stamp, tokenizer_path
from compute.steps.curves import curves
from compute.steps.gradients import gradient_store, probe_facts
from compute.steps.losses import losses, losses_summary
from compute.steps.maps import curve_map, gradient_map, map_facts
from compute.steps.provenance import run_facts
from compute.steps.run import Run
from compute.steps.selection import selection
from compute.steps.similarity import Similarity, similarity, similarity_facts, sketches
from compute.steps.weights import hub_facts
from compute.store.folders import fetch_bundle
from compute.texts import DEMO
from compute.workspace import digest

_UNITS = {
    "losses": "nats",
    "amplitude_bits": "bits",
    "n_eff": "sizes",
    "slope": "nats per unit of ln non-embedding parameters",
    "class": "0 flat, 1 monogenic, 2 polygenic, 3 mixed",
    "density": "predictions",
}
_MARKER = "published"
_STAMP_OF_MARKER = "marker"


def published(run: Run, *, verified: bool = False) -> Path | None:
    """The bundle that these very settings, texts and weights were published as, if it is still there (and whole)."""
    marker = run.files.load_json(_MARKER, _STAMP_OF_MARKER)
    if marker is None or marker["inputs"] != _inputs(run):
        return None
    path = run.bundles / Path(marker["name"]).name
    try:
        if run.files.store is not None and not path.is_dir():  # another host has published it
            fetch_bundle(run.files.store, marker["sha256"], run.bundles, run.keep_alive)
        bundle = open_bundle(path)
        if verified:
            bundle.verify()
        return path if bundle.sha256 == marker["sha256"] else None
    except BundleError:
        return None


def publish(run: Run, n_shards: int) -> Path:
    """Write the bundle and drop what only its making needed."""
    since = time.monotonic()
    with BundleWriter(run.bundles, run.config.name) as writer:
        manifest = _write(run, writer)
        seconds = time.monotonic() - since
        facts = run_facts(run.files, n_shards, run.device, run.config.to_json(), bundle_seconds=seconds)
        path = writer.publish(manifest, facts)
    marker = {"inputs": _inputs(run), "name": path.name, "sha256": open_bundle(path).sha256}
    run.files.save_json(_MARKER, marker, _STAMP_OF_MARKER)
    run.files.remove("gradients")
    run.files.here.remove("partial")
    return path


def _inputs(run: Run) -> str:
    weights = [weights_stamp(run, ref) for ref in run.config.suite.checkpoints]
    return digest([run.config.to_json(), source_stamp(run), weights])


def _write(run: Run, writer: BundleWriter) -> dict[str, Any]:
    """Write every array and give the manifest."""
    n_arrays = _n_arrays(run)
    for n_done, (name, array, unit) in enumerate(_arrays(run), start=1):
        writer.add_array(name, array, unit=unit)
        run.tell(n_done, n_arrays)
    writer.add_lines("documents.jsonl", iter(run.corpus.documents))
    compared = similarity(run)
    ref = run.config.clustered_checkpoint
    chosen = selection(run).facts | {
        "n_selected": len(compared.flat_index),
        "n_zero_gradients": compared.n_zero,
    }
    return {
        "config": _portable(run.config),
        "corpus": run.corpus.facts,
        "checkpoints": [_checkpoint_entry(run, ref) for ref in _ordered(run)],
        "sizes": [_size_entry(run, ref) for ref in sizes(run)],
        "clustered": {
            "lm": ref.lm,
            "revision": ref.revision,
            "n_gradient": gradient_store(run).n_gradient,
            "scope": run.config.gradient_scope,
        },
        "selection": chosen,
        "similarity": similarity_facts(run),
        "probe": probe_facts(run),
        "map": map_facts(run),
        "overlap": _overlap(run, compared),
        "clusterings": [
            {"affinity": affinity, "k": k, "array": f"clustering/{affinity}/k{k}"}
            for affinity in run.config.clustering.affinities
            for k in run.config.clustering.ks
        ],
    }


def _arrays(run: Run) -> Iterator[tuple[str, np.ndarray, str]]:
    """Name, array and unit of everything that a bundle holds."""
    from compute.numerics.loss_summary import FINE_EDGES, LOG_EDGES
    from compute.numerics.vocabulary import vocabulary_from_tokenizer

    yield "corpus/token_ids", run.corpus.tokens.token_ids, "token ids"
    yield "corpus/offsets", run.corpus.tokens.offsets, "tokens"
    vocabulary = vocabulary_from_tokenizer(tokenizer_path(run))
    yield "vocabulary/bytes", vocabulary.bytes, "bytes"
    yield "vocabulary/offsets", vocabulary.offsets, "bytes"
    fine_counts, log_counts = [], []
    for ref in _ordered(run):
        summary = losses_summary(run, ref)
        fine_counts.append(np.array(summary.fine_counts, np.int32))
        log_counts.append(summary.log_counts)
        yield f"losses/{ref.key}", losses(run, ref), "nats"
        run.keep_alive()
    yield "losses/fine_histogram", np.stack(fine_counts), "predictions"
    yield "losses/fine_histogram_edges", FINE_EDGES, "nats"
    yield "losses/log_histogram", np.stack(log_counts), "predictions"
    yield "losses/log_histogram_edges", LOG_EDGES, "nats"
    for name, array in sorted(curves(run).items()):
        yield f"curves/{name}", array, "nats" if name.startswith("steps/") else _UNITS.get(name, "")
    compared = similarity(run)
    yield "selection/induced", selection(run).induced, ""
    yield "selection/flat_index", compared.flat_index, "predictions"
    for kind, cosine in compared.cosines.items():
        yield f"similarity/{kind}", cosine, "cosine"
    for kind, table in sketches(run).items():
        yield f"sketches/{kind}", table, "unit vectors times the root of their length"
    for affinity in run.config.clustering.affinities:
        for k, labels in clustering(run, affinity).items():
            yield f"clustering/{affinity}/k{k}", labels, "labels"
    yield from _map_arrays(run)


def _map_arrays(run: Run) -> Iterator[tuple[str, np.ndarray, str]]:
    by_gradient, by_curve = gradient_map(run), curve_map(run)
    if by_gradient.places is not None:
        yield "map/gradients", by_gradient.places, "distances are relative"
    if by_curve.places is not None:
        yield "map/curves", by_curve.places, "distances are relative"
        yield "map/curves_index", by_curve.index, "predictions"


def _n_arrays(run: Run) -> int:
    wanted = run.config.clustering
    of_corpus, of_histogram, of_selection = 4, 4, 2
    n_kinds = 1 + ("absolute" in wanted.affinities)
    of_similarity = n_kinds + (n_kinds if run.config.similarity.mode == "sketch" else 1)
    of_clustering = len(wanted.affinities) * len(wanted.ks)
    of_losses = len(run.config.suite.checkpoints) + len(curves(run))
    of_maps = sum(1 for _ in _map_arrays(run))
    return of_corpus + of_losses + of_histogram + of_selection + of_similarity + of_clustering + of_maps


def _ordered(run: Run) -> list[CheckpointRef]:
    """Checkpoints by size of the network, then step."""
    return sorted(
        run.config.suite.checkpoints,
        key=lambda ref: (checkpoint_facts(run, ref)["n_non_embedding"], ref.lm, order_of_step(ref)),
    )


def _checkpoint_entry(run: Run, ref: CheckpointRef) -> dict[str, Any]:
    summary = losses_summary(run, ref)
    hub = hub_facts(run, ref)
    return (
        checkpoint_facts(run, ref)
        | {
            "suite": run.config.suite.name,
            "lm": ref.lm,
            "revision": ref.revision,
            "step": ref.step,
            "is_final": final_checkpoints(run.config)[ref.lm] == ref,
            "mean_loss_nats": summary.mean,
            "quantiles_nats": summary.quantiles,
            "precision": precision_of(run, ref),
            "column": f"losses/{ref.key}",
        }
        | ({} if hub is None else {"hub": hub})
    )


def _size_entry(run: Run, ref: CheckpointRef) -> dict[str, Any]:
    n = checkpoint_facts(run, ref)["n_non_embedding"]
    return {"lm": ref.lm, "revision": ref.revision, "n_non_embedding": n}


def _overlap(run: Run, compared: Similarity) -> dict[str, Any] | None:
    """How many clustered tokens stand in the training text with what precedes them; known for the demo only."""
    if run.config.corpus.source != DEMO:
        return None
    from compute.demo.overlap import CONTEXT, training_overlap, training_stream

    tokens = run.corpus.tokens
    contexts, answers = [], []
    for document, position in zip(*tokens.locate(compared.flat_index), strict=True):
        ids = tokens.document_tokens(int(document))
        contexts.append(ids[max(0, position - CONTEXT) : position].tolist())
        answers.append(int(ids[position]))
    seen = run.wait_for(lambda: training_overlap(contexts, answers, training_stream(demo_cache(run))))
    return {"n_tokens": seen.n_tokens, "n_seen": seen.n_seen, "share": seen.share}


def _portable(config: RunConfig) -> dict[str, Any]:
    """The settings without this machine's folders: weights and texts are known by their hashes."""
    settings = config.to_json()
    settings["corpus"]["source"] = _last_part(settings["corpus"]["source"])
    settings["suite"]["tokenizer"] = _last_part(settings["suite"]["tokenizer"])
    for checkpoint in settings["suite"]["checkpoints"]:
        checkpoint["path"] = _last_part(checkpoint["path"])
    return settings


def _last_part(path: str) -> str:
    return path if path.startswith(("demo:", HUB)) else Path(path).name or path

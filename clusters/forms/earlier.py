"""Settings of a run back in the form's fields, to be changed and asked for again."""

from __future__ import annotations

from typing import Any

from compute.config import RunConfig


def settings_of(config: RunConfig) -> dict[str, Any]:
    """Every field that does not depend on the kind of suite or on who looks."""
    selection, similarity, clustering = config.selection, config.similarity, config.clustering
    return {
        "name": config.name,
        "max_documents": config.corpus.max_documents,
        "max_length": config.corpus.max_length,
        "n_tokens": selection.n_tokens,
        "threshold_nats": selection.threshold_nats,
        "stride": selection.stride,
        "exclude_induced": selection.exclude_induced,
        "vectors": config.vectors,
        "gradient_scope": config.gradient_scope,
        "mode": similarity.mode,
        "auto_hours": AUTO_HOURS,
        "sketch_size": similarity.sketch_size,
        "refine": similarity.refine,
        "block_tokens": similarity.block_tokens,
        "ks": ", ".join(map(str, clustering.ks)),
        "affinities": list(clustering.affinities),
        "seed": clustering.seed,
        "n_init": clustering.n_init,
        "effort": clustering.effort,
        "n_curves": 0 if config.map is None else config.map.n_curves,
        "precision": config.precision,
        "documents_per_shard": config.documents_per_shard,
    }


AUTO_HOURS = 2.0

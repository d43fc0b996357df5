"""What the bundle says of itself, in the words of a finished run."""

from __future__ import annotations

import hashlib
import platform
from typing import Any

from benchmarks.paper.losses import Column
from benchmarks.paper.plan import CLUSTERED, MAX_LENGTH, SIZES, SUITE, Plan
from compute.config import (
    ClusteringConfig,
    CorpusConfig,
    RunConfig,
    SelectionConfig,
    SimilarityConfig,
    SuiteConfig,
)
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.loss_summary import SHARES
from compute.registry import suite_config

THRESHOLD_NATS = 0.1
AFFINITIES = ("signed", "absolute")
SKETCH_SEED = 0


def column_name(lm: str, step: int) -> str:
    return f"losses/{lm}/step{step}"


def manifest(
    plan: Plan, corpus: TokenizedCorpus, columns: dict[str, Column], selection: dict[str, Any], n_mapped: int
) -> dict[str, Any]:
    """The manifest without its arrays."""
    last = plan.steps[-1]
    return {
        "config": _config(plan).to_json(),
        "corpus": {
            "name": "made up, in the shape of the Pile's test set",
            "sha256": corpus.sha256(),
            "n_documents": corpus.n_documents,
            "n_tokens": corpus.n_tokens,
            "n_predictions": corpus.n_predictions,
            "max_length": MAX_LENGTH,
            "tokenizer_sha256": _made_up_hash("tokenizer"),
        },
        "checkpoints": [_checkpoint(size, step, last, columns) for size, step in plan.columns],
        "sizes": [
            {"lm": size.lm, "revision": f"step{last}", "n_non_embedding": size.n_non_embedding} for size in SIZES
        ],
        "clustered": {
            "lm": CLUSTERED,
            "revision": f"step{last}",
            "n_gradient": 18_902_016,
            "scope": "default",
        },
        "selection": selection,
        "similarity": {
            "vectors": "gradients",
            "mode": "sketch",
            "sketch_size": plan.n_sketch,
            "sketch_seed": SKETCH_SEED,
            "refine": 0,
        },
        "map": _map(plan, n_mapped),
        "probe": {"table": "sketches/signed", "size": plan.n_sketch, "seed": SKETCH_SEED},
        "overlap": None,
        "clusterings": [
            {"affinity": affinity, "k": k, "array": f"clustering/{affinity}/k{k}"}
            for affinity in AFFINITIES
            for k in plan.ks
        ],
    }


def _map(plan: Plan, n_mapped: int) -> dict[str, Any]:
    by_curve = {"array": "map/curves", "index": "map/curves_index", "n_points": n_mapped, "n_checkpoints": len(SIZES)}
    return {
        "n_neighbors": 15,
        "min_dist": 0.1,
        "seed": 0,
        "gradients": {"array": "map/gradients", "n_points": plan.n_selected, "affinity": "signed"},
        "curves": by_curve,
    }


def run_facts() -> dict[str, Any]:
    """Content of `run.json`."""
    return {
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T12:00:00+00:00",
        "attempts": 1,
        "seconds": {},
        "host": {"name": "benchmark", "system": platform.system(), "machine": platform.machine()},
        "device": "cpu",
        "python": platform.python_version(),
        "libraries": {},
        "code": "made up",
        "config": {},
    }


def _config(plan: Plan) -> RunConfig:
    names = [size.short for size in SIZES]
    whole = suite_config(SUITE, sizes=names, revisions=["all"])
    kept = {f"{size.lm}/step{step}" for size, step in plan.columns}
    refs = tuple(ref for ref in whole.checkpoints if ref.key in kept)
    return RunConfig(
        name="paper",
        suite=SuiteConfig(name=SUITE, checkpoints=refs, tokenizer=whole.tokenizer),
        clustered=f"{CLUSTERED}/step{plan.steps[-1]}",
        corpus=CorpusConfig(source="hub:made-up/pile-test", max_length=MAX_LENGTH),
        selection=SelectionConfig(n_tokens=plan.n_selected, threshold_nats=THRESHOLD_NATS),
        similarity=SimilarityConfig(mode="sketch", sketch_size=plan.n_sketch, sketch_seed=SKETCH_SEED),
        clustering=ClusteringConfig(ks=plan.ks, affinities=AFFINITIES),
    )


def _checkpoint(size: Any, step: int, last: int, columns: dict[str, Column]) -> dict[str, Any]:
    name = column_name(size.lm, step)
    return {
        "suite": SUITE,
        "lm": size.lm,
        "revision": f"step{step}",
        "step": step,
        "is_final": step == last,
        "weights_sha256": _made_up_hash(name),
        "n_non_embedding": size.n_non_embedding,
        "n_parameters": size.n_parameters,
        "mean_loss_nats": columns[name].mean,
        "quantiles_nats": columns[name].quantiles(SHARES),
        "precision": "float32",
        "column": name,
        "hub": {"id": size.hub_id, "revision": f"step{step}", "commit": _made_up_hash(size.hub_id + str(step))[:40]},
    }


def _made_up_hash(of: str) -> str:
    return hashlib.sha256(f"made up: {of}".encode()).hexdigest()

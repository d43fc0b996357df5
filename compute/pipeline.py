"""The method, readable from top to bottom.

`plan` cuts a run into shards without reading a file, `run_shard` does one, `run_qdg` does them in order. What a step
finds whole in the workspace it takes, what is missing or damaged it computes: so a run that was killed goes on where
it stopped. Importing this file imports neither torch nor scikit-learn: the steps import what they need.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from compute.config import CheckpointRef, RunConfig
from compute.steps.blocks import block_ranges
from compute.steps.checkpoints import require_folders
from compute.steps.clustering import clustering
from compute.steps.curves import curves
from compute.steps.gradients import gradient_store, gradients
from compute.steps.losses import losses, losses_part, n_parts
from compute.steps.maps import BY_CURVE, BY_GRADIENT, curve_map, gradient_map, require_umap
from compute.steps.provenance import ShardLog
from compute.steps.publication import publish, published
from compute.steps.run import Run
from compute.steps.selection import selection
from compute.steps.shards import ShardSpec, in_order
from compute.steps.similarity import compare_block, is_compared, similarity
from compute.steps.weights import expected_megabytes, fetch, hub_sources
from compute.store.folders import push_bundle
from compute.store.objects import Store
from compute.workspace import Workspace, make_folder

PHASES = (
    *("weights", "corpus", "losses", "curves", "selection", "gradients", "similarity", "clustering"),
    *("map", "bundle"),
)
TOKENS_PER_SHARD = 500


def plan(config: RunConfig) -> list[ShardSpec]:
    """The shards of a run in order: pure and quick."""
    shards = [("weights", name, "MB", expected_megabytes(name, ref)) for name, ref in hub_sources(config)]
    shards += [("corpus", Path(config.corpus.source).name, "documents", 1)]
    shards += [("losses", _losses_name(config, ref, part), "predictions", 1) for ref, part in _columns(config)]
    shards += [("curves", "over size and training", "predictions", 1)]
    shards += [("selection", f"{config.selection.n_tokens} tokens", "steps", 1)]
    for rows in _token_ranges(config):
        shards += [("gradients", f"tokens {rows.start + 1}-{rows.stop}", "tokens", len(rows))]
    for rows in _blocks(config):
        shards += [("similarity", f"tokens {rows.start + 1}-{rows.stop} with all after", "tokens", len(rows))]
    if not _blocks(config):
        shards += [("similarity", "all pairs", "column blocks", 1)]
    shards += [
        ("clustering", affinity, "clusterings", len(config.clustering.ks)) for affinity in config.clustering.affinities
    ]
    if config.map is not None:
        shards += [("map", BY_GRADIENT, "points", config.selection.n_tokens)]
        shards += [("map", BY_CURVE, "points", config.map.n_curves)]
    shards += [("bundle", config.name, "arrays", 1)]
    return in_order(shards)


def run_qdg(
    config: RunConfig,
    workspace: Path,
    bundles: Path,
    *,
    report: Callable[[ShardSpec, int, int], None] | None = None,
    device: str = "cpu",
) -> Path:
    """Apply QDG and give the published bundle; called again after a kill, go on where that stopped."""
    path: Path | None = None
    for spec in plan(config):
        path = run_shard(config, spec, workspace, bundles=bundles, report=_bound(report, spec), device=device)
    assert path is not None  # noqa: S101  (the last shard publishes)
    return path


def run_shard(
    config: RunConfig,
    spec: ShardSpec,
    workspace: Path,
    *,
    bundles: Path,
    report: Callable[[int, int], None],
    device: str = "cpu",
    store: Store | None = None,
) -> Path | None:
    """Do one shard; the last one gives the published bundle's path.

    `report` hears of progress every second or two at least, and may raise to stop the work; what is saved is kept.
    With a store, shards may be done on hosts that share no disk.
    """
    run = Run(
        config=config,
        files=Workspace(workspace, store),
        bundles=Path(bundles),
        report=report,
        device=device,
        n_total=spec.n_total,
    )
    run.files.tell = run.keep_alive
    report(0, spec.n_total)
    path = published(run, verified=spec.phase == "bundle")
    if path is None:
        with ShardLog(run.files, spec.ordinal, spec.phase):
            path = _do(run, spec)
    if store is not None and path is not None and spec.phase == "bundle":
        push_bundle(store, path, run.keep_alive)
    report(run.n_total, run.n_total)
    return path if spec.phase == "bundle" else None


def _do(run: Run, spec: ShardSpec) -> Path | None:
    """One piece of the method."""
    match spec.phase:
        case "weights":  # from the Hub, once
            fetch(run, *hub_sources(run.config)[spec.phase_ordinal])
        case "corpus":  # documents → tokens
            _refuse_early(run)
            run.tell(run.corpus.tokens.n_documents, run.corpus.tokens.n_documents)
        case "losses":  # nats of every token under one checkpoint
            ref, part = _columns(run.config)[spec.phase_ordinal]
            column = losses(run, ref) if n_parts(run.config) == 1 else losses_part(run, ref, part)
            run.tell(run.n_total if column is None else len(column), run.n_total if column is None else len(column))
        case "curves":  # loss over size: monogenic or polygenic
            curves(run)
        case "selection":  # predicted well, and not copied from the context
            selection(run)
        case "gradients":  # one token's gradient, a row each
            store = gradient_store(run)
            if not is_compared(run, store):
                gradients(run, store, _token_ranges(run.config)[spec.phase_ordinal])
        case "similarity" if _blocks(run.config):  # the same without a store, block by block
            compare_block(run, spec.phase_ordinal)
        case "similarity":  # cosine of every pair of rows
            similarity(run)
        case "clustering":  # spectral, at every k
            labels = clustering(run, run.config.clustering.affinities[spec.phase_ordinal])
            run.tell(len(labels), len(labels))
        case "map":  # tokens in the plane, the like near each other
            made = (gradient_map, curve_map)[spec.phase_ordinal](run)
            run.tell(len(made.index), len(made.index))
        case "bundle":  # arrays and manifest, whole or not at all
            return publish(run, n_shards=spec.ordinal + 1)
    return None


def _columns(config: RunConfig) -> list[tuple[CheckpointRef, int]]:
    """Checkpoint and part of its documents of each shard of losses."""
    return [(ref, part) for ref in config.suite.checkpoints for part in range(n_parts(config))]


def _losses_name(config: RunConfig, ref: CheckpointRef, part: int) -> str:
    n = n_parts(config)
    return ref.key if n == 1 else f"{ref.key}, part {part + 1} of {n}"


def _blocks(config: RunConfig) -> list[range]:
    """Rows of each shard of a comparison without a store."""
    size = config.similarity.block_tokens
    return [] if size is None else block_ranges(config.selection.n_tokens, size)


def _token_ranges(config: RunConfig) -> list[range]:
    """Rows of each gradient shard; none where gradients are not stored."""
    n = 0 if _blocks(config) else config.selection.n_tokens
    return [range(first, min(first + TOKENS_PER_SHARD, n)) for first in range(0, n, TOKENS_PER_SHARD)]


def _refuse_early(run: Run) -> None:
    """Refuse at once what would else fail after minutes of work."""
    require_folders(run.config, has_store=run.files.store is not None)
    require_umap(run.config)
    make_folder(run.bundles)


def _bound(report: Callable[[ShardSpec, int, int], None] | None, spec: ShardSpec) -> Callable[[int, int], None]:
    def tell(n_done: int, n_total: int) -> None:
        if report is not None:
            report(spec, n_done, n_total)

    return tell

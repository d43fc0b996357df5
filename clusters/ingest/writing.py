"""Rows into the database; the caller holds the transaction."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.utils.text import slugify

from clusters.display import clean_text
from clusters.ingest.rows import ClusteringRows, Rows
from clusters.models import Checkpoint, Cluster, Clustering, Corpus, Membership, Run, RunCheckpoint, Token
from compute.bundle import Bundle
from compute.models import Job

BATCH = 2000
RESERVED_SLUGS = frozenset({"new", "compare", "import"})  # places under /runs/


def write_run(
    bundle: Bundle,
    rows: Rows,
    *,
    job: Job | None,
    owner: User | None,
    name: str | None,
    private: bool,
) -> Run:
    """Every row of a run."""
    shown = " ".join(clean_text(name or str(bundle.manifest.get("name") or ""), limit=120).split()) or "run"
    checkpoints = [_checkpoint(entry) for entry in rows.checkpoints]
    run = Run.objects.create(
        **rows.run,
        slug=free_slug(shown),
        name=shown,
        corpus=_corpus(bundle.manifest["corpus"]),
        checkpoint=checkpoints[_clustered_ordinal(bundle)],
        job=job,
        owner=owner,
        is_private=private,
    )
    _write_run_checkpoints(run, rows, checkpoints)
    token_ids = _write_tokens(run, rows)
    for clustering in rows.clusterings:
        _write_clustering(run, clustering, token_ids)
    return run


def free_slug(name: str) -> str:
    """The name as it stands in an address, numbered where another run has it."""
    base = slugify(name)[:70].strip("-") or "run"
    taken = set(Run.objects.filter(slug__startswith=base).values_list("slug", flat=True)) | RESERVED_SLUGS
    slug, number = base, 2
    while slug in taken:
        slug, number = f"{base}-{number}", number + 1
    return slug


def _corpus(stated: dict[str, Any]) -> Corpus:
    fields: dict[str, Any] = {
        key: int(stated[key]) for key in ("n_documents", "n_tokens", "n_predictions", "max_length")
    }
    fields["name"] = clean_text(str(stated["name"]), limit=200)
    fields["tokenizer_sha256"] = str(stated["tokenizer_sha256"])[:64]
    return Corpus.objects.get_or_create(sha256=str(stated["sha256"])[:64], defaults=fields)[0]


def _checkpoint(entry: dict[str, Any]) -> Checkpoint:
    identity = {key: entry[key] for key in ("suite", "lm", "revision", "weights_sha256")}
    facts = {key: entry[key] for key in ("step", "n_non_embedding", "n_parameters")}
    return Checkpoint.objects.get_or_create(**identity, defaults=facts)[0]


def _clustered_ordinal(bundle: Bundle) -> int:
    own = bundle.manifest["clustered"]
    keys = [(entry["lm"], entry["revision"]) for entry in bundle.manifest["checkpoints"]]
    return keys.index((own["lm"], own["revision"]))


def _write_run_checkpoints(run: Run, rows: Rows, checkpoints: list[Checkpoint]) -> None:
    names = ("ordinal", "is_final", "mean_loss_nats", "fraction_below", "histogram", "column")
    RunCheckpoint.objects.bulk_create(
        RunCheckpoint(run=run, checkpoint=checkpoint, **{name: entry[name] for name in names})
        for entry, checkpoint in zip(rows.checkpoints, checkpoints, strict=True)
    )


def _write_tokens(run: Run, rows: Rows) -> np.ndarray:
    """Write the tokens; give their primary keys by row."""
    tokens = Token.objects.bulk_create((Token(run=run, **fields) for fields in rows.tokens), batch_size=BATCH)
    return np.array([token.pk for token in tokens])


def _write_clustering(run: Run, rows: ClusteringRows, token_ids: np.ndarray) -> None:
    sizes = [cluster["size"] for cluster in rows.clusters]
    clustering = Clustering.objects.create(
        run=run, affinity=rows.affinity, k=rows.k, sizes=sizes, n_singletons=sizes.count(1)
    )
    clusters = Cluster.objects.bulk_create(
        (Cluster(clustering=clustering, **fields) for fields in rows.clusters), batch_size=BATCH
    )
    cluster_ids = np.array([cluster.pk for cluster in clusters])[rows.rank]
    order = np.argsort(rows.rank, kind="stable")  # a cluster's rows lie together
    pairs = zip(cluster_ids[order].tolist(), token_ids[order].tolist(), strict=True)
    Membership.objects.bulk_create(
        (Membership(cluster_id=cluster, token_id=token) for cluster, token in pairs), batch_size=BATCH
    )

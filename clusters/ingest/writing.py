"""Rows into the database; the caller holds the transaction."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.db import connection
from django.utils.text import slugify

from clusters.display import clean_text
from clusters.ingest.rows import ClusteringRows, Rows
from clusters.models import Checkpoint, Cluster, Clustering, Corpus, Experiment, Membership, Run, RunCheckpoint, Token
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
    pairs = [_write_clustering(run, clustering, token_ids) for clustering in rows.clusterings]
    write_memberships(np.concatenate(pairs))
    return run


def write_memberships(pairs: np.ndarray) -> None:
    """Clusters and their tokens, by primary keys, int64 (n, 2); too many rows for objects."""
    table = connection.ops.quote_name(Membership._meta.db_table)
    columns = ", ".join(connection.ops.quote_name(name) for name in ("cluster_id", "token_id"))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT binary)") as copy:
                copy.write(_binary_rows(pairs))
        else:
            statement = f"INSERT INTO {table} ({columns}) VALUES (%s, %s)"  # noqa: S608  (names of our own)
            cursor.executemany(statement, pairs.tolist())


def _binary_rows(pairs: np.ndarray) -> bytes:
    """The rows in PostgreSQL's binary format: each says how many fields it has, each field how many bytes."""
    row = np.dtype([("n", ">i2"), ("bytes_0", ">i4"), ("cluster", ">i8"), ("bytes_1", ">i4"), ("token", ">i8")])
    rows = np.empty(len(pairs), row)
    rows["n"], rows["bytes_0"], rows["bytes_1"] = 2, 8, 8
    rows["cluster"], rows["token"] = pairs.T
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff"


def free_slug(name: str, rows: type[Run] | type[Experiment] = Run) -> str:
    """The name as it stands in an address, numbered where another row has it."""
    base = slugify(name)[:70].strip("-") or rows.__name__.lower()
    taken = set(rows._default_manager.filter(slug__startswith=base).values_list("slug", flat=True)) | RESERVED_SLUGS
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
    names = ("ordinal", "is_final", "mean_loss_nats", "fraction_below", "column")
    RunCheckpoint.objects.bulk_create(
        RunCheckpoint(run=run, checkpoint=checkpoint, **{name: entry[name] for name in names})
        for entry, checkpoint in zip(rows.checkpoints, checkpoints, strict=True)
        if entry["mean_loss_nats"] is not None
    )


def _write_tokens(run: Run, rows: Rows) -> np.ndarray:
    """Write the tokens; give their primary keys by row."""
    tokens = Token.objects.bulk_create((Token(run=run, **fields) for fields in rows.tokens), batch_size=BATCH)
    return np.array([token.pk for token in tokens], np.int64)


def _write_clustering(run: Run, rows: ClusteringRows, token_ids: np.ndarray) -> np.ndarray:
    """Write a clustering and its clusters; give the primary keys of every cluster and its tokens, int64 (n, 2)."""
    sizes = [cluster["size"] for cluster in rows.clusters]
    clustering = Clustering.objects.create(
        run=run, affinity=rows.affinity, k=rows.k, sizes=sizes, n_singletons=sizes.count(1)
    )
    clusters = Cluster.objects.bulk_create(
        (Cluster(clustering=clustering, **fields) for fields in rows.clusters), batch_size=BATCH
    )
    order = np.argsort(rows.rank, kind="stable")  # a cluster's rows lie together
    cluster_ids = np.array([cluster.pk for cluster in clusters], np.int64)[rows.rank[order]]
    return np.stack([cluster_ids, token_ids[order]], 1)

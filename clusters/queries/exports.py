"""What leaves the site as tables: clusters, memberships, tokens and labels of a run, read block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from django.db.models import Prefetch

from clusters.models import Cluster, Label, LabelRevision, Run
from clusters.queries.access import User
from clusters.queries.clusters import flat_indices, labels_of, ladder
from clusters.queries.finder.columns import Columns
from clusters.queries.finder.rows import TableRows
from clusters.queries.finder.search import Found
from clusters.queries.label_history import was_seen
from clusters.queries.labels import visible_labels
from clusters.stored.arrays import bundle_of
from clusters.values.finding import MEASURES
from clusters.values.tables import ROWS_AT_ONCE, Block, Column, Table
from compute.numerics.curves import CLASS_NAMES

CLUSTER_COLUMNS = (
    Column("affinity", "text"),
    Column("k", "integer", "", "clusters asked for"),
    Column("label", "integer", "", "names the cluster within its clustering"),
    Column("rank", "integer", "", "by falling size, from 1"),
    Column("size", "integer", "tokens"),
    Column("n_documents", "integer", "documents"),
    Column("top_answer", "text", "", "the commonest answer, as it is shown"),
    Column("dominant_share", "number", "share", "of the commonest answer"),
    Column("n_answers", "integer", "", "different answers"),
    Column("similarity_within", "number", "cosine", "mean over pairs of members"),
    Column("similarity_across", "number", "cosine", "mean to all other clustered tokens"),
    Column("mean_monogenicity", "number"),
    Column("emergence_parameters", "number", "parameters", "where the mean loss falls for good"),
    Column("emergence_step", "number", "training step", "where the mean loss falls for good"),
    Column("mean_curve", "json", "nats", "mean loss over the run's sizes, ascending"),
    Column("top_answers", "json", "", "commonest answers with their counts"),
    Column("top_last", "json", "", "commonest last tokens of the contexts with their counts"),
)
MEMBERSHIP_COLUMNS = (
    Column("affinity", "text"),
    Column("k", "integer"),
    Column("index", "integer", "", "flat index of the token"),
    Column("label", "integer", "", "of its cluster"),
    Column("rank", "integer", "", "of its cluster, from 1"),
)
LABEL_COLUMNS = (
    Column("affinity", "text"),
    Column("k", "integer"),
    Column("label", "integer", "", "of the cluster"),
    Column("origin", "text", "", "person, agreed or machine"),
    Column("author", "text"),
    Column("state", "text"),
    Column("name", "text"),
    Column("description", "text"),
    Column("kind", "text"),
    Column("confidence", "integer", "", "1 a guess, 2 likely, 3 sure"),
    Column("tags", "list"),
    Column("misfits", "json", "", "flat indices of members that do not fit"),
    Column("version", "integer"),
    Column("updated_at", "text", "UTC"),
    Column("submitted_at", "text", "UTC"),
    Column("history", "json", "", "versions that others could see; of your own labels all"),
)
INTEGERS = ("index", "document", "position", "token_id")
FLAGS = ("is_induced", "is_clustered")
UNITS = {measure.name: measure.unit for measure in MEASURES.values()}
LABELS_AT_ONCE = 100


def clusters_table(run: Run, clusterings: Sequence[tuple[str, int]]) -> Table:
    """Every cluster of these clusterings, (affinity, k) each, by rank."""
    names = [column.name for column in CLUSTER_COLUMNS[2:] if column.name != "top_answer"]

    def blocks() -> Iterator[Block]:
        for affinity, k in clusterings:
            clusters = Cluster.objects.filter(clustering__run=run, clustering__affinity=affinity, clustering__k=k)
            for found in _parts(clusters.order_by("rank").values_list(*names)):
                by_name = dict(zip(names, map(list, zip(*found, strict=True)), strict=True))
                n = len(found)
                tops = [answers[0][0] if answers else None for answers in by_name["top_answers"]]
                by_name |= {"affinity": [affinity] * n, "k": [k] * n, "top_answer": tops}
                yield [by_name[column.name] for column in CLUSTER_COLUMNS]

    return Table(f"{run.slug}-clusters", CLUSTER_COLUMNS, blocks)


def memberships_table(run: Run, clusterings: Sequence[tuple[str, int]]) -> Table:
    """Every clustered token in every one of these clusterings: one row for each pair."""
    flat = flat_indices(run)

    def blocks() -> Iterator[Block]:
        for affinity, k in clusterings:
            labels, ranks = np.asarray(labels_of(run, affinity, k)), _ranks(run, affinity, k)
            for first in range(0, len(flat), ROWS_AT_ONCE):
                own = labels[first : first + ROWS_AT_ONCE]
                indices = flat[first : first + ROWS_AT_ONCE]
                yield [[affinity] * len(own), np.full(len(own), k), indices, own, ranks[own]]

    return Table(f"{run.slug}-memberships", MEMBERSHIP_COLUMNS, blocks, len(flat) * len(clusterings))


def tokens_table(columns: Columns, found: Found, shapes: Sequence[str] = ()) -> Table:
    """Every prediction that was found, by place in the corpus, with its scores and its losses over size."""
    reader = TableRows(columns, shapes)

    def blocks() -> Iterator[Block]:
        for block in found.blocks():
            for first in range(0, len(block), ROWS_AT_ONCE):
                yield reader.block(block[first : first + ROWS_AT_ONCE])

    return Table(f"{columns.run.slug}-tokens", tuple(map(_token_column, reader.head)), blocks, found.count)


def clustered_table(columns: Columns, clusterings: Sequence[tuple[str, int]]) -> Table:
    """Every clustered token: one row each, with its label at every k and affinity."""
    run, reader = columns.run, TableRows(columns)
    flat = flat_indices(run)
    names = [Column(f"{affinity}_k{k}", "integer", "", "label of its cluster") for affinity, k in clusterings]

    def blocks() -> Iterator[Block]:
        labels = [labels_of(run, affinity, k) for affinity, k in clusterings]
        for first in range(0, len(flat), ROWS_AT_ONCE):
            stop = first + ROWS_AT_ONCE
            yield [*reader.block(np.asarray(flat[first:stop])), *(np.asarray(own[first:stop]) for own in labels)]

    return Table(f"{run.slug}-clustered", (*map(_token_column, reader.head), *names), blocks, len(flat))


def labels_table(user: User, run: Run) -> Table:
    """Every label of the run that this person may see."""
    labels = visible_labels(user).filter(cluster__clustering__run=run).select_related("cluster__clustering")
    labels = labels.prefetch_related("tags", Prefetch("revisions", LabelRevision.objects.order_by("version")))

    def blocks() -> Iterator[Block]:
        after = 0
        while found := list(labels.filter(pk__gt=after).order_by("pk")[:LABELS_AT_ONCE]):
            block = list(zip(*(_label_row(user, label) for label in found), strict=True))
            after = found[-1].pk
            _let_go(found)
            yield block

    return Table(f"{run.slug}-labels", LABEL_COLUMNS, blocks)


def clusterings_of(run: Run) -> list[tuple[str, int]]:
    """Every (affinity, k) of the run."""
    return [(affinity, k) for affinity, ks in ladder(run).items() for k in ks]


def has_tokens(run: Run) -> bool:
    """Whether the bundle holds what rows of tokens are made of."""
    has = bundle_of(run).has
    return all(has(name) for name in ("corpus/token_ids", "corpus/offsets", "vocabulary/bytes", "vocabulary/offsets"))


def _token_column(name: str) -> Column:
    if name in INTEGERS:
        return Column(name, "integer")
    if name in FLAGS:
        return Column(name, "flag")
    if name in ("answer", "kind", "class"):
        meaning = f"one of {', '.join((*CLASS_NAMES, 'unknown'))}" if name == "class" else ""
        return Column(name, "text", "", meaning)
    return Column(name, "number", "nats" if name.startswith("loss_nats") else UNITS.get(name, ""))


def _ranks(run: Run, affinity: str, k: int) -> np.ndarray:
    """Rank of every label of a clustering, int64."""
    clusters = Cluster.objects.filter(clustering__run=run, clustering__affinity=affinity, clustering__k=k)
    pairs = list(clusters.values_list("label", "rank"))
    ranks = np.zeros(max((label for label, _ in pairs), default=-1) + 1, np.int64)
    for label, rank in pairs:
        ranks[label] = rank
    return ranks


def _label_row(user: User, label: Label) -> list[Any]:
    clustering, own = label.cluster.clustering, label.author_id == user.pk
    history = [
        {"version": one.version, "at": one.at.isoformat(), "author": one.author_name, "action": one.action,
         "content": one.content}
        for one in label.revisions.all()
        if own or was_seen(label, one)
    ]  # fmt: skip
    return [
        clustering.affinity, clustering.k, label.cluster.label, label.origin, label.author_name, label.state,
        label.name, label.description, label.kind, label.confidence, sorted(tag.slug for tag in label.tags.all()),
        label.misfits, label.version, label.updated_at.isoformat(),
        label.submitted_at.isoformat() if label.submitted_at else None, history,
    ]  # fmt: skip


def _let_go(labels: list[Any]) -> None:
    """Drop labels now. They and their revisions name each other, so they would stay until garbage is collected."""
    for label in labels:
        label._prefetched_objects_cache.clear()
    labels.clear()


def _parts(values: Any) -> Iterator[list[Any]]:
    """The rows of one clustering, some thousand at a time; they are few, and read at once."""
    rows = iter(list(values))
    while part := list(islice(rows, ROWS_AT_ONCE)):
        yield part

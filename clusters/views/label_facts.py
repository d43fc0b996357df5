"""Labels as the pages' twins give them: plain values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clusters.models import Label
from clusters.queries.cluster_labels import ClusterLabels
from clusters.views.addresses import cluster_address

HEAD = ("id", "run", "affinity", "k", "cluster", "rank", "origin", "state", "author", "name", "description", "kind",
        "confidence", "tags", "misfits", "version", "created_at", "updated_at", "submitted_at")  # fmt: skip


def facts_of_labels(found: ClusterLabels) -> Iterator[dict[str, Any]]:
    """The labels of one cluster: what is agreed on, the person's own, others', language models'."""
    first = [label for label in (found.agreed, found.own) if label is not None]
    for label in (*first, *found.others, *found.machine):
        tags = sorted(tag.slug for tag in found.tags.get(label.pk, []))
        yield _own_facts(label) | {"tags": tags}


def facts_of(label: Label) -> dict[str, Any]:
    """One label and the cluster it is of, in the order of HEAD."""
    cluster = label.cluster
    clustering = cluster.clustering
    facts = _own_facts(label) | {
        "run": clustering.run.slug, "affinity": clustering.affinity, "k": clustering.k, "cluster": cluster.label,
        "rank": cluster.rank, "tags": sorted(tag.slug for tag in label.tags.all()),
    }  # fmt: skip
    return {name: facts[name] for name in HEAD}


def row_of(label: Label) -> list[Any]:
    """The same for a table's line: lists become words."""
    facts = facts_of(label)
    return [" ".join(map(str, value)) if isinstance(value, list) else value for value in facts.values()]


def address_of(label: Label) -> str:
    """The page of the cluster that the label is of."""
    clustering = label.cluster.clustering
    return cluster_address(clustering.run.slug, clustering.k, label.cluster.label, clustering.affinity)


def _own_facts(label: Label) -> dict[str, Any]:
    return {
        "id": label.pk, "origin": label.origin, "state": label.state, "author": label.author_name, "name": label.name,
        "description": label.description, "kind": label.kind, "confidence": label.confidence,
        "misfits": label.misfits, "version": label.version, "created_at": label.created_at.isoformat(),
        "updated_at": label.updated_at.isoformat(),
        "submitted_at": label.submitted_at.isoformat() if label.submitted_at else None,
    }  # fmt: skip

"""The clustering and the cluster that an address names, if this person may see their run."""

from __future__ import annotations

from clusters.models import Affinity, Cluster, Clustering
from clusters.queries.access import User
from clusters.queries.clusters import cluster_at, clustering_at, ladder, visible_run
from clusters.queries.missing import Missing


def clustering_of(user: User, slug: str, affinity: str, k: str) -> tuple[Clustering, dict[str, list[int]]]:
    """The clustering, and every k that its run has, by affinity."""
    run = visible_run(user, slug)
    if affinity not in Affinity.values:
        raise Missing(f"There is no affinity “{affinity[:40]}”", f"Choose of {', '.join(Affinity.values)}.")
    ks = ladder(run)
    clustering = clustering_at(run, k, affinity, ks)
    clustering.run = run
    return clustering, ks


def cluster_of(user: User, slug: str, affinity: str, k: str, label: str) -> tuple[Cluster, dict[str, list[int]]]:
    """The cluster, with its clustering and run, and every k of the run, by affinity."""
    clustering, ks = clustering_of(user, slug, affinity, k)
    cluster = cluster_at(clustering, label)
    cluster.clustering = clustering
    return cluster, ks

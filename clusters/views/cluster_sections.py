"""What a cluster's page says in words and tables: where it stands, what its members share, where they sit elsewhere."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from django.urls import reverse

from clusters.charts import cluster as charts
from clusters.charts.cluster_similarity import centroid_affinity
from clusters.charts.crosswalk import NARROW, WIDE, crosswalk_drawing
from clusters.contexts import Context, Reader, last_two, most_in_one_document
from clusters.forms.clusters import ClusterQuery
from clusters.models import Clustering
from clusters.parameters import changed, reach_choices
from clusters.queries import clusters as reads
from clusters.queries.cluster_ladder import clusters_with_labels, crosswalk, overlaps
from clusters.values.readings import Match
from clusters.views.addresses import cluster_address, clusters_address
from clusters.views.cluster_figures import Figures

CONTEXTS_A_PAGE = 10
MOST_SAME = 40  # repeats of a context that are named
MOST_OVERLAPS = 5


def standing(figures: Figures) -> dict[str, Any]:
    """Ranks beside the cluster, its ties, and the clusters most like it."""
    clustering, cluster = figures.clustering, figures.cluster
    beside = reads.surroundings(clustering, cluster)
    return {
        "list_href": clusters_address(clustering.run.slug, clustering.k, clustering.affinity),
        "previous": beside.previous,
        "previous_href": _address(clustering, beside.previous.label) if beside.previous else "",
        "next": beside.following,
        "next_href": _address(clustering, beside.following.label) if beside.following else "",
        "ties": [{"cluster": other, "href": _address(clustering, other.label)} for other in beside.tied],
        "n_tied": beside.n_tied,
        "n_other_ties": beside.n_tied - len(beside.tied),
        "ties_href": changed(
            reverse("clusters:clusters", args=[clustering.run.slug, clustering.k]), QueryDict(),
            affinity=clustering.affinity, least=cluster.size, most=cluster.size, view="table",
        ),
        "nearest": [
            {"cluster": other, "cosine": cosine, "affinity": centroid_affinity(cosine, clustering.affinity),
             "href": _address(clustering, other.label), "answer": other.top_answers[0][0] if other.top_answers else ""}
            for other, cosine in beside.nearest
        ],
    }  # fmt: skip


def shared(figures: Figures, *, has_contexts: bool) -> dict[str, Any]:
    """Bars of the commonest texts and of the classes of the members' curves."""
    run, cluster, classes = figures.run, figures.cluster, figures.classes
    title, reading = charts.bars_title(cluster.top_answers, cluster.top_last, cluster.size)
    pairs = last_two(run, figures.tokens, 5) if has_contexts else []
    return {
        "bars_title": title,
        "bars_reading": reading,
        "bars_help": charts.BARS_HELP,
        "answer_bars": charts.bars(cluster.top_answers, cluster.size, 10),
        "last_bars": charts.bars(cluster.top_last, cluster.size, 10),
        "two_bars": charts.bars(pairs, cluster.size, 5),
        "class_bars": charts.bars(classes, cluster.size, 5),
        "class_title": charts.classes_title(classes, cluster.size) if classes else "",
        "classes_help": charts.CLASSES_HELP,
        "n_other_answers": max(cluster.n_answers - min(len(cluster.top_answers), 10), 0),
        "most_in_one": most_in_one_document(run, figures.tokens) if has_contexts else None,
    }


def elsewhere(figures: Figures) -> dict[str, Any]:
    """The same tokens at other ks and under the other affinity."""
    clustering, ks = figures.clustering, figures.ks[figures.clustering.affinity]
    at = ks.index(clustering.k)
    own = {match.k: match for match in figures.matches if match.affinity == clustering.affinity}
    return {
        "smaller": _followed(figures, own.get(ks[at - 1])) if at else None,
        "larger": _followed(figures, own.get(ks[at + 1])) if at + 1 < len(ks) else None,
        "other": _other_affinity(figures),
        "crosswalks": _crosswalks(clustering, ks, figures),
    }


def contexts(figures: Figures, asked: ClusterQuery) -> dict[str, Any]:
    """A page of contexts, those that repeat folded into one; without a page, the one that shows the selection."""
    run, selected = figures.run, figures.members.selected
    reader = Reader(run)
    groups = reader.fold(figures.tokens)
    at = next((i for i, group in enumerate(groups) if selected in group), 0) if selected is not None else 0
    number = asked.page or at // CONTEXTS_A_PAGE + 1
    start = (number - 1) * CONTEXTS_A_PAGE
    shown: list[dict[str, Any]] = []
    for group in groups[start : start + CONTEXTS_A_PAGE]:
        if selected in group:
            group = [selected, *(index for index in group if index != selected)]
        place, *same = reader.places(group[: MOST_SAME + 1])
        context: Context = reader.context(place, asked.contexts.n_tokens, same)
        shown.append({"context": context, "n_same": len(group) - 1, "n_unnamed": max(len(group) - 1 - MOST_SAME, 0),
                      "is_on": place.index == selected})  # fmt: skip
    n_left = len(groups) - start - len(shown)
    return {
        "contexts": shown,
        "n_groups": len(groups),
        "contexts_page": number,
        "n_next": min(CONTEXTS_A_PAGE, n_left),
        "previous_page": number - 1,
        "next_page": number + 1,
        "reaches": reach_choices(asked.contexts.reach),
        "first_shown": start + 1,
        "last_shown": start + len(shown),
        "selected": selected,
        "run": run,
        "cluster": figures.cluster,
        "asked": asked,
    }


def marked(figures: Figures) -> dict[str, Any]:
    """The member that all figures mark, or why there is none."""
    run, token, found = figures.run, figures.asked.token, figures.similarities
    ctx: dict[str, Any] = {"run": run, "cluster": figures.cluster, "marked": None, "stray": None}
    ctx["asked"] = figures.asked
    if token is None:
        return ctx
    if token not in figures.tokens:
        return ctx | {"stray": _stray(figures, token)}
    row = int(figures.rows[figures.tokens.index(token)])
    similarity = None
    if found and found.n_sampled > 1:
        similarity = float(found.means[found.rows.tolist().index(row)])
    return ctx | {"marked": run.tokens.defer("context").get(row=row), "similarity": similarity,
                  "n_compared": found.n_sampled - 1 if found else 0}  # fmt: skip


def _stray(figures: Figures, token: int) -> dict[str, Any]:
    """Where a marked token that is no member is instead."""
    flat = reads.flat_indices(figures.run)
    row = int(flat.searchsorted(token))
    if row >= len(flat) or flat[row] != token:
        return {"token": token, "label": None, "href": ""}
    clustering = figures.clustering
    label = int(reads.labels_of(figures.run, clustering.affinity, clustering.k)[row])
    return {"token": token, "label": label, "href": _address(clustering, label)}


def _address(clustering: Clustering, label: int, k: int | None = None) -> str:
    return cluster_address(clustering.run.slug, k or clustering.k, label, clustering.affinity)


def _followed(figures: Figures, match: Match | None) -> dict[str, Any] | None:
    """Where "the same cluster" leads at another clustering."""
    return {"match": match, "href": figures.address(match)} if match else None


def _other_affinity(figures: Figures) -> dict[str, Any] | None:
    """The clusters of the other affinity that hold these tokens, at the same k or the one nearest to it."""
    clustering = figures.clustering
    kind = next((kind for kind in figures.ks if kind != clustering.affinity), None)
    if kind is None:
        return None
    k = min(figures.ks[kind], key=lambda k: (abs(k - clustering.k), k))
    found = overlaps(clustering.run, kind, k, figures.rows)
    by_label = clusters_with_labels(clustering.run, kind, k, [match.label for match in found[:MOST_OVERLAPS]])
    rows = [
        {"match": match, "cluster": by_label[match.label], "href": figures.address(match),
         "answer": (by_label[match.label].top_answers or [[""]])[0][0]}
        for match in found[:MOST_OVERLAPS] if match.label in by_label
    ]  # fmt: skip
    return {
        "affinity": kind,
        "k": k,
        "rows": rows,
        "n_more": len(found) - len(rows),
        "best": _followed(figures, found[0]),
        "list_href": clusters_address(clustering.run.slug, k, kind),
    }


def _crosswalks(clustering: Clustering, ks: list[int], figures: Figures) -> list[dict[str, Any]]:
    rungs = crosswalk(clustering.run, clustering.affinity, ks, clustering.k, figures.rows)
    if len(rungs) < 2:
        return []
    frames = (("wideonly", WIDE), ("narrow", NARROW))
    walks = [(css, crosswalk_drawing(rungs, clustering.k, len(figures.rows), frame)) for css, frame in frames]
    for _, drawing in walks:
        for node in drawing["nodes"]:
            if node["label"] is not None and not node["is_here"]:
                node["href"] = _address(clustering, node["label"], node["k"])
    return [{"css": css, "drawing": drawing} for css, drawing in walks]

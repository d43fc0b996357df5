"""Two clusterings side by side: of one run, or of two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase, QueryDict

from clusters.charts import compare as figures
from clusters.charts.chart import Chart
from clusters.charts.numbers import count, percent, plain
from clusters.htmx import render_page
from clusters.models import Cluster, Run
from clusters.parameters import changed, search_text, whole_number
from clusters.queries import compare as reads
from clusters.queries.clusters import visible_run
from clusters.queries.compare import Comparison, Side, Whole
from clusters.queries.runs import default_affinity, default_k, ks_of, rank_curves
from clusters.values.facts import CAVEAT, Sizes
from clusters.views import twins
from clusters.views.addresses import cluster_address

LARGEST = 16  # clusters in the figure of shares
MOST_PAIRS, MOST_WHOLES, MOST_PARTS = 15, 6, 5
HEAD = ("rank in the first", "label in the first", "tokens in the first", "rank in the second", "label in the second",
        "tokens in the second", "shared", "jaccard")  # fmt: skip
FATES = {
    "kept": "one cluster of the other overlaps it by a Jaccard index above ½",
    "split": "two or more clusters of the other lie mostly within it and hold half of it",
    "merged": "it lies mostly within one cluster of the other, which is made of several",
    "scattered": "none of these",
}


@dataclass(frozen=True)
class Asked:
    """The two sides; `note` says where the second isn't quite what the address names."""

    a: Side
    b: Side
    note: str = ""


def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """How far two clusterings agree, which clusters match, what split and what merged."""
    run = visible_run(request.user, slug)
    if not run.manifest.get("clusterings"):
        return _missing(request, run, twin)
    asked = _asked(request, run)
    found = reads.compare(asked.a, asked.b)
    if twin:
        lines = _lines(asked)
        return twins.answer(
            twin, name=f"{slug}-{asked.a.name}-{asked.b.run.slug}-{asked.b.name}",
            payload=_payload(asked, found, lines) if twin == "json" else None, head=HEAD,
            rows=_pair_rows(found) if found else [], charts=_charts(found, lines), figure=request.GET.get("figure"),
        )  # fmt: skip
    sizes = [reads.sizes_of(side) for side in (asked.a, asked.b)]
    ctx = {
        "run": run, "here": "compare", "asked": asked, "found": found,
        "shares": figures.shares_chart(*reads.shares(found, LARGEST), number=1) if found else None,
        "choices_a": _choices(run), "choices_b": _choices(asked.b.run),
        "runs": reads.runs_to_compare(request.user, run), "is_one_run": run.pk == asked.b.run.pk,
        "swapped": _swapped(request, asked), "why_not": "" if found else _why_not(asked), "notes": _notes(asked, found),
        "sides": [_name(side, asked) for side in (asked.a, asked.b)], "size_rows": _size_rows(sizes),
        **(_tables(asked, found) if found else {}), **twins.links_context(request, "json", "csv"),
    }  # fmt: skip
    return render_page(request, "runs/compare.html", ctx)


# ── the address ──


def _asked(request: HttpRequest, run: Run) -> Asked:
    query = request.GET
    slug = search_text(query, "with")
    other = visible_run(request.user, slug) if slug and slug != run.slug else run
    if not other.manifest.get("clusterings"):
        raise BadRequest(f"“{other.name}” has no clusterings to compare with.")
    a = _side(query, "a", run) or _usual(run)
    b = _side(query, "b", other, is_strict=other.pk == run.pk)
    if b is not None:
        return Asked(a, b)
    b = _partner(a, other)
    wanted = query.get("b")
    note = f"“{other.name}” has no clustering {wanted[:20]}; {b.name} is shown instead." if wanted else ""
    return Asked(a, b, note)


def _side(query: QueryDict, name: str, run: Run, *, is_strict: bool = True) -> Side | None:
    """The clustering that a parameter names, as in signed-100; None where it isn't given, or need not be there."""
    text = query.get(name)
    if not text:
        return None
    affinity, _, k_text = text.partition("-")
    k = whole_number(k_text)
    if k is not None and k in ks_of(run, affinity):
        return Side(run, affinity, k)
    is_name = affinity in ("signed", "absolute") and k is not None
    if is_name and not is_strict:
        return None
    there = ", ".join(f"{one['affinity']}-{one['k']}" for one in run.manifest["clusterings"])
    raise BadRequest(f"{name} is {text[:40]!r}; “{run.name}” has {there}.")


def _usual(run: Run) -> Side:
    affinity = default_affinity(run)
    return Side(run, affinity, default_k(run, affinity) or ks_of(run, affinity)[0])


def _partner(a: Side, run: Run) -> Side:
    """What a is compared with where nobody says: the other affinity, or the other run, at the nearest k."""
    affinities = [one for one in ("signed", "absolute") if ks_of(run, one)]
    if run.pk != a.run.pk:
        affinity = a.affinity if a.affinity in affinities else affinities[0]
    else:
        affinity = next((one for one in affinities if one != a.affinity), a.affinity)
    others = [k for k in ks_of(run, affinity) if (run.pk, affinity, k) != (a.run.pk, a.affinity, a.k)]
    near = min(others or [a.k], key=lambda k: (abs(k - a.k), k))
    return Side(run, affinity, near)


def _swapped(request: HttpRequest, asked: Asked) -> str:
    """The same comparison from the other side."""
    path = request.path.replace(f"/runs/{asked.a.run.slug}/", f"/runs/{asked.b.run.slug}/", 1)
    other = asked.a.run.slug if asked.a.run.pk != asked.b.run.pk else None
    return changed(path, request.GET, a=asked.b.name, b=asked.a.name, **{"with": other})


def _choices(run: Run) -> list[dict[str, Any]]:
    return [
        {"value": f"{one['affinity']}-{one['k']}", "text": f"{one['affinity']}, k = {count(one['k'])}"}
        for one in sorted(run.manifest["clusterings"], key=lambda one: (one["affinity"] != "signed", one["k"]))
    ]


# ── what is said ──


def _name(side: Side, asked: Asked) -> str:
    """What tells the two sides apart beside their k."""
    return side.affinity if asked.a.run.pk == asked.b.run.pk else f"{side.run.name}, {side.affinity}"


def _charts(found: Comparison | None, lines: list[figures.Line]) -> list[Chart]:
    shares = [figures.shares_chart(*reads.shares(found, LARGEST), number=1)] if found else []
    return [*shares, figures.sizes_chart(lines[0], lines[1], number=len(shares) + 1)]


def _lines(asked: Asked) -> list[figures.Line]:
    """Both clusterings among all of their run and affinity."""
    curves_a = rank_curves(asked.a.run)
    curves_b = curves_a if asked.a.run.pk == asked.b.run.pk else rank_curves(asked.b.run)
    return [
        figures.Line(_name(side, asked), curves[side.affinity], reads.sizes_of(side))
        for side, curves in ((asked.a, curves_a), (asked.b, curves_b))
    ]


def _size_rows(sizes: list[Sizes]) -> list[tuple[str, list[str]]]:
    """Facts of the two clusterings' sizes, beside each other."""
    return [
        ("clusters", [count(one.n_clusters) for one in sizes]),
        ("tokens in the largest", [count(one.largest) for one in sizes]),
        ("tokens in the median", [plain(one.median) for one in sizes]),
        ("in the largest tenth", [percent(one.top_tenth_share) for one in sizes]),
        ("of one token", [count(one.n_singletons) for one in sizes]),
    ]


def _why_not(asked: Asked) -> str:
    a, b = asked.a.run, asked.b.run
    if not reads.comparable(a, b):
        return (
            f"“{a.name}” and “{b.name}” were computed on different texts, so no token of one is a token of the other. "
            "Memberships cannot be compared; sizes can."
        )
    return (
        f"“{a.name}” and “{b.name}” share no clustered token, or one of them holds no labels. "
        "Memberships cannot be compared; sizes can."
    )


def _notes(asked: Asked, found: Comparison | None) -> list[str]:
    """What a reader should keep in mind."""
    a, b = asked.a, asked.b
    notes = []
    if found and a.k != b.k:
        notes.append(
            f"With k = {count(a.k)} and k = {count(b.k)} even a perfect refinement stays below an index of 1: read "
            "homogeneity (does each cluster of the second lie within one of the first?) and completeness (the reverse)."
        )
    if a.run.checkpoint_id != b.run.checkpoint_id:
        notes.append(f"The gradients are those of two networks: {a.run.checkpoint} and {b.run.checkpoint}.")
    if found and not found.n_tokens == found.n_a == found.n_b:
        notes.append(
            f"Only the {count(found.n_tokens)} tokens that both hold are compared: of {count(found.n_a)} in the first "
            f"and {count(found.n_b)} in the second. Sizes and shares count these."
        )
    if found:
        notes.append(
            "± is the standard error over random halves of the tokens; it takes tokens as independent. Mutual "
            "information is not corrected for chance, so it stands beside its value for shuffled labels."
        )
    return notes


def _tables(asked: Asked, found: Comparison) -> dict[str, Any]:
    pairs = found.matched[:MOST_PAIRS]
    splits = reads.wholes(found.table, found.fates_a, MOST_WHOLES)
    merges = reads.wholes(found.swapped, found.fates_b, MOST_WHOLES)
    ranks_a = {int(found.table.a[cell]) for cell in pairs} | {one.cluster for one in splits}
    ranks_b = {int(found.table.b[cell]) for cell in pairs} | {one.cluster for one in merges}
    ranks_a |= {part[0] for one in merges for part in one.parts[:MOST_PARTS]}
    ranks_b |= {part[0] for one in splits for part in one.parts[:MOST_PARTS]}
    rows_a, rows_b = (
        reads.clusters_by_rank(side, sorted(ranks)) for side, ranks in ((asked.a, ranks_a), (asked.b, ranks_b))
    )
    table = found.table
    fates_a = reads.fate_counts(found.fates_a, table.sizes_a)
    fates_b = reads.fate_counts(found.fates_b, table.sizes_b)
    return {
        "pairs": [
            {
                "a": _named(asked.a, rows_a, int(table.a[cell])), "b": _named(asked.b, rows_b, int(table.b[cell])),
                "size_a": int(table.sizes_a[table.a[cell]]), "size_b": int(table.sizes_b[table.b[cell]]),
                "shared": int(table.shared[cell]), "jaccard": float(table.jaccard[cell]),
            }
            for cell in pairs
        ],
        "n_pairs": len(found.matched), "matched_share": found.n_matched_tokens / found.n_tokens,
        "fates": [(a, b, FATES[a["fate"]]) for a, b in zip(fates_a, fates_b, strict=True)],
        "n_kept": fates_a[0]["n_clusters"], "n_clusters_a": int((table.sizes_a > 0).sum()),
        "n_clusters_b": int((table.sizes_b > 0).sum()),
        "splits": [_shown_whole(one, asked.a, rows_a, asked.b, rows_b) for one in splits],
        "merges": [_shown_whole(one, asked.b, rows_b, asked.a, rows_a) for one in merges],
        "n_splits": fates_a[1]["n_clusters"], "n_merges": fates_b[1]["n_clusters"],
    }  # fmt: skip


def _named(side: Side, rows: dict[int, Cluster], rank: int) -> dict[str, Any]:
    cluster = rows[rank]
    return {
        "rank": cluster.rank, "label": cluster.label, "answers": [text for text, _ in cluster.top_answers[:2]],
        "href": cluster_address(side.run.slug, side.k, cluster.label, side.affinity),
    }  # fmt: skip


def _shown_whole(
    one: Whole, side: Side, rows: dict[int, Cluster], other: Side, other_rows: dict[int, Cluster]
) -> dict[str, Any]:  # fmt: skip
    return {
        "whole": _named(side, rows, one.cluster),
        "size": one.size,
        "parts": [
            _named(other, other_rows, cluster) | {"shared": shared, "size": size}
            for cluster, shared, size in one.parts[:MOST_PARTS]
        ],
        "n_more": max(len(one.parts) - MOST_PARTS, 0),
    }


# ── twins ──


def _pair_rows(found: Comparison) -> Iterator[list[Any]]:
    table = found.table
    for cell in found.matched:
        a, b = int(table.a[cell]), int(table.b[cell])
        yield [a + 1, int(found.labels_a[a]), int(table.sizes_a[a]), b + 1, int(found.labels_b[b]),
               int(table.sizes_b[b]), int(table.shared[cell]), float(table.jaccard[cell])]  # fmt: skip


def _payload(asked: Asked, found: Comparison | None, lines: list[figures.Line]) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "first": {"run": asked.a.run.slug, "affinity": asked.a.affinity, "k": asked.a.k},
        "second": {"run": asked.b.run.slug, "affinity": asked.b.affinity, "k": asked.b.k},
        "note": asked.note or None,
        "comparable": found is not None,
        "envelopes": [
            {"name": line.name, "sizes": line.curves.envelope, "fit": vars(line.fit) | {"caveat": CAVEAT}}
            for line in lines if line.fit
        ],
    }  # fmt: skip
    if found is None:
        return payload | {"why_not": _why_not(asked)}
    return payload | {
        "n_tokens": found.n_tokens,
        "adjusted_rand_index": found.rand, "adjusted_rand_index_error": found.rand_error,
        "normalized_mutual_information": found.shared.normalized,
        "normalized_mutual_information_error": found.shared_error,
        "normalized_mutual_information_by_chance": found.shared_by_chance,
        "homogeneity": found.shared.homogeneity, "completeness": found.shared.completeness,
        "n_matched_tokens": found.n_matched_tokens,
        "fates_of_the_first": reads.fate_counts(found.fates_a, found.table.sizes_a),
        "fates_of_the_second": reads.fate_counts(found.fates_b, found.table.sizes_b),
        "matched": [dict(zip(HEAD, row, strict=True)) for row in _pair_rows(found)],
        "splits": _wholes(found.table, found.fates_a, found.labels_a, found.labels_b),
        "merges": _wholes(found.swapped, found.fates_b, found.labels_b, found.labels_a),
    }  # fmt: skip


def _wholes(table: Any, fates: Any, labels: Any, other_labels: Any) -> list[dict[str, Any]]:
    return [
        {
            "label": int(labels[one.cluster]), "tokens": one.size,
            "parts": [{"label": int(other_labels[b]), "shared": n, "tokens": size} for b, n, size in one.parts],
        }
        for one in reads.wholes(table, fates)
    ]  # fmt: skip


def _missing(request: HttpRequest, run: Run, twin: str | None) -> HttpResponseBase:
    if twin:
        return twins.answer(twin, name=f"{run.slug}-compare", payload={"comparable": False})
    ctx = {
        "run": run, "here": "compare", "title": "Nothing to compare",
        "sentence": f"“{run.name}” holds no clustering. One is made by a run of QDG with at least one k.",
    }  # fmt: skip
    return render_page(request, "runs/not_ready.html", ctx)


compare_urls = twins.page("runs/<slug:slug>/compare", show, "compare")

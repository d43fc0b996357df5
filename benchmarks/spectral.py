"""Every number of clusters from one eigendecomposition, against scikit-learn count by count.

    python -m benchmarks.spectral [--counts 10,50] [--cache FILE]

runs the whole sweep of the paper's 30 counts (scikit-learn takes most of an hour) and prints a line for each count.
With a cache, scikit-learn's labels and seconds are saved after every count, and an interrupted run goes on where it
was. The tokens lie in hidden clusters of the published sizes, each cluster near one of 40 themes. Seconds are those of
the processor, which other work on the machine disturbs less than the clock's; several threads' add up. Fast mode's
inertia and normalised cut are compared with the mean of scikit-learn's over three seeds, and its labels' agreement
with theirs is shown beside their agreement with each other.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import k_means
from sklearn.manifold import spectral_embedding as arpack_embedding
from threadpoolctl import threadpool_limits

from benchmarks.case import Case
from compute.numerics.similarity import angular_affinity
from compute.numerics.spectral import Embedding, agreement, cluster_every_k, cluster_k, spectral_embedding

N_TOKENS, N_INIT = 3000, 30
QUICK = (10, 50, 100, 200)
PAPER = (*range(10, 100, 10), 100, 125, 150, 175, 200, 225, 250, 275, 300, 350, 400, *range(500, 1300, 100), 1400, 1500)
SIZES = Path(__file__).parent.parent / "tests/data/published_cluster_sizes.json"
THEMES, DIMENSIONS = 40, 512
OTHER_SEEDS = (1, 2)  # of the reference, for how far its own labels differ from seed to seed
FAST_SEED = 3  # no start in common with any of the reference's

Labels = dict[int, NDArray[np.int32]]
T = TypeVar("T")


def affinity() -> NDArray[np.float32]:
    """Angular affinity of tokens in clusters of the published sizes (signed, k = 400), scaled to N_TOKENS."""
    rng = np.random.default_rng(0)
    sizes = json.loads(SIZES.read_text())["sizes"]["400"]["signed"]
    edges = np.round(np.cumsum([0, *sizes]) / sum(sizes) * N_TOKENS).astype(int)
    group = np.repeat(np.arange(len(sizes)), np.diff(edges))
    themes, own = rng.standard_normal((THEMES, DIMENSIONS)), rng.standard_normal((len(sizes), DIMENSIONS))
    centres = 0.6 * themes[rng.integers(0, THEMES, len(sizes))] + 0.8 * own
    noise = rng.uniform(0.6, 1.4, len(sizes))
    points = centres[group] + noise[group, None] * rng.standard_normal((N_TOKENS, DIMENSIONS))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return angular_affinity(points @ points.T).astype(np.float32)


def scikit_learn_eigen(matrix: NDArray[np.floating], k: int) -> tuple[NDArray[np.float64], np.random.RandomState]:
    """The first half of SpectralClustering(k, affinity="precomputed", random_state=0).fit(matrix)."""
    random_state = np.random.RandomState(0)
    rows = arpack_embedding(matrix.astype(np.float64), n_components=k, random_state=random_state, drop_first=False)
    return rows, random_state


def scikit_learn_labels(rows: NDArray[np.float64], random_state: np.random.RandomState) -> NDArray[np.int32]:
    """The second half."""
    return k_means(rows, rows.shape[1], random_state=random_state, n_init=N_INIT)[1]


def eigen_case() -> Case:
    """The eigenvectors alone."""
    matrix = affinity()

    def differing(a: dict[int, NDArray[np.float64]], b: Embedding) -> str:
        gaps = [_projector_gap(a[k], b.vectors[:, :k]) for k in QUICK]
        return f"spaces differ by {max(gaps):.0e}"

    return Case(
        about=f"{N_TOKENS} tokens, {len(QUICK)} counts to {QUICK[-1]}",
        reference=lambda: {k: scikit_learn_eigen(matrix, k)[0] for k in QUICK},
        ours=lambda: spectral_embedding(matrix, QUICK[-1]),
        difference=differing,
        repeats=3,
    )


def sweep_case() -> Case:
    """Eigenvectors and labels, in parity mode."""
    matrix = affinity()

    def differing(a: Labels, b: Labels) -> str:
        return f"{sum(int((a[k] != b[k]).sum()) for k in QUICK)} labels differ"

    return Case(
        about=f"{N_TOKENS} tokens, {len(QUICK)} counts to {QUICK[-1]}, n_init {N_INIT}",
        reference=lambda: {k: scikit_learn_labels(*scikit_learn_eigen(matrix, k)) for k in QUICK},
        ours=lambda: cluster_every_k(matrix, QUICK, n_init=N_INIT),
        difference=differing,
        repeats=3,
    )


CASES = {"eigen": eigen_case, "sweep": sweep_case}


def reference_counts(
    matrix: NDArray[np.floating], counts: Iterable[int], cache: Path | None
) -> dict[int, dict[str, Any]]:
    """scikit-learn's labels and seconds at every count, from the cache where they are there."""
    known = json.loads(cache.read_text()) if cache and cache.exists() else {}
    for k in counts:
        if str(k) in known:
            continue
        (rows, state), eigen = _timed(partial(scikit_learn_eigen, matrix, k))
        labels, kmeans = _timed(partial(scikit_learn_labels, rows, state))
        known[str(k)] = {"eigen_cpu": eigen, "kmeans_cpu": kmeans, "labels": labels.tolist()}
        if cache:
            unfinished = cache.with_suffix(".partial")
            unfinished.write_text(json.dumps(known))
            unfinished.replace(cache)
    return {k: known[str(k)] for k in counts}


def compare(matrix: NDArray[np.floating], embedding: Embedding, k: int, reference: dict[str, Any]) -> dict[str, float]:
    """Seconds and quality at one count, of parity mode and of fast mode."""
    labels = np.array(reference["labels"], dtype=np.int32)
    parity, parity_seconds = _timed(lambda: cluster_k(embedding, k, n_init=N_INIT))
    fast, fast_seconds = _timed(lambda: cluster_k(embedding, k, n_init=N_INIT, seed=FAST_SEED, mode="fast"))
    references = [labels, *(cluster_k(embedding, k, n_init=N_INIT, seed=seed) for seed in OTHER_SEEDS)]
    points = embedding.vectors[:, :k]
    inertias, cuts = [_inertia(points, one) for one in references], [_cut(matrix, one) for one in references]
    return {
        "k": k,
        "eigen": reference["eigen_cpu"],
        "kmeans": reference["kmeans_cpu"],
        "parity": parity_seconds,
        "fast": fast_seconds,
        "differ": int((parity != labels).sum()),
        "inertia_gap": _inertia(points, fast) / float(np.mean(inertias)) - 1,
        "cut_gap": _cut(matrix, fast) / float(np.mean(cuts)) - 1,
        "agreement": float(np.mean([agreement(fast, one) for one in references])),
        "floor": float(np.mean([agreement(references[a], references[b]) for a, b in ((0, 1), (0, 2), (1, 2))])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.spectral", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", metavar="K,K", help="numbers of clusters; the paper's 30 by default")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="keep scikit-learn's labels and seconds here")
    parser.add_argument("--threads", type=int, default=1, help="of every procedure (default 1)")
    given = parser.parse_args()
    counts = [int(k) for k in given.counts.split(",")] if given.counts else list(PAPER)
    matrix = affinity()
    with threadpool_limits(given.threads):
        references = reference_counts(matrix, counts, given.cache)
        embedding, seconds = _timed(lambda: spectral_embedding(matrix, max(counts)))
        print("   k  eigen s  k-means s  parity s  ratio  differ  fast s  ratio  inertia  normalised cut  agreement")
        rows = [_printed(compare(matrix, embedding, k, references[k])) for k in counts]
    eigen, kmeans, parity, fast = (sum(row[name] for row in rows) for name in ("eigen", "kmeans", "parity", "fast"))
    print(f"eigenvectors: {eigen:.1f} s, ours {seconds:.2f} s: {eigen / seconds:.0f}×")
    for mode, ours in (("parity", parity), ("fast", fast)):
        whole = (eigen + kmeans) / (seconds + ours)
        print(f"{mode}: k-means {kmeans:.1f} s, ours {ours:.1f} s: {kmeans / ours:.1f}×; whole sweep {whole:.1f}×")


def _printed(row: dict[str, float]) -> dict[str, float]:
    print(
        f"{row['k']:>4}{row['eigen']:>9.2f}{row['kmeans']:>11.2f}{row['parity']:>10.2f}"
        f"{row['kmeans'] / row['parity']:>6.1f}×{row['differ']:>8}{row['fast']:>8.2f}"
        f"{row['kmeans'] / row['fast']:>6.1f}×{row['inertia_gap']:>+9.2%}{row['cut_gap']:>+16.4%}"
        f"{row['agreement']:>11.3f} ({row['floor']:.3f})",
        flush=True,
    )
    return row


def _timed(procedure: Callable[[], T]) -> tuple[T, float]:
    start = time.process_time()
    return procedure(), time.process_time() - start


def _projector_gap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Sine of the largest angle between two spaces."""
    first, second = np.linalg.qr(a)[0], np.linalg.qr(b)[0]
    return float(np.linalg.norm(first - second @ (second.T @ first), 2))


def _inertia(points: NDArray[np.float64], labels: NDArray[np.int32]) -> float:
    """Sum of squared distances to cluster means."""
    return sum(float(((points[labels == c] - points[labels == c].mean(axis=0)) ** 2).sum()) for c in np.unique(labels))


def _cut(matrix: NDArray[np.floating], labels: NDArray[np.int32]) -> float:
    """Normalised cut: the share of each cluster's affinity that leaves it, summed over clusters."""
    emptied = matrix.astype(np.float64)
    np.fill_diagonal(emptied, 0)
    degree = emptied.sum(axis=1)
    return sum(
        1 - float(emptied[np.ix_(labels == c, labels == c)].sum() / degree[labels == c].sum())
        for c in np.unique(labels)
    )


if __name__ == "__main__":
    main()

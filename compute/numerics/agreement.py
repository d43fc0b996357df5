"""How two partitions of the same tokens agree: shared information, matched pairs, what split and what merged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

Fate = Literal["kept", "split", "merged", "scattered"]
FATES: tuple[Fate, ...] = ("kept", "split", "merged", "scattered")
HALF = 0.5
N_HALVES, N_SHUFFLES = 20, 10


@dataclass(frozen=True)
class Contingency:
    """Shared tokens of every pair of clusters that share any.

    Attributes
    ----------
    a, b : ndarray of shape (n_cells,), int64
        Clusters of either partition, from 0; cells are ordered by a, then b.
    shared : ndarray of shape (n_cells,), int64
        Tokens in both, at least 1.
    sizes_a, sizes_b : ndarray of shape (k_a,) and (k_b,), int64
        Tokens of each cluster; 0 is allowed.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    shared: NDArray[np.int64]
    sizes_a: NDArray[np.int64]
    sizes_b: NDArray[np.int64]

    @property
    def n_tokens(self) -> int:
        return int(self.sizes_a.sum())

    @cached_property
    def jaccard(self) -> NDArray[np.float64]:
        """Shared tokens over tokens in either, of every cell."""
        return self.shared / (self.sizes_a[self.a] + self.sizes_b[self.b] - self.shared)

    @cached_property
    def share_a(self) -> NDArray[np.float64]:
        """Shared tokens over those of the cluster of a, of every cell."""
        return self.shared / self.sizes_a[self.a]

    @cached_property
    def share_b(self) -> NDArray[np.float64]:
        """Shared tokens over those of the cluster of b, of every cell."""
        return self.shared / self.sizes_b[self.b]

    def swapped(self) -> Contingency:
        """The same seen from the other side."""
        order = np.lexsort((self.a, self.b))
        return Contingency(self.b[order], self.a[order], self.shared[order], self.sizes_b, self.sizes_a)


def contingency(labels_a: ArrayLike, labels_b: ArrayLike, k_a: int = 0, k_b: int = 0) -> Contingency:
    """Count the tokens that each cluster of one partition shares with each of the other.

    Parameters
    ----------
    labels_a, labels_b : array_like of shape (n_tokens,), int
        Clusters from 0.
    k_a, k_b : int
        Clusters in all, where some may hold none of these tokens.

    Returns
    -------
    Contingency

    Raises
    ------
    ValueError
        The partitions label different numbers of tokens, or a label is negative.

    Examples
    --------
    >>> table = contingency([0, 0, 1], [1, 0, 0])
    >>> list(zip(table.a.tolist(), table.b.tolist(), table.shared.tolist()))
    [(0, 0, 1), (0, 1, 1), (1, 0, 1)]
    """
    a, b = np.asarray(labels_a, np.int64), np.asarray(labels_b, np.int64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"the partitions label {a.shape} and {b.shape} tokens; they must label the same ones")
    if a.size and min(a.min(), b.min()) < 0:
        raise ValueError(f"clusters count from 0, but a label is {min(a.min(), b.min())}")
    sizes_a, sizes_b = np.bincount(a, minlength=k_a), np.bincount(b, minlength=k_b)
    cells, shared = np.unique(a * max(len(sizes_b), 1) + b, return_counts=True)
    rows, columns = np.divmod(cells, max(len(sizes_b), 1))
    return Contingency(rows, columns, shared.astype(np.int64), sizes_a, sizes_b)


def adjusted_rand(table: Contingency) -> float:
    """Measure how far two partitions put the same pairs of tokens together, corrected for chance.

    Returns
    -------
    float
        1 for equal partitions, about 0 for unrelated ones; may be negative.

    Notes
    -----
    ARI = (Σ C(n_ij, 2) − E) / (½ [Σ C(a_i, 2) + Σ C(b_j, 2)] − E), E = Σ C(a_i, 2) Σ C(b_j, 2) / C(n, 2).

    References
    ----------
    Hubert and Arabie, Comparing partitions, Journal of Classification 2, 193-218 (1985).

    Examples
    --------
    >>> adjusted_rand(contingency([0, 0, 1, 1], [1, 1, 0, 0]))
    1.0
    """
    both, in_a, in_b = (_n_pairs(counts) for counts in (table.shared, table.sizes_a, table.sizes_b))
    all_pairs = table.n_tokens * (table.n_tokens - 1) // 2
    if in_a == in_b == both:
        return 1.0
    expected = in_a * in_b / all_pairs
    most = (in_a + in_b) / 2
    return (both - expected) / (most - expected)


@dataclass(frozen=True)
class Information:
    """What one partition tells about the other, in shares of what there is to tell.

    Attributes
    ----------
    mutual_nats : float
        I(A; B), at least 0.
    entropy_a, entropy_b : float
        H(A) and H(B), nats.
    normalized : float
        NMI = I / ½ (H(A) + H(B)), in [0, 1]; 1 for two partitions of one cluster each.
    homogeneity : float
        1 − H(A | B) / H(A): 1 where every cluster of b lies within one of a.
    completeness : float
        1 − H(B | A) / H(B): 1 where every cluster of a lies within one of b.
    """

    mutual_nats: float
    entropy_a: float
    entropy_b: float
    normalized: float
    homogeneity: float
    completeness: float


def information(table: Contingency) -> Information:
    """Measure what either partition says about the other.

    Parameters
    ----------
    table : Contingency
        Of at least one token.

    Returns
    -------
    Information

    Notes
    -----
    I = Σ p_ij ln(p_ij / (p_i p_j)). NMI is not corrected for chance: many small clusters share information whatever
    they hold, so it means something only beside its value for shuffled labels (`by_chance`).

    References
    ----------
    Strehl and Ghosh, JMLR 3, 583-617 (2002); Rosenberg and Hirschberg, EMNLP-CoNLL 2007 (homogeneity, completeness).

    Examples
    --------
    >>> round(information(contingency([0, 0, 1, 1], [0, 0, 1, 2])).completeness, 4)
    0.6667
    """
    n = table.n_tokens
    p = table.shared / n
    outer = table.sizes_a[table.a] / n * (table.sizes_b[table.b] / n)
    mutual = max(float(np.sum(p * np.log(p / outer))), 0.0)
    in_a, in_b = _entropy(table.sizes_a / n), _entropy(table.sizes_b / n)
    mean = (in_a + in_b) / 2
    return Information(
        mutual_nats=mutual,
        entropy_a=in_a,
        entropy_b=in_b,
        normalized=mutual / mean if mean > 0 else 1.0,
        homogeneity=mutual / in_a if in_a > 0 else 1.0,
        completeness=mutual / in_b if in_b > 0 else 1.0,
    )


def by_chance(
    measure: Callable[[Contingency], float], labels_a: ArrayLike, labels_b: ArrayLike, n: int = N_SHUFFLES
) -> float:
    """Measure the agreement that cluster sizes alone would give.

    Parameters
    ----------
    measure : callable (Contingency) → float
    labels_a, labels_b : array_like of shape (n_tokens,), int
    n : int
        Shuffles of the second partition's labels, seeded.

    Returns
    -------
    float
        Mean of the measure over the shuffles.

    Examples
    --------
    >>> abs(by_chance(adjusted_rand, [0, 1] * 500, [0] * 500 + [1] * 500)) < 0.01
    True
    """
    rng, b = np.random.default_rng(0), np.asarray(labels_b)
    return float(np.mean([measure(contingency(labels_a, rng.permutation(b))) for _ in range(n)]))


def spread_over_halves(
    measure: Callable[[Contingency], ArrayLike], labels_a: ArrayLike, labels_b: ArrayLike, n: int = N_HALVES
) -> NDArray[np.float64]:
    """Estimate how much measures depend on which tokens were drawn.

    Parameters
    ----------
    measure : callable (Contingency) → float, or array_like of several measures
    labels_a, labels_b : array_like of shape (n_tokens,), int
    n : int
        Random halves of the tokens, seeded.

    Returns
    -------
    ndarray of the measure's shape, float64
        Standard errors; NaN for fewer than 4 tokens.

    Notes
    -----
    A delete-half jackknife: for halves drawn without replacement the measure's standard deviation over them estimates
    its standard error over all tokens. (A bootstrap would draw tokens twice and call their copies agreement.) Tokens
    count as independent; those of one document are less than that. For measures that change with the number of tokens
    (NMI) it says how far the value is stable, not how far it is biased.

    References
    ----------
    Shao and Wu, A general theory for jackknife variance estimation, Annals of Statistics 17, 1176-1197 (1989).

    Examples
    --------
    >>> float(spread_over_halves(adjusted_rand, [0, 0, 1, 1] * 9, [1, 1, 0, 0] * 9))
    0.0
    """
    a, b = np.asarray(labels_a), np.asarray(labels_b)
    if len(a) < 4:
        return np.full_like(np.asarray(measure(contingency(a, b)), np.float64), np.nan)
    rng = np.random.default_rng(0)
    drawn = (rng.permutation(len(a))[: len(a) // 2] for _ in range(n))
    found = np.array([measure(contingency(a[half], b[half])) for half in drawn], np.float64)
    return np.asarray(found.std(axis=0, ddof=1))


def matching(table: Contingency) -> NDArray[np.int64]:
    """Pair the clusters of two partitions one to one so that pairs share as many tokens as possible.

    Parameters
    ----------
    table : Contingency

    Returns
    -------
    ndarray of shape (n_pairs,), int64
        Cells of the table, by shared tokens, most first; no cluster occurs twice, and clusters that would be paired
        without a shared token are left alone.

    Notes
    -----
    The assignment problem: max Σ n_{i, π(i)} over one-to-one π; of pairings that share as many tokens, the one with
    the larger sum of Jaccard indices. Every cluster of a may also stay alone, at no gain, so the table stays sparse:
    1,500 × 1,500 clusters of 10,000 tokens take milliseconds instead of a third of a second.

    References
    ----------
    Jonker and Volgenant, A shortest augmenting path algorithm for dense and sparse linear assignment problems,
    Computing 38, 325-340 (1987).

    Examples
    --------
    >>> table = contingency([0, 0, 0, 1, 1], [0, 0, 1, 0, 1])
    >>> [(int(table.a[c]), int(table.b[c])) for c in matching(table)]
    [(0, 0), (1, 1)]
    """
    k_a, k_b = len(table.sizes_a), len(table.sizes_b)
    if not len(table.shared):
        return np.empty(0, np.int64)
    gain = table.shared + table.jaccard / (2 * max(k_a, 1))  # all the second terms together are below one token
    most = float(gain.max()) + 1
    alone = np.arange(k_a)
    costs = np.concatenate([most - gain, np.full(k_a, most)])
    where = (np.concatenate([table.a, alone]), np.concatenate([table.b, k_b + alone]))
    rows, columns = min_weight_full_bipartite_matching(csr_matrix((costs, where), shape=(k_a, k_b + k_a)))
    is_paired = columns < k_b
    cells = np.searchsorted(table.a * k_b + table.b, rows[is_paired] * k_b + columns[is_paired])
    return cells[np.argsort(-table.shared[cells], kind="stable")]


def fates(table: Contingency) -> NDArray[np.int64]:
    """Say of every cluster of a what became of it in b.

    Parameters
    ----------
    table : Contingency

    Returns
    -------
    ndarray of shape (k_a,), int64
        Places in `FATES`; −1 for a cluster without tokens.

    Notes
    -----
    In this order, the first that holds of cluster X:

    - *kept*: a cluster of b overlaps it by a Jaccard index above ½ (there is at most one);
    - *split*: at least two clusters of b lie by more than half within X and together hold at least half of it;
    - *merged*: X lies by more than half within one cluster Y of b, and Y was made of at least two clusters of a, that
      is: seen from b, Y is split in a;
    - *scattered*: none of these.

    Examples
    --------
    >>> [FATES[f] for f in fates(contingency([0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2, 2, 2]))]
    ['split', 'merged', 'merged']
    """
    is_kept, is_split = _is_kept(table), _is_split(table)
    whole = (table.share_a > HALF) & _is_split(table.swapped())[table.b]
    is_merged = np.zeros(len(table.sizes_a), bool)
    is_merged[table.a[whole]] = True
    found = np.select([is_kept, is_split, is_merged], [0, 1, 2], default=3)
    return np.where(table.sizes_a > 0, found, -1)


def parts_within(table: Contingency, cluster: int) -> NDArray[np.int64]:
    """Cells of the clusters of b that lie by more than half within one cluster of a, most shared tokens first."""
    cells = np.flatnonzero((table.a == cluster) & (table.share_b > HALF))
    return cells[np.argsort(-table.shared[cells], kind="stable")]


def _is_kept(table: Contingency) -> NDArray[np.bool_]:
    """Which clusters of a overlap one of b by a Jaccard index above ½."""
    found = np.zeros(len(table.sizes_a), bool)
    found[table.a[table.jaccard > HALF]] = True
    return found


def _is_split(table: Contingency) -> NDArray[np.bool_]:
    """Which clusters of a are not kept, and hold by more than half at least two of b that make up half of them."""
    inside = table.share_b > HALF
    k = len(table.sizes_a)
    n_parts = np.bincount(table.a[inside], minlength=k)
    covered = np.bincount(table.a[inside], table.shared[inside], minlength=k)
    return (n_parts >= 2) & (covered >= HALF * table.sizes_a) & ~_is_kept(table)


def _entropy(p: NDArray[np.floating]) -> float:
    present = p[p > 0]
    return float(-np.sum(present * np.log(present)))


def _n_pairs(counts: NDArray[np.int64]) -> int:
    """Σ c(c − 1)/2 as a Python integer, which cannot overflow in products."""
    return int(np.sum(counts * (counts - 1) // 2))

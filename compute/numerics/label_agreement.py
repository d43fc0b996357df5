"""How far people agree who label the same clusters: Krippendorff's α with intervals, overlap of sets and of words."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any, Literal

import krippendorff
import numpy as np
from numpy.typing import ArrayLike, NDArray

Level = Literal["nominal", "ordinal"]
Reason = Literal["", "no pairs", "no variation"]
N_RESAMPLES, LEAST_UNITS, MOST_UNDEFINED = 1000, 6, 0.05
N_CHANCE_PAIRS = 2000
MANY_VALUES = 12  # beyond so many values the package's table of all units and pairs of values grows too large
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Alpha:
    """Agreement beyond chance.

    Attributes
    ----------
    alpha : float or None
        1 for perfect agreement, 0 for what chance would give, negative for less; None where it is not defined.
    low, high : float or None
        Percentile bootstrap interval, 95%; None where there are too few units, or too many resamples without variation.
    n_units : int
        Units with at least two values.
    n_values : int
        Values in these units.
    reason : str
        Why it is not defined: "no pairs" (nobody labelled the same unit), "no variation" (everybody gave one value
        to everything), or "".
    """

    alpha: float | None
    low: float | None
    high: float | None
    n_units: int
    n_values: int
    reason: Reason = ""


@dataclass(frozen=True)
class Overlap:
    """A mean over units of a mean over pairs of people.

    Attributes
    ----------
    mean : float or None
        In [0, 1]; None where no unit has two people.
    low, high : float or None
        Percentile bootstrap interval, 95%.
    chance : float or None
        The same mean for pairs of different people on different units, sampled and seeded; None where there are none.
    n_units : int
    """

    mean: float | None
    low: float | None
    high: float | None
    chance: float | None
    n_units: int


def alpha(
    counts: ArrayLike,
    *,
    level: Level = "nominal",
    distances: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Alpha:
    """Measure agreement beyond chance over units that several people gave values to.

    Parameters
    ----------
    counts : array_like of shape (n_units, n_values), int
        How many people gave each value to each unit.
    level : "nominal" or "ordinal"
        How values differ: alike or not; or by how many values lie between them, the columns being in their order.
    distances : array_like of shape (n_values, n_values), float, optional
        Any other squared difference δ² of two values, symmetric with zeros on the diagonal, in place of `level`.
    groups : array_like of shape (n_units,), int, optional
        What is resampled, from 0, where several units belong together (the members of one cluster); units themselves
        otherwise.
    seed : int

    Returns
    -------
    Alpha

    Raises
    ------
    ValueError
        The counts are negative or no table, or the distances do not fit them.

    Notes
    -----
    α = 1 − D_o/D_e. With m_u people on unit u and n values in units of two people and more,
    D_o = (1/n) Σ_u Σ_{c≠k} n_uc n_uk δ²_ck / (m_u − 1) and D_e = Σ_{c≠k} n_c n_k δ²_ck / (n (n − 1)).
    Ordinal δ_ck = Σ_{g=c..k} n_g − (n_c + n_k)/2. Missing values are left out, units with one value too.
    The point comes from the `krippendorff` package where it has the level; for given distances, and for resamples, the
    same sums are formed here at once for all. Units (or groups) are resampled, those with one value too, and never
    people: the interval says how α would move with other units and the same people.

    References
    ----------
    Krippendorff, Computing Krippendorff's Alpha-Reliability (2011); Content Analysis, 3rd ed., chapter 12.

    Examples
    --------
    >>> alpha([[2, 0], [0, 2], [1, 1], [2, 0]]).alpha
    0.5333333333333333
    """
    table = np.asarray(counts, np.float64)
    if table.ndim != 2 or (table.size and table.min() < 0):
        raise ValueError(f"counts must be a table of units and values, none negative; got shape {table.shape}")
    given = None if distances is None else _checked(distances, table.shape[1])
    pairable = table.sum(axis=1) >= 2
    kept = table[pairable]
    n_units, n_values = len(kept), int(kept.sum())
    if not n_units:
        return Alpha(None, None, None, 0, 0, "no pairs")
    totals = kept.sum(axis=0)
    if not _expected(totals[None], level, given)[0] > 0:
        return Alpha(None, None, None, n_units, n_values, "no variation")
    point = _point(kept, level, given)
    place = np.arange(len(table)) if groups is None else np.asarray(groups)
    low, high = _interval(kept, place[pairable], int(place.max()) + 1, level, given, seed)
    return Alpha(point, low, high, n_units, n_values)


def _point(kept: NDArray[np.float64], level: Level, given: NDArray[np.float64] | None) -> float:
    if given is None and kept.shape[1] <= MANY_VALUES:
        return float(krippendorff.alpha(value_counts=kept.astype(np.int64), level_of_measurement=level))
    return float(_alphas(np.ones((1, len(kept))), kept, level, given)[0])


def _interval(
    kept: NDArray[np.float64],
    place: NDArray[np.int64],
    n_groups: int,
    level: Level,
    given: NDArray[np.float64] | None,
    seed: int,
) -> tuple[float | None, float | None]:
    """Ends of the interval; none for too few groups, or where too many resamples have no variation."""
    if len(np.unique(place)) < LEAST_UNITS:
        return None, None
    found = _alphas(_drawn(n_groups, seed), kept, level, given, place)
    known = found[np.isfinite(found)]
    if len(known) < (1 - MOST_UNDEFINED) * N_RESAMPLES:
        return None, None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


@lru_cache(maxsize=2)
def _drawn(n: int, seed: int) -> NDArray[np.float64]:
    """How often each of n things is in each resample; measures over the same things share the draws."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES)
    return drawn.astype(np.float64)


def _alphas(
    weights: NDArray[Any],
    kept: NDArray[np.float64],
    level: Level,
    given: NDArray[np.float64] | None,
    place: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """α of each row of weights over groups of units; NaN where a resample has no variation."""
    n_people = kept.sum(axis=1)
    scaled = kept / (n_people - 1)[:, None]
    if place is not None:
        n_groups = weights.shape[1]
        totals = np.zeros((n_groups, kept.shape[1]))
        np.add.at(totals, place, kept)
    else:
        totals = kept
    sums = weights @ totals  # (n_resamples, n_values)
    if given is None and level == "ordinal":
        coincidences = np.einsum("uc,uk->uck", scaled, kept)
        of_groups = _grouped(coincidences, place, weights.shape[1])
        observed = np.einsum("rck,rck->r", np.tensordot(weights, of_groups, axes=1), _ordinal(sums))
    else:
        delta = 1 - np.eye(kept.shape[1]) if given is None else given
        own = np.einsum("uc,uc->u", scaled @ delta, kept)
        observed = weights @ _grouped(own, place, weights.shape[1])
    n = sums.sum(axis=1)
    expected = _expected(sums, level, given)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, 1 - observed * (n - 1) / expected, np.nan)


def _grouped(values: NDArray[np.float64], place: NDArray[np.int64] | None, n: int) -> NDArray[np.float64]:
    """Sums over the units of every group."""
    if place is None:
        return values
    sums = np.zeros((n, *values.shape[1:]))
    np.add.at(sums, place, values)
    return sums


def _expected(sums: NDArray[np.float64], level: Level, given: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Σ n_c n_k δ²_ck of each row of totals."""
    if given is None and level == "ordinal":
        return np.einsum("rc,rck,rk->r", sums, _ordinal(sums), sums)
    delta = 1 - np.eye(sums.shape[1]) if given is None else given
    return np.einsum("rc,rc->r", sums @ delta, sums)


def _ordinal(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """δ² of ordered values for each row of totals, of shape (n_rows, n_values, n_values)."""
    places = np.cumsum(sums, axis=1) - sums / 2  # Σ_{g=c..k} n_g − (n_c + n_k)/2 is the way between the middles
    return (places[:, :, None] - places[:, None, :]) ** 2


def _checked(distances: ArrayLike, n: int) -> NDArray[np.float64]:
    found = np.asarray(distances, np.float64).reshape(-1, n) if n else np.zeros((0, 0))
    if found.shape != (n, n) or not np.allclose(found, found.T) or np.any(np.diagonal(found) != 0):
        raise ValueError(f"distances must be symmetric with zeros on the diagonal, of shape ({n}, {n})")
    return found


def counts_of(values: Sequence[Sequence[Hashable]], domain: Sequence[Hashable]) -> NDArray[np.int64]:
    """Count how many people gave each value to each unit.

    Parameters
    ----------
    values : sequence of sequences
        Of each unit, the values that people gave; None where somebody said nothing.
    domain : sequence
        All values, in their order; those of a unit that it lacks are left out.

    Returns
    -------
    ndarray of shape (n_units, len(domain)), int64

    Examples
    --------
    >>> counts_of([["a", "b", None], ["b", "b"]], ["a", "b"]).tolist()
    [[1, 1], [0, 2]]
    """
    place = {value: i for i, value in enumerate(domain)}
    table = np.zeros((len(values), len(domain)), np.int64)
    for row, given in zip(table, values, strict=True):
        for value in given:
            if value in place:
                row[place[value]] += 1
    return table


def masi_distance(a: frozenset[str], b: frozenset[str]) -> float:
    """Measure how far two sets of tags differ: 0 for equal sets, 1 for sets that share nothing.

    Returns
    -------
    float
        1 − J·M with J the Jaccard index and M = 1 for equal sets, 2/3 where one lies within the other, 1/3 where they
        overlap, 0 where they do not. Two empty sets are equal.

    References
    ----------
    Passonneau, Measuring agreement on set-valued items (MASI), LREC 2006.

    Examples
    --------
    >>> round(masi_distance(frozenset("ab"), frozenset("abc")), 4)
    0.5556
    """
    if a == b:
        return 0.0
    shared = a & b
    if not shared:
        return 1.0
    return 1 - len(shared) / len(a | b) * (2 / 3 if a < b or b < a else 1 / 3)


def alpha_of_sets(sets: Sequence[Sequence[frozenset[str]]], *, seed: int = 0) -> Alpha:
    """Measure agreement on sets of tags, by MASI distance; parameters and result as for `alpha`.

    Examples
    --------
    >>> one, two = frozenset("a"), frozenset("b")
    >>> alpha_of_sets([[one, one], [two, two], [one, two]]).alpha
    0.4444444444444444
    """
    domain = sorted({given for unit in sets for given in unit}, key=sorted)
    distances = np.zeros((len(domain), len(domain)))
    for (i, a), (j, b) in combinations(enumerate(domain), 2):
        distances[i, j] = distances[j, i] = masi_distance(a, b)
    return alpha(counts_of(sets, domain), distances=distances, seed=seed)


def words_of(text: str) -> frozenset[str]:
    """Find the words of a text, each once, in small letters.

    Examples
    --------
    >>> sorted(words_of("The colon, the COLON."))
    ['colon', 'the']
    """
    return frozenset(_WORD.findall(text.casefold()))


def jaccard(a: frozenset[Any], b: frozenset[Any]) -> float:
    """Measure shared elements over elements in either; two empty sets are equal: 1.

    Examples
    --------
    >>> jaccard(frozenset("ab"), frozenset("bc"))
    0.3333333333333333
    """
    return len(a & b) / len(a | b) if a or b else 1.0


def overlap(
    units: Sequence[Sequence[Any]], likeness: Callable[[Any, Any], float] = jaccard, *, seed: int = 0
) -> Overlap:
    """Measure how alike what people gave to the same unit is, on average over units.

    Parameters
    ----------
    units : sequence of sequences
        Of each unit, what each person gave.
    likeness : callable (a, b) → float in [0, 1]
    seed : int

    Returns
    -------
    Overlap

    Notes
    -----
    The mean over units of the mean over their pairs, so that a unit with many people counts no more than one with two.
    `chance` pairs what was given to different units: likeness means agreement only as far as it exceeds that.

    Examples
    --------
    >>> overlap([[frozenset("ab"), frozenset("ab")], [frozenset("cd"), frozenset("ce")]]).mean
    0.6666666666666666
    """
    means = [mean_over_pairs(unit, likeness) for unit in units]
    known = np.array([mean for mean in means if mean is not None])
    if not len(known):
        return Overlap(None, None, None, None, 0)
    low, high = interval_of_mean(known, seed=seed)
    return Overlap(float(known.mean()), low, high, _by_chance(units, likeness, seed), len(known))


def mean_over_pairs(given: Sequence[Any], likeness: Callable[[Any, Any], float]) -> float | None:
    """Mean likeness of all pairs; None for fewer than two.

    Examples
    --------
    >>> mean_over_pairs([1, 1, 2], lambda a, b: float(a == b))
    0.3333333333333333
    """
    pairs = [likeness(a, b) for a, b in combinations(given, 2)]
    return sum(pairs) / len(pairs) if pairs else None


def interval_of_mean(values: ArrayLike, *, seed: int = 0) -> tuple[float | None, float | None]:
    """Find the 95% percentile bootstrap interval of a mean.

    Returns
    -------
    low, high : float or None
        None for fewer than 6 values.

    Examples
    --------
    >>> interval_of_mean([0.5] * 9)
    (0.5, 0.5)
    """
    known = np.asarray(values, np.float64)
    n = len(known)
    if n < LEAST_UNITS:
        return None, None
    low, high = np.quantile(_drawn(n, seed) @ known / n, [0.025, 0.975])
    return float(low), float(high)


def _by_chance(units: Sequence[Sequence[Any]], likeness: Callable[[Any, Any], float], seed: int) -> float | None:
    """Mean likeness of what was given to different units."""
    flat = [(i, given) for i, unit in enumerate(units) for given in unit]
    if len({i for i, _ in flat}) < 2:
        return None
    pairs = np.random.default_rng(seed).integers(0, len(flat), (N_CHANCE_PAIRS, 2)).tolist()
    found = [likeness(flat[a][1], flat[b][1]) for a, b in pairs if flat[a][0] != flat[b][0]]
    return float(np.mean(found)) if found else None

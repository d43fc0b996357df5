"""Dealing out the clusters of a queue."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from clusters.values.sharing import Share, dealt


@pytest.mark.parametrize(("n", "people", "each"), [(40, 4, 2), (7, 3, 2), (12, 5, 3), (1, 4, 4), (30, 2, 1)])
def test_each_cluster_gets_different_people_and_everybody_as_many(n, people, each):
    found = dealt([Share()] * n, range(people), each, seed=3)
    assert all(len(named) == len(set(named)) == each for named in found)
    loads = Counter(one for named in found for one in named)
    assert max(loads.values()) - min(loads[person] for person in range(people)) <= 1


def test_pairs_meet_about_as_often_as_others():
    found = dealt([Share()] * 60, range(4), 2, seed=0)
    met = Counter(frozenset(pair) for named in found for pair in combinations(named, 2))
    assert len(met) == 6
    assert max(met.values()) - min(met.values()) <= 2


def test_the_same_seed_deals_the_same_way_and_another_does_not():
    once, again, other = (dealt([Share()] * 20, range(5), 2, seed=seed) for seed in (1, 1, 2))
    assert once == again
    assert once != other


def test_what_is_kept_stays_and_the_rest_is_levelled():
    """Ana has done four; five more of hers may move; ben is new and has nothing."""
    shares = [Share(kept=(1,))] * 4 + [Share(movable=(1,))] * 4
    found = dealt(shares, [1, 2], 1, seed=0)
    assert found[:4] == [[]] * 4
    assert Counter(one for named in found for one in named) == {2: 4}


def test_too_few_people_leave_places_empty_rather_than_ask_somebody_twice():
    assert dealt([Share(kept=(1,))], [1], 2, seed=0) == [[]]

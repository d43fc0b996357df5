"""Dealing out the clusters of a queue: so many different people for each, everybody about the same number."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Share:
    """Who labels one cluster: those who stay, for theirs is in or begun, and those whose turn may go to others."""

    kept: tuple[int, ...] = ()
    movable: tuple[int, ...] = ()

    @property
    def people(self) -> set[int]:
        return {*self.kept, *self.movable}


def dealt(shares: Sequence[Share], people: Sequence[int], each: int, seed: int) -> list[list[int]]:
    """Who is to label each cluster, beyond those who are kept: `each` different people of these for every cluster.

    The same seed deals the same way. Loads differ by at most one where nothing is kept; otherwise those who have most
    give to those who have least, as long as it can be done. Pairs of people meet on as many clusters as others.
    """
    order = sorted(set(people))
    random.Random(seed).shuffle(order)
    place = {person: i for i, person in enumerate(order)}
    loads, meetings = _begun(shares, order)
    found: list[list[int]] = []
    for share in shares:
        stays = [person for person in share.movable if person in place][: max(each - len(share.kept), 0)]
        loads.update(stays)
        found.append(stays)
    for share, new in zip(shares, found, strict=True):
        while len(share.kept) + len(new) < each:
            there = {*share.kept, *new}
            free = [person for person in order if person not in there]
            if not free:
                break
            chosen = min(free, key=lambda p: (loads[p], sum(meetings[_pair(p, q)] for q in there), place[p]))
            loads[chosen] += 1
            meetings.update(_pair(chosen, other) for other in there)
            new.append(chosen)
    _level(shares, found, order, loads)
    return found


def _begun(shares: Sequence[Share], order: Sequence[int]) -> tuple[Counter[int], Counter[tuple[int, int]]]:
    loads: Counter[int] = Counter(dict.fromkeys(order, 0))
    meetings: Counter[tuple[int, int]] = Counter()
    for share in shares:
        loads.update(share.kept)
        meetings.update(_pair(a, b) for a, b in combinations(share.people, 2))
    return loads, meetings


def _level(shares: Sequence[Share], found: list[list[int]], order: Sequence[int], loads: Counter[int]) -> None:
    """Move turns from whom has most to whom has least, until nobody has two more than another or nothing can move."""
    is_moved = True
    while is_moved:
        is_moved = False
        for share, new in zip(shares, found, strict=True):
            free = [person for person in order if person not in share.kept and person not in new]
            if not free or not new:
                continue
            heavy, light = max(new, key=lambda p: loads[p]), min(free, key=lambda p: loads[p])
            if loads[heavy] - loads[light] > 1:
                new[new.index(heavy)] = light
                loads[heavy] -= 1
                loads[light] += 1
                is_moved = True


def _pair(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)

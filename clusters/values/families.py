"""Networks that share a recipe and differ in size, told by their names: one law is fitted within one family."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, TypeVar

_SIZE = re.compile(r"[-_.]?(?<![\d.])\d+(?:\.\d+)?[kmbt](?![a-z0-9])", re.IGNORECASE)
_WORD = re.compile(r"[-_.](?:nano|tiny|mini|small|medium|base|large|xl|xxl|huge)(?![a-z0-9])", re.IGNORECASE)


class Network(Protocol):
    """What is asked of a network here."""

    @property
    def lm(self) -> str: ...

    @property
    def n_non_embedding(self) -> int: ...

    @property
    def is_clustered(self) -> bool: ...


AnyNetwork = TypeVar("AnyNetwork", bound=Network)


def family_of(lm: str) -> str:
    """A network's name without its size: "pythia-v0" of "pythia-70m-v0", "gpt2" of "gpt2-medium"."""
    return _WORD.sub("", _SIZE.sub("", lm)) or lm


def families(networks: Sequence[AnyNetwork]) -> dict[str, list[AnyNetwork]]:
    """Networks by family; the family of most sizes comes first, of equals that of the clustered network."""
    found: dict[str, list[AnyNetwork]] = {}
    for network in networks:
        found.setdefault(family_of(network.lm), []).append(network)
    order = sorted(found, key=lambda name: (-_n_sizes(found[name]), not any(one.is_clustered for one in found[name])))
    return {name: found[name] for name in order}


def within_family(networks: Sequence[AnyNetwork]) -> list[AnyNetwork]:
    """The family of most sizes; all of them where no family has two sizes."""
    first = next(iter(families(networks).values()), [])
    return first if _n_sizes(first) > 1 else list(networks)


def _n_sizes(networks: Sequence[Network]) -> int:
    return len({one.n_non_embedding for one in networks})

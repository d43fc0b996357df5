"""Networks of one recipe, told by their names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from clusters.values.families import families, family_of, within_family


@dataclass(frozen=True)
class Net:
    lm: str
    n_non_embedding: int
    is_clustered: bool = False


@pytest.mark.parametrize(
    ("lm", "family"),
    [
        ("pythia-70m", "pythia"),
        ("pythia-1.4b-v0", "pythia-v0"),
        ("pythia-70m-deduped", "pythia-deduped"),
        ("demo-793k", "demo"),
        ("TinyStories-33M", "TinyStories"),
        ("gpt2-medium", "gpt2"),
        ("Qwen2.5-0.5B", "Qwen2.5"),
        ("Llama-3.2-1B", "Llama-3.2"),
        ("owner.opt-125m", "owner.opt"),
        ("gpt2", "gpt2"),
        ("large", "large"),
    ],
)
def test_a_family_is_a_name_without_its_size(lm, family):
    assert family_of(lm) == family


def test_the_family_of_most_sizes_comes_first_then_the_clustered_one():
    nets = [Net("a-1m", 1), Net("b-1m", 1), Net("b-2m", 2), Net("c-1m", 1), Net("c-2m", 2, is_clustered=True)]
    assert list(families(nets)) == ["c", "b", "a"]
    assert within_family(nets) == nets[3:]


def test_networks_without_kin_are_taken_together():
    nets = [Net("gpt2", 1), Net("TinyStories-33M", 2)]
    assert within_family(nets) == nets
    assert within_family([]) == []

"""What one benchmark compares, and the small networks and text the benchmarks share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from compute.numerics.corpus import TokenizedCorpus


@dataclass(frozen=True)
class Case:
    """Two procedures for the same result.

    Attributes
    ----------
    about : str
        The input, in words.
    reference : callable or None
        The plain procedure; None where only our own time matters (`difference` then sees None first).
    ours : callable
    difference : callable
        Says in words how far the two results are apart.
    bound : callable or None
        Seconds that the matrix products which the result needs take, by `probe.product_seconds`: the least work, so
        repetition and padding earn no credit.
    reference_bound : callable or None
        The same for the products that the reference does as it is written; None for ``bound``.
    repeats : int or None
        For procedures of minutes: so many timed turns and none to warm up. None for what the command line says.
    """

    about: str
    reference: Callable[[], Any] | None
    ours: Callable[[], Any]
    difference: Callable[[Any, Any], str]
    bound: Callable[[], float] | None = None
    reference_bound: Callable[[], float] | None = None
    repeats: int | None = None


def network(d_model: int = 128, n_layers: int = 4, vocabulary: int = 4096, length: int = 256) -> GPTNeoXForCausalLM:
    """A network of the demo suite's shape with seeded random weights."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=vocabulary,
        hidden_size=d_model,
        intermediate_size=4 * d_model,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        max_position_embeddings=length,
        tie_word_embeddings=False,
        use_cache=False,
    )
    return GPTNeoXForCausalLM(config).eval().requires_grad_(False)


def corpus(n_documents: int, *, vocabulary: int = 4096, longest: int = 256) -> TokenizedCorpus:
    """Documents of uneven length with Zipf-distributed tokens."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(8, longest + 1, n_documents)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = (rng.zipf(1.3, int(offsets[-1])) % vocabulary).astype(np.uint16)
    return TokenizedCorpus(tokens, offsets)

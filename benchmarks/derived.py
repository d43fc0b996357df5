"""What gradients and similarities of 10,000 tokens of pythia-70m cost: a token's measured cost times the passes.

Derived, not run: the published procedure would take days on a small machine. Lengths are those to expect of the Pile's
tokens (a token is the likelier in a document the longer that is); weights are random, as cost does not depend on them.

    python -m benchmarks.derived
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import GPTNeoXForCausalLM

from benchmarks.stage import Stage, published_gradient, repetition, seconds_of
from compute.numerics.checkpoints import pythia_config
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.gradients import gradient_parameters
from compute.numerics.similarity import GramAccumulator
from compute.numerics.sketch import SIZE, CountSketch, stored_sketch
from compute.numerics.vectors import vector_batches

N_TOKENS, N_BLOCKS = 10_000, 40
DOCUMENT, CONTEXT = 800, 400  # tokens of a token's whole document, and of its context
MEASURED = 6  # tokens
GRAM_ROWS, GRAM_COLUMNS = 2000, 16_384


@dataclass(frozen=True)
class Cost:
    """Multiplications and additions, and seconds."""

    flops: float
    seconds: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.seconds + other.seconds)

    def times(self, count: float) -> Cost:
        return Cost(self.flops * count, self.seconds * count)


def pythia() -> Stage:
    """Random weights of pythia-70m's shape and documents of the length expected, a target in the middle of each."""
    torch.manual_seed(0)
    model = GPTNeoXForCausalLM(pythia_config("pythia-70m")).eval().requires_grad_(False)
    ids = np.random.default_rng(0).integers(0, 50_000, MEASURED * DOCUMENT).astype(np.uint16)
    corpus = TokenizedCorpus(ids, DOCUMENT * np.arange(MEASURED + 1))
    return Stage(model, corpus, corpus.prediction_starts[:MEASURED] + CONTEXT - 1)


def published_pass(stage: Stage) -> Cost:
    """One gradient over the whole document, every logit and every parameter."""
    kept = [parameter for _, parameter in gradient_parameters(stage.model)]
    config = stage.model.config
    stage.model.requires_grad_(True)
    published_gradient(stage, int(stage.tokens[0]), kept)
    seconds = seconds_of(lambda: [published_gradient(stage, token, kept) for token in stage.tokens.tolist()])
    stage.model.requires_grad_(False)
    return Cost(6.0 * (stage.n_entries + config.vocab_size * config.hidden_size) * DOCUMENT, seconds / MEASURED)


def own_pass(stage: Stage, sketch: CountSketch | None) -> Cost:
    """One gradient on its context, stored in half precision or sketched."""

    def work() -> None:
        for _, rows, norms in vector_batches(stage.model, stage.corpus, stage.tokens):
            if sketch is None:
                rows.half()
            else:
                for kind in sketch.apply(rows, absolute=True, norms=norms):
                    assert kind is not None  # noqa: S101  (both asked for)
                    stored_sketch(kind)

    work()
    sums = 0 if sketch is None else 2 * stage.n_entries
    return Cost(6.0 * stage.n_entries * CONTEXT + sums, seconds_of(work) / MEASURED)


def own_gram(n_columns: int) -> Cost:
    """Cosines of one kind, from stored rows in memory (reading a store from a disk comes on top)."""
    rows = np.random.default_rng(0).standard_normal((GRAM_ROWS, GRAM_COLUMNS), dtype=np.float32).astype(np.float16)

    def work() -> None:
        GramAccumulator(GRAM_ROWS, GRAM_COLUMNS, GRAM_COLUMNS, absolute=False).add([rows])

    work()
    scale = (N_TOKENS / GRAM_ROWS) ** 2 * n_columns / GRAM_COLUMNS
    return Cost(float(N_TOKENS) ** 2 * n_columns, seconds_of(work) * scale)


def published_gram(n_columns: int) -> Cost:
    """Cosines of one kind, one pair of blocks after the other."""
    size = N_TOKENS // N_BLOCKS
    n_pairs = N_BLOCKS * (N_BLOCKS + 1) / 2
    left, right = torch.randn(2, size, GRAM_COLUMNS)
    n_timed = 20
    seconds = seconds_of(lambda: [left @ right.T for _ in range(n_timed)]) / n_timed
    parts = n_pairs * n_columns / GRAM_COLUMNS
    return Cost(n_pairs * 2 * size**2 * n_columns, parts * seconds)


def main() -> None:
    stage = pythia()
    n_entries = stage.n_entries
    passes = published_pass(stage)
    gram = published_gram(n_entries)
    ours, sketched = own_pass(stage, None), own_pass(stage, CountSketch(n_entries))
    own, own_sketched = own_gram(n_entries), own_gram(SIZE)
    print(f"{N_TOKENS:,} tokens, {n_entries:,} entries, documents of {DOCUMENT} and contexts of {CONTEXT} tokens")
    print(
        f"a token: published {passes.seconds:.2f} s, ours {ours.seconds:.2f} s, with sketches {sketched.seconds:.2f} s"
    )
    for kinds, name in ((2, "both affinities"), (1, "signed only")):
        reference = passes.times(N_TOKENS * repetition(N_BLOCKS)) + gram.times(kinds)
        print(f"{name}: published {_told(reference)}")
        for mode, cost in (
            ("exact", ours.times(N_TOKENS) + own.times(kinds)),
            ("sketch", sketched.times(N_TOKENS) + own_sketched.times(kinds)),
        ):
            ratio = f"{reference.flops / cost.flops:.0f}× in FLOPs, {reference.seconds / cost.seconds:.0f}× in time"
            print(f"    {mode}: {_told(cost)}, {ratio}")


def _told(cost: Cost) -> str:
    return f"{cost.flops:.1e} FLOPs, {cost.seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()

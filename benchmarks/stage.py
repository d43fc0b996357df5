"""The whole gradient and similarity stage, both affinities, on the demo suite's clustered network: 1,000 tokens in 40
blocks as in the paper.

The reference is the published procedure: for every block, and for every block from it onwards, the gradients of both
are computed (each token's 21.5 times in all), one token at a time, over the whole document, with every logit and every
parameter, then normalised and multiplied, signed and absolute. Ours computes each gradient once, on its context alone.

    python -m benchmarks stage      both sides run whole: the reference takes minutes, twice
    python -m benchmarks.stage      the reference on a sample of its passes, scaled to all (and stated as such)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from benchmarks.case import Case
from benchmarks.probe import Shape, product_seconds
from compute.demo.corpus import build_corpus
from compute.demo.sources import installed_files
from compute.demo.suite import demo_suite
from compute.demo.tokenizing import encode
from compute.numerics.checkpoints import load_checkpoint
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.gradients import gradient_parameters, gradient_rows
from compute.numerics.losses import token_losses
from compute.numerics.selection import induction_mask, select_tokens, zero_loss_mask
from compute.numerics.similarity import GramAccumulator
from compute.numerics.sketch import CountSketch, stored_sketch
from compute.numerics.vectors import vector_batches

N_TOKENS, N_BLOCKS = 1000, 40
FILES_EVERY = 40  # of the installed text files one in so many is read: 2,000 documents
ROWS_PER_FILE = 500  # as the method cuts the rows of this network
GRAM_COLUMNS = 16_384
SAMPLED = 200  # the reference's passes that are timed where it is not run whole

Cosines = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Stage:
    """What both sides are given."""

    model: nn.Module
    corpus: TokenizedCorpus
    tokens: np.ndarray  # flat indices

    @property
    def n_entries(self) -> int:
        return sum(parameter.numel() for _, parameter in gradient_parameters(self.model))

    @property
    def blocks(self) -> list[np.ndarray]:
        return np.array_split(self.tokens, N_BLOCKS)

    def lengths(self) -> tuple[float, float]:
        """Mean number of predictions of the tokens' whole documents, and of their contexts alone."""
        documents, positions = self.corpus.locate(self.tokens)
        sizes = np.diff(self.corpus.offsets)
        return float(sizes[documents].mean()), float(positions.mean())


@cache
def demo_stage() -> Stage:
    """Tokens that the demo's clustered network is sure of, in text of the installation."""
    suite = demo_suite()
    model = load_checkpoint(suite.clustered_model.final)
    found = build_corpus(installed_files()[::FILES_EVERY], min_chars=False)
    ids = [one[: suite.max_length] for one in encode([d.text for d in found.train + found.test], suite.folder)]
    corpus = TokenizedCorpus(np.concatenate(ids).astype(np.uint16), np.cumsum([0, *map(len, ids)]))
    sure = zero_loss_mask(token_losses(model, corpus), 0.1) & ~induction_mask(corpus)
    return Stage(model, corpus, select_tokens(np.flatnonzero(sure), n_tokens=N_TOKENS, stride=None))


def published_gradient(stage: Stage, token: int, kept: list[nn.Parameter]) -> torch.Tensor:
    """One unit gradient (P,) as the published procedure computes it."""
    documents, positions = stage.corpus.locate(np.array([token]))
    ids = torch.from_numpy(stage.corpus.document_tokens(int(documents[0])).astype(np.int64))[None]
    logits = stage.model(ids).logits[0, :-1]
    losses = nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    stage.model.zero_grad()
    losses[int(positions[0]) - 1].backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in kept if parameter.grad is not None])
    return gradient / gradient.norm()


def published(stage: Stage) -> Cosines:
    """Cosines of all tokens, every block's gradients computed again for every block before it."""
    kept = [parameter for _, parameter in gradient_parameters(stage.model)]
    stage.model.requires_grad_(True)

    def gradients(block: np.ndarray) -> torch.Tensor:
        return torch.stack([published_gradient(stage, token, kept) for token in block.tolist()])

    n, size = len(stage.tokens), len(stage.blocks[0])
    signed, absolute = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    for i, block in enumerate(stage.blocks):
        left = gradients(block)
        rows = slice(i * size, (i + 1) * size)
        for j in range(i, N_BLOCKS):
            columns = slice(j * size, (j + 1) * size)
            right = gradients(stage.blocks[j])
            for whole, part in ((signed, left @ right.T), (absolute, left.abs() @ right.abs().T)):
                whole[rows, columns] = part.numpy()
                whole[columns, rows] = whole[rows, columns].T
    stage.model.requires_grad_(False)
    return signed, absolute


def exact(stage: Stage) -> Cosines:
    """Rows in half precision on disk, read once."""
    with TemporaryDirectory() as folder:
        files = []
        for first in range(0, len(stage.tokens), ROWS_PER_FILE):
            files.append(Path(folder) / f"{first}.npy")
            np.save(files[-1], gradient_rows(stage.model, stage.corpus, stage.tokens[first : first + ROWS_PER_FILE])[0])
        rows = [np.load(file, mmap_mode="r") for file in files]
        gram = GramAccumulator(len(stage.tokens), stage.n_entries, GRAM_COLUMNS)
        while not gram.done:
            gram.add(rows)
        signed, absolute = gram.finish()
    assert absolute is not None  # noqa: S101  (asked for)
    return signed, absolute


def sketched(stage: Stage) -> Cosines:
    """A sketch of each gradient and of its absolute values."""
    sketch = CountSketch(stage.n_entries)
    tables = np.empty((2, len(stage.tokens), sketch.size), np.float16)
    for places, rows, norms in vector_batches(stage.model, stage.corpus, stage.tokens):
        for table, sketches in zip(tables, sketch.apply(rows, absolute=True, norms=norms), strict=True):
            assert sketches is not None  # noqa: S101  (both asked for)
            table[places] = stored_sketch(sketches)
    found = []
    for table in tables:
        gram = GramAccumulator(len(stage.tokens), sketch.size, GRAM_COLUMNS, absolute=False)
        while not gram.done:
            gram.add([table])
        found.append(gram.finish()[0])
    return found[0], found[1]


def stage_case(ours: Callable[[Stage], Cosines], n_columns: int | None) -> Case:
    stage = demo_stage()
    whole, context = stage.lengths()
    columns = n_columns or stage.n_entries
    passes = N_TOKENS * repetition(N_BLOCKS)
    return Case(
        about=f"{N_TOKENS} tokens in {N_BLOCKS} blocks, {stage.n_entries:,} entries, documents of {whole:.0f} and "
        f"contexts of {context:.0f} tokens on average",
        reference=lambda: published(stage),
        ours=lambda: ours(stage),
        difference=difference,
        bound=lambda: product_seconds(
            [*gradient_shapes(stage.model, context, N_TOKENS), *gram_shapes(N_TOKENS, columns, N_TOKENS)]
        ),
        reference_bound=lambda: product_seconds(
            [
                *gradient_shapes(stage.model, whole, passes, all_logits=True),
                *gram_shapes(N_TOKENS, stage.n_entries, N_TOKENS // N_BLOCKS),
            ]
        ),
        repeats=1,
    )


CASES: dict[str, Callable[[], Case]] = {
    "exact": lambda: stage_case(exact, None),
    "sketch": lambda: stage_case(sketched, CountSketch(1).size),
}


def difference(expected: Cosines, found: Cosines) -> str:
    rms = [float(np.sqrt(np.mean((a - b) ** 2))) for a, b in zip(expected, found, strict=True)]
    return f"cosines differ by {rms[0]:.0e} rms, absolute ones by {rms[1]:.0e}"


def repetition(n_blocks: int) -> float:
    """How often the published procedure computes each gradient: once for the rows, and for every pair of blocks."""
    return (n_blocks + n_blocks * (n_blocks + 1) / 2) / n_blocks


def gradient_shapes(model: nn.Module, length: float, count: float, *, all_logits: bool = False) -> list[Shape]:
    """The matrix products of so many passes forward and backward over so many tokens each."""
    config, n = model.config, round(length)
    width, between, vocabulary = config.hidden_size, config.intermediate_size, config.vocab_size
    maps = [(width, 3 * width), (width, width), (width, between), (between, width)]
    times = round(count * config.num_hidden_layers)
    shapes = [shape for a, b in maps for shape in ((n, a, b, times), (n, b, a, times), (b, n, a, times))]
    positions, sides = (n, 3) if all_logits else (1, 2)  # the unembedding's own gradient belongs to all logits
    head = [(positions, width, vocabulary), (positions, vocabulary, width), (vocabulary, positions, width)]
    return shapes + [(*shape, round(count)) for shape in head[:sides]]


def gram_shapes(n_tokens: int, n_columns: int, block: int) -> list[Shape]:
    """The products of all pairs of blocks, signed and absolute; half of the product where one block is all tokens."""
    n_blocks = n_tokens // block
    parts = 2 * n_columns / GRAM_COLUMNS  # of both kinds
    times = parts / 2 if n_blocks == 1 else parts * n_blocks * (n_blocks + 1) / 2
    return [(block, GRAM_COLUMNS, block, max(1, round(times)))]


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def sampled_reference(stage: Stage, n: int = SAMPLED) -> tuple[float, float]:
    """Seconds of one published pass and of one pair of blocks' products, each the mean of a sample."""
    kept = [parameter for _, parameter in gradient_parameters(stage.model)]
    chosen = np.random.default_rng(0).permutation(stage.tokens)[:n].tolist()
    stage.model.requires_grad_(True)
    block = torch.stack([published_gradient(stage, token, kept) for token in chosen[: N_TOKENS // N_BLOCKS]])
    passes = seconds_of(lambda: [published_gradient(stage, token, kept) for token in chosen]) / n
    stage.model.requires_grad_(False)
    products = seconds_of(lambda: [(block @ block.T, block.abs() @ block.abs().T) for _ in range(10)]) / 10
    return passes, products


def main() -> None:
    """Ratios with the reference scaled from a sample."""
    stage = demo_stage()
    one_pass, products = sampled_reference(stage)
    n_passes, n_pairs = N_TOKENS * repetition(N_BLOCKS), N_BLOCKS * (N_BLOCKS + 1) / 2
    reference = n_passes * one_pass + n_pairs * products
    print(
        f"reference, scaled from {SAMPLED} passes of {1e3 * one_pass:.1f} ms and 10 pairs of {1e3 * products:.0f} ms: "
        f"{reference:.0f} s"
    )
    for name, ours in (("exact", exact), ("sketch", sketched)):
        ours(stage)
        seconds = seconds_of(lambda ours=ours: ours(stage))
        print(f"{name}: {seconds:.1f} s, {reference / seconds:.0f}×", flush=True)


if __name__ == "__main__":
    main()

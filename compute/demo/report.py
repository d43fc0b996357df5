"""Measure the shipped suite on the test part: `python -m compute.demo.report` prints the tables of docs/demo.md."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from compute.demo.documents import demo_documents
from compute.demo.overlap import CONTEXT, training_overlap, training_stream
from compute.demo.recipe import VOCABULARY
from compute.demo.suite import DemoSuite, demo_suite
from compute.demo.tokenizing import encode
from compute.numerics.checkpoints import load_checkpoint
from compute.numerics.corpus import TokenizedCorpus, tokenize
from compute.numerics.losses import mean_loss, token_losses
from compute.numerics.selection import induction_mask, zero_loss_mask

THRESHOLD_NATS = 0.1


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(map(str, row)) + " |"


def kinds_of_predictions(corpus: TokenizedCorpus, meta: Sequence[dict[str, str]]) -> np.ndarray:
    """Kind of text of every prediction."""
    counts = np.maximum(corpus.lengths - 1, 0)
    return np.repeat(np.array([m["kind"] for m in meta]), counts)


def size_rows(suite: DemoSuite, corpus: TokenizedCorpus, kinds: np.ndarray) -> list[list[object]]:
    """Mean test loss of every trained network, over all kinds and by kind."""
    names = sorted(set(kinds))
    rows: list[list[object]] = []
    for model in suite.models:
        losses = token_losses(load_checkpoint(model.final), corpus)
        by_kind = [f"{mean_loss(losses[kinds == kind]):.3f}" for kind in names]
        shape = [f"{model.n_non_embedding:,}", model.d_model, model.n_layers]
        rows.append([model.name, *shape, f"{mean_loss(losses):.4f}", *by_kind])
    return rows


def step_rows(suite: DemoSuite, corpus: TokenizedCorpus) -> tuple[list[str], list[list[object]]]:
    """Mean test loss over steps of the networks whose history is kept."""
    models = [m for m in suite.models if len(m.steps) > 1]
    rows: list[list[object]] = []
    for step in models[0].steps if models else ():
        losses = [mean_loss(token_losses(load_checkpoint(m.path(step)), corpus)) for m in models]
        rows.append([f"{step:,}", *(f"{loss:.4f}" for loss in losses)])
    return ["step", *(m.name for m in models)], rows


def filter_rows(suite: DemoSuite, corpus: TokenizedCorpus, kinds: np.ndarray, cache: Path) -> list[list[object]]:
    """By kind: predictions of the clustered network, below the threshold, and below it and not induced."""
    losses = token_losses(load_checkpoint(suite.clustered_model.final), corpus)
    low = zero_loss_mask(losses, THRESHOLD_NATS)
    passed = low & ~induction_mask(corpus)
    is_seen = _seen(corpus, np.flatnonzero(passed), cache, suite.folder)
    rows: list[list[object]] = []
    for kind in [*sorted(set(kinds)), "all"]:
        here = kinds == kind if kind != "all" else np.ones_like(passed)
        n, n_passed = int(here.sum()), int((passed & here).sum())
        seen = is_seen[here[passed]].mean() if n_passed else 0.0
        rows.append([kind, f"{n:,}", f"{low[here].mean():.1%}", f"{n_passed:,}", f"{seen:.1%}"])
    return rows


def _seen(corpus: TokenizedCorpus, indices: np.ndarray, cache: Path, folder: Path) -> np.ndarray:
    contexts, answers = [], []
    for document, position in zip(*corpus.locate(indices), strict=True):
        tokens = corpus.document_tokens(int(document))
        contexts.append(tokens[max(0, position - CONTEXT) : position].tolist())
        answers.append(int(tokens[position]))
    return training_overlap(contexts, answers, training_stream(cache, folder)).is_seen


def main(argv: list[str] | None = None) -> int:
    """Print the loss tables and the share of predictions that pass the filters."""
    parser = argparse.ArgumentParser(prog="python -m compute.demo.report", description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("var/cache"))
    parser.add_argument("--only", choices=("sizes", "steps", "filter"))
    args = parser.parse_args(argv)
    suite = demo_suite()
    texts, meta, _ = demo_documents("test", args.cache)
    corpus = tokenize(
        texts, lambda some: encode(some, suite.folder), max_length=suite.max_length, n_vocabulary=VOCABULARY
    )
    kinds = kinds_of_predictions(corpus, meta)
    print(f"{corpus.n_documents:,} documents, {corpus.n_predictions:,} predictions\n")
    if args.only in (None, "sizes"):
        head = ["network", "parameters", "d", "L", "mean", *sorted(set(kinds))]
        print("\n".join(table(head, size_rows(suite, corpus, kinds))), end="\n\n")
    if args.only in (None, "steps"):
        print("\n".join(table(*step_rows(suite, corpus))), end="\n\n")
    if args.only in (None, "filter"):
        head = ["kind", "predictions", "below 0.1 nats", "and not induced", "of these seen in training"]
        print("\n".join(table(head, filter_rows(suite, corpus, kinds, args.cache))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

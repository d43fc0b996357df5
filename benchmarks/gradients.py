"""One token's gradient: of the context alone, with logits and most of the last layer at the target alone and no
derivatives by embeddings; against a forward and backward pass over the whole document with every logit and every
parameter.

The reference computes each gradient once. The published procedure also computes each gradient again for every
block of pairs (21.5 times at 10,000 tokens in blocks of 250); that factor comes on top of the ratio shown.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from benchmarks.case import Case, corpus
from benchmarks.probe import Shape, product_seconds
from compute.numerics.checkpoints import load_checkpoint, pythia_config
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.gradients import gradient_parameters
from compute.numerics.vectors import n_entries, vector_batches

CLUSTERED = Path(__file__).parents[1] / "compute/demo/suite/demo-793k/step2400"
N_PYTHIA = 16
N_DEMO = 200


def pythia() -> Case:
    """The shape of pythia-70m, documents cut at 1,024 tokens with a mean of 533 as in the Pile's test set."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        pythia_config("pythia-70m"), dtype=torch.float32, attn_implementation="sdpa"
    )
    text = pile_like(400, 50_304)
    return _case(model.eval().requires_grad_(False), text, N_PYTHIA, "pythia-70m's shape")


def demo() -> Case:
    """The demo suite's clustered network, and documents as long as the suite's."""
    return _case(load_checkpoint(CLUSTERED), corpus(400), N_DEMO, "the demo suite's clustered network")


CASES = {"pythia": pythia, "demo": demo}


def pile_like(n_documents: int, vocabulary: int) -> TokenizedCorpus:
    """Documents of the length mix of the Pile's test set: a quarter of them are cut at 1,024 tokens."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(6.1, 1.2, n_documents), 8, 1024).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return TokenizedCorpus(rng.integers(0, vocabulary, int(offsets[-1])).astype(np.uint16), offsets)


def _case(model: nn.Module, text: TokenizedCorpus, n_tokens: int, network_name: str) -> Case:
    tokens = np.sort(np.random.default_rng(1).choice(text.n_predictions, n_tokens, replace=False))
    documents, positions = text.locate(tokens)
    theirs, found = (np.empty((n_tokens, n_entries(model)), np.float32) for _ in range(2))
    return Case(
        about=f"{n_tokens} tokens with {positions.mean():.0f} tokens before them, {network_name}",
        reference=partial(_whole_documents, model, text, tokens, theirs),
        ours=partial(_ours, model, text, tokens, found),
        difference=lambda a, b: f"relative error at most {max(_errors(a, b)):.0e}",
        bound=partial(_bound, model.config, n_tokens, int(positions.mean())),
        reference_bound=partial(_reference_bound, model.config, n_tokens, int(text.lengths[documents].mean())),
    )


def _whole_documents(model: nn.Module, text: TokenizedCorpus, tokens: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The procedure as published: every logit of the document, derivatives by every parameter, some of them kept."""
    kept = [parameter for _, parameter in gradient_parameters(model)]
    model.requires_grad_(True)
    for row, document, position in zip(rows, *text.locate(tokens), strict=True):
        ids = torch.from_numpy(text.document_tokens(int(document)).astype(np.int64))[None]
        logits = model(ids).logits[0, :-1]
        losses = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        model.zero_grad()
        losses[int(position) - 1].backward()
        row[:] = torch.cat([parameter.grad.flatten() for parameter in kept]).numpy()
    model.requires_grad_(False)
    model.zero_grad()
    return rows


def _ours(model: nn.Module, text: TokenizedCorpus, tokens: np.ndarray, rows: np.ndarray) -> np.ndarray:
    for places, batch, _ in vector_batches(model, text, tokens):
        rows[places] = batch.numpy()
    return rows


def _errors(a: np.ndarray, b: np.ndarray) -> list[float]:
    return [float(np.linalg.norm(x - y) / np.linalg.norm(x)) for x, y in zip(a, b, strict=True)]


def _bound(config: Any, n_tokens: int, length: int) -> float:
    """Forward products and derivatives by inputs and weights, where the loss depends on them; attention left out."""
    last_layer, first_layer = config.num_hidden_layers - 1, 0
    shapes: list[Shape] = [(1, config.hidden_size, config.vocab_size, 2)]
    for layer in range(config.num_hidden_layers):
        for wide, narrow, reads_stream in _linear_maps(config):
            needed = length
            if layer == last_layer and wide != 3 * config.hidden_size:
                needed = 1
            shapes += [(needed, narrow, wide, 1), (wide, needed, narrow, 1)]
            if not (layer == first_layer and reads_stream):
                shapes.append((needed, wide, narrow, 1))
    return n_tokens * product_seconds(shapes)


def _reference_bound(config: Any, n_tokens: int, length: int) -> float:
    """Forward products and derivatives by inputs and weights of every map at every position; attention left out."""
    maps = [(config.vocab_size, config.hidden_size, True)] + _linear_maps(config) * config.num_hidden_layers
    shapes: list[Shape] = []
    for wide, narrow, _ in maps:
        shapes += [(length, narrow, wide, 1), (wide, length, narrow, 1), (length, wide, narrow, 1)]
    return n_tokens * product_seconds(shapes)


def _linear_maps(config: Any) -> list[tuple[int, int, bool]]:
    """Outputs, inputs and whether it reads the residual stream, of one layer's linear maps."""
    d, wide = config.hidden_size, config.intermediate_size
    return [(3 * d, d, True), (d, d, False), (wide, d, True), (d, wide, False)]

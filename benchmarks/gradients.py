"""One token's gradient: batched, truncated to the context, one logit row, no embedding gradients;
against a forward and backward pass over the whole document with every logit and every parameter.

The reference computes each gradient once. The published procedure also computes each gradient again for every
block of pairs (21.5 times at 10,000 tokens in blocks of 250); that factor comes on top of the ratio shown.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.case import Case, corpus, network
from compute.numerics.gradients import gradient_parameters, gradient_rows

N_TOKENS = 60


def case() -> Case:
    model, text = network(), corpus(200)
    tokens = np.linspace(0, text.n_predictions - 1, N_TOKENS).astype(np.int64)
    documents, positions = text.locate(tokens)
    kept = [parameter for _, parameter in gradient_parameters(model)]

    def whole_document() -> np.ndarray:
        rows = []
        model.requires_grad_(True)
        for document, position in zip(documents, positions, strict=True):
            ids = torch.from_numpy(text.document_tokens(int(document)).astype(np.int64))[None]
            logits = model(ids).logits[0, :-1]
            losses = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
            model.zero_grad()
            losses[int(position) - 1].backward()
            gradient = torch.cat([parameter.grad.flatten() for parameter in kept])
            rows.append((gradient / gradient.norm()).numpy())
        model.requires_grad_(False)
        return np.stack(rows)

    def ours() -> np.ndarray:
        rows, _ = gradient_rows(model, text, tokens)
        return rows

    return Case(
        about=f"{N_TOKENS} tokens of 200 documents, 0.8 M parameters",
        reference=whole_document,
        ours=ours,
        difference=lambda a, b: f"cosine at least {float(_cosines(a, b).min()):.6f}",
    )


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    b = b.astype(np.float32)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

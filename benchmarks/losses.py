"""Per-token losses of pythia-70m's exact shape with random weights, over documents of the Pile's lengths.

The reference is the published procedure: one document at a time, all logits of the model's own forward pass, cross
entropy. As published it also kept what a backward pass would need; here it does not, so that only the way of computing
is compared.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from benchmarks.case import Case
from benchmarks.probe import Shape, product_seconds
from compute.numerics.checkpoints import pythia_config
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.losses import token_losses

N_DOCUMENTS = 48
LONGEST = 1024
MEDIAN_LENGTH, SPREAD = 445, 2.0  # log-normal: cut at LONGEST, a third of the documents and 533 predictions on average
HEAD_ROWS = 128


def case() -> Case:
    torch.manual_seed(0)
    config = pythia_config("pythia-70m")
    model = GPTNeoXForCausalLM._from_config(config, attn_implementation="sdpa", dtype=torch.float32)
    model.eval().requires_grad_(False)
    text = pile_like(N_DOCUMENTS, config.vocab_size)

    def one_document_at_a_time() -> np.ndarray:
        columns = []
        with torch.no_grad():
            for document in range(text.n_documents):
                ids = torch.from_numpy(text.document_tokens(document).astype(np.int64))[None]
                logits = model(ids).logits[0, :-1]
                columns.append(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none").numpy())
        return np.concatenate(columns)

    return Case(
        about=f"{text.n_predictions:,} predictions of {text.n_documents} documents, pythia-70m's shape",
        reference=one_document_at_a_time,
        ours=lambda: token_losses(model, text),
        difference=lambda a, b: f"at most {np.abs(a - b).max():.0e} nats",
        bound=lambda: product_seconds(needed_products(config, text)),
    )


def pile_like(n_documents: int, vocabulary: int) -> TokenizedCorpus:
    """Documents whose lengths are evenly spaced quantiles of a heavy-tailed law, in random order."""
    rng = np.random.default_rng(0)
    quantiles = [NormalDist(0, SPREAD).inv_cdf((i + 0.5) / n_documents) for i in range(n_documents)]
    lengths = np.clip(MEDIAN_LENGTH * np.exp(quantiles), 2, LONGEST).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(rng.permutation(lengths))]).astype(np.int64)
    return TokenizedCorpus((rng.zipf(1.3, int(offsets[-1])) % vocabulary).astype(np.uint16), offsets)


def needed_products(config: GPTNeoXConfig, text: TokenizedCorpus) -> list[Shape]:
    """Every linear layer and the unembedding once for each prediction, attention to what comes before."""
    d, n_layers, n_heads = config.hidden_size, config.num_hidden_layers, config.num_attention_heads
    predictions = text.lengths - 1
    blocks = n_layers * predictions.sum() / LONGEST
    squares = n_layers * n_heads * (predictions.astype(float) ** 2).sum() / LONGEST**2 / 2
    linears = [(LONGEST, n_in, n_out, blocks) for n_in, n_out in ((d, 3 * d), (d, d), (d, 4 * d), (4 * d, d))]
    attention = [(LONGEST, d // n_heads, LONGEST, squares), (LONGEST, LONGEST, d // n_heads, squares)]
    return [*linears, *attention, (HEAD_ROWS, d, config.vocab_size, predictions.sum() / HEAD_ROWS)]

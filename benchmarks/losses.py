"""Per-token losses: length-sorted batches with a chunked unembedding, against one document at a time."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.case import Case, corpus, network
from compute.numerics.losses import token_losses


def case() -> Case:
    model, text = network(), corpus(200)

    def one_document_at_a_time() -> np.ndarray:
        columns = []
        for document in range(text.n_documents):
            ids = torch.from_numpy(text.document_tokens(document).astype(np.int64))[None]
            logits = model(ids).logits[0, :-1]
            columns.append(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none").detach().numpy())
        return np.concatenate(columns)

    return Case(
        about=f"{text.n_predictions:,} predictions of 200 documents, 0.8 M parameters",
        reference=one_document_at_a_time,
        ours=lambda: token_losses(model, text),
        difference=lambda a, b: f"at most {np.abs(a - b).max():.0e} nats",
    )

"""The plain way to losses, which ours are held to."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from compute.numerics.corpus import TokenizedCorpus


def eager_losses(model: nn.Module, corpus: TokenizedCorpus) -> np.ndarray:
    """One document alone, eager attention, every logit at once, float64 softmax; all documents end to end."""
    model = copy.deepcopy(model)
    model.set_attn_implementation("eager")
    documents = [corpus.document_tokens(i) for i in range(corpus.n_documents)]
    return np.concatenate([_of_document(model, ids) for ids in documents if len(ids) >= 2])


def _of_document(model: nn.Module, ids: np.ndarray) -> np.ndarray:
    tokens = torch.from_numpy(ids.astype(np.int64)).to(model.device)
    with torch.no_grad():
        logits = model(input_ids=tokens[None, :-1], use_cache=False).logits[0].double()
    return torch.nn.functional.cross_entropy(logits, tokens[1:], reduction="none").cpu().numpy()

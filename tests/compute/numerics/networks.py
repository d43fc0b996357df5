"""A small network and text that it can learn: random weights would hide errors at small losses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

from compute.numerics.checkpoints import load_checkpoint
from compute.numerics.corpus import TokenizedCorpus

VOCABULARY = 48
CONTEXT = 24  # positions of the toy networks
_NAMED_LIKE_LLAMA = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "intermediate_size": 24,
    "max_position_embeddings": CONTEXT,
}
TOY_SETTINGS: dict[str, dict[str, Any]] = {
    "gpt_neox": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": CONTEXT,
    },
    "gpt_neo": {
        "hidden_size": 16,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 6,
        "max_position_embeddings": CONTEXT,
    },
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT},
    "llama": _NAMED_LIKE_LLAMA,
    "mistral": {**_NAMED_LIKE_LLAMA, "sliding_window": 6},
    "qwen2": {**_NAMED_LIKE_LLAMA, "use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    "qwen3": {**_NAMED_LIKE_LLAMA, "tie_word_embeddings": True},
}


@dataclass(frozen=True)
class Trained:
    """A network and text like that it was trained on."""

    model: GPTNeoXForCausalLM
    corpus: TokenizedCorpus


def corpus_of(documents: list[list[int]], dtype: type = np.uint16) -> TokenizedCorpus:
    """A corpus from lists of ids."""
    offsets = np.cumsum([0, *map(len, documents)])
    return TokenizedCorpus(np.array([i for document in documents for i in document], dtype), offsets)


def small_config(**changes: int) -> GPTNeoXConfig:
    """Two layers, 32 wide."""
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "max_position_embeddings": 96,
    }
    return GPTNeoXConfig(**{**settings, **changes})


def save_toy(family: str, folder: Path, **changes: Any) -> Path:
    """Save a network of the family, two layers and 16 wide, with random weights that its outputs depend on."""
    settings = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0, **TOY_SETTINGS[family], **changes}
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[family](**settings), dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    model.save_pretrained(folder)
    return folder


def toy(family: str, folder: Path, **changes: Any) -> nn.Module:
    """Such a network, saved and loaded."""
    return load_checkpoint(save_toy(family, folder, **changes))


def sentences(rng: np.random.Generator, n_tokens: int) -> list[int]:
    """Runs of successive ids from random beginnings: some tokens are certain, some nearly so, some free."""
    tokens: list[int] = []
    while len(tokens) < n_tokens:
        kind, start = int(rng.integers(0, 4)), int(rng.integers(4, 40))
        length = 8 if kind < 3 else int(rng.integers(3, 8))
        tokens += [kind, *range(start, min(start + length, VOCABULARY))]
    return tokens[:n_tokens]


def train() -> Trained:
    """A GPT-NeoX network trained for a few seconds, and documents of 0 to 96 tokens."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = GPTNeoXForCausalLM._from_config(small_config(), attn_implementation="sdpa", dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-2, total_steps=250)
    for _ in range(250):
        ids = torch.tensor([sentences(rng, 64) for _ in range(8)])
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    with torch.no_grad():
        model.lm_head.weight.mul_(1.3)  # as sure of itself as ten times the training would make it
    lengths = [0, 1, 2, 96, 3, 0, 1, 50, 17, 2, *rng.integers(2, 97, 190).tolist(), 1, 0]
    return Trained(model.eval().requires_grad_(False), corpus_of([sentences(rng, n) for n in lengths]))

"""Very small checkpoints as the files of a repository."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

TOKENIZER = json.dumps({"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}).encode()


@cache
def gpt_neox(*, shard_size: str | None = None, seed: int = 0) -> dict[str, bytes]:
    """A GPT-NeoX of two layers as safetensors, and a tokenizer; in shards of at most that size."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    return _saved(GPTNeoXForCausalLM(config), shard_size) | {"tokenizer.json": TOKENIZER}


@cache
def llama() -> dict[str, bytes]:
    """A Llama of one layer whose unembedding is its embedding, as safetensors without a tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        tie_word_embeddings=True,
    )
    return _saved(LlamaForCausalLM(config), None)


def pickled(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same checkpoint with its weights as pickles and no safetensors, as older revisions have them."""
    import torch
    from safetensors.torch import load

    result = {}
    for name, content in files.items():
        if name.endswith(".safetensors"):
            out = io.BytesIO()
            torch.save(load(content), out)
            name, content = _old(name), out.getvalue()
        elif name.endswith(".safetensors.index.json"):
            index = json.loads(content)
            index["weight_map"] = {key: _old(value) for key, value in index["weight_map"].items()}
            name, content = _old(name), json.dumps(index).encode()
        result[name] = content
    return result


def pickle_of(state: object) -> bytes:
    import torch

    out = io.BytesIO()
    torch.save(state, out)
    return out.getvalue()


def _old(name: str) -> str:
    return name.replace("model", "pytorch_model", 1).replace(".safetensors", ".bin")


def _saved(model, shard_size: str | None) -> dict[str, bytes]:
    from transformers.utils import logging

    logging.disable_progress_bar()
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder, **({"max_shard_size": shard_size} if shard_size else {}))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}

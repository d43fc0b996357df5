"""Three very small networks and a page of made-up text: the whole method in about a second."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from importlib.metadata import version
from pathlib import Path

from compute.config import ClusteringConfig, CorpusConfig, MapConfig, RunConfig, SelectionConfig
from compute.suites import folder_suite

WIDTHS = {"tiny-s": 8, "tiny-m": 16, "tiny-l": 24}
MAX_LENGTH = 48
CLUSTERED = "tiny-l/step120"
_NAMES = ["total", "count", "item", "value", "index", "result", "length", "offset", "buffer", "token"]
_VERBS = ["return", "print", "yield", "raise"]


def sentences(n: int, seed: int) -> list[str]:
    """Little functions with a grammar that a small network soon knows."""
    rng = random.Random(seed)
    texts = []
    for _ in range(n):
        lines = []
        for _ in range(3):
            name, other, verb = rng.choice(_NAMES), rng.choice(_NAMES), rng.choice(_VERBS)
            lines.append(f"def {name}_of({other}):\n    {verb} {other} + {rng.randint(0, 9)}\n")
        texts.append("\n".join(lines))
    return texts


def cached_tiny_suite(cache: Path) -> Path:
    """The suite from an earlier test session, as long as this file is the same."""
    made_by = Path(__file__).read_bytes() + version("torch").encode()
    folder = cache / f"tiny-{hashlib.sha256(made_by).hexdigest()[:16]}"
    if not folder.exists():
        partial = write_tiny_suite(folder.with_name(f"{folder.name}.{os.getpid()}"))
        try:
            partial.rename(folder)
        except OSError:  # another test process was first
            shutil.rmtree(partial)
    return folder


def write_tiny_suite(folder: Path) -> Path:
    """Train the networks and write them, their tokenizer and a corpus; give the folder."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(1)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(sentences(200, seed=1), trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    rows = [tokenizer.encode(text).ids for text in sentences(400, seed=1)]
    rows = torch.tensor([row[:MAX_LENGTH] for row in rows if len(row) >= MAX_LENGTH])
    for name, width in WIDTHS.items():
        torch.manual_seed(0)
        config = GPTNeoXConfig(
            vocab_size=320,
            hidden_size=width,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=4 * width,
            max_position_embeddings=MAX_LENGTH,
            bos_token_id=0,
            eos_token_id=0,
        )
        model = GPTNeoXForCausalLM(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for step in range(121):
            if step in (0, 120):
                model.save_pretrained(folder / name / f"step{step}")
            batch = rows[torch.randint(len(rows), (16,))]
            logits = model(input_ids=batch).logits[:, :-1]
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    write_corpus(folder / "text.jsonl", sentences(60, seed=2))
    return folder


def write_corpus(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def tiny_config(
    folder: Path, *, name: str = "tiny", ks: tuple[int, ...] = (2, 5, 9), seed: int = 0, n_tokens: int = 40
) -> RunConfig:
    """A run on the networks in the folder."""
    keys = [f"{lm}/step{step}" for lm in WIDTHS for step in (0, 120)]
    suite = folder_suite([f"{key}={folder / key}" for key in keys], tokenizer=str(folder / "tokenizer.json"))
    return RunConfig(
        name=name,
        suite=suite,
        clustered=CLUSTERED,
        corpus=CorpusConfig(source=str(folder / "text.jsonl"), max_length=MAX_LENGTH),
        selection=SelectionConfig(n_tokens=n_tokens, threshold_nats=0.5),
        clustering=ClusteringConfig(ks=ks, n_init=3, seed=seed),
        map=MapConfig(n_curves=60, n_neighbors=5),
    )

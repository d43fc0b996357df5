"""Train the demo suite: `python -m compute.demo.train`. Killed and started again, it goes on where it was."""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compute.demo.corpus import build_corpus
from compute.demo.recipe import (
    CLUSTERED,
    END_OF_TEXT_ID,
    LADDER,
    MAX_LENGTH,
    TRAINING_ORDER,
    VOCABULARY,
    Network,
    Recipe,
)
from compute.demo.rows import row_order, training_rows
from compute.demo.suite import SUITE_FOLDER, file_sha256
from compute.demo.tokenizing import encode, train_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import GPTNeoXForCausalLM

log = logging.getLogger("compute.demo.train")
SAVE_EVERY = 200


def prepare(scratch: Path, out: Path) -> dict:
    """Build the corpus, the tokenizer and the rows once; later calls read them from `scratch`."""
    facts_path = scratch / "facts.json"
    if not facts_path.exists():
        corpus = build_corpus()
        log.info("corpus %s: %s", corpus.train_sha256[:12], json.dumps(corpus.report))
        train_tokenizer((d.text for d in corpus.train), out)
        documents = encode([d.text for d in corpus.train], out)
        np.save(scratch / "rows.npy", training_rows(documents))
        tests = encode([d.text for d in corpus.test], out)
        np.save(scratch / "test_rows.npy", training_rows(tests)[:160])
        facts = {
            "train_sha256": corpus.train_sha256,
            "documents": len(documents),
            "tokens": sum(map(len, documents)),
            "report": corpus.report,
        }
        _write_text(facts_path, json.dumps(facts))
    return json.loads(facts_path.read_text())


def build_network(network: Network, seed: int) -> GPTNeoXForCausalLM:
    """Return a network with seeded random weights in Pythia's architecture."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=network.d_model,
        num_hidden_layers=network.n_layers,
        num_attention_heads=network.n_heads,
        intermediate_size=4 * network.d_model,
        max_position_embeddings=MAX_LENGTH,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        use_parallel_residual=True,
        tie_word_embeddings=False,
        initializer_range=0.4 / network.d_model**0.5,
        use_cache=False,
        bos_token_id=END_OF_TEXT_ID,
        eos_token_id=END_OF_TEXT_ID,
    )
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(config)


def train_network(network: Network, recipe: Recipe, scratch: Path, out: Path) -> None:
    """Train one network, keeping its checkpoints in `out` and its state in `scratch`."""
    import torch

    model = build_network(network, recipe.seed)
    optimizer = _optimizer(model, network, recipe)
    state_path = scratch / f"{network.name}.pt"
    start = 0
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
        log.info("%s goes on from step %d", network.name, start)
    rows = np.load(scratch / "rows.npy", mmap_mode="r")
    order = row_order(len(rows), recipe.steps * recipe.batch, recipe.seed)
    kept = set(network.checkpoint_steps(recipe))
    began, mean = time.monotonic(), 0.0
    for step in range(start, recipe.steps + 1):
        if step in kept:
            save_checkpoint(model, out / network.name / f"step{step}")
        if step % SAVE_EVERY == 0 or step == recipe.steps:
            _save_state(state_path, model, optimizer, step)
            seconds = (time.monotonic() - began) / max(1, step - start)
            held_out = _held_out(model, scratch)
            log.info("%s step %d train %.3f test %.3f %.3f s/step", network.name, step, mean, held_out, seconds)
        if step == recipe.steps:
            break
        batch = rows[np.sort(order[step * recipe.batch : (step + 1) * recipe.batch])]
        for group in optimizer.param_groups:
            group["lr"] = network.lr * recipe.lr_share(step)
        loss = _step(model, optimizer, torch.from_numpy(batch.astype(np.int64)), recipe.clip)
        mean = loss if step == start else 0.98 * mean + 0.02 * loss


def _optimizer(model: GPTNeoXForCausalLM, network: Network, recipe: Recipe) -> torch.optim.AdamW:
    import torch

    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=network.lr, betas=recipe.betas, fused=True)


def _loss(model: GPTNeoXForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    import torch

    logits = model(input_ids=ids).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.reshape(-1, VOCABULARY), ids[:, 1:].reshape(-1))


def _step(model: GPTNeoXForCausalLM, optimizer: torch.optim.AdamW, ids: torch.Tensor, clip: float) -> float:
    import torch

    loss = _loss(model, ids)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def _held_out(model: GPTNeoXForCausalLM, scratch: Path) -> float:
    import torch

    rows = torch.from_numpy(np.load(scratch / "test_rows.npy").astype(np.int64))
    with torch.no_grad():
        return sum(float(_loss(model, chunk)) for chunk in rows.split(32)) / len(rows.split(32))


def save_checkpoint(model: GPTNeoXForCausalLM, folder: Path) -> None:
    """Write half-precision weights and config.json in Hugging Face's folder format, whole or not at all."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_dict()
    config.update(architectures=["GPTNeoXForCausalLM"], dtype="float16", use_cache=True)
    config.pop("_name_or_path", None)
    weights = {_file_name(k): v.detach().to(torch.float16).contiguous() for k, v in model.state_dict().items()}
    partial = folder / "model.safetensors.part"
    save_file(weights, partial, metadata={"format": "pt"})
    partial.replace(folder / "model.safetensors")
    _write_text(folder / "config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")


def _file_name(parameter: str) -> str:
    """Pythia's own name of the unembedding, which every version of transformers reads."""
    return "embed_out.weight" if parameter == "lm_head.weight" else parameter


def _save_state(path: Path, model: GPTNeoXForCausalLM, optimizer: torch.optim.AdamW, step: int) -> None:
    import torch

    partial = path.with_suffix(".part")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, partial)
    partial.replace(path)


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text)
    partial.replace(path)


def write_suite(recipe: Recipe, facts: dict, out: Path) -> None:
    """Write suite.json: the checkpoints that are there, their hashes, and what they were trained on."""
    models = []
    for network in LADDER:
        steps = [s for s in network.checkpoint_steps(recipe) if _weights(out, network, s).exists()]
        if recipe.steps not in steps:
            continue  # not trained to the end yet
        entry = {
            "name": network.name,
            "n_non_embedding": network.n_non_embedding,
            "d_model": network.d_model,
            "n_layers": network.n_layers,
            "n_heads": network.n_heads,
            "steps": steps,
            "final_step": recipe.steps,
            "sha256": {str(step): file_sha256(_weights(out, network, step)) for step in steps},
        }
        models.append(entry)
    trained = {
        "train_sha256": facts["train_sha256"],
        "documents": facts["documents"],
        "corpus_tokens": facts["tokens"],
        "tokens": recipe.steps * recipe.batch * MAX_LENGTH,
        "seed": recipe.seed,
        "steps": recipe.steps,
        "batch": recipe.batch,
    }
    suite = {
        "name": "demo",
        "tokenizer": "tokenizer.json",
        "max_length": MAX_LENGTH,
        "models": models,
        "clustered": CLUSTERED,
        "train": trained,
    }
    _write_text(out / "suite.json", json.dumps(suite, indent=2) + "\n")


def _weights(out: Path, network: Network, step: int) -> Path:
    return out / network.name / f"step{step}" / "model.safetensors"


def main(argv: list[str] | None = None) -> int:
    """Train what is asked for, in the order that serves the project first."""
    parser = argparse.ArgumentParser(prog="python -m compute.demo.train", description=__doc__)
    parser.add_argument("--out", type=Path, default=SUITE_FOLDER, help="folder of the suite")
    parser.add_argument("--scratch", type=Path, default=Path("var/train"), help="rows and optimiser state")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--models", nargs="*", default=list(TRAINING_ORDER), choices=TRAINING_ORDER)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args.scratch.mkdir(parents=True, exist_ok=True)
    import torch

    torch.set_num_threads(args.threads)
    recipe = Recipe(steps=args.steps)
    facts = prepare(args.scratch, args.out)
    by_name = {n.name: n for n in LADDER}
    for name in args.models:
        train_network(by_name[name], recipe, args.scratch, args.out)
        write_suite(recipe, facts, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The method at the paper's size on one GPU, with random weights: python -m benchmarks.gpu [--json FILE] [--quick]

1. Agreement: losses and gradients on the GPU against those on the CPU.
2. Losses: predictions a second of seven sizes of Pythia over documents of the Pile's length mix, in float32 below 1b
   and with a bfloat16 body and a float32 unembedding from there on; scaled to the paper's 10,658,635 predictions.
3. Quanta: gradients and cosines of 10,000 tokens of pythia-70m, exact, signed and absolute, blocks of them as large as
   free memory allows (as ``--mode exact --block-tokens`` works); then the paper's 30 numbers of clusters for each
   affinity, eigenvectors on the GPU and k-means (effort "fast") on the CPU's cores.

Weights are drawn on the device, so nothing is read; what the products cost does not depend on their values, but k-means
may take more steps than on the clusters of a trained network. ``--device cpu`` takes only ``--quick``: toy shapes.
The exit status is 1 where GPU and CPU disagree.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import math
import sys
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPTNeoXConfig

from benchmarks.losses import pile_like
from benchmarks.spectral import PAPER
from compute.numerics.checkpoints import PYTHIA_SIZES, non_embedding_of_config, pythia_config
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.families import module_roles
from compute.numerics.gradients import gradients, unit_rows
from compute.numerics.losses import token_losses
from compute.numerics.pairs import COLUMNS, cross_gram
from compute.numerics.similarity import affinity_matrix
from compute.numerics.spectral import cluster_every_k, spectral_embedding
from compute.numerics.vectors import n_entries, vector_batches
from compute.steps.blocks import TOKENS_PER_CHUNK, block_ranges
from compute.steps.checkpoints import n_threads

PREDICTIONS = 10_658_635  # of the paper's part of the Pile's test set
GOAL_LOSSES, GOAL_QUANTA = 20, 10  # minutes
MOST_NATS, MOST_RELATIVE = 1e-4, 1e-5  # between GPU and CPU
COMPARED = 6  # documents, and tokens, whose losses and gradients are computed on both
FIRST = 512  # documents whose losses are timed, before more are
RESERVED = 24 << 30  # bytes: gradients of one batch, the activations they need, products


@dataclass(frozen=True)
class Scale:
    """What is measured."""

    sizes: Mapping[str, GPTNeoXConfig]
    half_from: int  # parameters in all
    clustered: str
    n_documents: int
    seconds: float  # that the losses of one size are timed for, about
    n_tokens: int
    counts: tuple[int, ...]


class Stopwatch:
    """Seconds of each stage, with everything that the device was asked for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._wait()
        start = time.perf_counter()
        yield
        self._wait()
        self.seconds[name] += time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def paper() -> Scale:
    sizes = {name: pythia_config(name) for name in PYTHIA_SIZES if name != "pythia-12b"}
    return Scale(sizes, 10**9, "pythia-70m", 20_000, 8.0, 10_000, PAPER)


def toy() -> Scale:
    """Seconds on a CPU: two sizes, one of each precision."""
    plain = {"vocab_size": 300, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 1024}
    sizes = {f"toy-{d}": GPTNeoXConfig(hidden_size=d, intermediate_size=4 * d, **plain) for d in (16, 32)}
    return Scale(sizes, non_embedding_of_config(sizes["toy-32"].to_dict())[1], "toy-16", 40, 0.1, 60, (2, 5, 10))


def random_network(config: GPTNeoXConfig, device: torch.device, *, half: bool = False) -> nn.Module:
    """A network drawn on the device; half: a bfloat16 body and a float32 unembedding."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16 if half else torch.float32, attn_implementation="sdpa"
        )
    model.get_submodule(module_roles(model).unembedding).float()
    return model.to(device).eval().requires_grad_(False)


def agreement(scale: Scale, text: TokenizedCorpus, device: torch.device) -> tuple[float, float]:
    """Largest difference of losses in nats, and of gradients relative to their length, between device and CPU."""
    model = random_network(scale.sizes[scale.clustered], device)
    host = copy.deepcopy(model).to("cpu")
    both = ((model, device), (host, "cpu"))
    losses = [token_losses(one, text, documents=range(COMPARED), device=where) for one, where in both]
    tokens = _some_tokens(text, COMPARED)
    rows = [np.stack(list(gradients(one, text, tokens, device=where))).astype(np.float64) for one, where in both]
    apart = np.linalg.norm(rows[0] - rows[1], axis=1) / np.linalg.norm(rows[1], axis=1)
    return float(np.abs(losses[0] - losses[1]).max()), float(apart.max())


def losses_of(scale: Scale, name: str, text: TokenizedCorpus, device: torch.device) -> dict[str, Any]:
    """Time the losses of one size, over as many documents as take long enough."""
    half = non_embedding_of_config(scale.sizes[name].to_dict())[1] >= scale.half_from
    model = random_network(scale.sizes[name], device, half=half)
    n_documents = FIRST
    for _ in range(3):  # the first two warm up, and tell how many documents take long enough
        watch, documents = Stopwatch(device), range(min(n_documents, text.n_documents))
        with watch.stage("losses"):
            n_predictions = len(token_losses(model, text, documents=documents, device=device))
        seconds = watch.seconds["losses"]
        n_documents = math.ceil(len(documents) * scale.seconds / seconds)
    return {
        "size": name,
        "precision": "bfloat16 body, float32 unembedding" if half else "float32",
        "n_predictions": n_predictions,
        "seconds": seconds,
        "per_second": n_predictions / seconds,
        "whole_s": PREDICTIONS * seconds / n_predictions,
        "peak_gib": _peak_gib(device),
    }


def block_size(model: nn.Module, n_tokens: int, device: torch.device) -> int:
    """Tokens whose gradients fit into the GPU's free memory together; on a CPU, where only toys are run, all."""
    if device.type != "cuda":
        return n_tokens
    _free_memory(device)
    free = torch.cuda.mem_get_info(device)[0] - RESERVED
    per_token = 2 * n_entries(model) + 2 * 4 * COLUMNS  # half precision, and two float32 copies of some columns
    return max(1, min(n_tokens, free // per_token))


def cosines_by_blocks(
    model: nn.Module, text: TokenizedCorpus, tokens: np.ndarray, block: int, watch: Stopwatch
) -> np.ndarray:
    """Cosines, float32 of shape (2, n, n), signed and absolute, the way `compute.steps.blocks` finds them."""
    whole, device = np.empty((2, len(tokens), len(tokens)), np.float32), watch.device
    for held in block_ranges(len(tokens), block):
        with watch.stage("gradients held"):
            left, _ = unit_rows(model, text, tokens[held.start : held.stop], device=device, kept_on=device)
        with watch.stage("gradients passing"):
            after = tokens[held.start :]
            for chunk in block_ranges(len(after), TOKENS_PER_CHUNK):
                for places, rows, _ in vector_batches(model, text, after[chunk.start : chunk.stop], device=device):
                    with watch.stage("products"):
                        found = cross_gram(left, rows, absolute=True)
                    columns = held.start + chunk.start + places
                    for table, cosines in zip(whole, found, strict=True):
                        table[held.start : held.stop, columns] = cosines
                        table[columns, held.start : held.stop] = cosines.T
        del left, rows  # before the next block takes their room
    watch.seconds["gradients passing"] -= watch.seconds["products"]
    return whole


def quanta(scale: Scale, text: TokenizedCorpus, device: torch.device, block: int | None) -> dict[str, Any]:
    """The stages from gradients to labels, with the seconds of each."""
    model = random_network(scale.sizes[scale.clustered], device)
    tokens = _some_tokens(text, scale.n_tokens)
    deque(vector_batches(model, text, tokens[:COMPARED], device=device), maxlen=0)  # to warm up
    block = block or block_size(model, scale.n_tokens, device)
    watch, every = Stopwatch(device), Stopwatch(device)
    with every.stage("whole"):
        cosines = cosines_by_blocks(model, text, tokens, block, watch)
        del model
        _free_memory(device)
        for kind, cosine in zip(("signed", "absolute"), cosines, strict=True):
            with watch.stage("affinity"):
                affinity = affinity_matrix(cosine, kind)
            with watch.stage("eigenvectors"):
                embedding = spectral_embedding(affinity, max(scale.counts), device=str(device))
            with watch.stage("k-means"):
                cluster_every_k(embedding, scale.counts, mode="fast", n_jobs=n_threads())
    return {
        "n_tokens": scale.n_tokens,
        "block_tokens": block,
        "counts": len(scale.counts),
        "stages_s": dict(watch.seconds),
        "whole_s": every.seconds["whole"],
        "peak_gib": _peak_gib(device),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    given = _arguments(arguments)
    device, scale = torch.device(given.device), toy() if given.quick else paper()
    text = pile_like(scale.n_documents, min(config.vocab_size for config in scale.sizes.values()))
    facts: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cores": n_threads(),
        "torch": torch.__version__,
    }
    print(f"{facts['device']}, {facts['cores']} cores, torch {facts['torch']}", flush=True)
    nats, relative = agreement(scale, text, device)
    agrees = nats <= MOST_NATS and relative <= MOST_RELATIVE
    print(
        f"agreement with the CPU: losses within {nats:.1e} nats (limit {MOST_NATS:.0e}), gradients within "
        f"{relative:.1e} of their length (limit {MOST_RELATIVE:.0e}){'' if agrees else ': THEY DISAGREE'}",
        flush=True,
    )
    facts |= {"agreement": {"losses_nats": nats, "gradients_relative": relative}, "losses": []}
    for name in scale.sizes:
        _free_memory(device, forget_peak=True)
        facts["losses"].append(losses_of(scale, name, text, device))
        _tell_losses(facts["losses"][-1])
    facts["losses_whole_s"] = sum(one["whole_s"] for one in facts["losses"])
    goals = ["" if given.quick else f" (goal: {minutes} min)" for minutes in (GOAL_LOSSES, GOAL_QUANTA)]
    print(f"losses of all sizes: {facts['losses_whole_s'] / 60:.1f} min for {PREDICTIONS:,} predictions{goals[0]}")
    _free_memory(device, forget_peak=True)
    facts["quanta"] = quanta(scale, text, device, given.block_tokens)
    _tell_quanta(facts["quanta"], goals[1])
    if given.json:
        given.json.write_text(json.dumps(facts, indent=1) + "\n")
    return 0 if agrees else 1


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, … or, with --quick, cpu (default cuda)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--quick", action="store_true", help="toy shapes, to see that everything runs")
    parser.add_argument("--block-tokens", type=int, metavar="N", help="gradients in memory (default: as many as fit)")
    given = parser.parse_args(arguments)
    if given.device != "cpu" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; --device cpu --quick runs toy shapes on the CPU")
    if given.device == "cpu" and not given.quick:
        parser.error("the paper's size would take days on a CPU: add --quick")
    if given.block_tokens is not None and given.block_tokens < 1:
        parser.error("--block-tokens must be at least 1")
    return given


def _tell_losses(found: dict[str, Any]) -> None:
    print(
        f"losses {found['size']}: {found['per_second']:,.0f} predictions/s ({found['precision']}; "
        f"{found['n_predictions']:,} in {found['seconds']:.1f} s), all in {found['whole_s'] / 60:.1f} min"
        f"{_memory(found['peak_gib'])}",
        flush=True,
    )


def _tell_quanta(found: dict[str, Any], goal: str) -> None:
    print(
        f"quanta of {found['n_tokens']:,} tokens, blocks of {found['block_tokens']:,}, "
        f"{found['counts']} counts: {found['whole_s'] / 60:.1f} min{goal}{_memory(found['peak_gib'])}"
    )
    print("\n".join(f"    {stage}: {seconds:.1f} s" for stage, seconds in found["stages_s"].items()))


def _memory(peak_gib: float | None) -> str:
    return "" if peak_gib is None else f", at most {peak_gib:.1f} GiB of GPU memory"


def _peak_gib(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None


def _free_memory(device: torch.device, *, forget_peak: bool = False) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        if forget_peak:
            torch.cuda.reset_peak_memory_stats(device)


def _some_tokens(text: TokenizedCorpus, n: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).choice(text.n_predictions, n, replace=False))


if __name__ == "__main__":
    sys.exit(main())

"""What every program is given, and how its answer is told: a file written by `ours`, numpy, torch and transformers."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

BODY = "gpt_neox"  # path of the network without its unembedding
IGNORED = -100  # the label of a position that has no loss
BATCH, REPEATS = 8, 5


@dataclass(frozen=True)
class Given:
    """Contexts that end before their target, the targets, and the cosines of the targets' gradients."""

    checkpoint: str
    parameters: list[str]
    contexts: list[np.ndarray]
    answers: np.ndarray
    cosines: np.ndarray

    def network(self, attention: str = "sdpa") -> nn.Module:
        disable_progress_bar()
        model = AutoModelForCausalLM.from_pretrained(
            self.checkpoint, dtype=torch.float32, attn_implementation=attention, local_files_only=True
        )
        return model.eval().requires_grad_(False)

    def linears(self) -> list[str]:
        """Paths of the linear maps that own the parameters, in order."""
        return list(dict.fromkeys(name.rpartition(".")[0] for name in self.parameters))

    def padded(self, texts: slice) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens (n, longest) with zeros on the right, and the position (n,) and the answer (n,) of each target."""
        chosen = self.contexts[texts]
        tokens = np.zeros((len(chosen), max(map(len, chosen))), np.int64)
        for row, context in zip(tokens, chosen, strict=True):
            row[: len(context)] = context
        positions = np.array([len(context) - 1 for context in chosen])
        return tuple(torch.from_numpy(array) for array in (tokens, positions, self.answers[texts]))

    def batches(self, size: int) -> Iterator[slice]:
        for first in range(0, len(self.contexts), size):
            yield slice(first, first + size)


def read(file: Path) -> Given:
    with np.load(file) as arrays:
        contexts = np.split(arrays["tokens"], np.cumsum(arrays["lengths"])[:-1])
        facts = json.loads(str(arrays["facts"]))
        return Given(facts["checkpoint"], facts["parameters"], contexts, arrays["answers"], arrays["cosines"])


def cosines_of(rows: torch.Tensor) -> np.ndarray:
    """Cosines of gradients (n, P); their lengths in float64: a float32 sum of so many squares is off by 1e-4."""
    lengths = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return ((rows @ rows.T).double() / lengths[:, None] / lengths).numpy()


def arguments(about: str | None) -> argparse.Namespace:
    """The command line of a peer's program, on one thread."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE.npz", help="what benchmarks.peers.ours has written")
    parser.add_argument("--batch", type=int, default=BATCH, help=f"tokens in one batch (default {BATCH})")
    torch.set_num_threads(1)
    return parser.parse_args()


def tell(name: str, given: Given, find: Callable[[], np.ndarray], gradients_per_token: int = 1) -> None:
    """Print how far the cosines lie from the reference, and the processor's milliseconds for each gradient.

    Multiplying gradients into cosines is counted in. Other work on the machine disturbs the clock's time more.
    """
    found, seconds = find(), []
    for _ in range(REPEATS):
        start = time.process_time()
        find()
        seconds.append(time.process_time() - start)
    each = [1e3 * one / (gradients_per_token * len(given.contexts)) for one in seconds]
    apart = np.abs(found - given.cosines)
    print(
        f"{name}, torch {torch.__version__}: cosines within {apart.max():.1e} (rms {np.sqrt((apart**2).mean()):.1e}), "
        f"{statistics.median(each):.2f} ms a gradient ({min(each):.2f}–{max(each):.2f})"
    )

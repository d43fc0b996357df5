"""Training on multitask sparse parity at the paper's size (500 tasks, strings of 100 bits, batches of 20,000): one
network of width 500, and a sweep over twelve widths, against a loop written as it was published: tasks in one-hot form
through a dense layer, batches put together task by task, one network after the other.

    python -m benchmarks.parity [--device cuda] [--steps N] [--repeats N] [--json FILE]

times both where that device is; `python -m benchmarks parity` does it on the CPU beside the other benchmarks.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.case import Case
from benchmarks.measure import measure
from benchmarks.probe import product_seconds
from compute.numerics.parity import Recipe, Supply, Training
from compute.numerics.parity_tasks import Tasks, draw_tasks
from compute.steps.checkpoints import n_threads

PAPER = Recipe(n_tasks=500, n_bits=100, k=3, batch_size=20_000)
SMALL = Recipe(n_tasks=30, n_bits=16, k=2, batch_size=500, test_points=3000, task_points=100)
ALPHA = 0.4
ONE, SWEEP = (500,), (10, 14, 20, 29, 41, 59, 84, 119, 170, 243, 348, 500)
STEPS = 2  # of a turn
SMALL_WIDTH, SMALL_STEPS, SEEDS = 64, 800, range(4)


class PlainLoop:
    """One network, its samples and its optimizer, as they were published."""

    def __init__(self, recipe: Recipe, width: int, seed: int, device: str) -> None:
        self.recipe, self.device = recipe, device
        self.tasks: Tasks = draw_tasks(recipe.n_tasks, recipe.n_bits, recipe.k, ALPHA, seed)
        self.cumulated = np.cumsum(self.tasks.probabilities)
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        n_inputs = recipe.n_tasks + recipe.n_bits
        self.lm = nn.Sequential(nn.Linear(n_inputs, width), nn.ReLU(), nn.Linear(width, 2)).to(device)
        self.optimizer = torch.optim.AdamW(
            self.lm.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )

    def batch(self, counts: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and answers, task by task."""
        n_tasks, n_bits = self.recipe.n_tasks, self.recipe.n_bits
        inputs = torch.zeros(int(counts.sum()), n_tasks + n_bits, device=self.device)
        answers = torch.zeros(len(inputs), dtype=torch.int64, device=self.device)
        first = 0
        for task, count in enumerate(counts.tolist()):
            if count:
                bits = torch.randint(0, 2, (count, n_bits), device=self.device)
                code = torch.zeros(count, n_tasks, device=self.device)
                code[:, task] = 1
                inputs[first : first + count] = torch.cat([code, bits], dim=1)
                answers[first : first + count] = bits[:, self.tasks.subsets[task].tolist()].sum(1) % 2
                first += count
        return inputs, answers

    def advance(self, n_steps: int) -> float:
        loss = torch.zeros(())
        for _ in range(n_steps):
            drawn = np.searchsorted(self.cumulated, self.rng.random(self.recipe.batch_size))
            drawn = np.minimum(drawn, self.recipe.n_tasks - 1)
            inputs, answers = self.batch(np.bincount(drawn, minlength=self.recipe.n_tasks))
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.lm(inputs), answers)
            loss.backward()
            self.optimizer.step()
        return loss.item()

    @torch.inference_mode()
    def test_loss(self) -> float:
        """Mean over tasks by frequency, of as many samples of each as ours are tested on."""
        counts = np.maximum(np.floor(self.tasks.probabilities * self.recipe.test_points).astype(int), 100)
        inputs, answers = self.batch(counts)
        losses = nn.functional.cross_entropy(self.lm(inputs), answers, reduction="none").cpu().numpy()
        means = np.add.reduceat(losses, np.concatenate([[0], np.cumsum(counts)[:-1]])) / counts
        return float(means @ self.tasks.probabilities)


@cache
def _plain(widths: tuple[int, ...], device: str) -> list[PlainLoop]:
    return [PlainLoop(PAPER, width, 0, device) for width in widths]


@cache
def _ours(widths: tuple[int, ...], device: str) -> Training:
    return Training([Supply(ALPHA)], widths, PAPER, device)


def plain_steps(widths: tuple[int, ...], n_steps: int, device: str) -> list[float]:
    """Losses of the last batch; reading them waits for the device."""
    return [loop.advance(n_steps) for loop in _plain(widths, device)]


def our_steps(widths: tuple[int, ...], n_steps: int, device: str) -> list[float]:
    training = _ours(widths, device)
    training.advance(n_steps)
    return training.batch_losses[0].tolist()


def steps_case(widths: tuple[int, ...], n_steps: int = STEPS, device: str = "cpu") -> Case:
    torch.set_num_threads(n_threads())
    n, n_bits, n_inputs = PAPER.batch_size, PAPER.n_bits, PAPER.n_bits + PAPER.n_tasks

    def bound(n_rows: int) -> float:
        return product_seconds([shape for w in widths for shape in ((n, n_rows, w, n_steps), (n_rows, n, w, n_steps))])

    is_cpu = device == "cpu"
    return Case(
        about=f"{n_steps} steps of each of {len(widths)}, widths {', '.join(map(str, widths))}",
        reference=lambda: plain_steps(widths, n_steps, device),
        ours=lambda: our_steps(widths, n_steps, device),
        difference=lambda a, b: f"losses {statistics.mean(a):.3f} and {statistics.mean(b):.3f} nats",
        bound=(lambda: bound(n_bits)) if is_cpu else None,
        reference_bound=(lambda: bound(n_inputs)) if is_cpu else None,
    )


def plain_learning(device: str = "cpu") -> list[float]:
    """Test losses of a small problem, by seed."""
    loops = [PlainLoop(SMALL, SMALL_WIDTH, seed, device) for seed in SEEDS]
    for loop in loops:
        loop.advance(SMALL_STEPS)
    return [loop.test_loss() for loop in loops]


def our_learning(device: str = "cpu") -> list[float]:
    training = Training([Supply(ALPHA, seed) for seed in SEEDS], (SMALL_WIDTH,), SMALL, device)
    training.advance(SMALL_STEPS)
    return training.log().test[:, 0].tolist()


def learning_case(device: str = "cpu") -> Case:
    """That both learn as well: losses after many steps of a small problem, over seeds."""
    torch.set_num_threads(n_threads())
    return Case(
        about=f"{SMALL_STEPS} steps of {len(SEEDS)} networks: {SMALL.n_tasks} tasks, {SMALL.n_bits} bits, "
        f"width {SMALL_WIDTH}, batches of {SMALL.batch_size}",
        reference=lambda: plain_learning(device),
        ours=lambda: our_learning(device),
        difference=lambda a, b: f"test losses {_with_spread(a)} and {_with_spread(b)} nats over seeds",
        repeats=1,
    )


def _with_spread(losses: list[float]) -> str:
    return f"{statistics.mean(losses):.4f} ± {statistics.stdev(losses):.4f}"


CASES = {"network": lambda: steps_case(ONE), "sweep": lambda: steps_case(SWEEP), "learning": learning_case}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 and so on (cpu)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of a turn ({STEPS})")
    parser.add_argument("--repeats", type=int, default=5, help="timed turns (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    given = parser.parse_args()
    made = {
        "parity.network": steps_case(ONE, given.steps, given.device),
        "parity.sweep": steps_case(SWEEP, given.steps, given.device),
        "parity.learning": learning_case(given.device),
    }
    figures = []
    for name, case in made.items():
        found = measure(name, case, given.repeats)
        figures.append(dataclasses.asdict(found) | {"median_ratio": statistics.median(found.ratio)})
        print(found.as_text(), flush=True)
    if given.json:
        given.json.write_text(json.dumps({"device": given.device, "benchmarks": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""QDG where the truth is known, on the command line: toy worlds, and the gradients of a parity network."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from compute.cli import arguments as shared
from compute.cli.lab import add_lab
from compute.labs import parity_qdg, toy_qdg

Option = tuple[str, Callable[[str], Any], str, str]  # setting, how it is read, its letter, what it is
_WORLD = "{:>10} {:>6} {:>9} {:>7} {:>7} {:>18} {:>6}"
_K = "{:>5} {:>14} {:>18} {:>14}"


_TOY: tuple[Option, ...] = (
    ("n_subtasks", int, "N", "subtasks before those without a point drop out"),
    ("largest", int, "A", "points of the commonest subtask: subtask i has floor(A / i^exponent)"),
    ("n_dimensions", shared.numbers, "D,D,…", "of the worlds at exponent 1, each with every noise"),
    ("noises", shared.decimals, "S,S,…", "of the worlds at exponent 1; means have variance 1"),
    ("exponents", shared.decimals, "X,X,…", "true exponents of the sweep"),
    ("sweep_dimensions", int, "D", "of the sweep"),
    ("sweep_noise", float, "S", "of the sweep"),
    ("ks", shared.numbers, "K,K,…", "numbers of clusters"),
    ("first_rank", int, "R", "of the envelope's fit"),
    ("last_rank", int, "R", "of the envelope's fit"),
    ("n_init", int, "N", "starts of k-means"),
    ("n_seeds", int, "N", "draws of every world"),
    ("seed", int, "N", "of the first draw"),
)
_PARITY: tuple[Option, ...] = (
    ("n_tasks", int, "T", "tasks"),
    ("n_bits", int, "N", "bits beside the task"),
    ("subset_bits", int, "K", "bits whose parity is a task's answer"),
    ("alpha", float, "A", "task i is asked with a probability proportional to i^-(A+1)"),
    ("width", int, "W", "hidden units"),
    ("n_steps", int, "N", "of training"),
    ("batch_size", int, "N", "samples a step"),
    ("learning_rate", float, "R", "of Adam"),
    ("n_samples", int, "N", "whose gradients are compared"),
    ("threshold_nats", float, "NATS", "samples of a larger loss are passed over"),
    ("ks", shared.numbers, "K,K,…", "numbers of clusters"),
    ("n_init", int, "N", "starts of k-means"),
    ("seed", int, "N", "of tasks, weights, samples and k-means"),
)


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "cluster points whose subtasks are known as QDG clusters gradients, and compare slopes with the truth"
    add_lab(commands, "toy-qdg", toy_qdg.LAB, text, partial(_add_settings, _TOY), _print_worlds)
    text = "train a parity network and cluster its gradients, whose tasks are known"
    add_lab(commands, "parity-qdg", parity_qdg.LAB, text, partial(_add_settings, _PARITY), _print_agreement)


def _add_settings(options: Sequence[Option], command: argparse.ArgumentParser) -> None:
    for setting, read, letter, help_text in options:
        command.add_argument(f"--{setting.replace('_', '-')}", type=read, metavar=letter, help=help_text)


def _print_worlds(found: dict[str, Any], config: dict[str, Any]) -> None:
    print(_WORLD.format("dimensions", "noise", "exponent", "points", "slope", "95% of the mean", "sd"))
    for one in found["worlds"]:
        interval = "-" if one["low"] is None else f"{one['low']:.3f} to {one['high']:.3f}"
        spread = "-" if one["sd"] is None else f"{one['sd']:.3f}"
        facts = (one["n_dimensions"], f"{one['noise']:g}", f"{one['exponent']:g}", one["n_points"])
        print(_WORLD.format(*facts, f"{one['mean']:.3f}", interval, spread))
    line = found["calibration"]
    if line:
        print(
            f"measured slope = {line['intercept']:.3f} {line['slope']:+.3f} x exponent, single draws +-"
            f"{line['residual']:.3f}; the mean grows flatter at {found['n_rises']} steps of the sweep"
        )


def _print_agreement(found: dict[str, Any], config: dict[str, Any]) -> None:
    print(f"{found['n_present']} of {config['n_tasks']} tasks passed; slopes over ranks 1 to {found['last_rank']}:")
    print(f"  frequencies {found['known_slope']:.3f}")
    for name, fit in found["fits"].items():
        words = "tasks among the samples" if name == "true" else f"envelope, {name}"
        print(
            f"  {words} " + (f"{fit['slope']:.3f} ({fit['low']:.3f} to {fit['high']:.3f})" if fit else "too few ranks")
        )
    print(_K.format("k", "signed, tasks", "tasks x answers", "abs., tasks"))
    signed, absolute = found["agreement"]["signed"], found["agreement"]["absolute"]
    columns = (signed["tasks"], signed["answers"], absolute["tasks"])
    for k, *values in zip(config["ks"], *columns, strict=True):
        print(_K.format(k, *(f"{value:.3f}" for value in values)))

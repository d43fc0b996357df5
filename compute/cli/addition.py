"""Grokking on the command line: networks that learn addition modulo p."""

from __future__ import annotations

import argparse
from typing import Any

from compute.cli import arguments as shared
from compute.cli.lab import add_lab
from compute.labs.addition import LAB
from compute.numerics.addition import ACTIVATIONS

_HEAD = ("fraction", "decay", "seed", "train step", "test step", "gap", "ended", "test bits", "test right")
_ROW = "{:>9} {:>6} {:>5} {:>11} {:>10} {:>6} {:>7} {:>10} {:>11}"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "train networks on addition modulo p, and see how long after memorising they generalise"
    add_lab(commands, "addition", LAB, text, _add_settings, _print)


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument("--modulus", type=int, metavar="P", help="the sums are taken modulo P")
    command.add_argument("--width", type=int, metavar="N", help="neurons of the hidden layer")
    command.add_argument("--activation", choices=ACTIVATIONS)
    command.add_argument("--fractions", type=shared.decimals, metavar="F,F,…", help="of all pairs, that are trained on")
    command.add_argument("--weight-decays", type=shared.decimals, metavar="W,W,…")
    command.add_argument("--learning-rate", type=float, metavar="R")
    command.add_argument("--steps", type=int, metavar="N", help="at most")
    command.add_argument("--n-seeds", type=int, metavar="N", help="networks of each fraction and weight decay")
    command.add_argument("--seed", type=int, metavar="N", help="the first")


def _print(found: dict[str, Any], config: dict[str, Any]) -> None:
    print(_ROW.format(*_HEAD))
    for one in found["networks"]:
        print(_ROW.format(*_row(one)))


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    final = one["final"]
    return (
        f"{one['fraction']:g}", f"{one['weight_decay']:g}", str(one["seed"]), _step(one["t_train"]),
        _step(one["t_test"]), f"{one['gap']:.1f}" if one["gap"] else "-", str(one["n_steps"]),
        f"{final['test_bits']:.3g}", f"{final['test_accuracy']:.1%}",
    )  # fmt: skip


def _step(step: int | None) -> str:
    return "never" if step is None else str(step)

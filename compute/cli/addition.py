"""Grokking on the command line: networks that learn addition modulo p."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from compute.bundle import open_bundle
from compute.cli import arguments as shared
from compute.labs.addition import CONFIGS, LAB, AdditionConfig
from compute.labs.frame import plan, run_lab
from compute.numerics.addition import ACTIVATIONS
from compute.progress import Progress

_USUAL = "two-core"
_SETTINGS = (
    "name", "modulus", "width", "activation", "fractions", "weight_decays", "learning_rate", "steps", "n_seeds", "seed",
)  # fmt: skip
_HEAD = ("fraction", "decay", "seed", "train step", "test step", "gap", "ended", "test bits", "test right")
_ROW = "{:>9} {:>6} {:>5} {:>11} {:>10} {:>6} {:>7} {:>10} {:>11}"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "train networks on addition modulo p, and see how long after memorising they generalise"
    command = commands.add_parser("addition", help=text, description=f"{text}; goes on where it was stopped.")
    command.set_defaults(do=addition)
    command.add_argument(
        "--preset", choices=list(CONFIGS), default=_USUAL,
        help=f"settings to begin with; the others change them ({_USUAL})",
    )  # fmt: skip
    command.add_argument("--name", help="of the bundle")
    command.add_argument("--modulus", type=int, metavar="P", help="the sums are taken modulo P")
    command.add_argument("--width", type=int, metavar="N", help="neurons of the hidden layer")
    command.add_argument("--activation", choices=ACTIVATIONS)
    command.add_argument("--fractions", type=_fractions, metavar="F,F,…", help="of all pairs, that are trained on")
    command.add_argument("--weight-decays", type=_fractions, metavar="W,W,…")
    command.add_argument("--learning-rate", type=float, metavar="R")
    command.add_argument("--steps", type=int, metavar="N", help="at most")
    command.add_argument("--n-seeds", type=int, metavar="N", help="networks of each fraction and weight decay")
    command.add_argument("--seed", type=int, metavar="N", help="the first")
    command.add_argument("--workspace", type=Path, metavar="DIR", help="what is done so far (OUT/.work/NAME)")
    shared.add_out(command, "folder that the bundle goes into")
    shared.add_device(command)


def addition(arguments: argparse.Namespace) -> None:
    """Do the experiment, print what was found and where it lies."""
    config = _config(arguments)
    progress = Progress(plan(LAB, config))
    workspace = arguments.workspace or arguments.out / ".work" / config.name
    try:
        path = run_lab(LAB, config, workspace, arguments.out, report=progress, device=arguments.device)
    finally:
        progress.close()
    print(_ROW.format(*_HEAD))
    for one in open_bundle(path).manifest["found"]["networks"]:
        print(_ROW.format(*_row(one)))
    print(path)


def _config(arguments: argparse.Namespace) -> AdditionConfig:
    return dataclasses.replace(CONFIGS[arguments.preset], **shared.given(arguments, _SETTINGS))


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    final = one["final"]
    return (
        f"{one['fraction']:g}", f"{one['weight_decay']:g}", str(one["seed"]), _step(one["t_train"]),
        _step(one["t_test"]), f"{one['gap']:.1f}" if one["gap"] else "-", str(one["n_steps"]),
        f"{final['test_bits']:.3g}", f"{final['test_accuracy']:.1%}",
    )  # fmt: skip


def _step(step: int | None) -> str:
    return "never" if step is None else str(step)


def _fractions(text: str) -> tuple[float, ...]:
    """0.3,0.5 as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!r}: write numbers with commas, such as 0.3,0.5") from error

"""Multitask sparse parity on the command line: networks of many widths and training sets, and the laws they follow."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from typing import Any

from compute.cli import arguments as shared
from compute.cli.lab import add_lab
from compute.labs.parity import LAB

NEW = "new"  # in a list of sizes: every batch is new
_HEAD = ("alpha", "seed", "width", "samples", "parameters", "test bits", "best bits", "at step", "learned")
_ROW = "{:>6} {:>4} {:>6} {:>10} {:>11} {:>9} {:>9} {:>9} {:>7}"
_LAWS = {
    "N": "loss over parameters",
    "S": "loss over steps",
    "D": "loss over samples",
    "n_of_D": "learned tasks over samples",
    "convergence": "step of learning over frequency",
}


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "train networks on sparse parities of Zipfian frequency, and fit how their loss scales"
    add_lab(commands, "parity", LAB, text, _add_settings, _print)


def _add_settings(command: argparse.ArgumentParser) -> None:
    _add_tasks(command.add_argument_group("tasks"))
    _add_networks(command.add_argument_group("networks and training"))
    _add_tests(command.add_argument_group("logs and fits"))


def _add_tasks(group: shared.Group) -> None:
    group.add_argument("--tasks", type=int, dest="n_tasks", metavar="T")
    group.add_argument("--bits", type=int, dest="n_bits", metavar="N", help="length of a string")
    group.add_argument("--k", type=int, metavar="K", help="bits whose parity is a task's answer")
    group.add_argument(
        "--alphas", type=shared.decimals, metavar="A,A,…", help="task i is asked with a frequency ∝ i^−(α + 1)"
    )


def _add_networks(group: shared.Group) -> None:
    group.add_argument("--widths", type=shared.numbers, metavar="W,W,…")
    group.add_argument(
        "--samples", type=_sizes, metavar=f"{NEW},D,…", help=f"sizes of training sets; {NEW} draws every batch anew"
    )
    group.add_argument(
        "--data-widths", type=shared.numbers, metavar="W,W,…", help="of networks with a training set of a given size"
    )
    group.add_argument("--seeds", type=shared.numbers, metavar="S,S,…")
    group.add_argument("--steps", type=int, dest="n_steps", metavar="N")
    group.add_argument("--batch", type=int, dest="batch_size", metavar="B", help="samples a step")
    group.add_argument(
        "--cap-batch", dest="is_batch_capped", action=argparse.BooleanOptionalAction, default=None,
        help="take a training set that is smaller than a batch whole at every step",
    )  # fmt: skip
    group.add_argument("--learning-rate", type=float, metavar="R")
    group.add_argument("--weight-decay", type=float, metavar="R")
    group.add_argument("--stacked", type=int, dest="n_stacked", metavar="N", help="supplies that are trained together")


def _add_tests(group: shared.Group) -> None:
    group.add_argument("--log-every", type=int, metavar="N", help="steps")
    group.add_argument("--test-points", type=int, metavar="N", help="⌊p · N⌋ samples test a task of frequency p …")
    group.add_argument("--task-points", type=int, metavar="N", help="… and so many at least")
    group.add_argument("--fit-from", type=int, metavar="STEP", help="of the law over steps (where loss falls)")
    group.add_argument("--fit-to", type=int, metavar="STEP")


def _print(found: dict[str, Any], config: dict[str, Any]) -> None:
    print(_ROW.format(*_HEAD))
    for one in found["runs"]:
        print(_ROW.format(*_row(one)))
    for line in _laws(found):
        print(line)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    size = NEW if one["n_samples"] is None else str(one["n_samples"])
    return (
        f"{one['alpha']:g}", str(one["seed"]), str(one["width"]), size,
        str(one["n_parameters"]), _bits(one["test_loss_nats"]), _bits(one["best_test_loss_nats"]),
        "-" if one["best_step"] is None else str(one["best_step"]),
        str(one["n_learned"]) if one["diverged_at"] is None else f"diverged at {one['diverged_at']}",
    )  # fmt: skip


def _bits(nats: float | None) -> str:
    return "-" if nats is None else f"{nats / math.log(2):.4f}"


def _laws(found: dict[str, Any]) -> Iterator[str]:
    for name, entries in found["fits"].items():
        for one in entries:
            where = f"{_LAWS[name]}, α = {one['alpha']:g}" + (
                "" if one.get("seed") is None else f", seed {one['seed']}"
            )
            if "reason" in one:
                yield f"{where}: no law. {one['reason']}"
                continue
            interval = "" if one["low"] is None else f" [{one['low']:.3f}, {one['high']:.3f}]"
            finite = "" if one["finite_k"] is None else f", with so many tasks {one['finite_k']:.3f}"
            yield (
                f"{where}: {one['exponent']:.3f}{interval} over {one['first']:.4g} to {one['last']:.4g} "
                f"({one['n_points']} points); theory {one['theory']:.3f}{finite}"
            )
    for one in found["spearman"]:
        yield f"order of learning, run {one['run']}: ρ = {one['rho']:.3f} over {one['n_learned']} learned tasks"


def _sizes(text: str) -> tuple[int | None, ...]:
    """new,1000,10000 as sizes of training sets."""
    try:
        return tuple(None if part.strip() == NEW else int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!r}: write sizes with commas, such as {NEW},1000,10000") from error

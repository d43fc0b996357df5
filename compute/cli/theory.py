"""The quantization model in the terminal: its numbers for any knobs, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from compute.numerics.knobs import CASES, KNOBS, Knobs, read_knobs, read_values

LISTS = {"n": "quanta learned", "N": "parameters", "D": "samples", "S": "steps"}
USUAL_N = "1,10,100,1000"
DIGITS = 6


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "what the Quantization Model says: loss over quanta, parameters, data and steps"
    command = commands.add_parser("theory", help=text, description=f"{text}; closed forms, no network.")
    for knob in KNOBS:
        usual = "" if knob.default is None else f" ({knob.default:g})"
        symbol = f"{knob.symbol}, " if knob.symbol not in (knob.words, "") else ""
        command.add_argument(
            f"--{knob.name.replace('_', '-')}", dest=knob.name, default="", metavar="X",
            help=f"{symbol}{knob.words}{usual}".replace("%", "%%"),
        )  # fmt: skip
    command.add_argument("--case", default="", metavar="NAME", help=f"what is lost: {', '.join(CASES)} (constant)")
    for name, what in LISTS.items():
        command.add_argument(f"--{name}", default="", metavar="X,X,…", help=f"{what} at which to answer")
    command.add_argument("--json", action="store_true", help="everything, as the API answers it")
    command.set_defaults(do=theory)


def theory(arguments: argparse.Namespace) -> None:
    """Print the numbers; KnobError with a sentence for each knob that means nothing."""
    from compute.numerics import quantization as model

    knobs = read_knobs({name: getattr(arguments, name) for name in (*(knob.name for knob in KNOBS), "case")})
    lists = {name: read_values(getattr(arguments, name), name, knobs) for name in LISTS}
    usual = [n for n in read_values(USUAL_N, "n", Knobs()) if knobs.n_quanta is None or n <= knobs.n_quanta]
    said = model.summary(knobs) | {"over_n": model.table_over_n(knobs, lists["n"] or usual)}
    for resource, letter in model.RESOURCES.items():
        said[f"over_{resource}"] = model.table_over(knobs, resource, lists[letter]) if lists[letter] else None
    print(json.dumps(_finite(said), ensure_ascii=False, indent=1) if arguments.json else "\n".join(_lines(said)))


def _lines(said: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    exact, measured, joint = said["exponents"], said["measured_exponents"], said["joint"]
    limits = " and ".join(joint["limited_by"])
    lines = [
        f"zeta {said['zeta']:.9g}, entropy {said['entropy_nats']:.6f} nats, T {said['first_steps']:.6g} steps",
        f"exponents: parameters {exact['parameters']:.6f}, data {exact['data']:.6f}, steps {exact['steps']:.6f}",
    ]
    if measured:
        window = f"n = {said['knobs']['window_first']} to {said['knobs']['window_last']}"
        lines.append(f"measured over {window}: parameters {measured['parameters']:.4f}, data {measured['data']:.4f}")
    else:
        lines.append(f"no exponent can be measured: {said['measured_exponents_problem']}")
    if said["true_alpha"] is not None:
        lines.append(f"true alpha behind {said['knobs']['measured']:g}: {said['true_alpha']:.6f}")
    if said["true_alpha_problem"]:
        lines.append(f"no alpha behind {said['knobs']['measured']:g}: {said['true_alpha_problem']}")
    lines.append(f"one network: {joint['n']:.6g} quanta, limited by {limits}; loss {joint['loss']:.6f}")
    for name in ("over_n", *(name for name in said if name.startswith("over_") and name != "over_n")):
        if said[name]:
            lines += ["", *_table(said[name])]
    return lines


def _table(columns: Mapping[str, Sequence[float]]) -> list[str]:
    cells = [[name, *(_cell(value) for value in values)] for name, values in columns.items()]
    widths = [max(map(len, column)) for column in cells]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in zip(*cells, strict=True)
    ]


def _cell(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.{DIGITS}g}"


def _finite(value: Any) -> Any:
    """JSON has no NaN: what is no number becomes null."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

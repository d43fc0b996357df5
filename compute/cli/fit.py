"""Commands that read a curve or a cloud of points: laws, scores, dimensions; no network, no database."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np

from compute.curve_text import LADDERS, Points, curve_from_numbers, curve_from_text
from compute.errors import ConfigError
from compute.numerics.bnsl import NARROWEST, is_determined, is_sharp
from compute.numerics.laws import Trial
from compute.numerics.theories import OVER, Over, TheoryReadings

LAW_NAMES = {
    "power": "power law", "offset": "with a floor", "break-1": "one break", "break-2": "two breaks",
    "break-3": "three breaks",
}  # fmt: skip
LONGEST_TEXT = 1_000_000


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "scores, class and laws of a curve: losses over parameters, data or steps"
    command = commands.add_parser("fit", help=text, description=f"{text}.")
    command.add_argument("file", nargs="?", metavar="FILE", help="lines of scale and loss (CSV); - is standard input")
    command.add_argument("--x", type=_numbers, metavar="X,X,…", help="scales, instead of a file")
    command.add_argument("--y", type=_numbers, metavar="Y,Y,…", help="losses, instead of a file")
    command.add_argument(
        "--sizes", choices=list(LADDERS), help="whose sizes the losses belong to, where the file holds losses alone"
    )
    command.add_argument("--unit", choices=("nats", "bits"), default="nats", help="of the losses (nats)")
    command.add_argument(
        "--over", choices=OVER, default="parameters", help="what the scales are, for what theories read (parameters)"
    )
    command.add_argument("--json", action="store_true", help="write everything as JSON, losses in nats")
    command.set_defaults(do=fit)
    text = "intrinsic dimension of points by how their neighbours grow in number"
    command = commands.add_parser("dimension", help=text, description=f"{text}.")
    command.add_argument("file", type=Path, metavar="FILE", help="points × coordinates, .npy")
    command.add_argument("--cosines", action="store_true", help="the file holds cosines of every pair instead")
    command.add_argument("--sample", type=int, default=2000, metavar="N", help="look at N points of them (2000)")
    command.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    command.set_defaults(do=dimension)


def fit(arguments: argparse.Namespace) -> None:
    """Print what is known of a curve."""
    from compute.numerics.fits import LN2, CurveReading, read_curve

    points = _points(arguments)
    over: Over = "parameters" if arguments.sizes else arguments.over
    factor = LN2 if arguments.unit == "bits" else 1.0
    reading: CurveReading = read_curve(points.x, [y * factor for y in points.y])
    if arguments.json:
        print(json.dumps(reading.to_json(over), indent=1))
        return
    print(f"{len(points.x)} points from {points.x[0]:g} to {points.x[-1]:g}. {reading.note}".rstrip())
    shape = reading.shape
    if shape is None:
        print(reading.no_shape)
    else:
        print(
            f"{shape.curve_class}: M {shape.monogenicity:.2f}, effective steps {shape.n_eff:.2f}, amplitude "
            f"{shape.amplitude_bits:.2f} bits, linearity {shape.linearity:.2f}, breakthroughness "
            f"{shape.breakthroughness:.2f}"
        )
        at = shape.paper_monogenic_at
        print(f"the paper's rules: {f'monogenic at point {at + 1}' if at else 'not monogenic'}, "
              f"{'polygenic' if shape.is_paper_polygenic else 'not polygenic'} (slope {shape.slope_nats:.3f} nats per "
              f"ln x, R² {shape.r_squared:.3f})")  # fmt: skip
        print(f"net rise {shape.rise_bits:.2f} bits, highest peak {shape.peak_bits:.2f} bits")
    if reading.laws is None or reading.power is None:
        print(reading.no_laws)
        return
    best = reading.laws.best
    for trial in reading.laws.trials:
        is_best = best is not None and best.name == trial.name
        print(_law(trial, is_best=is_best, factor=1 / factor, least=min(reading.loss_nats)))
    alpha = reading.power
    print(f"power law: alpha {alpha.alpha:.4f}{_interval(alpha.low, alpha.high)}, R² {alpha.r_squared:.3f}")
    print(_theories(reading.theories(over)))


def _theories(found: TheoryReadings) -> str:
    """Both readings on a line each; the one sentence where the loss does not fall."""
    q, d = found.quanta, found.manifold
    quanta = found.no_quanta
    if q is not None:
        quanta = f"quanta: α {q.alpha:.4f}{_interval(q.low, q.high)}, use falls as rank to the −{1 + q.alpha:.3f}"
    manifold = f"manifold: dimension 4/alpha = {d.value:.1f}{_interval(d.low, d.high)}" if d else found.no_manifold
    return "\n".join(dict.fromkeys((quanta, manifold)))


def dimension(arguments: argparse.Namespace) -> None:
    """Print the dimension of a file's points."""
    from compute.numerics.dimension import dimension_of_cosines, dimension_of_points

    try:
        table = np.load(arguments.file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{arguments.file} cannot be read as points ({error}). Give a .npy file.") from error
    if table.ndim != 2 or table.dtype.kind not in "fiu":
        raise ConfigError(f"{arguments.file} holds {table.dtype} of shape {table.shape}; give points × coordinates.")
    if arguments.cosines and table.shape[0] != table.shape[1]:
        raise ConfigError(
            f"{arguments.file} holds a table of {table.shape[0]:,} × {table.shape[1]:,}; cosines are of every pair of "
            "points, as many rows as columns. Leave --cosines out for points × coordinates."
        )
    rows = np.arange(len(table))
    if 0 < arguments.sample < len(table):
        rows = np.sort(np.random.default_rng(arguments.seed).choice(len(table), arguments.sample, replace=False))
    found = (
        dimension_of_cosines(table[rows][:, rows]) if arguments.cosines else dimension_of_points(table[rows])
    )  # fmt: skip
    print(f"dimension {found.dimension:.2f} ({found.low:.2f} to {found.high:.2f}), {found.n_points:,} of "
          f"{len(table):,} points, radii {found.radii[0]:.4g} to {found.radii[-1]:.4g}")  # fmt: skip


def _points(arguments: argparse.Namespace) -> Points:
    if arguments.file is None:
        if arguments.x is None or arguments.y is None:
            raise ConfigError("Give a file of scale and loss, or both --x and --y.")
        return curve_from_numbers(arguments.x, arguments.y)
    if arguments.x is not None or arguments.y is not None:
        raise ConfigError("Give either a file or --x and --y, not both.")
    return curve_from_text(_text(arguments.file), ladder=arguments.sizes or "")


def _text(name: str) -> str:
    try:
        if name == "-":
            return sys.stdin.read(LONGEST_TEXT)
        with Path(name).open(encoding="utf-8-sig") as file:
            return file.read(LONGEST_TEXT)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} cannot be read as text ({error}). Give a CSV file of scale and loss.") from error


def _law(trial: Trial, *, is_best: bool, factor: float, least: float) -> str:
    name = f"{LAW_NAMES[trial.name]:<13}"
    if trial.law is None:
        return f"  {name} needs {trial.n_needed} points of different scale"
    held = f"{100 * trial.held_out_rms:.2g}%" if math.isfinite(trial.held_out_rms) else "not judged"
    shown = []
    for key, value in trial.law.parameters.items():
        if key == "b" or (key == "a" and trial.name == "power"):
            continue
        scale = factor if key == "a" else 1.0
        low, high = trial.intervals.get(key, (math.nan, math.nan))
        if key[0] == "f" and is_sharp(value):
            shown.append(f"{key} below {NARROWEST}")
        elif math.isnan(low) or is_determined(key, low, high):
            if key == "a":  # a floor lies between 0 and the smallest loss
                low, high = max(low, 0.0), min(high, least)
            shown.append(f"{key} {value * scale:.4g}{_interval(low * scale, high * scale)}")
        else:
            shown.append(f"{key} not determined")
    numbers = "  ".join(shown)
    return f"{'*' if is_best else ' '} {name} misses {100 * trial.rms:.2g}%, held out {held}: {numbers}"


def _interval(low: float, high: float) -> str:
    if math.isnan(low):
        return ""
    ends = (f"{end:.4g}" if math.isfinite(end) else "∞" for end in (low, high))
    return " ({} to {})".format(*ends)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!r}: write numbers with commas, such as 1e6,1e7,1e8") from error

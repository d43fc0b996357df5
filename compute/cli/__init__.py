"""Command line of the computing side: `python -m compute COMMAND`; needs no Django and no database."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from compute.cli import addition, analysis, bundles, fit, hub, parity, pieces, qdg, qdg_bias, theory
from compute.errors import ComputeError

REFUSED, INTERRUPTED, OUT_OF_MEMORY = 2, 130, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; give the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.do(arguments)
    except ComputeError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except MemoryError:
        print("The machine ran out of memory. Ask for fewer tokens, or use sketches (--mode sketch).", file=sys.stderr)
        return OUT_OF_MEMORY
    except KeyboardInterrupt:
        print("\nStopped. What is done is kept: run the same command again to go on.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m compute",
        description="Find quanta without a database. Losses are in nats. Every command goes on where it was stopped: "
        "give the same command again.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (qdg, pieces, analysis, bundles, hub, fit, addition, parity, qdg_bias, theory):
        group.add_commands(commands)
    return parser

"""Commands about suites and the Hub."""

from __future__ import annotations

import argparse
import sys
import time

from compute.cli.arguments import words
from compute.config import HubRef
from compute.registry import SUITES, suite_config

SECONDS_PER_LINE = 2.0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "bring weights and tokenizers of the Hub here, so that runs need no network"
    command = commands.add_parser("fetch", help=text, description=text)
    command.add_argument("models", nargs="*", metavar="OWNER/NAME[@REVISION]", help="networks of the Hub")
    command.add_argument("--suite", choices=sorted(SUITES), help="all sizes of a known suite, or those of --sizes")
    command.add_argument("--sizes", type=words, metavar="SIZE,…", help="such as 70m,160m")
    command.add_argument("--revisions", type=words, metavar="STEP,…", help="final, all, steps, or step1000..step143000")
    command.set_defaults(do=fetch)
    text = "list the known suites with their sizes and steps"
    command = commands.add_parser("suites", help=text, description=text)
    command.set_defaults(do=suites)


def fetch(arguments: argparse.Namespace) -> None:
    """Download what is not here yet, and say where it is."""
    from compute.hub.fetch import fetch_checkpoint

    refs = [HubRef.parse(text) for text in arguments.models]
    if arguments.suite:
        suite = suite_config(arguments.suite, sizes=arguments.sizes, revisions=arguments.revisions)
        refs += [ref.hub for ref in suite.checkpoints if ref.hub is not None]
    for ref in refs:
        fetched = fetch_checkpoint(ref, report=_Line(str(ref)))
        print(f"{ref}  {fetched.commit}  {fetched.folder}")


def suites(arguments: argparse.Namespace) -> None:
    """Print the registry."""
    for suite in SUITES.values():
        print(f"{suite.name}: {suite.title}. {suite.note}")
        for size in suite.sizes:
            old = f"  (the paper's {size.paper_name})" if size.paper_name else ""
            print(f"  {size.hub_id:<32} {size.n_non_embedding:>14,} non-embedding parameters{old}")
        print(f"  {len(suite.revisions)} checkpoints each: {suite.revisions[0]} … {suite.revisions[-1]}")


class _Line:
    """Prints how far a download is, now and then."""

    def __init__(self, name: str) -> None:
        self.name, self.shown = name, time.monotonic()

    def __call__(self, n_done: int, n_total: int) -> None:
        if time.monotonic() - self.shown >= SECONDS_PER_LINE:
            self.shown = time.monotonic()
            far = (
                f"{n_done / 1e6:,.0f} of {n_total / 1e6:,.0f} MB"
                if n_total
                else "no answer of the Hub yet, still trying"
            )
            print(f"{self.name}: {far}", file=sys.stderr, flush=True)

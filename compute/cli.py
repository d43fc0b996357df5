"""Command line of the computing side: `python -m compute qdg | verify | info`; needs no Django and no database."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compute.bundle import open_bundle
from compute.config import AFFINITIES, GRADIENT_SCOPES, CorpusConfig, RunConfig
from compute.errors import ComputeError, ConfigError
from compute.pipeline import plan, run_qdg
from compute.progress import Progress
from compute.suites import changed, demo_config, folder_suite

REFUSED, INTERRUPTED = 2, 130
_SETTINGS = ("name", "clustered", "gradient_scope")  # settings of the run, then of its parts
_PARTS = ("max_length", "max_documents", "n_tokens", "threshold_nats", "stride", "ks", "affinities", "n_init", "seed")


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; give the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.do(arguments)
    except ComputeError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("\nStopped. What is done is kept: run the same command again to go on.", file=sys.stderr)
        return INTERRUPTED
    return 0


def qdg(arguments: argparse.Namespace) -> None:
    """Compute a bundle and print its path."""
    config = _config(arguments)
    workspace = arguments.workspace or arguments.out / ".work" / config.name
    progress = Progress(plan(config))
    try:
        path = run_qdg(config, workspace, arguments.out, report=progress, device=arguments.device)
    finally:
        progress.close()
    print(path)


def verify(arguments: argparse.Namespace) -> None:
    """Recompute every hash of a bundle."""
    bundle = open_bundle(arguments.bundle)
    bundle.verify()
    print(f"{arguments.bundle} is whole: {len(bundle.manifest['arrays'])} arrays, sha256 {bundle.sha256}.")


def info(arguments: argparse.Namespace) -> None:
    """Say what a bundle holds."""
    bundle = open_bundle(arguments.bundle)
    facts = bundle.manifest
    corpus, chosen, clustered = facts["corpus"], facts["selection"], facts["clustered"]
    rows = {
        "name": facts["name"],
        "sha256": bundle.sha256,
        "finished": bundle.run.get("finished", "unknown"),
        "corpus": f"{corpus['name']}: {corpus['n_documents']:,} documents, {corpus['n_predictions']:,} predictions",
        "checkpoints": f"{len(facts['checkpoints'])} of {len(facts['sizes'])} sizes",
        "clustered": f"{clustered['lm']} {clustered['revision']}, gradients of {clustered['n_gradient']:,} numbers",
        "tokens": f"{chosen['n_selected']:,} of {chosen['n_candidates']:,} below {chosen['threshold_nats']} nats",
        **{
            f"k, {affinity}": ", ".join(str(c["k"]) for c in facts["clusterings"] if c["affinity"] == affinity)
            for affinity in dict.fromkeys(c["affinity"] for c in facts["clusterings"])
        },
        "size": f"{bundle.n_bytes / 1e6:,.1f} MB",
    }
    for name, value in rows.items():
        print(f"{name:<12} {value}")


def _config(arguments: argparse.Namespace) -> RunConfig:
    """The run that the arguments describe."""
    given: dict[str, Any] = {
        name: getattr(arguments, name) for name in (*_SETTINGS, *_PARTS) if getattr(arguments, name) is not None
    }
    if arguments.demo:
        if arguments.suite_folder or arguments.tokenizer or arguments.corpus:
            raise ConfigError("--demo brings its own networks, tokenizer and text; leave the other three out.")
        return demo_config(**given)
    for name in ("suite_folder", "tokenizer", "corpus", "clustered"):
        if not getattr(arguments, name):
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} is missing. Give it, or --demo for the embedded networks and text.")
    suite = folder_suite(arguments.suite_folder, tokenizer=arguments.tokenizer)
    clustered = _full_key(given.pop("clustered"))
    sizes = {name: given.pop(name) for name in ("ks", "n_tokens") if name in given}
    base = RunConfig(
        name=given.pop("name", "own"), suite=suite, clustered=clustered, corpus=CorpusConfig(source=arguments.corpus)
    )
    return changed(base, **given, **sizes)


def _full_key(key: str) -> str:
    return key if "/" in key else f"{key}/main"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compute", description="Find quanta without a database.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_qdg(commands.add_parser("qdg", help="apply QDG and write a bundle; goes on where it was stopped"))
    for name, do, text in (("verify", verify, "recompute every hash of a bundle"), ("info", info, "show a bundle")):
        command = commands.add_parser(name, help=text)
        command.add_argument("bundle", type=Path, metavar="BUNDLE")
        command.set_defaults(do=do)
    return parser


def _add_qdg(command: argparse.ArgumentParser) -> None:
    command.set_defaults(do=qdg)
    command.add_argument("--demo", action="store_true", help="the embedded networks and text")
    command.add_argument(
        "--suite-folder",
        action="extend",
        nargs="+",
        metavar="NAME[/REVISION]=PATH",
        help="checkpoints of your own, in Hugging Face's folder layout",
    )
    command.add_argument("--tokenizer", metavar="PATH", help="the tokenizer.json that they share")
    command.add_argument(
        "--corpus", metavar="PATH", help="a .jsonl file with a text field, or a folder of .txt and .md"
    )
    command.add_argument("--clustered", metavar="KEY", help="whose tokens are clustered: NAME or NAME/REVISION")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder that the bundle goes into")
    command.add_argument("--workspace", type=Path, metavar="DIR", help="for unfinished work (DIR/.work/NAME)")
    command.add_argument("--name", help="of the run")
    command.add_argument("--max-length", type=int, metavar="N", help="tokens read of each document")
    command.add_argument("--max-documents", type=int, metavar="N")
    command.add_argument("--tokens", type=int, dest="n_tokens", metavar="N", help="how many are clustered")
    command.add_argument("--threshold", type=float, dest="threshold_nats", metavar="NATS")
    command.add_argument("--stride", type=int, metavar="N", help="take every N-th candidate (even spread)")
    command.add_argument("--ks", type=_numbers, metavar="K,K,…", help="numbers of clusters")
    command.add_argument("--affinities", type=_words, metavar="|".join(AFFINITIES), help="separated by commas")
    command.add_argument("--n-init", type=int, metavar="N", help="starts of k-means")
    command.add_argument("--seed", type=int, metavar="N")
    command.add_argument("--gradient-scope", choices=GRADIENT_SCOPES)
    command.add_argument("--device", default="cpu", help="cpu, or cuda for losses and gradients")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))

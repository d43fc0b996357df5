"""The whole method, in one go or in parts that many machines share."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from compute.cli import arguments as shared
from compute.config import HUB, PAPER_KS, CorpusConfig, RunConfig, SimilarityConfig, SuiteConfig
from compute.errors import ConfigError, StorageError
from compute.estimate import Estimate, estimate, with_auto_mode
from compute.pipeline import PHASES, plan, run_qdg, run_shard
from compute.progress import Progress
from compute.registry import SUITES, find_checkpoint, hub_suite, suite_config
from compute.suites import changed, demo_config, folder_suite
from compute.workspace import Workspace, digest

_SETTINGS = (
    *("name", "vectors", "gradient_scope", "precision", "documents_per_shard"),
    *("max_length", "max_documents", "text_field", "split", "subset"),
    *("n_tokens", "threshold_nats", "stride", "exclude_induced"),
    *("sketch_size", "sketch_seed", "refine", "block_tokens"),
    *("ks", "affinities", "n_init", "seed", "effort"),
    "n_curves",
)
_N_TOKENS = "how many are clustered (3000; of a known suite 10000)"
_N_CURVES = "predictions on the map by loss curves (100000; of the demo 20000)"
_SOURCES = ("demo", "suite", "hub", "suite_folder")
_STORED = "config"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "apply QDG and write a bundle"
    command = commands.add_parser("qdg", help=text, description=f"{text}; goes on where it was stopped.")
    command.set_defaults(do=qdg)
    _add_networks(command)
    shared.add_corpus(command, required=False, max_length="1024; own folders and the demo 256")
    _add_settings(command)
    _add_work(command)
    text = "publish the bundle of a run whose parts were computed with 'qdg --only'"
    command = commands.add_parser("bundle", help=text, description=f"{text}; what is missing is computed.")
    command.add_argument("workspace", type=Path, metavar="WORKSPACE", help="of that run")
    shared.add_out(command, "folder that the bundle goes into")
    shared.add_device(command)
    command.set_defaults(do=bundle)


def qdg(arguments: argparse.Namespace) -> None:
    """Compute a bundle and print its path."""
    if arguments.part and not arguments.only:
        raise ConfigError("--part shares out one phase: name it with --only, or leave --part out.")
    if arguments.documents_per_shard is not None and arguments.max_documents is None:
        raise ConfigError(
            "--documents-per-shard needs --documents: how many pieces there are must be known in advance."
        )
    config = _config(arguments)
    workspace = arguments.workspace or arguments.out / ".work" / config.name
    if arguments.mode == "auto":
        config = _with_decided_mode(config, workspace, arguments)
    if arguments.estimate:
        _print_estimate(estimate(config, device=arguments.device))
        return
    Workspace(workspace).save_json(_STORED, config.to_json(), _STORED)
    if arguments.only:
        _do_part(config, workspace, arguments)
    else:
        print(_whole(config, workspace, arguments))


def bundle(arguments: argparse.Namespace) -> None:
    """Publish what a workspace holds."""
    stored = Workspace(arguments.workspace).load_json(_STORED, _STORED)
    if stored is None:
        raise StorageError(
            f"{arguments.workspace} is no workspace of a run: it holds no settings. Name the folder that was given to "
            "'qdg' as --workspace, or DIR/.work/NAME of its --out DIR."
        )
    print(_whole(RunConfig.from_json(stored), arguments.workspace, arguments))


def _whole(config: RunConfig, workspace: Path, arguments: argparse.Namespace) -> Path:
    print(_how_compared(config), file=sys.stderr)
    with _at_work(workspace):
        progress = Progress(plan(config))
        try:
            return run_qdg(config, workspace, arguments.out, report=progress, device=arguments.device)
        finally:
            progress.close()


@contextlib.contextmanager
def _at_work(workspace: Path, *, is_shared: bool = False) -> Iterator[None]:
    """Wait until nobody else works on the run; parts of it may be worked on together."""
    told: list[str] = []

    def tell() -> None:
        if not told:
            told.append(f"Another process works in {workspace}; this one goes on when it has ended.")
            print(told[0], file=sys.stderr, flush=True)

    with Workspace(workspace).alone("run", is_shared=is_shared, tell=tell):
        yield


def _how_compared(config: RunConfig) -> str:
    """The mode of comparing and how far it may be off."""
    if config.similarity.mode == "exact":
        return f"Comparing {config.vectors} exactly."
    from compute.numerics.sketch import sketch_error

    error = sketch_error(config.selection.n_tokens, config.similarity.sketch_size)
    return (
        f"Comparing {config.vectors} by sketches of {config.similarity.sketch_size:,} numbers: cosines are off by "
        f"{error['rms']:.4f} (root mean square), at most about {error['largest']:.3f}."
    )


def _do_part(config: RunConfig, workspace: Path, arguments: argparse.Namespace) -> None:
    """Every N-th shard of one phase."""
    part, n_parts = arguments.part or (1, 1)
    specs = [spec for spec in plan(config) if spec.phase == arguments.only]
    if not specs:
        raise ConfigError(f"This run has no phase {arguments.only!r}; leave this step out.")
    mine = [spec for spec in specs if spec.phase_ordinal % n_parts == part - 1]
    with _at_work(workspace, is_shared=True):
        progress = Progress(specs)
        try:
            for spec in mine:
                report = partial(progress, spec)
                run_shard(config, spec, workspace, bundles=arguments.out, report=report, device=arguments.device)
        finally:
            progress.close()
    print(f"{arguments.only}: {len(mine)} of {len(specs)} shards done in {workspace}")


def _with_decided_mode(config: RunConfig, workspace: Path, arguments: argparse.Namespace) -> RunConfig:
    """What auto stands for: decided once for a workspace, so that all processes and all attempts do the same."""
    if arguments.estimate and not workspace.is_dir():
        chosen, why = _chosen_mode(config, workspace, arguments)
        print(why, file=sys.stderr)
        return chosen
    files, stamp = Workspace(workspace), digest([config.to_json(), arguments.hours])
    with files.alone("auto"):
        decided = files.load_json("auto", stamp)
        if decided is None:
            chosen, why = _chosen_mode(config, workspace, arguments)
            decided = {"similarity": dataclasses.asdict(chosen.similarity), "why": why}
            if not arguments.estimate:
                files.save_json("auto", decided, stamp)
    print(decided["why"], file=sys.stderr)
    return dataclasses.replace(config, similarity=SimilarityConfig(**decided["similarity"]))


def _chosen_mode(config: RunConfig, workspace: Path, arguments: argparse.Namespace) -> tuple[RunConfig, str]:
    """By the free space where the workspace is, or will be."""
    there = next(folder for folder in (workspace, *workspace.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    return with_auto_mode(config, hours=arguments.hours, free_bytes=free, device=arguments.device)


def _print_estimate(cost: Estimate) -> None:
    for phase in cost.phases:
        print(f"{phase.name:<12} {_clock(phase.seconds):>10}  {phase.note}".rstrip())
    print(f"{'in all':<12} {_clock(cost.seconds):>10}  {cost.rate}")
    for name, n_bytes in (("downloads", cost.download_bytes), ("disk", cost.disk_bytes), ("memory", cost.memory_bytes)):
        size = f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.0f} MB"
        print(f"{name:<12} {size:>10}")
    for sentence in cost.unknown:
        print(sentence)


def _clock(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _config(arguments: argparse.Namespace) -> RunConfig:
    """The run that the arguments describe."""
    config = _with_maps(arguments)
    return dataclasses.replace(config, map=None) if arguments.no_map else config


def _with_maps(arguments: argparse.Namespace) -> RunConfig:
    shared.refuse_together(arguments, _SOURCES)
    given = shared.given(arguments, _SETTINGS)
    if arguments.mode in ("exact", "sketch"):
        given["mode"] = arguments.mode
    elif arguments.sketch_size is not None or arguments.refine is not None:
        given["mode"] = "sketch"
    if arguments.demo:
        if arguments.tokenizer or arguments.corpus:
            raise ConfigError("--demo brings its own networks, tokenizer and text; leave the others out.")
        return demo_config(**given | shared.given(arguments, ("clustered",)))
    suite = _suite(arguments)
    for name in ("corpus", "clustered"):
        if not getattr(arguments, name):
            raise ConfigError(f"--{name} is missing. Give it, or --demo for the embedded networks and text.")
    base = RunConfig(
        name=given.pop("name", "own"),
        suite=suite,
        clustered=find_checkpoint(suite, arguments.clustered).key,
        corpus=CorpusConfig(source=arguments.corpus, max_length=given.pop("max_length", _max_length(arguments))),
    )
    paper: dict[str, Any] = {"ks": PAPER_KS, "n_tokens": 10_000} if arguments.suite else {}
    return changed(base, **paper | given)


def _max_length(arguments: argparse.Namespace) -> int:
    return 1024 if arguments.suite or arguments.hub else 256


def _suite(arguments: argparse.Namespace) -> SuiteConfig:
    if arguments.suite:
        suite = suite_config(_release(arguments), sizes=arguments.sizes, revisions=arguments.revisions)
    elif arguments.hub:
        suite = hub_suite(arguments.hub)
    elif arguments.suite_folder:
        if not arguments.tokenizer:
            raise ConfigError("--tokenizer is missing. Give the path of the tokenizer.json that the networks share.")
        suite = folder_suite(arguments.suite_folder, tokenizer=arguments.tokenizer)
    else:
        raise ConfigError("--suite-folder is missing. Give it, --suite or --hub, or --demo for the embedded networks.")
    return dataclasses.replace(suite, tokenizer=arguments.tokenizer) if arguments.tokenizer else suite


def _release(arguments: argparse.Namespace) -> str:
    """The suite that was named, or the release of it that the clustered network belongs to: they are never mixed."""
    name: str = arguments.suite
    wanted = (arguments.clustered or "").removeprefix(HUB).partition("@")[0]
    if any(wanted in (size.hub_id, size.lm) for size in SUITES[name].sizes):
        return name
    for other in SUITES.values():
        if any(wanted == size.hub_id for size in other.sizes):
            print(f"{wanted} belongs to the suite {other.name}: all sizes are taken from there.", file=sys.stderr)
            return other.name
    return name


def _add_networks(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("networks (one of the first four)")
    group.add_argument("--demo", action="store_true", help="the embedded networks and text")
    group.add_argument("--suite", choices=sorted(SUITES), help="a known suite; the paper's is pythia-v0")
    group.add_argument("--hub", nargs="+", metavar="OWNER/NAME[@REVISION]", help="networks of the Hub")
    group.add_argument(
        "--suite-folder",
        action="extend",
        nargs="+",
        metavar="NAME[/REVISION]=PATH",
        help="checkpoints of your own, in Hugging Face's folder layout",
    )
    group.add_argument("--sizes", type=shared.words, metavar="SIZE,…", help="of the suite, such as 70m,160m (all)")
    group.add_argument(
        "--revisions", type=shared.words, metavar="STEP,…", help="final, all, steps, or step1000..step143000:10 (final)"
    )
    group.add_argument("--tokenizer", metavar="PATH", help="the tokenizer.json that they share (the networks' own)")
    group.add_argument(
        "--clustered",
        "--clustered-model",
        metavar="KEY",
        help="whose tokens are clustered: NAME, NAME/REVISION or a Hub id",
    )


def _add_settings(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("tokens")
    group.add_argument("--n-tokens", "--tokens", type=int, dest="n_tokens", metavar="N", help=_N_TOKENS)
    group.add_argument("--threshold", type=float, dest="threshold_nats", metavar="NATS", help="loss below (0.1 nats)")
    group.add_argument("--stride", type=int, metavar="N", help="take every N-th candidate (an even spread)")
    shared.add_keep_induced(group)
    group = command.add_argument_group("comparing")
    shared.add_vectors(group)
    group.add_argument(
        "--mode", choices=("exact", "sketch", "auto"), help="auto is exact if it fits --hours and the disk (exact)"
    )
    group.add_argument("--hours", type=float, default=2.0, metavar="H", help="that auto may take for comparing (2)")
    shared.add_sketch(group)
    group = command.add_argument_group("clustering")
    shared.add_clustering(group, ks="numbers of clusters (12 from 5 to 300; of a known suite the paper's 30)")
    shared.add_affinities(group)
    group = command.add_argument_group("maps")
    group.add_argument("--map-curves", type=int, dest="n_curves", metavar="N", help=_N_CURVES)
    group.add_argument("--no-map", action="store_true", help="leave the maps of tokens out")


def _add_work(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("work")
    shared.add_out(group, "folder that the bundle goes into")
    group.add_argument("--name", help="of the run (own, or demo)")
    group.add_argument("--workspace", type=Path, metavar="DIR", help="for unfinished work (OUT/.work/NAME)")
    shared.add_device(group)
    shared.add_precision(group)
    group.add_argument(
        "--documents-per-shard",
        type=int,
        metavar="N",
        help="losses of a checkpoint in pieces of N documents, for --part; needs --documents",
    )
    group.add_argument("--estimate", action="store_true", help="print hours, memory, disk and downloads, and stop")
    group.add_argument("--only", choices=PHASES, metavar="PHASE", help=f"do one phase alone: {', '.join(PHASES)}")
    group.add_argument("--part", type=shared.part_of, metavar="I/N", help="with --only, every N-th shard from the I-th")

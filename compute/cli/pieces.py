"""One step of the method at a time, on plain files."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from compute.cli import arguments as shared
from compute.cli.files import flat_array, save, save_json
from compute.config import ClusteringConfig, RunConfig, SelectionConfig, SimilarityConfig, SuiteConfig
from compute.errors import SelectionError, SimilarityError
from compute.pipeline import ShardSpec
from compute.progress import Progress
from compute.steps.run import Run
from compute.workspace import Workspace, make_folder

_N_TOKENS = "how many are selected (10000)"
_COMPARING = ("sketch_size", "sketch_seed", "refine", "block_tokens")


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(commands, "losses", losses, "the loss of every prediction, in nats")
    shared.add_out(command, "gets losses.npy (float32, nats), starts.npy (int64, documents + 1) and losses.json")
    shared.add_precision(command)
    command = _command(commands, "select", select, "the tokens that are predicted well and not copied from context")
    command.add_argument("--losses", type=Path, required=True, metavar="FILE", help="losses.npy of the same text")
    command.add_argument(
        "--n-tokens", "--tokens", type=int, dest="n_tokens", default=10_000, metavar="N", help=_N_TOKENS
    )
    command.add_argument("--threshold", type=float, dest="threshold_nats", metavar="NATS", help="loss below (0.1 nats)")
    command.add_argument("--stride", type=int, metavar="N", help="take every N-th candidate (an even spread)")
    shared.add_keep_induced(command)
    shared.add_out(command, "gets tokens.npy (int64, flat indices) and selection.json")
    for name, do, text, out in (
        ("gradients", gradients, "the gradients of tokens, or sketches of them", "kept there for 'similarity'"),
        (
            "similarity",
            similarity,
            "the cosine of every pair of tokens' gradients",
            "gets similarity.npy and similarity_abs.npy (float32, tokens × tokens) and similarity.json",
        ),
    ):
        command = _command(commands, name, do, text)
        command.add_argument("--tokens", type=Path, required=True, metavar="FILE", help="flat indices, .npy")
        command.add_argument(
            "--mode",
            choices=("exact", "sketch"),
            default="exact",
            help="exact to 2e-5: rows are kept in half precision (exact)",
        )
        shared.add_vectors(command)
        shared.add_sketch(command)
        shared.add_out(command, out)
    commands.choices["gradients"].add_argument("--part", type=shared.part_of, metavar="I/N", help="the I-th of N parts")


def losses(arguments: argparse.Namespace) -> None:
    """Write the losses of one network over a text."""
    from compute.steps.checkpoints import precision_of
    from compute.steps.losses import losses as losses_of

    with _run(arguments, "losses", "predictions") as run:
        ref = run.config.clustered_checkpoint
        column = losses_of(run, ref)
        save(arguments.out / "losses.npy", column)
        save(arguments.out / "starts.npy", run.corpus.tokens.prediction_starts)
        save_json(arguments.out / "losses.json", _made_of(run) | {"precision": precision_of(run, ref)})
    print(f"{len(column):,} losses, mean {float(np.mean(column, dtype=np.float64)):.4f} nats, in {arguments.out}")


def select(arguments: argparse.Namespace) -> None:
    """Write the flat indices of the selected tokens."""
    from compute.steps.selection import choose

    column = flat_array(arguments.losses, "losses", "f")
    wanted = SelectionConfig(**shared.given(arguments, ("n_tokens", "threshold_nats", "stride", "exclude_induced")))
    with _run(arguments, "selection", "steps") as run:
        n_predictions = run.corpus.tokens.n_predictions
        if len(column) != n_predictions:
            raise SelectionError(
                f"{arguments.losses} holds {len(column):,} losses, but the text has {n_predictions:,} "
                "predictions. Give the same text, tokenizer, length and number of documents as for the losses."
            )
        chosen = choose(run, column, wanted)
    save(arguments.out / "tokens.npy", chosen.flat_index)
    save_json(arguments.out / "selection.json", chosen.facts)
    print(f"{len(chosen.flat_index):,} of {chosen.facts['n_candidates']:,} tokens in {arguments.out / 'tokens.npy'}")


def gradients(arguments: argparse.Namespace) -> None:
    """Compute and keep the gradients of the tokens, or one part of them."""
    from compute.steps.gradients import gradient_store
    from compute.steps.gradients import gradients as store_rows

    with _run(arguments, "gradients", "tokens") as run:
        store = gradient_store(run)
        part, n_parts = arguments.part or (1, 1)
        n = len(store.tokens)
        rows = range(n * (part - 1) // n_parts, n * part // n_parts)
        store_rows(run, store, rows)
    print(f"Gradients of tokens {rows.start + 1}-{rows.stop} of {n} are kept in {run.files.root}")


def similarity(arguments: argparse.Namespace) -> None:
    """Write the cosines of all pairs, signed and of absolute values, in the order of the file of tokens."""
    from compute.steps.similarity import similarity as compare
    from compute.steps.similarity import similarity_facts

    given = flat_array(arguments.tokens, "tokens", "i")
    with _run(arguments, "similarity", "column blocks") as run:
        compared = compare(run)
        places = np.searchsorted(compared.flat_index, given)
        is_kept = compared.flat_index[np.minimum(places, len(compared.flat_index) - 1)] == given
        for kind, name in (("signed", "similarity"), ("absolute", "similarity_abs")):
            save(arguments.out / f"{name}.npy", _in_order(compared.cosines[kind], places, is_kept))
        save_json(arguments.out / "similarity.json", _made_of(run) | similarity_facts(run))
    if not is_kept.all():
        print(f"{int((~is_kept).sum())} gradients are zero and have no direction: their cosines are written as 0.")
    print(f"Cosines of {len(given):,} tokens in {arguments.out}")


def _made_of(run: Run) -> dict[str, Any]:
    """Network and text that a result was computed from."""
    from compute.steps.checkpoints import checkpoint_facts

    ref = run.config.clustered_checkpoint
    return {"model": ref.key, **checkpoint_facts(run, ref), "corpus": run.corpus.facts}


def _in_order(cosines: np.ndarray, places: np.ndarray, is_kept: np.ndarray) -> np.ndarray:
    """Rows and columns as they were asked for; 0 for tokens without a direction, 1 on the diagonal."""
    ordered = np.zeros((len(places), len(places)), np.float32)
    rows = np.flatnonzero(is_kept)
    for row in rows:
        ordered[row, rows] = cosines[places[row]][places[rows]]
    np.fill_diagonal(ordered, 1.0)
    return ordered


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, do: Any, text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=f"Compute {text}; goes on where it was stopped.")
    command.set_defaults(do=do)
    command.add_argument("--model", required=True, metavar="PATH_OR_ID[@REVISION]", help=shared.MODEL_HELP)
    command.add_argument("--tokenizer", metavar="PATH", help="its tokenizer.json (the network's own)")
    shared.add_corpus(command)
    shared.add_device(command)
    return command


@contextlib.contextmanager
def _run(arguments: argparse.Namespace, phase: str, unit: str) -> Iterator[Run]:
    """One network on one text at work, with a workspace in the folder for results."""
    ref = shared.model_of(arguments.model)
    tokens = _tokens(arguments)
    config = RunConfig(
        name=phase,
        suite=SuiteConfig(name="own", checkpoints=(ref,), tokenizer=shared.tokenizer_of(arguments, ref)),
        clustered=ref.key,
        corpus=shared.corpus_of(arguments),
        selection=SelectionConfig(n_tokens=max(2, 2 if tokens is None else len(tokens))),
        similarity=SimilarityConfig(
            mode=getattr(arguments, "mode", None) or "exact", **shared.given(arguments, _COMPARING)
        ),
        clustering=ClusteringConfig(ks=(2,)),
        **shared.given(arguments, ("vectors", "gradient_scope", "precision")),
    )
    make_folder(arguments.out)
    spec = ShardSpec(0, phase, 0, ref.key, unit, 1)
    progress = Progress([spec])
    run = Run(
        config=config,
        files=Workspace(arguments.out / ".work" / "pieces"),
        bundles=arguments.out,
        report=lambda n_done, n_total: progress(spec, n_done, n_total),
        device=arguments.device,
        tokens=tokens,
        is_selecting=False,
    )
    try:
        _bring(run)
        yield run
    finally:
        progress.close()


def _bring(run: Run) -> None:
    """Fetch what lies on the Hub; refuse a folder that is no checkpoint."""
    from compute.steps.checkpoints import require_folders
    from compute.steps.weights import fetch, hub_sources

    for name, source in hub_sources(run.config):
        fetch(run, name, source)
    require_folders(run.config)


def _tokens(arguments: argparse.Namespace) -> np.ndarray | None:
    """The flat indices of a file of tokens, ascending and each once."""
    if getattr(arguments, "tokens", None) is None:
        return None
    tokens = np.unique(flat_array(arguments.tokens, "tokens", "i")).astype(np.int64)
    if len(tokens) < 2:
        raise SimilarityError(f"{arguments.tokens} names {len(tokens)} tokens; at least 2 different ones are compared.")
    return tokens

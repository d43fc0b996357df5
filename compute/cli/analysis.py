"""Commands on arrays alone: no network, no text."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from compute.bundle import file_sha256
from compute.cli import arguments as shared
from compute.cli.files import flat_array, save_all, save_json, square_array
from compute.config import AFFINITIES, PAPER_KS, ClusteringConfig
from compute.errors import ConfigError, FitError, SelectionError
from compute.numerics.ranks import cluster_order, default_window, envelope, fit_envelope, sizes_by_rank
from compute.pipeline import ShardSpec
from compute.progress import Progress
from compute.steps.run import Work
from compute.workspace import Workspace, make_folder

CURVES_PER_CHUNK = 100_000


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "cluster tokens by their similarity at every number of clusters"
    command = commands.add_parser("cluster", help=text, description=f"{text}; goes on where it was stopped.")
    command.add_argument(
        "--similarity", type=Path, required=True, metavar="FILE", help="cosines, .npy, tokens × tokens"
    )
    command.add_argument(
        "--affinity",
        choices=AFFINITIES,
        default="signed",
        help="signed clusters 1 − arccos(cosine)/π, absolute the cosines of absolute values as they are (signed)",
    )
    shared.add_clustering(command, ks="numbers of clusters (the paper's 30, up to the number of tokens)")
    shared.add_out(command, "gets labels.npz (an array named by each count) and ranks.json")
    command.set_defaults(do=cluster)
    text = "score every token's curve over model size: monogenic or polygenic"
    command = commands.add_parser("curves", help=text, description=text)
    command.add_argument(
        "--losses", type=Path, nargs="+", required=True, metavar="FILE", help="losses.npy of each size, smallest first"
    )
    command.add_argument(
        "--parameters", type=_parameters, required=True, metavar="N,N,…", help="non-embedding parameters of each size"
    )
    shared.add_out(command, "gets curves.npz (scores of every token) and curves.json (counts of each class)")
    command.set_defaults(do=curves)


def cluster(arguments: argparse.Namespace) -> None:
    """Write labels at every count, and ranks."""
    from compute.numerics.similarity import affinity_matrix
    from compute.steps.clustering import labels_at_every_k

    cosines = square_array(arguments.similarity)
    ks = arguments.ks or tuple(k for k in PAPER_KS if k <= len(cosines))
    settings = ClusteringConfig(
        ks=tuple(sorted(set(ks))),
        affinities=(arguments.affinity,),
        **shared.given(arguments, ("n_init", "seed", "effort")),
    )
    if settings.ks[-1] > len(cosines):
        raise ConfigError(f"The largest count is {settings.ks[-1]}, but there are {len(cosines)} tokens; lower it.")
    make_folder(arguments.out)
    spec = ShardSpec(0, "clustering", 0, arguments.affinity, "clusterings", len(settings.ks))
    progress = Progress([spec])
    work = Work(
        files=Workspace(arguments.out / ".work" / "cluster"),
        report=lambda n_done, n_total: progress(spec, n_done, n_total),
    )
    try:
        labels = labels_at_every_k(
            work,
            lambda: affinity_matrix(cosines, arguments.affinity),
            settings,
            affinity=arguments.affinity,
            stamp=file_sha256(arguments.similarity),
        )
    finally:
        progress.close()
    save_all(arguments.out / "labels.npz", {str(k): array for k, array in labels.items()})
    ranks = _ranks(labels, arguments.affinity)
    save_json(arguments.out / "ranks.json", ranks)
    print(f"{len(labels)} clusterings of {len(cosines):,} tokens in {arguments.out}; {_slope(ranks)}")


def curves(arguments: argparse.Namespace) -> None:
    """Write the scores of every token."""
    from compute.numerics.curves import CLASS_NAMES, classify, curve_scores

    columns = [flat_array(path, "losses", "f") for path in arguments.losses]
    if len(arguments.parameters) != len(columns):
        raise ConfigError(f"{len(columns)} files of losses, but {len(arguments.parameters)} sizes: give one for each.")
    if len({len(column) for column in columns}) > 1:
        raise SelectionError(f"The files hold {[len(c) for c in columns]} losses; all must be of the same text.")
    ln_scale = np.log(arguments.parameters)
    scores: dict[str, list[np.ndarray]] = {}
    for first in range(0, len(columns[0]), CURVES_PER_CHUNK):
        table = np.column_stack([column[first : first + CURVES_PER_CHUNK] for column in columns])
        part = curve_scores(table.astype(np.float64) / math.log(2), ln_scale)
        for name in ("monogenicity", "amplitude_bits", "n_eff", "linearity", "breakthroughness"):
            scores.setdefault(name, []).append(getattr(part, name).astype(np.float32))
        scores.setdefault("class", []).append(classify(part))
    make_folder(arguments.out)
    whole = {name: np.concatenate(parts) for name, parts in scores.items()}
    save_all(arguments.out / "curves.npz", whole)
    counts = np.bincount(whole["class"], minlength=len(CLASS_NAMES)).tolist()
    found = dict(zip(CLASS_NAMES, counts, strict=True))
    save_json(arguments.out / "curves.json", found)
    print(", ".join(f"{n:,} {name}" for name, n in found.items()))


def _ranks(labels: dict[int, np.ndarray], affinity: str) -> dict[str, Any]:
    """Clusters of every count by falling size, their envelope, and its slope with the ranks that it was fitted over."""
    sizes = [sizes_by_rank(array) for array in labels.values()]
    heights = envelope(sizes)
    ranks: dict[str, Any] = {
        "affinity": affinity,
        "n_tokens": len(next(iter(labels.values()))),
        "counts": {
            str(k): {"labels": cluster_order(array).tolist(), "sizes": sizes_by_rank(array).tolist()}
            for k, array in labels.items()
        },
        "envelope": heights.tolist(),
        "fit": None,
    }
    try:
        first, last = default_window(heights)
        fit = fit_envelope(heights, first, last)
    except FitError as error:
        return ranks | {"no_fit": str(error)}
    return ranks | {"fit": {"first_rank": first, "last_rank": last, "slope": fit.slope, "r_squared": fit.r_squared}}


def _slope(ranks: dict[str, Any]) -> str:
    fit = ranks["fit"]
    if fit is None:
        return "too few ranks for a slope"
    return f"envelope slope {fit['slope']:.2f} (±0.2 at least) over ranks {fit['first_rank']}-{fit['last_rank']}"


def _parameters(text: str) -> tuple[float, ...]:
    sizes = tuple(float(part) for part in text.split(","))
    if any(not size > 0 for size in sizes) or list(sizes) != sorted(set(sizes)):
        raise argparse.ArgumentTypeError(f"{text!r}: sizes are positive and rise")
    return sizes

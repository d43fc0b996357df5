"""Everything into one bundle: losses block by block, two networks' training at a time, then the clustered tokens."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper import losses, manifest, text
from benchmarks.paper.gradients import Gradients
from benchmarks.paper.losses import Column, X, blocks
from benchmarks.paper.plan import SIZES, Plan
from benchmarks.paper.stream import Pieces, StreamingWriter
from compute.errors import StorageError
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.curves import FLAT, classify, curve_scores
from compute.numerics.loss_summary import FINE_EDGES, LOG_EDGES
from compute.steps.curves import N_DENSITY_BINS, SCORES

ROOM = 1.05
THREADS = 2
INDUCED_SHARE, INDUCED_SHARE_BELOW = 0.06, 0.35

Floats = np.ndarray
Say = Callable[[str], None]


def make_bundle(folder: Path, plan: Plan, say: Say = lambda text: None) -> Path:
    """Write the bundle into the folder and give its path; StorageError where the disk has too little room."""
    require_room(folder, plan)
    corpus = text.make_corpus(plan)
    with StreamingWriter(folder, "paper" if plan.scale == 1 else "paper-small") as writer:
        say(f"{plan.n_predictions:,} predictions at {len(plan.columns)} checkpoints, {plan.n_bytes / 1e9:.1f} GB")
        finals = _write_finals(writer, plan, corpus)
        say("final losses and scores are written")
        columns = finals.columns | _write_training(writer, plan, corpus, finals.losses)
        say("losses over training are written")
        selected = _select(writer, plan, finals.losses[0])
        _write_clustered(writer, plan, corpus, selected.flat_index)
        n_mapped = _write_map_of_curves(writer, plan, finals, selected.flat_index)
        _write_histograms(writer, plan, columns)
        _write_text(writer, plan, corpus)
        say("clusters, map and text are written")
        whole = manifest.manifest(plan, corpus, columns, selected.facts, n_mapped)
        return writer.publish(whole, manifest.run_facts())


def require_room(folder: Path, plan: Plan) -> None:
    """Refuse to begin what the disk cannot hold."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < ROOM * plan.n_bytes:
        raise StorageError(
            f"The bundle takes {plan.n_bytes / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free at {folder}. "
            "Free some space, name another folder, or ask for a smaller --scale."
        )


@dataclass(frozen=True, eq=False)
class Finals:
    """Losses at the end of training, and what describes their curves."""

    losses: Floats  # float16 (n_sizes, n_predictions)
    columns: dict[str, Column]
    shape: Floats  # float32 (n_predictions, 2): monogenicity and n_eff


def _write_finals(writer: StreamingWriter, plan: Plan, corpus: TokenizedCorpus) -> Finals:
    """Losses over size, their scores, and the columns of networks without other checkpoints."""
    n = corpus.n_predictions
    answers = corpus.token_ids[_predicted(corpus)]
    found = np.empty((len(SIZES), n), np.float16)
    shape = np.empty((n, 2), np.float32)
    counts = np.zeros((len(SIZES), losses.N_CODES), np.int64)
    density = np.zeros((N_DENSITY_BINS, N_DENSITY_BINS), np.int64)
    names = {**dict.fromkeys((*SCORES, "slope"), "float32"), "class": "uint8"}
    units = {"amplitude_bits": "bits", "n_eff": "sizes", "class": "0 flat, 1 monogenic, 2 polygenic, 3 mixed"}
    with ExitStack() as stack, ThreadPoolExecutor(THREADS) as pool:
        table = stack.enter_context(writer.pieces("curves/losses", "float32", (n, len(SIZES)), unit="nats"))
        open_scores = {
            name: stack.enter_context(writer.pieces(f"curves/{name}", dtype, (n,), unit=units.get(name, "")))
            for name, dtype in names.items()
        }
        alone = {
            row: stack.enter_context(writer.pieces(_column(size.lm, plan.steps[-1]), "float32", (n,), unit="nats"))
            for row, size in enumerate(SIZES)
            if size.lm not in plan.stepped
        }
        made = pool.map(lambda one: _final_block(plan, one[0], answers[one[1]]), blocks(n))
        for (_, place), (half, scores) in zip(blocks(n), made, strict=True):
            found[:, place] = half
            table.append(half.T.astype(np.float32))
            for row, column in alone.items():
                column.append(half[row].astype(np.float32))
            for name, array in open_scores.items():
                array.append(scores[name])
            shape[place] = np.stack([scores["monogenicity"], scores["n_eff"]], 1)
            counts += np.stack([losses.count_codes(row) for row in half])
            density += _density(scores)
    writer.add_array("curves/density", density, unit="predictions")
    columns = {_column(SIZES[row].lm, plan.steps[-1]): Column(counts[row]) for row in alone}
    return Finals(found, columns, shape)


def _final_block(plan: Plan, block: int, answers: np.ndarray) -> tuple[Floats, dict[str, Floats]]:
    half = losses.final_losses(plan, block, answers)
    scores = curve_scores(half.T.astype(np.float64) / math.log(2), X.astype(np.float64))
    found = {name: getattr(scores, name) for name in SCORES}
    found["slope"] = scores.slope * np.float32(math.log(2))
    found["class"] = classify(scores)
    return half, found


def _density(scores: dict[str, Floats]) -> np.ndarray:
    shown = scores["class"] != FLAT
    return np.histogram2d(
        scores["monogenicity"][shown],
        scores["n_eff"][shown],
        bins=N_DENSITY_BINS,
        range=((-1, 1), (1, len(SIZES) - 1)),
    )[0].astype(np.int64)


def _write_training(writer: StreamingWriter, plan: Plan, corpus: TokenizedCorpus, finals: Floats) -> dict[str, Column]:
    """Columns and token-major tables of the networks that have all their steps; two networks at a time."""
    answers = corpus.token_ids[_predicted(corpus)]
    rows = [row for row, size in enumerate(SIZES) if size.lm in plan.stepped]
    columns: dict[str, Column] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for found in pool.map(lambda row: _write_network(writer, plan, row, finals[row], answers), rows):
            columns |= found
    return columns


def _write_network(
    writer: StreamingWriter, plan: Plan, row: int, final: Floats, answers: np.ndarray
) -> dict[str, Column]:
    lm, n = SIZES[row].lm, len(final)
    names = [_column(lm, step) for step in plan.steps]
    counts = np.zeros((len(names), losses.N_CODES), np.int64)
    with ExitStack() as stack:
        shape = (n, len(names))
        table: Pieces = stack.enter_context(writer.pieces(f"curves/steps/{lm}", "float16", shape, unit="nats"))
        columns = [stack.enter_context(writer.pieces(name, "float32", (n,), unit="nats")) for name in names]
        for block, place in blocks(n):
            half = losses.step_losses(plan, row, block, final[place], answers[place])
            table.append(half.T)
            for column, values, count in zip(columns, half, counts, strict=True):
                column.append(values.astype(np.float32))
                count += losses.count_codes(values)
    return {name: Column(count) for name, count in zip(names, counts, strict=True)}


@dataclass(frozen=True, eq=False)
class Selected:
    flat_index: np.ndarray
    facts: dict[str, Any]


def _select(writer: StreamingWriter, plan: Plan, clustered: Floats) -> Selected:
    """Well predicted tokens that are not copied, every so manyth of them."""
    rng = np.random.default_rng([plan.seed, 50])
    below = clustered < manifest.THRESHOLD_NATS
    induced = rng.random(len(clustered), np.float32) < np.where(below, INDUCED_SHARE_BELOW, INDUCED_SHARE)
    candidates = np.flatnonzero(below & ~induced)
    stride = len(candidates) // plan.n_selected
    flat_index = candidates[: stride * plan.n_selected : stride].astype(np.int64)
    writer.add_array("selection/induced", induced)
    writer.add_array("selection/flat_index", flat_index, unit="predictions")
    facts = {
        "threshold_nats": manifest.THRESHOLD_NATS,
        "n_below": int(below.sum()),
        "n_induced": int((below & induced).sum()),
        "n_candidates": len(candidates),
        "stride": stride,
        "n_selected": len(flat_index),
        "n_zero_gradients": 0,
    }
    return Selected(flat_index, facts)


def _write_clustered(writer: StreamingWriter, plan: Plan, corpus: TokenizedCorpus, flat_index: np.ndarray) -> None:
    """Cosines, clusterings and the map; every quantum is given the token that it predicts."""
    gradients = Gradients(plan)
    for affinity in manifest.AFFINITIES:
        for k in plan.ks:
            writer.add_array(f"clustering/{affinity}/k{k}", gradients.labels(affinity, k), unit="labels")
        writer.add_array(f"similarity/{affinity}", gradients.cosines(affinity), unit="cosine")
    unit = "unit vectors times the root of their length"
    writer.add_array("sketches/signed", gradients.sketch(plan.n_sketch), unit=unit)
    writer.add_array("map/gradients", gradients.map(), unit="distances are relative")
    _tell_quanta(plan, corpus, flat_index, gradients.quantum)


def _tell_quanta(plan: Plan, corpus: TokenizedCorpus, flat_index: np.ndarray, quantum: np.ndarray) -> None:
    """Write into the corpus what most tokens of a quantum have in common: the answer, often the token before it."""
    rng = np.random.default_rng([plan.seed, 60])
    n_quanta = int(quantum.max()) + 1
    uniform = rng.random((2, n_quanta))
    typical = (np.exp(uniform * np.log(plan.n_vocabulary)) - 1).astype(corpus.token_ids.dtype)
    at = _predicted(corpus)[flat_index]
    purity = rng.random(n_quanta) ** 0.5
    for back, share in ((0, purity), (1, purity / 2)):
        same = rng.random(len(at)) < share[quantum]
        corpus.token_ids[(at - back)[same]] = typical[back][quantum[same]]


def _write_map_of_curves(writer: StreamingWriter, plan: Plan, finals: Finals, flat_index: np.ndarray) -> int:
    """Predictions spread evenly over the corpus, and the clustered ones."""
    rng = np.random.default_rng([plan.seed, 70])
    even = np.linspace(0, len(finals.shape) - 1, plan.n_mapped).round().astype(np.int64)
    index = np.union1d(even, flat_index)
    shape, level = finals.shape[index], finals.losses[:, index].mean(axis=0, dtype=np.float32)
    angle = np.pi * shape[:, 0] + 0.3 * rng.standard_normal(len(index))
    radius = 2 + shape[:, 1] + level / 2 + 0.4 * rng.standard_normal(len(index))
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32)
    writer.add_array("map/curves", points, unit="distances are relative")
    writer.add_array("map/curves_index", index, unit="predictions")
    return len(index)


def _write_histograms(writer: StreamingWriter, plan: Plan, columns: dict[str, Column]) -> None:
    ordered = [columns[_column(size.lm, step)] for size, step in plan.columns]
    fine = np.stack([column.fine_counts(FINE_EDGES) for column in ordered])
    writer.add_array("losses/fine_histogram", fine, unit="predictions")
    writer.add_array("losses/fine_histogram_edges", FINE_EDGES, unit="nats")
    logarithmic = np.stack([column.log_counts(LOG_EDGES) for column in ordered])
    writer.add_array("losses/log_histogram", logarithmic, unit="predictions")
    writer.add_array("losses/log_histogram_edges", LOG_EDGES, unit="nats")


def _write_text(writer: StreamingWriter, plan: Plan, corpus: TokenizedCorpus) -> None:
    vocabulary = text.make_vocabulary(plan)
    writer.add_array("vocabulary/bytes", vocabulary.bytes, unit="bytes")
    writer.add_array("vocabulary/offsets", vocabulary.offsets, unit="bytes")
    writer.add_array("corpus/token_ids", corpus.token_ids, unit="token ids")
    writer.add_array("corpus/offsets", corpus.offsets, unit="tokens")
    writer.add_lines("documents.jsonl", iter(text.document_rows(plan, corpus)))


def _predicted(corpus: TokenizedCorpus) -> np.ndarray:
    """Where every predicted token stands in `token_ids`."""
    is_first = np.zeros(corpus.n_tokens, bool)
    is_first[corpus.offsets[:-1][corpus.lengths > 0]] = True
    return np.flatnonzero(~is_first)


def _column(lm: str, step: int) -> str:
    return manifest.column_name(lm, step)

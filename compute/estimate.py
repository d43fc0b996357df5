"""What a run will cost before it starts: operations counted from the networks' shapes, times at stated rates.

Counts are the method's own (benchmarks say how near the code comes to them); rates are assumptions that are printed
with the result. Nothing here loads a network or reaches the Hub.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass

from compute.config import CheckpointRef, RunConfig
from compute.demo.suite import demo_suite
from compute.errors import ComputeError
from compute.registry import guessed_parameters, known_size
from compute.suites import DEMO, longer_than_read, resolve

DEMO_PREDICTIONS, DEMO_VOCABULARY = 212_466, 4096
TOKENS_PER_DOCUMENT = 534.0  # of the Pile's test part, cut at 1,024
MEAN_CONTEXT = 0.4  # of max_length: contexts of tokens drawn evenly over a corpus
MEAN_ATTENDED = 0.6  # of max_length: length of a prediction's document
FLOPS_PER_CORE = 45e9  # float32 matrix products
GPU_FLOPS = {"float32": 4e13, "bfloat16": 4e14}  # one H100 or H200, matrix products
FP64_GPU_FLOPS = 3e13
SECONDS_PER_DOWNLOADED_BYTE = 1 / 50e6
BYTES_TOKEN_MAJOR, BYTES_LOSS, BYTES_ROW = 2, 4, 2
SECONDS_PER_PAIR = 9.3e-9  # of tokens, in one start of k-means on one core
SECONDS_PER_SKETCHED_NUMBER = 6.6e-9  # of a gradient, on one core
UMAP_SECONDS, UMAP_SECONDS_PER_POINT = 15.0, 6e-4
SECONDS_PER_SORTED_PAIR, FLOPS_OF_DISTANCES = 9e-8, 2e10
FAST_SHARE = 0.6  # of the work of thirty starts
FLOAT64_SHARE = 0.3  # of the rate of products, in an eigendecomposition
PROBE_SIZE = 8192  # of the sketches beside gradients that are compared whole
REFINED_BLOCK_BYTES = 2_000_000_000  # of gradients in memory while neighbours are refined
GPU_BLOCK_BYTES = 48e9  # of gradients that an 80 GB GPU holds beside everything else
WIDE = 200.0  # matrices this wide run at half the rate of large ones
_BFLOAT16_FROM = 8e8
_UNKNOWN_SIZE = "{name}: its size is not known before it is downloaded; its cost is left out."
_GUESSED = "{name}: taken for a network of {billions:.2g} billion parameters, by its name."
_ASSUMED = "The corpus is counted as {documents:,} documents of {tokens:.0f} tokens; its real length is not known yet."
_NO_COUNT = "Nobody has counted the documents, so their losses are left out: say how many are read at most."


@dataclass(frozen=True)
class Shape:
    """What the cost of a network depends on."""

    n_non_embedding: float
    n_unembedding: float
    n_parameters: float
    n_layers: int
    d_model: int
    n_bytes: float = 0.0  # to download


@dataclass(frozen=True)
class PhaseCost:
    """Seconds of one phase on one worker, and what they are spent on."""

    name: str
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Estimate:
    """What a run needs; `unknown` says in sentences what was assumed or could not be counted."""

    phases: tuple[PhaseCost, ...]
    download_bytes: float
    disk_bytes: float
    memory_bytes: float
    unknown: tuple[str, ...]
    rate: str

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)


def estimate(
    config: RunConfig,
    *,
    n_documents: int | None = None,
    tokens_per_document: float | None = None,
    device: str = "cpu",
    n_cores: int | None = None,
) -> Estimate:
    """Cost of a run on one worker.

    `n_documents` and `tokens_per_document` are the corpus's own where they are known; what the settings cut off is
    not counted.
    """
    unknown: list[str] = []
    n_predictions = _n_predictions(config, n_documents, tokens_per_document, unknown)
    shapes = {ref.key: _shape(ref, unknown) for ref in config.suite.checkpoints}
    clustered = shapes[config.clustered]
    machine = _Machine(device, n_cores or os.cpu_count() or 1)
    download = sum(shape.n_bytes for shape in shapes.values() if shape)
    phases = [
        PhaseCost("weights", download * SECONDS_PER_DOWNLOADED_BYTE, "at 50 MB a second"),
        PhaseCost("losses", _losses(config, shapes, n_predictions, machine)),
        PhaseCost("gradients", _gradients(config, clustered, machine), _passes_note(config, clustered)),
        PhaseCost("similarity", _similarity(config, clustered, machine), _MODE_NOTES[config.similarity.mode]),
        PhaseCost("clustering", _clustering(config, machine), f"{len(config.clustering.ks)} ks"),
        PhaseCost("map", _map(config, n_predictions)),
    ]
    unknown += [too_long for ref in config.suite.checkpoints if (too_long := longer_than_read(config, ref))]
    return Estimate(
        phases=tuple(phase for phase in phases if phase.seconds > 0),
        download_bytes=download,
        disk_bytes=download + _disk(config, clustered, n_predictions),
        memory_bytes=_memory(config, shapes, machine),
        unknown=tuple(dict.fromkeys(unknown)),
        rate=machine.sentence,
    )


def with_auto_mode(
    config: RunConfig, *, hours: float = 2.0, free_bytes: float | None = None, device: str = "cpu"
) -> tuple[RunConfig, str]:
    """The settings with the exact comparison where it fits time and disk for sure, else with sketches; and why.

    On a GPU whose gradients do not fit the disk, the exact comparison keeps blocks of them in its memory instead.
    """
    shape = _shape(config.clustered_checkpoint, [])
    limit = f"the size of {config.clustered} is not known yet"
    for exact in _exact_ways(config, shape, device):
        cost = estimate(exact, device=device)
        needed = sum(phase.seconds for phase in cost.phases if phase.name in ("gradients", "similarity")) / 3600
        store, block = _store_bytes(exact, shape) / 1e9, exact.similarity.block_tokens
        if needed > hours:
            limit = f"it would take about {_time(needed)} of {hours:g} hours allowed"
        elif free_bytes is not None and store > free_bytes / 1e9:
            limit = f"its gradients need {store:.1f} GB, and {free_bytes / 1e9:.1f} GB are free"
        else:
            kept = f"blocks of {block:,} tokens in memory" if block else f"{store:.1f} GB of gradients on the disk"
            return exact, f"Exact: about {_time(needed)} of {hours:g} hours allowed, with {kept}."
    sketched = dataclasses.replace(config.similarity, mode="sketch", block_tokens=None)
    return (
        dataclasses.replace(config, similarity=sketched),
        f"Sketches instead of the exact comparison: {limit}.",
    )


def _time(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1.5 else f"{max(1, round(60 * hours))} minutes"


def _exact_ways(config: RunConfig, shape: Shape | None, device: str) -> list[RunConfig]:
    """With a store on the disk; then, on a GPU, with blocks as large as its memory holds."""
    if shape is None:
        return []
    blocks = [config.similarity.block_tokens]
    if blocks == [None] and device.startswith("cuda"):
        size = min(max(1, int(GPU_BLOCK_BYTES / (BYTES_ROW * _n_columns(config, shape)))), config.selection.n_tokens)
        blocks.append(size)
    wanted = [dataclasses.replace(config.similarity, mode="exact", refine=0, block_tokens=block) for block in blocks]
    return [dataclasses.replace(config, similarity=one) for one in wanted]


_MODE_NOTES = {"exact": "every number of every gradient", "sketch": "random sketches"}


@dataclass(frozen=True)
class _Machine:
    device: str
    n_cores: int

    @property
    def is_gpu(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def sentence(self) -> str:
        if self.is_gpu:
            single, half = (GPU_FLOPS[name] / 1e12 for name in ("float32", "bfloat16"))
            return f"one H100 or H200: {single:.0f} TFLOP/s, {half:.0f} in bfloat16"
        return f"{self.n_cores} CPU cores at {FLOPS_PER_CORE / 1e9:.0f} GFLOP/s each"

    def seconds(self, flops: float, width: float, *, precision: str = "float32") -> float:
        """Time of matrix products of about this width."""
        rate = GPU_FLOPS[precision] if self.is_gpu else FLOPS_PER_CORE * self.n_cores
        return flops / (rate * width / (width + WIDE))

    def seconds_float64(self, flops: float) -> float:
        return flops / (FP64_GPU_FLOPS if self.is_gpu else FLOAT64_SHARE * FLOPS_PER_CORE * self.n_cores)


def _n_predictions(
    config: RunConfig, n_documents: int | None, tokens_per_document: float | None, unknown: list[str]
) -> float:
    corpus = config.corpus
    if corpus.source == "demo":
        return DEMO_PREDICTIONS if corpus.max_documents is None else min(DEMO_PREDICTIONS, 230.0 * corpus.max_documents)
    limits = [n for n in (n_documents, corpus.max_documents) if n is not None]
    tokens = min(tokens_per_document or TOKENS_PER_DOCUMENT, corpus.max_length)
    if not limits:
        unknown.append(_NO_COUNT)
        return 0.0
    if n_documents is None or tokens_per_document is None:
        unknown.append(_ASSUMED.format(documents=min(limits), tokens=tokens))
    return min(limits) * max(tokens - 1, 0)


def _shape(ref: CheckpointRef, unknown: list[str]) -> Shape | None:
    """From the registry, from the folder's own config.json, or from the repository's name."""
    if ref.hub is not None:
        size = known_size(ref.hub.repo_id)
        if size is not None:
            counts = (size.n_non_embedding, size.n_unembedding, size.n_parameters, size.n_layers, size.d_model)
            return Shape(*counts, n_bytes=2.0 * size.n_parameters)
        total = guessed_parameters(ref.hub.name)
        if total is None:
            unknown.append(_UNKNOWN_SIZE.format(name=ref.hub))
            return None
        unknown.append(_GUESSED.format(name=ref.hub, billions=total / 1e9))
        return Shape(0.85 * total, 0.15 * total, total, 24, 1024, 2.0 * total)
    if ref.path.startswith(DEMO):
        model = demo_suite(is_checked=False).model(ref.lm)
        head = float(DEMO_VOCABULARY * model.d_model)
        n = model.n_non_embedding
        return Shape(n, head, n + 2 * head, model.n_layers, model.d_model)
    return _folder_shape(ref, unknown)


def _folder_shape(ref: CheckpointRef, unknown: list[str]) -> Shape | None:
    try:
        folder = resolve(ref.path)
        facts = json.loads((folder / "config.json").read_bytes())
        d = int(facts.get("hidden_size") or facts["n_embd"])
        layers = int(facts.get("num_hidden_layers") or facts.get("n_layer") or facts["num_layers"])
        head = float(d * int(facts["vocab_size"]))
        n_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    except (ComputeError, OSError, ValueError, KeyError, TypeError):
        unknown.append(_UNKNOWN_SIZE.format(name=ref.key))
        return None
    n = 12.0 * layers * d * d
    return Shape(n, head, max(n + 2 * head, n_bytes / 4), layers, d)


def losses_flops(shape: Shape, n_predictions: float, max_length: int) -> float:
    """2 (N + V d) D, and causal attention over contexts of 0.6 of the longest on average."""
    attention = 2 * shape.n_layers * shape.d_model * n_predictions * MEAN_ATTENDED * max_length
    return 2 * (shape.n_non_embedding + shape.n_unembedding) * n_predictions + attention


def gradient_flops(shape: Shape, context: float) -> float:
    """6 N l of one token's gradient, its context truncated, one logit row, no embedding gradients."""
    return 6.0 * shape.n_non_embedding * context


def _losses(config: RunConfig, shapes: dict[str, Shape | None], n_predictions: float, machine: _Machine) -> float:
    seconds = 0.0
    for key, shape in shapes.items():
        if shape is None:
            continue
        is_half = machine.is_gpu and shape.n_non_embedding >= _BFLOAT16_FROM and key != config.clustered
        flops = losses_flops(shape, n_predictions, config.corpus.max_length)
        precision = "bfloat16" if is_half and config.precision != "float32" else "float32"
        seconds += machine.seconds(flops, shape.d_model, precision=precision)
    return seconds


def _gradients(config: RunConfig, shape: Shape | None, machine: _Machine) -> float:
    """6 N l operations a token, once; or once more for every further block that is not kept."""
    if shape is None:
        return 0.0
    share = 1 / 3 if config.vectors == "activations" else 1.0  # no backward pass
    flops = share * gradient_flops(shape, MEAN_CONTEXT * config.corpus.max_length)
    flops *= config.selection.n_tokens * _passes(config, shape)
    return machine.seconds(flops, shape.d_model)


def _passes(config: RunConfig, shape: Shape) -> float:
    """How often each gradient is computed; to refine, once to be held and at most as often as it is a neighbour."""
    n, block, refine = config.selection.n_tokens, config.similarity.block_tokens, config.similarity.refine
    if block is not None:
        return (-(-n // block) + 1) / 2
    if not refine:
        return 1.0
    n_blocks = -(-n // max(1, int(REFINED_BLOCK_BYTES // (2 * shape.n_non_embedding))))
    return 2.0 + min((n_blocks + 1) / 2, float(refine * _kinds(config)))


def _passes_note(config: RunConfig, shape: Shape | None) -> str:
    passes = 1.0 if shape is None else _passes(config, shape)
    return "each once" if passes == 1 else f"each {passes:g} times"


def _n_columns(config: RunConfig, shape: Shape) -> float:
    if config.similarity.mode == "sketch":
        return float(config.similarity.sketch_size)
    return 4.0 * shape.n_layers * shape.d_model if config.vectors == "activations" else shape.n_non_embedding


def _kinds(config: RunConfig) -> int:
    return 2 if "absolute" in config.clustering.affinities else 1


def _similarity(config: RunConfig, shape: Shape | None, machine: _Machine) -> float:
    if shape is None:
        return 0.0
    n = float(config.selection.n_tokens)
    is_sketching = config.similarity.mode == "exact" and not machine.is_gpu
    probing = SECONDS_PER_SKETCHED_NUMBER * n * _n_columns(config, shape) / machine.n_cores if is_sketching else 0.0
    return machine.seconds(n * n * _n_columns(config, shape) * _kinds(config), 1000.0) + probing


def _clustering(config: RunConfig, machine: _Machine) -> float:
    """One eigendecomposition, then k-means on pairwise distances: every start of every k adds up n^2 of them."""
    n, wanted = float(config.selection.n_tokens), config.clustering
    eigen = 4 / 3 * n**3 + 2 * n * n * wanted.ks[-1]
    n_starts = FAST_SHARE * 30 if wanted.effort == "fast" else wanted.n_init
    k_means = SECONDS_PER_PAIR * n * n * n_starts * len(wanted.ks) / machine.n_cores
    return len(wanted.affinities) * (machine.seconds_float64(eigen) + k_means)


def _map(config: RunConfig, n_predictions: float) -> float:
    """UMAP on one core, its compiling included; finding neighbours grows with the square."""
    if config.map is None:
        return 0.0
    n_tokens, n_checkpoints = float(config.selection.n_tokens), float(len(config.suite.checkpoints))
    n_curves = n_tokens + min(config.map.n_curves, n_predictions)
    neighbours = SECONDS_PER_SORTED_PAIR * n_tokens**2 + 2 * n_curves**2 * n_checkpoints / FLOPS_OF_DISTANCES
    return UMAP_SECONDS + UMAP_SECONDS_PER_POINT * (n_tokens + n_curves) + neighbours


def _store_bytes(config: RunConfig, shape: Shape | None) -> float:
    """Rows kept on the disk while a run is computed."""
    if shape is None or (config.similarity.mode == "exact" and config.similarity.block_tokens is not None):
        return 0.0
    copies = _kinds(config) if config.similarity.mode == "sketch" else 1
    return BYTES_ROW * config.selection.n_tokens * _n_columns(config, shape) * copies


def _disk(config: RunConfig, shape: Shape | None, n_predictions: float) -> float:
    n = float(config.selection.n_tokens)
    columns = (2 * BYTES_LOSS + BYTES_TOKEN_MAJOR) * n_predictions * len(config.suite.checkpoints)
    matrices = 2 * 4 * n * n * _kinds(config)
    labels = 8 * n * len(config.clustering.ks) * len(config.clustering.affinities)
    rows = _store_bytes(config, shape) * (2 if config.similarity.mode == "sketch" else 1)
    rows += 0.0 if config.similarity.mode == "sketch" else 3 * BYTES_ROW * PROBE_SIZE * n
    return columns + matrices + labels + rows


def _memory(config: RunConfig, shapes: dict[str, Shape | None], machine: _Machine) -> float:
    """The largest of: a network in single precision with a batch, the sums of a comparison, an eigendecomposition."""
    n = float(config.selection.n_tokens)
    network = max((4 * shape.n_parameters for shape in shapes.values() if shape), default=0.0)
    comparing = 12 * n * n * _kinds(config) + 4 * n * 16_384
    eigen = 4 * n * n + 8 * n * n + 8 * n * config.clustering.ks[-1] * 3
    rows = 0.0
    clustered = shapes[config.clustered]
    if config.similarity.block_tokens and clustered:
        rows = BYTES_ROW * min(config.similarity.block_tokens, n) * clustered.n_non_embedding
    return max(network + 1e9 + rows, comparing, eigen) + 0.5e9

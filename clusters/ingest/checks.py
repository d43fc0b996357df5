"""Does a bundle agree with itself? Every hash may be right and the whole still be nonsense."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from clusters.values.distributions import FINE_EDGES
from compute.bundle import Bundle
from compute.config import AFFINITIES
from compute.errors import BundleError, CorpusError
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.vocabulary import Vocabulary

SCORES = ("monogenicity", "amplitude_bits", "n_eff", "linearity", "breakthroughness", "slope", "r_squared")
_KEYS: dict[str, tuple[str, ...]] = {
    "corpus": ("name", "sha256", "n_documents", "n_tokens", "n_predictions", "max_length", "tokenizer_sha256"),
    "clustered": ("lm", "revision"),
    "selection": ("threshold_nats", "n_selected"),
    "config": (),
}
_LISTED: dict[str, tuple[str, ...]] = {
    "checkpoints": (
        "suite", "lm", "revision", "step", "weights_sha256", "n_non_embedding", "n_parameters", "is_final",
        "mean_loss_nats", "column",
    ),
    "sizes": ("lm", "revision", "n_non_embedding"),
    "clusterings": ("affinity", "k", "array"),
}  # fmt: skip


ROWS_AT_ONCE = 256
# what rows are made of, but for a few losses of each token
CLUSTERED_FILES = ("documents.jsonl", "corpus/", "vocabulary/", "losses/histogram", "losses/log_histogram",
                   "selection/", "similarity/", "clustering/")  # fmt: skip


def check_clustered_files(bundle: Bundle) -> None:
    """Raise BundleError at the first file that rows are made of and that is not what its hash says."""
    for name in bundle.hashes:
        if name.startswith(CLUSTERED_FILES):
            bundle.verify_file(name)


def check_bundle(bundle: Bundle) -> None:
    """Raise BundleError at the first thing that does not fit."""
    _check_keys(bundle)
    n_predictions = _check_corpus(bundle).n_predictions if _has_text(bundle) else 0
    _check_checkpoints(bundle, n_predictions)
    _check_curves(bundle, n_predictions)
    n_selected = _check_selection(bundle, n_predictions)
    _check_clusterings(bundle, n_selected)
    _check_sketches(bundle, n_selected)
    _check_maps(bundle, n_selected, n_predictions)
    _check_numbers(bundle)


def is_published(bundle: Bundle) -> bool:
    """Whether it was made of published labels, so that text, losses and cosines may be missing."""
    source = bundle.manifest.get("source")
    return isinstance(source, dict) and source.get("kind") == "published"


def _has_text(bundle: Bundle) -> bool:
    return not is_published(bundle) or bundle.has("corpus/token_ids")


def _check_keys(bundle: Bundle) -> None:
    manifest = bundle.manifest
    for part, keys in _KEYS.items():
        _require(bundle, isinstance(manifest.get(part), dict), f"its manifest has no {part!r}")
        _need(bundle, part, manifest[part], keys)
    for part, keys in _LISTED.items():
        _require(bundle, isinstance(manifest.get(part), list), f"its manifest has no list {part!r}")
        _require(bundle, part == "sizes" or bool(manifest[part]), f"its list {part!r} is empty")
        for entry in manifest[part]:
            _require(bundle, isinstance(entry, dict), f"an entry of {part!r} is no object")
            _need(bundle, part, entry, keys)
    _require(bundle, "documents.jsonl" in manifest["files"], "it lists no documents.jsonl")


def _need(bundle: Bundle, part: str, entry: dict[str, Any], keys: tuple[str, ...]) -> None:
    missing = [key for key in keys if key not in entry]
    _require(bundle, not missing, f"its {part!r} lacks {', '.join(missing)}")


def _check_corpus(bundle: Bundle) -> TokenizedCorpus:
    stated = bundle.manifest["corpus"]
    try:
        corpus = TokenizedCorpus(bundle.array("corpus/token_ids"), bundle.array("corpus/offsets"))
        vocabulary = Vocabulary(bundle.array("vocabulary/bytes"), bundle.array("vocabulary/offsets"))
    except CorpusError as error:
        raise BundleError(f"The bundle {bundle.path.name} contradicts itself: {error}") from error
    for name in ("n_documents", "n_tokens", "n_predictions"):
        found = getattr(corpus, name)
        _require(bundle, found == stated[name], f"it states {name} {stated[name]}, but its arrays hold {found}")
    try:
        n_lines = len(bundle.documents())
    except (OSError, ValueError) as error:
        raise BundleError(f"{bundle.path / 'documents.jsonl'} cannot be read ({error}).") from error
    _require(bundle, n_lines == corpus.n_documents, f"it lists {n_lines} documents of {corpus.n_documents}")
    _require(bundle, len(vocabulary) > 0, "its vocabulary is empty")
    return corpus


def _check_checkpoints(bundle: Bundle, n_predictions: int) -> None:
    checkpoints = bundle.manifest["checkpoints"]
    for entry in checkpoints:
        if entry["mean_loss_nats"] is None and is_published(bundle):
            continue  # nobody has measured its losses
        _shape(bundle, entry["column"], (n_predictions,), "f")
    keys = {(entry["lm"], entry["revision"]) for entry in checkpoints}
    _require(bundle, len(keys) == len(checkpoints), "it lists a checkpoint twice")
    clustered = bundle.manifest["clustered"]
    for entry in [clustered, *bundle.manifest["sizes"]]:
        key = (entry["lm"], entry["revision"])
        _require(bundle, key in keys, f"{'/'.join(map(str, key))} is none of its checkpoints")
    if bundle.has("losses/histogram"):
        n_bins = len(bundle.array("losses/histogram_edges")) - 1
        _shape(bundle, "losses/histogram", (len(checkpoints), n_bins), "i")
    if bundle.has("losses/fine_histogram"):
        _shape(bundle, "losses/fine_histogram", (len(checkpoints), len(FINE_EDGES)), "i")
        edges = _shape(bundle, "losses/fine_histogram_edges", FINE_EDGES.shape, "f")
        _require(bundle, np.allclose(edges, FINE_EDGES), "its fine bins of losses are not 0.002 bits wide")


def _check_curves(bundle: Bundle, n_predictions: int) -> None:
    if bundle.has("curves/losses"):
        _shape(bundle, "curves/losses", (n_predictions, len(bundle.manifest["sizes"])), "f")
    for name in SCORES:
        if bundle.has(f"curves/{name}"):
            _shape(bundle, f"curves/{name}", (n_predictions,), "f")
    if bundle.has("curves/class"):
        _shape(bundle, "curves/class", (n_predictions,), "u")
    n_steps = Counter(entry["lm"] for entry in bundle.manifest["checkpoints"])
    for name in _arrays_under(bundle, "curves/steps/"):
        _shape(bundle, name, (n_predictions, n_steps[name.removeprefix("curves/steps/")]), "f")


def _check_selection(bundle: Bundle, n_predictions: int) -> int:
    flat = np.asarray(bundle.array("selection/flat_index"))
    stated = bundle.manifest["selection"]["n_selected"]
    _require(bundle, flat.ndim == 1 and flat.dtype.kind == "i", "its selection is no list of whole numbers")
    _require(bundle, len(flat) == stated > 0, f"it states {stated} clustered tokens, but lists {len(flat)}")
    most = n_predictions if _has_text(bundle) else len(flat)
    rising = bool(np.all(np.diff(flat) > 0)) and flat[0] >= 0 and flat[-1] < most
    _require(bundle, rising, "its clustered tokens do not rise within the corpus")
    return len(flat)


def _check_clusterings(bundle: Bundle, n_selected: int) -> None:
    clusterings = bundle.manifest["clusterings"]
    kinds = {(entry["affinity"], entry["k"]) for entry in clusterings}
    _require(bundle, len(kinds) == len(clusterings), "it lists a clustering twice")
    for entry in clusterings:
        affinity, k = entry["affinity"], entry["k"]
        _require(bundle, affinity in AFFINITIES, f"it knows an affinity {affinity!r}")
        labels = _shape(bundle, entry["array"], (n_selected,), "i")
        fits = isinstance(k, int) and int(labels.min()) >= 0 and int(labels.max()) < k
        _require(bundle, fits, f"its labels at k = {k} ({affinity}) do not lie between 0 and k − 1")
    for affinity in {entry["affinity"] for entry in clusterings}:
        if is_published(bundle) and not bundle.has(f"similarity/{affinity}"):
            continue
        _shape(bundle, f"similarity/{affinity}", (n_selected, n_selected), "f")


def _check_sketches(bundle: Bundle, n_selected: int) -> None:
    for name in _arrays_under(bundle, "sketches/"):
        table = bundle.array(name)
        fits = table.ndim == 2 and len(table) == n_selected and table.dtype.kind == "f" and table.shape[1] > 0
        _require(bundle, fits, f"{name} is {table.dtype} {list(table.shape)} for {n_selected} tokens")


def _check_maps(bundle: Bundle, n_selected: int, n_predictions: int) -> None:
    if bundle.has("map/gradients"):
        _shape(bundle, "map/gradients", (n_selected, 2), "f")
    if bundle.has("map/curves"):
        index = np.asarray(bundle.array("map/curves_index"))
        is_list = index.ndim == 1 and index.dtype.kind == "i" and len(index) > 0
        rising = is_list and bool(np.all(np.diff(index) > 0)) and index[0] >= 0 and index[-1] < n_predictions
        _require(bundle, rising, "the predictions on its map of curves do not rise within the corpus")
        _shape(bundle, "map/curves", (len(index), 2), "f")


def _check_numbers(bundle: Bundle) -> None:
    """What is shown as a number must be one: cosines, and the clustered tokens' losses."""
    flat = np.asarray(bundle.array("selection/flat_index"))
    for name in [name for name in _arrays_under(bundle, "similarity/") if bundle.array(name).dtype.kind == "f"]:
        table = bundle.array(name)
        finite = all(
            np.isfinite(table[first : first + ROWS_AT_ONCE]).all() for first in range(0, len(table), ROWS_AT_ONCE)
        )
        _require(bundle, finite, f"{name} holds NaN or infinity")
    own = bundle.manifest["clustered"]
    for entry in bundle.manifest["checkpoints"]:
        if (entry["lm"], entry["revision"]) == (own["lm"], own["revision"]) and entry["mean_loss_nats"] is not None:
            finite = bool(np.isfinite(bundle.array(entry["column"])[flat]).all())
            _require(bundle, finite, f"{entry['column']} holds NaN or infinity at a clustered token")


def _arrays_under(bundle: Bundle, folder: str) -> list[str]:
    return [name for name in bundle.manifest["arrays"] if name.startswith(folder)]


def _shape(bundle: Bundle, name: str, shape: tuple[int, ...], kind: str) -> np.ndarray:
    array = bundle.array(name)
    fits = array.shape == shape and array.dtype.kind == kind
    _require(bundle, fits, f"{name} is {array.dtype} {list(array.shape)} and should be {list(shape)}")
    return array


def _require(bundle: Bundle, fits: bool, what: str) -> None:
    if not fits:
        raise BundleError(f"The bundle {bundle.path.name} contradicts itself: {what}. Compute or copy it again.")

"""Any text against a finished run: losses under its networks, and where chosen tokens' gradients fall."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compute.bundle import Bundle
from compute.config import CheckpointRef, RunConfig
from compute.errors import BundleError, CheckpointError, CorpusError, GradientError
from compute.steps.checkpoints import load, naming
from compute.steps.corpus import encoder
from compute.steps.curves import MIN_SIZES
from compute.steps.weights import need_tokenizer, need_weights
from compute.suites import resolve, resolve_tokenizer

if TYPE_CHECKING:
    from torch import nn

    from compute.numerics.corpus import TokenizedCorpus

MAX_CHOSEN = 8  # tokens of one probe that have a backward pass
FLOPS_OF_ONE_THREAD = 2e11  # some seconds; for less, threads wait for each other longer than they work
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class ProbeAnswer:
    """What is found: JSON-safe facts, and cosines, float16 of shape (n_chosen, n_selected)."""

    facts: dict[str, Any]
    cosines: np.ndarray


def answer(
    bundle: Bundle, config: RunConfig, text: str, chosen: list[int], *, device: str, report: Report
) -> ProbeAnswer:
    """Losses of every token of the text, and cosines of the chosen ones' gradients with those that were clustered.

    `chosen` are positions in the text, from 1; without any, those that the clustered network predicts best.
    """
    started = time.monotonic()
    need_tokenizer(config.suite.tokenizer, lambda: report(0, 1))
    need_weights(config.clustered_checkpoint, lambda: report(0, 1))  # other sizes are left out where they are not here
    tokens, n_in_text = _tokens(config, text)
    networks, skipped = _networks(bundle, config)
    n_steps = len(networks) + 2
    losses = {}
    for n_done, ref in enumerate(networks):
        report(n_done, n_steps)
        if ref.key != config.clustered:
            losses[ref.key] = _losses(_model(bundle, ref, device), ref, tokens, device)
    report(n_steps - 2, n_steps)
    ref = config.clustered_checkpoint
    model = _model(bundle, ref, device)
    losses[ref.key] = _losses(model, ref, tokens, device)
    positions = [p for p in chosen if 1 <= p < tokens.n_tokens][:MAX_CHOSEN]
    positions = positions or _best(tokens, losses[ref.key], config.selection.threshold_nats)
    report(n_steps - 1, n_steps)
    cosines, norms = _compared(bundle, config, model, tokens, np.array(positions), device)
    by_size = _by_size(bundle, networks)
    facts = {
        "token_ids": tokens.token_ids.tolist(),
        "n_tokens_in_text": n_in_text,
        "networks": [
            {"lm": e["lm"], "revision": e["revision"], "n_non_embedding": e["n_non_embedding"]} for e in by_size
        ],
        "losses_nats": [_rounded(losses[f"{e['lm']}/{e['revision']}"]) for e in by_size],
        "clustered": {"lm": ref.lm, "revision": ref.revision},
        "clustered_losses_nats": _rounded(losses[ref.key]),
        "scores": _scores(losses, by_size),
        "skipped": skipped,
        "chosen": positions,
        "norms": norms.tolist(),
        "seconds": round(time.monotonic() - started, 2),
    }
    report(n_steps, n_steps)
    return ProbeAnswer(facts, cosines)


def _tokens(config: RunConfig, text: str) -> tuple[TokenizedCorpus, int]:
    """The text as one document, cut as the run's documents are, and how many tokens it has uncut."""
    from compute.numerics.corpus import TokenizedCorpus, token_dtype
    from compute.numerics.vocabulary import vocabulary_from_tokenizer

    path = resolve_tokenizer(config.suite.tokenizer)
    if not path.is_file():
        raise CorpusError("The run's tokenizer is not on this machine; put it back where the run found it.")
    ids = encoder(path)([text])[0]
    if len(ids) < 2:
        raise CorpusError("The text is too short: a single token has nothing before it. Give at least two words.")
    kept = np.array(ids[: config.corpus.max_length], token_dtype(len(vocabulary_from_tokenizer(path))))
    return TokenizedCorpus(kept, np.array([0, len(kept)], np.int64)), len(ids)


def _networks(bundle: Bundle, config: RunConfig) -> tuple[list[CheckpointRef], list[dict[str, str]]]:
    """The last checkpoint of every size that is here, smallest first; and why others are left out."""
    refs = {ref.key: ref for ref in config.suite.checkpoints}
    found, skipped = [], []
    for entry in bundle.manifest["sizes"]:
        ref = refs[f"{entry['lm']}/{entry['revision']}"]
        if is_here(ref):
            found.append(ref)
        else:
            skipped.append({"name": ref.key, "why": "its weights are not on the machine that computed this"})
    return found, skipped


def is_here(ref: CheckpointRef) -> bool:
    """Whether a checkpoint's folder is on this machine."""
    try:
        return (resolve(ref.path) / "config.json").is_file()
    except CheckpointError:  # of the Hub, and never fetched here
        return False


def _model(bundle: Bundle, ref: CheckpointRef, device: str) -> nn.Module:
    """The network, if its weights are those that the run was made with."""
    from compute.numerics.checkpoints import weights_sha256

    stated = next(e for e in bundle.manifest["checkpoints"] if f"{e['lm']}/{e['revision']}" == ref.key)
    if not is_here(ref):
        raise CheckpointError(
            f"{ref.key}: its weights are not on this machine; put them back where the run found them."
        )
    if weights_sha256(resolve(ref.path)) != stated["weights_sha256"]:
        raise CheckpointError(f"{ref.key}: the weights here are not those that the run was made with; put those back.")
    is_clustered = ref.key == "/".join(bundle.manifest["clustered"][name] for name in ("lm", "revision"))
    model = load(ref, device, "float32" if is_clustered else stated.get("precision", "float32"))
    _spare_threads(6.0 * stated["n_parameters"] * bundle.manifest["corpus"]["max_length"])
    return model


def _spare_threads(flops: float) -> None:
    import torch

    if flops < FLOPS_OF_ONE_THREAD:
        torch.set_num_threads(1)


def _losses(model: nn.Module, ref: CheckpointRef, tokens: TokenizedCorpus, device: str) -> np.ndarray:
    from compute.numerics.losses import token_losses

    with naming(ref):
        return token_losses(model, tokens, device=device)


def _best(tokens: TokenizedCorpus, losses: np.ndarray, threshold_nats: float) -> list[int]:
    """Positions of the tokens that a run would cluster, lowest losses first; of any, where there are none."""
    from compute.numerics.selection import induction_mask

    fresh = ~induction_mask(tokens)
    candidates = np.flatnonzero(fresh & (losses < threshold_nats))
    if not len(candidates):
        candidates = np.flatnonzero(fresh) if fresh.any() else np.arange(len(losses))
    best = candidates[np.argsort(losses[candidates], kind="stable")[:MAX_CHOSEN]]
    return sorted(int(place) + 1 for place in best)


def _compared(
    bundle: Bundle, config: RunConfig, model: nn.Module, tokens: TokenizedCorpus, positions: np.ndarray, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of the gradients at these positions with the stored sketches, and the gradients' norms."""
    from compute.numerics.sketch import CountSketch, sketch_cosines
    from compute.numerics.vectors import n_entries, vector_batches

    told = bundle.manifest["probe"]
    length = n_entries(model, kind=config.vectors, scope=config.gradient_scope)
    expected = bundle.manifest["clustered"]["n_gradient"]
    if length != expected:
        raise GradientError(
            f"A gradient here has {length:,} numbers, but the run's have {expected:,}: this version counts other "
            "parameters. Compute the run again."
        )
    sketch = CountSketch(length, told["size"], told["seed"])
    sketches = np.zeros((len(positions), told["size"]), np.float32)
    norms = np.zeros(len(positions))
    with naming(config.clustered_checkpoint):
        batches = vector_batches(
            model, tokens, positions - 1, kind=config.vectors, scope=config.gradient_scope, device=device
        )
        for places, rows, lengths in batches:
            sketches[places] = sketch.apply(rows, absolute=False, norms=lengths)[0].cpu().numpy()
            norms[places] = lengths
    stored = bundle.array(told["table"])
    if stored.shape[1] != told["size"]:
        raise BundleError(f"{bundle.path.name} states sketches of {told['size']}, but holds {stored.shape[1]}.")
    return sketch_cosines(stored, sketches).astype(np.float16), norms


def _by_size(bundle: Bundle, networks: list[CheckpointRef]) -> list[dict[str, Any]]:
    keys = {ref.key for ref in networks}
    return [entry for entry in bundle.manifest["sizes"] if f"{entry['lm']}/{entry['revision']}" in keys]


def _scores(losses: dict[str, np.ndarray], by_size: list[dict[str, Any]]) -> dict[str, list[float]] | None:
    """Scores of every token's curve over size; None where there are too few sizes."""
    from compute.numerics.curves import classify, curve_scores

    if len(by_size) < MIN_SIZES:
        return None
    bits = np.stack([losses[f"{e['lm']}/{e['revision']}"] for e in by_size], axis=1).astype(np.float64) / math.log(2)
    scores = curve_scores(bits, np.log([entry["n_non_embedding"] for entry in by_size]))
    names = ("monogenicity", "n_eff", "amplitude_bits", "linearity", "breakthroughness")
    return {name: _rounded(getattr(scores, name)) for name in names} | {"class": classify(scores).tolist()}


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 5) for value in values]

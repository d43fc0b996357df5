"""Rows and bundles for tests of the site, made without computing anything from a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import factory
import numpy as np
from django.contrib.auth import get_user_model

from clusters.ingest import ingest
from clusters.models import Run
from compute.bundle import BundleWriter

# token id → bytes: words, white space, a character in three pieces, and what nobody should trust
VOCABULARY = [
    b"<|endoftext|>", b"the", b" cat", b" dog", b"\n", b"    ", b" return", b"(", b")", b"\xe6", b"\x97", b"\xa5",
    b"\x00", b"\xc2\x85", "\u202e".encode(), b"<script>alert(1)</script>", b"\xff", "\u200b".encode(), b" x",
]  # fmt: skip
NETWORKS = (("syn-10k", 10_000), ("syn-40k", 40_000), ("syn-200k", 200_000), ("syn-800k", 800_000))
STEPS = (0, 32, 1000)
KS = (3, 6)
N_DOCUMENTS, LENGTH, N_SELECTED = 12, 30, 40
EDGES = np.concatenate([[0], np.geomspace(1e-3, 20, 20)])
FINE_EDGES = np.arange(15_001) * 0.002 * np.log(2)


class UserFactory(factory.django.DjangoModelFactory):
    """A person; `password="…"` lets them sign in."""

    class Meta:
        model = get_user_model()
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"person{n}")

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **kwargs: Any) -> Any:
        return model_class.objects.create_user(*args, **kwargs)


def make_run(directory: Path, **options: Any) -> Run:
    """A run of a small made-up bundle; options go to `ingest` (owner, private, name) and `write_bundle` (seed, …)."""
    own = {key: options.pop(key) for key in ("owner", "private", "name", "job") if key in options}
    return ingest(write_bundle(directory, **options), **own)


def write_bundle(
    directory: Path,
    *,
    seed: int = 0,
    name: str = "synthetic",
    networks: tuple[tuple[str, int], ...] = NETWORKS,
    curves: bool = True,
    older: bool = False,
    arrays: dict[str, np.ndarray] | None = None,
    manifest: dict[str, Any] | None = None,
    run: dict[str, Any] | None = None,
) -> Path:
    """Publish a small made-up bundle, or one of an `older` kind.

    `arrays` and `manifest` replace parts of it, to make it wrong.
    """
    rng = np.random.default_rng(seed)
    content, entries = _losses(rng, networks)
    columns = [content[entry["column"]] for entry in entries]
    content |= older_histograms(columns) if older else fine_histograms(columns)
    content |= _corpus(rng) | _selection(rng, content[entries[-1]["column"]])
    content |= _curves(content, networks, rng) if curves else {}
    content |= _views(content, networks, rng) if curves else {}
    stated = _manifest(entries, networks) | (manifest or {})
    with BundleWriter(directory, name) as writer:
        for key, array in (content | (arrays or {})).items():
            writer.add_array(key, array)
        lines = ({"source": f"lib/{i}.py", "kind": "python", "n_tokens": LENGTH} for i in range(N_DOCUMENTS))
        writer.add_lines("documents.jsonl", lines)
        return writer.publish(stated, {"host": "synthetic", "attempts": 1} if run is None else run)


def n_predictions() -> int:
    return N_DOCUMENTS * (LENGTH - 1)


def _losses(rng: np.random.Generator, networks: tuple[tuple[str, int], ...]) -> tuple[dict[str, Any], list[Any]]:
    """One column a checkpoint; the largest network has earlier steps, too."""
    content, entries = {}, []
    for rank, (lm, size) in enumerate(networks):
        for step in STEPS if rank == len(networks) - 1 else STEPS[-1:]:
            column = f"losses/{lm}/step{step}"
            losses = rng.gamma(1.5, 4.0 / (1 + rank) / (1 + step / 100), n_predictions()).astype(np.float32)
            content[column] = losses
            entries.append(
                {
                    "suite": "synthetic", "lm": lm, "revision": f"step{step}", "step": step,
                    "weights_sha256": f"{size + step:064x}", "n_non_embedding": size, "n_parameters": size + 4000,
                    "is_final": step == STEPS[-1], "mean_loss_nats": float(losses.mean(dtype=np.float64)),
                    "column": column,
                }
            )  # fmt: skip
    return content, entries


def fine_histograms(columns: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Losses counted as bundles hold them."""
    counts = [np.append(np.histogram(one, FINE_EDGES)[0], (one > FINE_EDGES[-1]).sum()) for one in columns]
    return {"losses/fine_histogram": np.array(counts, np.int32), "losses/fine_histogram_edges": FINE_EDGES}


def older_histograms(columns: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Losses counted in one kind of bins, as older bundles hold them."""
    counts = np.array([np.histogram(one, EDGES)[0] for one in columns], np.int64)
    return {"losses/histogram": counts, "losses/histogram_edges": EDGES}


def _corpus(rng: np.random.Generator) -> dict[str, np.ndarray]:
    ids = rng.integers(0, len(VOCABULARY), (N_DOCUMENTS, LENGTH)).astype(np.uint16)
    return {
        "corpus/token_ids": ids.ravel(),
        "corpus/offsets": np.arange(N_DOCUMENTS + 1, dtype=np.int64) * LENGTH,
        "vocabulary/bytes": np.frombuffer(b"".join(VOCABULARY), np.uint8),
        "vocabulary/offsets": np.cumsum([0, *map(len, VOCABULARY)]).astype(np.int64),
    }


def _selection(rng: np.random.Generator, losses: np.ndarray) -> dict[str, np.ndarray]:
    chosen = np.sort(np.argsort(losses, kind="stable")[:N_SELECTED]).astype(np.int64)
    content: dict[str, np.ndarray] = {
        "selection/induced": rng.random(len(losses)) < 0.1,
        "selection/flat_index": chosen,
    }
    rows = rng.normal(size=(N_SELECTED, 16)) + 0.3
    for affinity, values in (("signed", rows), ("absolute", np.abs(rows))):
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
        content[f"similarity/{affinity}"] = (unit @ unit.T).astype(np.float32)
        for k in KS:
            labels = np.concatenate([np.arange(k), rng.integers(0, k, N_SELECTED - k)])
            content[f"clustering/{affinity}/k{k}"] = rng.permutation(labels).astype(np.int32)
    return content


def _curves(
    content: dict[str, np.ndarray], networks: tuple[tuple[str, int], ...], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    n, finals = n_predictions(), [content[f"losses/{lm}/step{STEPS[-1]}"] for lm, _ in networks]
    scores = {f"curves/{name}": rng.uniform(-1, 1, n).astype(np.float32) for name in ("monogenicity", "linearity")}
    scores |= {f"curves/{name}": rng.uniform(1, 3, n).astype(np.float32) for name in ("amplitude_bits", "n_eff")}
    return {
        **scores,
        "curves/losses": np.stack(finals, 1),
        "curves/breakthroughness": rng.uniform(-1, 1, n).astype(np.float32),
        "curves/class": rng.integers(0, 4, n).astype(np.uint8),
        "curves/density": rng.integers(0, 9, (40, 40)),
    }


def _views(
    content: dict[str, np.ndarray], networks: tuple[tuple[str, int], ...], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """What newer bundles hold for the explorer: lines through curves, curves over steps, maps, sketches."""
    lm = networks[-1][0]
    x = np.log([size for _, size in networks])
    y = content["curves/losses"].astype(np.float64)
    dx, dy = x - x.mean(), y - y.mean(axis=1, keepdims=True)
    slope = dy @ dx / max(dx @ dx, 1e-12)
    left = ((dy - slope[:, None] * dx) ** 2).sum(axis=1)
    mapped = np.arange(0, n_predictions(), 2, dtype=np.int64)
    sketches = rng.normal(size=(N_SELECTED, 64))
    sketches /= np.linalg.norm(sketches, axis=1, keepdims=True)
    return {
        "curves/slope": slope.astype(np.float32),
        "curves/r_squared": (1 - left / np.maximum((dy**2).sum(axis=1), 1e-12)).astype(np.float32),
        f"curves/steps/{lm}": np.stack([content[f"losses/{lm}/step{s}"] for s in STEPS], 1).astype(np.float16),
        "map/gradients": rng.normal(size=(N_SELECTED, 2)).astype(np.float32),
        "map/curves": rng.normal(size=(len(mapped), 2)).astype(np.float32),
        "map/curves_index": mapped,
        "sketches/signed": (sketches * 8).astype(np.float16),
    }


def _manifest(entries: list[dict[str, Any]], networks: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    lm, revision = entries[-1]["lm"], entries[-1]["revision"]
    refs = [{"lm": e["lm"], "revision": e["revision"], "path": f"demo:{e['lm']}/{e['revision']}"} for e in entries]
    return {
        "config": {
            "name": "synthetic",
            "clustered": f"{lm}/{revision}",
            "corpus": {"source": "demo", "max_length": LENGTH, "max_documents": None},
            "suite": {"name": "synthetic", "checkpoints": refs, "tokenizer": "demo:tokenizer.json"},
            "selection": {"n_tokens": N_SELECTED, "threshold_nats": 0.1, "exclude_induced": True, "stride": None},
            "clustering": {"ks": list(KS), "affinities": ["signed", "absolute"], "n_init": 5, "seed": 0},
            "gradient_scope": "default",
        },
        "corpus": {
            "name": "made up", "sha256": "5a" * 32, "n_documents": N_DOCUMENTS, "n_tokens": N_DOCUMENTS * LENGTH,
            "n_predictions": n_predictions(), "max_length": LENGTH, "tokenizer_sha256": "ab" * 32,
        },
        "checkpoints": entries,
        "sizes": [{"lm": lm, "revision": f"step{STEPS[-1]}", "n_non_embedding": size} for lm, size in networks],
        "clustered": {"lm": lm, "revision": revision, "n_gradient": 700_000, "scope": "default"},
        "selection": {
            "threshold_nats": 0.1, "n_below": N_SELECTED, "n_induced": 9, "n_candidates": N_SELECTED,
            "n_selected": N_SELECTED, "stride": 1, "n_zero_gradients": 0,
        },
        "overlap": None,
        "map": {"n_neighbors": 15, "min_dist": 0.1, "seed": 0},
        "probe": {"table": "sketches/signed", "size": 64, "seed": 0},
        "clusterings": [
            {"affinity": affinity, "k": k, "array": f"clustering/{affinity}/k{k}"}
            for affinity in ("signed", "absolute")
            for k in KS
        ],
    }  # fmt: skip

"""A job's settings as one person may see them: where files lie on this server is its owner's and staff's business."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from clusters.models import Run
from clusters.queries.access import User, may_manage
from compute.config import HUB
from compute.labs import LABS
from compute.models import Job

TELLABLE = {"run", "kind", "format", "affinity", "k", "clusters", "model"}  # of jobs that are no runs
_COMMIT = re.compile(r"(@[0-9a-f]{8})[0-9a-f]{32}$")


def sees_paths(user: User, job: Job) -> bool:
    if not (user.is_authenticated and user.is_active):
        return False
    is_staff = bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))
    return is_staff or job.requested_by_id == user.pk


def shown_config(user: User, job: Job) -> dict[str, Any]:
    """The settings; for others than owner and staff without what a file was narrowed by, and without paths."""
    if sees_paths(user, job) or job.kind in LABS:
        return job.config
    if "suite" not in job.config:
        return {name: value for name, value in job.config.items() if name in TELLABLE}
    return config_without_paths(job.config)


def shown_manifest(user: User, run: Run) -> dict[str, Any]:
    """What a bundle says of itself; for others than the run's owner and staff without paths of this server."""
    if may_manage(user, run) or (user.is_authenticated and user.is_active and getattr(user, "is_staff", False)):
        return run.manifest
    return {**run.manifest, "config": config_without_paths(run.manifest.get("config", {}))}


def config_without_paths(config: dict[str, Any]) -> dict[str, Any]:
    suite, corpus = config.get("suite", {}), config.get("corpus", {})
    checkpoints = [{**ref, "path": _last(ref.get("path"))} for ref in suite.get("checkpoints", ())]
    return {
        **config,
        "suite": {**suite, "checkpoints": checkpoints, "tokenizer": _last(suite.get("tokenizer"))},
        "corpus": {**corpus, "source": _last(corpus.get("source"))},
    }


def text_filter(user: User, job: Job) -> Callable[[str], str]:
    """What takes folders of this server out of sentences about a job, errors say; nothing for its owner and staff."""
    if sees_paths(user, job):
        return str
    paths = sorted(_paths(job.config), key=len, reverse=True)

    def without_folders(text: str) -> str:
        for path in paths:
            text = text.replace(path, f"…/{Path(path).name}")
        return text

    return without_folders


def asked(config: dict[str, Any]) -> list[tuple[str, str]]:
    """What was asked for, as a card lists it; no paths but the last part of the corpus's."""
    suite, selection, clustering = (config.get(name, {}) for name in ("suite", "selection", "clustering"))
    ks, n = clustering.get("ks") or [0], len(suite.get("checkpoints", ()))
    sure = f"{selection.get('n_tokens', 0):,}, loss < {selection.get('threshold_nats')} nats"
    stride = selection.get("stride")
    rows = [
        ("kind", "QDG run"),
        ("suite", f"{suite.get('name', '')}, {n:,} checkpoint{'' if n == 1 else 's'}"),
        ("network", config.get("clustered", "")),
        ("text", _text(config.get("corpus", {}))),
        ("tokens", f"{sure}, every {stride:,}th" if stride and stride > 1 else sure),
        ("compared", _compared(config)),
        ("k", f"{len(ks)} values, {ks[0]} to {ks[-1]}" if len(ks) > 1 else str(ks[0])),
        ("affinity", " and ".join(clustering.get("affinities", ()))),
        ("seed", f"{clustering.get('seed')}, best of {clustering.get('n_init')}"),
    ]
    if clustering.get("effort") == "fast":
        rows[-1] = ("seed", f"{clustering.get('seed')}, fast k-means")
    return rows


def _text(corpus: dict[str, Any]) -> str:
    """Which text, and how much of it."""
    source, most = str(corpus.get("source", "")), corpus.get("max_documents")
    name = "the demo’s own" if source == "demo" else _COMMIT.sub(r"\1", source.removeprefix(HUB))
    name = Path(source).name if source.startswith("/") else name
    parts = [name, f"at most {most:,} documents" if most else "", f"cut at {corpus.get('max_length', 0):,} tokens"]
    return ", ".join(filter(None, parts))


def _compared(config: dict[str, Any]) -> str:
    """What is compared, and whether every number of it."""
    similarity, scope = config.get("similarity", {}), config.get("gradient_scope", "default")
    is_sketched = similarity.get("mode") == "sketch"
    of = {"default": "", "as-published": " of the paper’s parameters", "all": " of all parameters"}.get(scope, "")
    refined = similarity.get("refine") or 0
    how = f"by sketches of {similarity.get('sketch_size', 0):,} numbers" if is_sketched else "exactly"
    more = f", {refined:,} neighbours exactly" if is_sketched and refined else ""
    return f"{config.get('vectors', 'gradients')}{of}, {how}{more}"


def _paths(config: dict[str, Any]) -> set[str]:
    """Every path of this server that messages about these settings may name."""
    suite, corpus = config.get("suite", {}), config.get("corpus", {})
    named = [ref.get("path") for ref in suite.get("checkpoints", ())]
    named += [suite.get("tokenizer"), corpus.get("source")]
    local = {path for path in named if isinstance(path, str) and path.startswith("/")}
    return local | {str(settings.DATA_DIR), *map(str, settings.ALLOWED_ROOTS)}


def _last(path: Any) -> Any:
    is_local = isinstance(path, str) and path.startswith("/")
    return f"…/{Path(path).name}" if is_local else path

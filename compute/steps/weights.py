"""Before the first step: what lies on the Hub is brought here, once for all runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from compute.config import HUB, CheckpointRef, HubRef, RunConfig
from compute.errors import CheckpointError
from compute.registry import known_size
from compute.workspace import digest

if TYPE_CHECKING:
    from compute.steps.run import Run

BYTES_PER_UNIT = 1_000_000
TOKENIZER = "tokenizer"


def expected_megabytes(name: str, source: HubRef) -> int:
    """What is to be downloaded, as far as it is known in advance: two bytes a parameter of a known suite."""
    size = None if name == TOKENIZER else known_size(source.repo_id)
    return 1 if size is None else -(-2 * size.n_parameters // BYTES_PER_UNIT)


def hub_sources(config: RunConfig) -> list[tuple[str, HubRef]]:
    """What a run needs of the Hub, by name: each checkpoint, and the tokenizer."""
    sources = [(ref.key, ref.hub) for ref in config.suite.checkpoints if ref.hub is not None]
    if config.suite.tokenizer.startswith(HUB):
        sources.append((TOKENIZER, HubRef.parse(config.suite.tokenizer)))
    return sources


def fetch(run: Run, name: str, source: HubRef) -> None:
    """Bring one of them here; what is here already is taken as it is."""
    from compute.hub.fetch import fetch_checkpoint, fetch_tokenizer

    def report(n_done: int, n_total: int) -> None:
        run.tell(-(-n_done // BYTES_PER_UNIT), -(-n_total // BYTES_PER_UNIT))

    bring = fetch_tokenizer if name == TOKENIZER else fetch_checkpoint
    bring(source, report=report)


def is_here(source: HubRef) -> bool:
    """Whether weights of the Hub lie on this host."""
    from compute.hub.cache import folder_of

    try:
        return folder_of(source).is_dir()
    except CheckpointError:
        return False


def bring(run: Run, ref: CheckpointRef) -> None:
    """Where hosts share no disk, weights that another host has fetched are fetched here too when they are needed."""
    if run.files.store is not None:
        need_weights(ref, run.keep_alive)


def bring_tokenizer(run: Run) -> None:
    """Likewise."""
    if run.files.store is not None:
        need_tokenizer(run.config.suite.tokenizer, run.keep_alive)


def need_weights(ref: CheckpointRef, tell: Callable[[], None]) -> None:
    """Fetch a checkpoint of the Hub that is not on this host."""
    if ref.hub is not None and not is_here(ref.hub):
        from compute.hub.fetch import fetch_checkpoint

        fetch_checkpoint(ref.hub, report=lambda n_done, n_total: tell())


def need_tokenizer(name: str, tell: Callable[[], None]) -> None:
    """Fetch a tokenizer of the Hub that is not on this host."""
    if not name.startswith(HUB):
        return
    from compute.hub.cache import tokenizer_of
    from compute.hub.fetch import fetch_tokenizer

    source = HubRef.parse(name)
    try:
        tokenizer_of(source)
    except CheckpointError:
        fetch_tokenizer(source, report=lambda n_done, n_total: tell())


def shared_weights(run: Run, ref: CheckpointRef) -> dict[str, str] | None:
    """Commit and hashes of weights of the Hub as the first host found them, so that not every host needs them."""
    if run.files.store is None or ref.hub is None:
        return None
    found: dict[str, str] | None = run.files.load_json(f"hub/{ref.key}", digest(["hub", ref.path]))
    return found


def share_weights(run: Run, ref: CheckpointRef, weights: str, config: str) -> None:
    """Tell other hosts what was found; CheckpointError where they found something else."""
    from compute.hub.cache import known_commit

    if run.files.store is None or ref.hub is None:
        return
    own = {"commit": known_commit(ref.hub) or "", "weights": weights, "config": config}
    found = run.files.settle_json(f"hub/{ref.key}", own, digest(["hub", ref.path]))
    if found != own:
        raise CheckpointError(
            f"{ref.key}: this host has commit {own['commit']} of {ref.hub}, and the first host of this run has "
            f"{found['commit']}. Name one commit as the revision, so that all hosts fetch the same."
        )


def hub_facts(run: Run, ref: CheckpointRef) -> dict[str, Any] | None:
    """Where weights came from; None for what is not from the Hub."""
    from compute.hub.cache import known_commit

    if ref.hub is None:
        return None
    shared = shared_weights(run, ref)
    commit = shared["commit"] if shared else known_commit(ref.hub)
    return {"id": ref.hub.repo_id, "revision": ref.hub.revision, "commit": commit}

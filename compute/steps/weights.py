"""Before the first step: what lies on the Hub is brought here, once for all runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compute.config import HUB, HubRef, RunConfig
from compute.registry import known_size

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


def hub_facts(source: HubRef | None) -> dict[str, Any] | None:
    """Where weights that are here came from; None for what is not from the Hub."""
    from compute.hub.cache import known_commit

    if source is None:
        return None
    return {"id": source.repo_id, "revision": source.revision, "commit": known_commit(source)}

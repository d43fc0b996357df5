"""Which bundles the site's rows name: runs have one each, and finished experiments."""

from __future__ import annotations

from collections.abc import Iterator

from clusters.models import Experiment, Run

Holder = Run | Experiment
HOLDERS: tuple[type[Holder], ...] = (Run, Experiment)


def named_bundles() -> Iterator[tuple[str, str]]:
    """Path and hash of every bundle, newest first."""
    for model in HOLDERS:
        yield from (
            model._default_manager.exclude(bundle_sha256="").order_by("-pk").values_list("bundle_path", "bundle_sha256")
        )


def is_named(**lookup: str) -> bool:
    """Whether some row's bundle is so: `is_named(bundle_path=…)`."""
    return any(model._default_manager.filter(**lookup).exists() for model in HOLDERS)

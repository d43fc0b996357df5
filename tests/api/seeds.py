"""A site with something of everything, and a key that may do all, for tests that ask every address."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model

from clusters.models import ApiKey, Cluster, Label, Run, Tag
from clusters.services.labels import Content, save_label
from compute.jobs import queue
from compute.suites import demo_config
from tests.factories import make_run

SCOPES = list(ApiKey.Scope.values)


def make_key(person: Any, *scopes: str, expiry: timedelta | None = timedelta(days=1), **fields: Any) -> str:
    """A key of this person, as they would send it."""
    made: tuple[ApiKey, str] = ApiKey.objects.create(
        user=person, expiry=expiry, name="test", scopes=list(scopes), **fields
    )
    return made[1]


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def seeded_site(directory: Any) -> tuple[Run, Any, str]:
    """A run, a label on its first cluster, a job, an administrator, and a key of theirs with every scope."""
    admin = get_user_model().objects.create_superuser("admin")
    run = make_run(directory, owner=admin)
    Tag.objects.get_or_create(slug="lexical", defaults={"name": "lexical"})
    cluster = Cluster.objects.get(clustering__run=run, clustering__affinity="signed", clustering__k=6, label=0)
    save_label(admin, cluster, Content(name="the first", tags=("lexical",)), version=0, submit=True)
    queue.enqueue(demo_config(), admin)
    return run, admin, make_key(admin, *SCOPES)


def first_label() -> Label:
    return Label.objects.order_by("pk")[0]

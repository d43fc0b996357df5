"""Many people write labels at once, over HTTP, on both databases: nothing that was answered as written is lost.

QW_PEOPLE and QW_WRITES make it larger than it is by default (20 people, 10 writes each).
"""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import Group, User
from django.db.models import Count, F

from clusters.models import ApiKey, AuditEvent, Label, LabelRevision
from tests.databases import Site
from tests.factories import UserFactory, make_run

PEOPLE, WRITES = int(os.environ.get("QW_PEOPLE", "20")), int(os.environ.get("QW_WRITES", "10"))
SHARED_EVERY = 5  # each fifth write is of the one label that is agreed on
OPTIONS = ("--workers", "2", "--worker-class", "gthread", "--threads", "4", "--log-level", "warning")


@pytest.fixture
def server(site: Site, tmp_path: Path) -> Iterator[str]:
    """gunicorn on the test's own database: two processes of four threads."""
    make_run(tmp_path / "bundle")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = site.start("-m", "gunicorn", "quantaweb.wsgi:application", "--bind", f"127.0.0.1:{port}", *OPTIONS)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and started.poll() is None:
            try:
                httpx.get(f"http://127.0.0.1:{port}/livez", timeout=5)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def key_of(name: str, role: str) -> str:
    user: User = UserFactory(username=name)
    user.groups.add(Group.objects.get(name=role))
    _, key = ApiKey.objects.create(user=user, prefix="qw_")
    ApiKey.objects.filter(user=user).update(scopes=["read", "label"])
    return str(key)


class Writer:
    """One person with a script: writes an own label and the shared one, again and again."""

    def __init__(self, base: str, name: str, key: str, cluster: int, size: tuple[int, int]) -> None:
        self.name, self.cluster = name, cluster
        self.n_people, self.n_writes = size
        self.http = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=120)
        self.written: dict[tuple[int, int], str] = {}  # (label, version) → the name that was answered as written
        self.statuses: Counter[int] = Counter()
        self.known: dict[str, tuple[int, int]] = {}  # origin → label, version as last read

    def run(self) -> Writer:
        for number in range(self.n_writes):
            self.write("agreed" if number % SHARED_EVERY == 0 else "person", f"{self.name} {number}")
        self.http.close()
        return self

    def write(self, origin: str, text: str) -> None:
        """Until it is written: a conflict is read, and the same is tried over what is there now."""
        for attempt in range(1000):
            response = self._sent(origin, text)
            self.statuses[response.status_code] += 1
            body = response.json()
            if response.status_code in (200, 201):
                self.written[body["id"], body["version"]] = text
                self.known[origin] = body["id"], body["version"]
                return
            if response.status_code == 412:
                current = body["error"]["current"]
                self.known[origin] = current["id"], current["version"]
            elif response.status_code == 409:
                [found] = self.http.get("/api/v1/labels/", params={"origin": "agreed"}).json()["results"]
                self.known[origin] = found["id"], found["version"]
            elif response.status_code == 429:
                time.sleep(1)
            else:
                raise AssertionError(f"{response.status_code}: {response.text[:300]}")
            time.sleep(random.uniform(0, min(0.02 * 2 ** min(attempt, 9), 0.02 * self.n_people)))
        raise AssertionError(f"{text} was never written")

    def _sent(self, origin: str, text: str) -> httpx.Response:
        if origin not in self.known:
            place = {"run": "synthetic", "k": 6, "cluster": 0 if origin == "agreed" else self.cluster}
            body = place | {"origin": origin, "name": text, "state": "submitted"}
            return self.http.post("/api/v1/labels/", json=body)
        label, version = self.known[origin]
        return self.http.patch(f"/api/v1/labels/{label}/", json={"name": text}, headers={"If-Match": f'"{version}"'})


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("size", [(PEOPLE, WRITES), pytest.param((50, 50), marks=pytest.mark.whole)], ids=str)
def test_as_many_versions_as_writes_and_no_word_lost(
    site: Site, server: str, size: tuple[int, int], measured: Any
) -> None:
    n_people, n_writes = size
    writers = [Writer(server, f"p{i}", key_of(f"p{i}", "adjudicator"), 1 + i % 5, size) for i in range(n_people)]
    with ThreadPoolExecutor(n_people) as pool:
        began = time.monotonic()
        done = list(pool.map(Writer.run, writers))
    seconds = time.monotonic() - began
    statuses = sum((writer.statuses for writer in done), Counter[int]())
    print(f"{n_people * n_writes} writes in {seconds:.1f} s: {dict(statuses)}")

    written = {place: text for writer in done for place, text in writer.written.items()}
    assert len(written) == n_people * n_writes, "two writes were answered with the same version"
    rows = LabelRevision.objects.values_list("label", "version", "content")
    kept = {(label, version): content["name"] for label, version, content in rows}
    assert kept == written
    assert set(statuses) <= {200, 201, 409, 412, 429}
    counted = Label.objects.annotate(n=Count("revisions"))
    assert (counted.count(), counted.exclude(n=F("version")).count()) == (n_people + 1, 0)
    for label in Label.objects.all():
        assert label.name == kept[label.pk, label.version]
    assert AuditEvent.objects.filter(action__startswith="label.").count() == n_people * n_writes
    assert "locked" not in site.log()
    what = f"{n_people} people write {n_writes} labels each at once"
    measured(13, what, writes=n_people * n_writes, revisions=len(kept),
             conflicts_shown=statuses[412] + statuses[409], lost=0, seconds=seconds)  # fmt: skip

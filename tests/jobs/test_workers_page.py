"""The live page of workers, its twins, and the same through the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from clusters.queries import jobs as queries
from compute.models import Job, Shard, Worker
from tests.factories import UserFactory
from tests.jobs.states import job_in

pytestmark = pytest.mark.django_db
GIB = 2**30
GPU = "gpu-1:1f3a9c2e.884123:4711"


@pytest.fixture(autouse=True)
def _known_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "own_version", lambda: "v2")


def _worker(name: str = GPU, *, age: float = 2, **values: Any) -> Worker:
    seen = timezone.now() - timedelta(seconds=age)
    return Worker.objects.create(
        name=name, **{"kind": "celery", "version": "v2", "seen_at": seen, "queues": "gpu", **values}
    )


def _at_work(worker: Worker, user: User | None = None, **values: Any) -> Job:
    job = job_in("running", user, queue="gpu", **values)
    Shard.objects.filter(job=job, state="running").update(service=worker.name)
    return job


def _page(client: Client, **headers: str) -> str:
    response = client.get("/jobs/workers/", headers=headers)
    assert response.status_code == 200
    return str(response.content.decode())


def test_a_busy_gpu_says_what_it_does_and_how_full_it_is(client: Client) -> None:
    worker = _worker(
        device="cuda:0", device_name="NVIDIA H200", n_cores=16, memory_bytes=128 * GIB,
        vram_bytes=140 * GIB, vram_used_bytes=35 * GIB, n_done=212, n_failed=1,
    )  # fmt: skip
    job = _at_work(worker)
    page = _page(client)
    told = [
        "The one worker is busy", "gpu-1:4711", "NVIDIA H200", "35.0 of 140.0 GiB", "16 cores, 128 GiB",
        f"Job {job.pk}, demo", "162 of 250 tokens", "14.2 tokens/s", "212 shards done, 1 failed or lost",
    ]  # fmt: skip
    assert [said for said in told if said not in page] == []


def test_a_silent_worker_and_one_of_another_version_are_marked(client: Client) -> None:
    _worker(age=400)
    _worker("web-1:1f3a9c2e.1:9", queues="cpu,site", version="v1")
    page = _page(client)
    assert page.count("not this site’s") == 1
    assert 'class="status tri warn">silent<' in page
    assert "The one worker is idle" in page


def test_jobs_that_no_worker_serves_are_said(client: Client) -> None:
    _worker(queues="cpu")
    job_in("queued", None, queue="gpu")
    assert "No worker serves 1 job in the queue gpu" in _page(client)


def test_without_a_worker_the_page_says_how_one_comes(client: Client) -> None:
    assert "No worker runs" in _page(client)
    assert "manage.py runner" in _page(client)


def test_what_somebody_keeps_private_is_not_named(client: Client) -> None:
    owner = UserFactory()
    job = _at_work(_worker(), owner, name="secret-run", is_private=True)
    page = _page(client)
    assert "secret-run" not in page
    assert "somebody’s own job" in page
    assert client.get("/jobs/workers.json").json()["workers"][0]["jobs"][0]["job"] is None
    client.force_login(owner)
    assert f"Job {job.pk}, secret-run" in _page(client)


def test_the_list_asks_for_itself_and_htmx_gets_it_alone(client: Client) -> None:
    _worker()
    assert 'hx-trigger="every 5s"' in _page(client)
    part = _page(client, **{"HX-Request": "true"})
    assert part.lstrip().startswith('<div id="workers"')


def test_twins_and_the_api_say_the_same(client: Client) -> None:
    _at_work(_worker(vram_bytes=140 * GIB, vram_used_bytes=35 * GIB))
    told = client.get("/jobs/workers.json").json()["workers"]
    answered = client.get("/api/v1/workers/").json()["results"]
    for one in (*told, *answered):
        one.pop("seconds_since_heard")
        for task in one["jobs"]:
            task.pop("seconds")
    assert told == answered
    assert told[0]["state"] == "busy"
    assert told[0]["jobs"][0]["n_done"] == 162
    assert client.get("/jobs/workers.csv").status_code == 200


def test_the_page_asks_as_often_for_many_workers_as_for_one(client: Client, django_assert_max_num_queries: Any) -> None:
    for n in range(12):
        _at_work(_worker(f"gpu-1:1f3a9c2e.{n}:{n + 1}"))
    with django_assert_max_num_queries(6):
        _page(client)


def test_the_list_of_jobs_says_whether_anybody_works(client: Client) -> None:
    job_in("queued", None, queue="gpu")
    assert "No worker runs, and 1 job waits" in client.get("/jobs/").content.decode()


def test_people_change_how_soon_their_job_comes(client: Client) -> None:
    owner, boss = UserFactory(), UserFactory(is_superuser=True)
    job = job_in("queued", owner)
    client.force_login(owner)
    assert "Let all others go first" in client.get(f"/jobs/{job.pk}/").content.decode()
    client.post(f"/jobs/{job.pk}/prioritise/", {"priority": "low"})
    assert Job.objects.get(pk=job.pk).priority == Job.Priority.LOW
    assert client.post(f"/jobs/{job.pk}/prioritise/", {"priority": "high"}).status_code == 403
    assert client.post(f"/jobs/{job.pk}/prioritise/", {"priority": "most"}).status_code == 400
    client.force_login(boss)
    client.post(f"/jobs/{job.pk}/prioritise/", {"priority": "high"})
    assert Job.objects.get(pk=job.pk).priority == Job.Priority.HIGH
    assert client.post("/jobs/99/prioritise/", {"priority": "low"}).status_code == 404

"""Processes that are asked to end (SIGTERM) end in order: row 22."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
import urllib.request

import pytest

from compute.jobs import queue
from compute.models import Job, Shard
from tests.databases import Site
from tests.faults.breaking import free_port, running, steps, wait_for, wait_for_state
from tests.faults.crew import BY_EITHER, TENTH, WHOLE, Crew, everywhere
from tests.faults.figures import Measured
from tests.jobs import fake


def _ask_to_end(worker: subprocess.Popen[bytes], shard: Shard, *, within: float, site: Site) -> tuple[float, float]:
    """SIGTERM to the worker alone; seconds until its shard is queued, and until it has ended."""
    since = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    queued = Shard.objects.filter(pk=shard.pk, state="queued")
    wait_for(queued.exists, "the shard given back", seconds=within, site=site)
    seconds = time.monotonic() - since
    worker.wait(within)
    return round(seconds, 2), round(time.monotonic() - since, 2)


def _stuck(job: Job) -> Shard:
    """A shard whose work has told all that it ever will."""
    heard_of = Shard.objects.filter(job=job, state="running", heartbeat_at__isnull=False)
    shard = wait_for(heard_of.first, "a first heartbeat")
    assert isinstance(shard, Shard)
    return shard


@everywhere(("sqlite", "local"), ("postgres", "celery"))
def test_a_worker_asked_to_end_gives_its_shard_back_and_another_goes_on(
    site: Site, crew: Crew, measured: Measured
) -> None:
    crew.use(TENTH)
    worker = crew.start("one", TEST_STEP_SECONDS="0.5")
    job = queue.enqueue(fake.config())
    shard = running(job)
    queued, ended = _ask_to_end(worker, shard, within=6, site=site)
    row = Shard.objects.get(pk=shard.pk)
    assert (row.state, row.attempt, row.lease_token) == ("queued", 0, "")
    assert len(set(steps(site))) == len(steps(site)) >= 2
    measured(22, "asked to end in the middle of a shard", runner=crew.kind, seconds_until_queued=queued,
             seconds_until_it_ended=ended)  # fmt: skip


@everywhere()
def test_a_worker_that_is_stuck_gives_its_shard_back_too(site: Site, crew: Crew, measured: Measured) -> None:
    """Its work makes no report any more; the thread that keeps the lease gives it back."""
    crew.use(TENTH)
    worker = crew.start("one", TEST_STEP_SECONDS="1000")
    job = queue.enqueue(fake.config())
    shard = _stuck(job)
    queued, ended = _ask_to_end(worker, shard, within=9, site=site)
    assert "stuck" in job.log_lines.last().message
    crew.sweeper()
    crew.start("two", TEST_STEP_SECONDS="0.01")
    wait_for_state(job, "succeeded", site=site)
    measured(22, "asked to end while its work is stuck, grace of 5 s", runner=crew.kind, seconds_until_queued=queued,
             seconds_until_it_ended=ended)  # fmt: skip


@pytest.mark.whole
@BY_EITHER
def test_a_stuck_worker_gives_its_shard_back_within_a_minute_at_the_default_periods(
    site: Site, crew: Crew, measured: Measured
) -> None:
    crew.use(WHOLE)
    worker = crew.start("one", TEST_STEP_SECONDS="1000")
    shard = _stuck(queue.enqueue(fake.config()))
    queued, ended = _ask_to_end(worker, shard, within=60, site=site)
    measured(22, "asked to end while its work is stuck", runner=crew.kind, scale="full", seconds_until_queued=queued,
             seconds_until_it_ended=ended)  # fmt: skip


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_the_web_server_ends_its_answers_before_it_ends(site: Site, measured: Measured) -> None:
    port, seconds = free_port(), 2.0
    server = site.start(
        "-m", "gunicorn", "tests.faults.slow_web:application", "--bind", f"127.0.0.1:{port}", "--workers", "1",
        "--worker-class", "gthread", "--threads", "4", "--graceful-timeout", "30", TEST_ANSWER_SECONDS=str(seconds),
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}/livez"
    try:
        wait_for(lambda: "Listening at" in site.log(), "gunicorn", site=site)
        answers: list[tuple[int, bytes]] = []

        def ask() -> None:
            with urllib.request.urlopen(address, timeout=20) as answer:
                answers.append((answer.status, answer.read()))

        ask()  # the worker is up
        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
        time.sleep(seconds / 2)
        since = time.monotonic()
        server.send_signal(signal.SIGTERM)
        for thread in asking:
            thread.join()
        assert [status for status, _ in answers] == [200] * 4
        assert len({body for _, body in answers}) == 1
        assert server.wait(30) == 0
        ended = time.monotonic() - since
        with pytest.raises(OSError, match="refused"):
            ask()
    finally:
        if server.poll() is None:
            server.kill()
    measured(22, "the web server is asked to end while it answers", answers_under_way=3, answers_whole=3,
             seconds_until_it_ended=round(ended, 2))  # fmt: skip

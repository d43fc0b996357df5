"""The whole site in containers, walked through as its people and its operator do; the tests go on from one another."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import httpx
import pytest

from tests.compose.pages import send
from tests.compose.stack import SERVICES, Stack, say, wait_for

OURS = ("web", "sweeper", "worker-cpu")
STAYING = tuple(name for name in SERVICES if name != "migrate")
PUBLIC_BASE = 130  # MB of the public Python image; a local stand-in for it may be larger
COUNTED = """
import json
from clusters.models import Cluster, Label, LabelRevision, Run
from compute.models import Job
from django.contrib.auth import get_user_model
labels = list(Label.objects.order_by("pk").values_list("cluster_id", "name", "version"))
runs = list(Run.objects.order_by("pk").values_list("slug", "bundle_sha256"))
counts = [model.objects.count() for model in (Cluster, Label, LabelRevision, Job, get_user_model())]
print(json.dumps([labels, runs, counts]))
"""


def told_by_site(stack: Stack) -> Any:
    """Counts, labels and hashes, as the database has them."""
    return json.loads(stack.manage("shell", "--no-imports", "-c", COUNTED).strip().splitlines()[-1])


def in_web(stack: Stack, address: str, **headers: str) -> tuple[int, str]:
    """What the web server answers to a request from within its container."""
    code = (
        "import http.client, json, sys; link = http.client.HTTPConnection('127.0.0.1', 8000, timeout=30); "
        "link.request('GET', sys.argv[1], headers=json.loads(sys.argv[2])); answer = link.getresponse(); "
        "print(answer.status); print(answer.read().decode())"
    )
    given = json.dumps({"Host": "localhost", "X-Forwarded-Proto": "https"} | headers)
    status, _, text = stack.exec("web", "python", "-c", code, address, given).stdout.partition("\n")
    return int(status), text


# ── the containers themselves ──


def test_the_web_image_stays_under_500_mb(sizes: dict[str, float], stack: Stack, measured: Any) -> None:
    command = ("image", "inspect", "--format", "{{.Size}}", "python:3.11-slim-bookworm")
    base = int(stack.run(stack.engine, *command).stdout) / 1e6
    own = {target: round(size - base) for target, size in sizes.items()}
    say(f"over the base image of {base:.0f} MB: web {own['web']} MB, worker {own['worker']} MB")
    measured(0, "sizes of the images over their base, in MB", **own)
    assert own["web"] + PUBLIC_BASE <= 500


@pytest.mark.parametrize("service", OURS)
def test_our_processes_are_nobody_special_and_change_nothing_of_themselves(stack: Stack, service: str) -> None:
    assert stack.exec(service, "id", "-u").stdout.strip() == "10001"
    assert "Read-only file system" in stack.exec(service, "touch", "/app/new", check=False).stderr
    status = stack.exec(service, "cat", "/proc/1/status").stdout
    assert re.search(r"CapEff:\s0+\n", status)
    assert re.search(r"NoNewPrivs:\s1\n", status)


@pytest.mark.parametrize("service", STAYING)
def test_every_container_has_a_read_only_root(stack: Stack, service: str) -> None:
    assert stack.inspect(service)["HostConfig"]["ReadonlyRootfs"] is True


@pytest.mark.parametrize("service", STAYING)
def test_only_the_proxy_is_published(stack: Stack, service: str) -> None:
    published = stack.inspect(service)["HostConfig"]["PortBindings"] or {}
    assert any(published.values()) == (service == "proxy")


def test_the_web_image_cannot_compute(stack: Stack) -> None:
    code = "import importlib.util as u; print([n for n in ('torch', 'transformers', 'sklearn', 'pyarrow', 'umap') " \
           "if u.find_spec(n)])"  # fmt: skip
    assert stack.exec("web", "python", "-c", code).stdout.strip() == "[]"


@pytest.mark.parametrize("service", ["broker", "cache"])
def test_broker_and_cache_ask_for_a_password(stack: Stack, service: str) -> None:
    assert "NOAUTH" in stack.exec(service, "valkey-cli", "ping").stdout


def test_the_broker_forgets_nothing_and_the_cache_may(stack: Stack) -> None:
    def policy(service: str) -> str:
        asked = 'REDISCLI_AUTH="$PASSWORD" valkey-cli config get maxmemory-policy; ' \
                'REDISCLI_AUTH="$PASSWORD" valkey-cli config get appendonly'  # fmt: skip
        return " ".join(stack.exec(service, "sh", "-c", asked).stdout.split())

    assert policy("broker") == "maxmemory-policy noeviction appendonly yes"
    assert policy("cache") == "maxmemory-policy allkeys-lru appendonly no"


# ── the way in ──


def test_the_proxy_hides_what_is_for_machines(stack: Stack) -> None:
    with stack.browser() as anybody:
        assert anybody.get("/livez").status_code == 200
        given = {"Authorization": f"Bearer {stack.metrics_key}"}
        assert [anybody.get(path, headers=given).status_code for path in ("/metrics", "/readyz")] == [404, 404]


def test_machines_inside_may_ask(stack: Stack) -> None:
    status, said = in_web(stack, "/readyz")
    assert (status, json.loads(said)["ready"]) == (200, True)
    status, said = in_web(stack, "/metrics", Authorization=f"Bearer {stack.metrics_key}")
    assert status == 200
    assert "# TYPE" in said


def test_plain_http_leads_to_https(stack: Stack) -> None:
    answer = httpx.get(f"http://localhost:{stack.plain_port}/")
    assert (answer.status_code, answer.headers["Location"]) == (308, "https://localhost/")


def test_answers_carry_the_headers_that_browsers_heed(stack: Stack) -> None:
    with stack.browser() as anybody:
        headers = anybody.get("/").headers
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Strict-Transport-Security"].startswith("max-age=")
    assert "Server" not in headers
    assert "Secure" in headers["Set-Cookie"]


def test_what_is_too_large_is_refused_before_it_is_read(stack: Stack) -> None:
    with stack.browser() as anybody:
        answer = anybody.post("/sign-in/", content=bytes(110_000_000))
    assert answer.status_code == 413
    assert "105 MB" in answer.text


def test_links_that_let_somebody_in_are_not_in_the_proxys_log(stack: Stack) -> None:
    with stack.browser() as anybody:
        anybody.get("/sign-in/veryverysecret/?text=whatwassearched")
    assert '"uri":"/sign-in' in stack.logs("proxy")
    assert "veryverysecret" not in stack.logs("proxy")
    assert "whatwassearched" not in stack.logs("proxy")


# ── a run of the demo suite: Celery, Valkey, PostgreSQL; its worker is killed on the way ──


def job_of(browser: httpx.Client, address: str) -> dict[str, Any]:
    answer = browser.get(f"{address.rstrip('/')}.json")
    assert answer.status_code == 200, answer.text[:500]
    told: dict[str, Any] = answer.json()
    assert told["job"]["state"] != "failed", json.dumps([told["job"]["error"], told["log"][:20]], indent=1)
    return told


def child_of(stack: Stack) -> str:
    """The process of the worker's pool that computes; "" while none does."""
    stats = stack.exec("worker-cpu", "sh", "-c", "cat /proc/[0-9]*/stat", check=False).stdout.splitlines()
    children = [line.split()[0] for line in stats if line.rpartition(")")[2].split()[1] == "1"]
    return children[0] if children else ""


@pytest.fixture(scope="session")
def run(stack: Stack, admin: httpx.Client) -> dict[str, Any]:
    """The run's page and its job's, after the worker was killed twice: first its child, then all of it."""
    asked = {"name": "walk", "max_documents": "40", "n_tokens": "60", "ks": "4, 8", "n_curves": "0"}
    page = send(admin, "/runs/new/", asked)
    assert "/jobs/" in str(page.url), page.text[:3000]
    address, began = page.url.path, time.monotonic()
    wait_for(lambda: job_of(admin, address)["shards_done"] >= 3, "three shards", seconds=600)
    stack.exec("worker-cpu", "kill", "-9", wait_for(lambda: child_of(stack), "a child at work"))
    say("killed the worker's child")
    before = job_of(admin, address)["shards_done"]
    wait_for(lambda: job_of(admin, address)["shards_done"] > before + 1, "the next shards", seconds=600)
    stack.run(stack.engine, "kill", "--signal", "KILL", stack.name_of("worker-cpu"))
    say("killed the whole worker")
    stack.run(stack.engine, "start", stack.name_of("worker-cpu"), check=False)
    last = 0.0

    def is_done() -> bool:
        nonlocal last
        told = job_of(admin, address)
        if time.monotonic() - last > 20:
            last = time.monotonic()
            say(f"{told['job']['state']}: {told['phase']}, {told['shards_done']} of {told['shards']} shards")
        return bool(told["job"]["state"] == "succeeded")

    wait_for(is_done, "the run", seconds=1200)
    log = [line["message"] for line in job_of(admin, address)["log"]]
    return {"job": address, "log": log, "seconds": time.monotonic() - began, "path": "/runs/walk/"}


def test_a_run_survives_its_worker_being_killed(run: dict[str, Any], measured: Any) -> None:
    requeued = [line for line in run["log"] if "queued again" in line]
    measured(2, "containers: a worker's child and then all of it killed", runner="celery", database="postgres",
             seconds=round(run["seconds"]), requeued=len(requeued))  # fmt: skip
    assert requeued, run["log"]


@pytest.mark.parametrize("page", ["", "k/8/clusters/", "rank-frequency/", "similarity/", "losses/", "tokens/"])
def test_pages_of_the_run_open_and_have_their_twins(admin: httpx.Client, run: dict[str, Any], page: str) -> None:
    opened = admin.get(run["path"] + page)
    assert opened.status_code == 200
    assert "<h1" in opened.text
    twin = admin.get(f"{(run['path'] + page).rstrip('/')}.json")
    assert twin.status_code == 200
    assert twin.json()


def test_people_who_are_not_signed_in_may_read_and_not_write(stack: Stack, run: dict[str, Any]) -> None:
    with stack.browser() as anybody:
        assert anybody.get(run["path"]).status_code == 200
        assert anybody.get("/people/").url.path == "/sign-in/"
        assert anybody.post("/api/v1/labels/", json={}).status_code in (401, 403)


def test_a_label_is_given_by_the_form(admin: httpx.Client, run: dict[str, Any]) -> None:
    address = f"{run['path']}k/4/clusters/0/"
    answer = send(admin, address, {"name": "by the form", "description": "what it is", "kind": "skill"},
                  button="action=submit")  # fmt: skip
    assert answer.status_code == 200
    assert "by the form" in admin.get(address).text


def test_a_label_is_given_by_a_key(stack: Stack, admin: httpx.Client, run: dict[str, Any]) -> None:
    page = send(admin, "/profile/", {"name": "walk", "scopes": ["read", "label"], "days": "1"})
    key = max(re.findall(r"qw_[A-Za-z0-9]+", page.text), key=len)
    with stack.browser(headers={"Authorization": f"Bearer {key}"}) as script:
        label = {"run": "walk", "k": 4, "cluster": 1, "name": "by a key", "kind": "skill", "state": "submitted"}
        answer = script.post("/api/v1/labels/", json=label)
        assert answer.status_code == 201, answer.text
        assert len(script.get("/api/v1/labels/", params={"run": "walk"}).json()["results"]) == 2
        refused = script.post("/api/v1/jobs/", json={"name": "again"})
        assert refused.status_code == 403


# ── restarts ──


@pytest.mark.parametrize("service", ["broker", "cache", "postgres", "sweeper", "worker-cpu", "web", "proxy"])
def test_a_service_that_is_restarted_comes_back(
    stack: Stack, admin: httpx.Client, run: dict[str, Any], service: str, measured: Any
) -> None:
    stack.run(stack.engine, "restart", stack.name_of(service), seconds=120)
    began = time.monotonic()

    def serves() -> bool:
        try:
            return admin.get(run["path"]).status_code == 200 and admin.get("/jobs/").status_code == 200
        except httpx.HTTPError:
            return False

    wait_for(serves, f"pages after {service} was restarted", seconds=60)
    seconds = round(time.monotonic() - began, 1)
    stack.wait_healthy(service)
    say(f"{service} restarted: pages again after {seconds} s")
    row = {"postgres": 6, "broker": 4, "worker-cpu": 22, "web": 22}.get(service)
    if row:
        measured(row, f"containers: {service} restarted", runner="celery", database="postgres",
                 seconds_until_pages=seconds)  # fmt: skip


# ── a backup, an empty host, a restoration ──


def test_an_empty_host_is_as_it_was_after_a_restoration(
    stack: Stack, admin: httpx.Client, run: dict[str, Any], measured: Any
) -> None:
    before, began = told_by_site(stack), time.monotonic()
    said = stack.compose("run", "--rm", "--no-deps", "backup")
    assert "rows" in said, said
    saved = time.monotonic() - began
    say(f"backed up in {saved:.0f} s")
    [backup] = [path.name for path in (stack.folder / "backups").iterdir() if path.name != "objects"]
    stack.down()

    began = time.monotonic()
    stack.up(("postgres", "broker", "cache"))
    restored = stack.compose("run", "--rm", "--no-deps", "backup", "python", "manage.py", "restore",
                             f"/backups/{backup}")  # fmt: skip
    assert "as many as the backup counted" in restored, restored
    stack.up()
    stack.wait_healthy("web")
    say(f"restored in {time.monotonic() - began:.0f} s, images and all")
    assert told_by_site(stack) == before
    with stack.browser(cookies=dict(admin.cookies)) as browser:
        assert "by the form" in browser.get(f"{run['path']}k/4/clusters/0/").text
    stack.manage("verify", "walk")  # every file against its hash
    measured(24, "containers: volumes destroyed, restored on an empty host", runner="celery", database="postgres",
             seconds_backup=round(saved), seconds_restore=round(time.monotonic() - began))  # fmt: skip

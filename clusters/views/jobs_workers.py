"""Every worker, live: where it runs, on what, what it does now, and how its shards ended."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from clusters.charts.numbers import fixed
from clusters.htmx import render_page
from clusters.queries.access import User
from clusters.queries.jobs import SWEEPER, Crew, Doing, WorkerNow, crew, own_version
from clusters.views import twins
from clusters.views.job_story import STATUS, duration, per_second
from compute.models import Job, Shard

_KINDS = {"local": "local runner", "celery": "Celery worker", SWEEPER: "sweeper"}
_HEAD = (
    "worker", "kind", "host", "queues", "state", "device", "device name", "cores", "memory bytes", "vram bytes",
    "vram used bytes", "version", "is old", "seconds since heard", "since", "jobs", "claimed", "done", "failed",
)  # fmt: skip


@require_safe
@never_cache
def show(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """The page; its list asks for itself every five seconds."""
    found = crew(request.user)
    if twin:
        rows = [payload(one) for one in found.workers]
        table = [[_cell(row[name.replace(" ", "_")]) for name in _HEAD] for row in rows]
        queues = [vars(queue) for queue in found.queues]
        return twins.answer(twin, name="workers", payload={"workers": rows, "queues": queues}, head=_HEAD, rows=table)
    ctx = {"here": "jobs", **section(found), **twins.links_context(request, "json", "csv")}
    return render_page(request, "jobs/workers.html", ctx, fragment="jobs/_workers.html")


def section(found: Crew) -> dict[str, Any]:
    """What the list of workers shows, on its own page and among the jobs."""
    return {
        "title": _title(found),
        "lede": _lede(found),
        "crew": [_row(one) for one in found.workers],
        "stats": _stats(found),
        "version": own_version(),
    }


def summary(user: User) -> dict[str, str]:
    """The workers in a sentence, for the list of jobs."""
    found = crew(user)
    return {"title": _title(found), "lede": _lede(found), "status": "on good" if found.computing else "tri warn"}


def payload(one: WorkerNow) -> dict[str, Any]:
    """A worker for scripts."""
    row = one.row
    return {
        "worker": one.name,
        "kind": row.kind,
        "host": row.host,
        "queues": one.queues,
        "state": _state(one),
        "device": row.device,
        "device_name": row.device_name,
        "cores": row.n_cores,
        "memory_bytes": row.memory_bytes,
        "vram_bytes": row.vram_bytes,
        "vram_used_bytes": row.vram_used_bytes,
        "version": row.version,
        "is_old": one.is_old,
        "seconds_since_heard": round(one.age, 1),
        "since": row.started_at.isoformat(),
        "jobs": [_doing_payload(doing) for doing in one.doing],
        "claimed": row.n_claimed,
        "done": row.n_done,
        "failed": row.n_failed,
    }


def _doing_payload(doing: Doing) -> dict[str, Any]:
    shard = doing.shard
    return {
        "job": doing.job.pk if doing.job else None,
        "phase": shard.phase if doing.job else None,
        "shard": shard.name if doing.job else None,
        "attempt": shard.attempt,
        "n_done": shard.n_done,
        "n_total": shard.n_total,
        "unit": shard.unit,
        "rate_per_second": doing.rate,
        "seconds": round(doing.seconds, 1),
    }


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(str(item["job"] or "private") if isinstance(item, dict) else str(item) for item in value)
    return value


def _state(one: WorkerNow) -> str:
    return "silent" if one.is_silent else "busy" if one.doing else "idle"


def _title(found: Crew) -> str:
    n, busy = len(found.computing), found.n_busy
    if not n:
        return "No worker runs" if not found.n_waiting else f"No worker runs, and {_wait(found.n_waiting)}"
    if n == 1:
        return "The one worker is busy" if busy else "The one worker is idle"
    return f"All {n} workers are busy" if busy == n else f"{busy} of {n} workers are busy"


def _lede(found: Crew) -> str:
    left = [queue for queue in found.queues if queue.n_waiting and not queue.n_workers]
    if left:
        said = " and ".join(f"{_jobs(queue.n_waiting)} in the queue {queue.name}" for queue in left)
        return f"No worker serves {said}: start one that does, and they go on."
    if found.n_waiting:
        oldest = max(queue.oldest or 0.0 for queue in found.queues)
        return f"{_wait(found.n_waiting)}, the first for {duration(oldest)}. A free worker takes the most urgent."
    silent = sum(one.is_silent for one in found.workers)
    if silent:
        return f"{silent} fell silent; what {'it' if silent == 1 else 'they'} held goes to others when its lease ends."
    return "Nothing waits." if found.computing else "Jobs that are asked for wait until one is started."


def _stats(found: Crew) -> list[dict[str, str]]:
    n = len(found.computing)
    stats = [{"name": "worker" if n == 1 else "workers", "value": str(n), "sub": f"{found.n_busy} busy"}]
    for queue in found.queues:
        serve = (
            "nobody serves it" if not queue.n_workers else f"{queue.n_workers} serve{'s' * (queue.n_workers == 1)} it"
        )
        oldest = f", the first for {duration(queue.oldest)}" if queue.oldest is not None else ""
        stats.append({"name": f"waiting for {queue.name}", "value": f"{queue.n_waiting:,}", "sub": serve + oldest})
    return stats


def _row(one: WorkerNow) -> dict[str, Any]:
    row = one.row
    state = _state(one)
    return {
        "name": one.name,
        "kind": _KINDS.get(row.kind, row.kind),
        "state": state,
        "status": {"silent": STATUS["stalled"], "busy": STATUS["running"]}.get(state, "on mute"),
        "queues": one.queues,
        "machine": _machine(one),
        "device": row.device_name or ("GPU, not used yet" if row.device.startswith("cuda") else row.device),
        "vram": _vram(one),
        "heard": f"{duration(one.age)} ago" if one.age >= 1 else "just now",
        "since": row.started_at,
        "is_old": one.is_old,
        "version": row.version,
        "doing": [_task(doing) for doing in one.doing],
        "counts": _counts(one),
        "is_sweeper": row.kind == SWEEPER,
    }


def _task(doing: Doing) -> dict[str, Any]:
    shard, job = doing.shard, doing.job
    return {
        "job": job,
        "what": _what(shard, job) if job else "",
        "done": f"{shard.n_done:,} of {shard.n_total:,} {shard.unit}" if shard.n_total > 1 else "",
        "n_done": shard.n_done,
        "n_total": max(shard.n_total, 1),
        "rate": f"{per_second(doing.rate)} {shard.unit}/s" if doing.rate else "",
        "since": duration(doing.seconds),
        "attempt": shard.attempt if shard.attempt > 1 else 0,
    }


def _what(shard: Shard, job: Job) -> str:
    """The shard's phase and name, once where one says the other."""
    if shard.name == job.name or shard.name.startswith(shard.phase):
        return shard.name if shard.name.startswith(shard.phase) else shard.phase
    return f"{shard.phase}, {shard.name}"


def _machine(one: WorkerNow) -> str:
    cores = f"{one.row.n_cores} core{'' if one.row.n_cores == 1 else 's'}" if one.row.n_cores else ""
    memory = f"{one.row.memory_bytes / 2**30:.0f} GiB" if one.row.memory_bytes else ""
    return ", ".join(filter(None, [cores, memory]))


def _vram(one: WorkerNow) -> dict[str, Any] | None:
    whole, used = one.row.vram_bytes, one.row.vram_used_bytes
    if not whole or used is None:
        return None
    text = f"{fixed(used / 2**30, 1)} of {fixed(whole / 2**30, 1)} GiB"
    return {"text": text, "used": round(used / 2**20), "whole": round(whole / 2**20)}


def _counts(one: WorkerNow) -> str:
    row = one.row
    failed = f", {row.n_failed:,} failed or lost" if row.n_failed else ""
    return f"{row.n_done:,} shard{'' if row.n_done == 1 else 's'} done{failed}"


def _wait(n: int) -> str:
    return "1 job waits" if n == 1 else f"{n:,} jobs wait"


def _jobs(n: int) -> str:
    return "1 job" if n == 1 else f"{n:,} jobs"

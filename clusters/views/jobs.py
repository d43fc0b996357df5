"""The list of jobs, one job live, and what people may ask of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from clusters.charts.chart import Chart
from clusters.charts.draw import draw
from clusters.htmx import render_page
from clusters.parameters import chosen, whole_number
from clusters.queries.access import User as Viewer
from clusters.queries.access import is_hidden_run, run_of, visible_jobs
from clusters.queries.experiments import visible_experiments
from clusters.queries.probe import probed_run
from clusters.services import jobs as services
from clusters.views import job_story as story
from clusters.views import jobs_workers, new_run, twins
from clusters.views.addresses import cluster_address, clusters_address
from clusters.views.errors import NotFound
from clusters.views.shown_settings import asked, shown_config, text_filter
from compute.jobs import queue
from compute.jobs.identity import shown
from compute.jobs.progress import Phase, Progress, progress_of
from compute.jobs.quotas import QuotaError
from compute.labs import LABS
from compute.models import Job, Shard

PAGE = 50
LOG_LINES = 8
CHART_SIZES = (((840, 150), " wideonly"), ((358, 150), " narrow"))
_STEERS = {"queued": ("cancel",), "running": ("cancel",), "stalled": ("take-over", "cancel")}
_STEERS |= {"failed": ("resume",), "cancelled": ("resume",)}
_SOONER = {
    Job.Priority.LOW: "Let all others go first",
    Job.Priority.NORMAL: "Normal priority",
    Job.Priority.HIGH: "Let it go first",
}
_BUTTONS = {"cancel": "Cancel", "take-over": "Take over now", "resume": "Resume"}


def get_job(request: HttpRequest, number: str) -> Job:
    key = whole_number(number)
    jobs = visible_jobs(request.user).select_related("requested_by")
    job = jobs.filter(pk=key).first() if key is not None else None
    if job is None:
        raise NotFound(
            f"There is no job {number[:20]}",
            advice="It may have been deleted, or be someone's own. The list of jobs shows those that you can see.",
            href=reverse("clusters:jobs"),
            text="All jobs",
        )
    return job


def may_steer(request: HttpRequest, job: Job) -> bool:
    user = request.user
    if not (user.is_authenticated and user.is_active):
        return False
    return user.is_staff or user.is_superuser or job.requested_by_id == user.pk


@require_safe
@never_cache
def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    before = whole_number(request.GET.get("before", ""))
    jobs = visible_jobs(request.user).select_related("requested_by").order_by("-pk").annotate(
        n_shards=Count("shards"), n_done=Count("shards", filter=Q(shards__state=Shard.State.SUCCEEDED))
    )  # fmt: skip
    rows = list((jobs.filter(pk__lt=before) if before else jobs)[: PAGE + 1])
    shown = rows[:PAGE]
    if twin:
        head = ("job", "name", "state", "shards", "shards done", "asked for", "by")
        table = [[j.pk, j.name, j.state, j.n_shards, j.n_done, j.created_at.isoformat(), _who(j)] for j in shown]
        payload = {"jobs": [dict(zip(head, row, strict=True)) for row in table]}
        return twins.answer(twin, name="jobs", payload=payload, head=head, rows=table)
    ctx = {
        "here": "jobs",
        "rows": [_entry(request, job) for job in shown],
        "n_open": sum(job.is_open for job in shown),
        "next_before": shown[-1].pk if len(rows) > PAGE else None,
        "may_start": request.user.has_perm("compute.add_job"),
        "crew": jobs_workers.summary(request.user),
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "jobs/list.html", ctx)


def _entry(request: HttpRequest, job: Job) -> dict[str, Any]:
    error = text_filter(request.user, job)(job.error)
    return {"job": job, "status": story.STATUS[job.state], "who": _who(job), "error": error}


@require_safe
@never_cache
def show(request: HttpRequest, number: str, twin: str | None = None) -> HttpResponseBase:
    """The whole page; while the job is open, its panel asks for itself every two seconds."""
    job = get_job(request, number)
    if not twin and (run := probed_run(request.user, job)):
        return redirect(f"{reverse('clusters:probe', args=[run.slug])}?job={job.pk}")
    progress = progress_of(job)
    chart = story.rate_chart(job, progress)
    run = None if job.kind in LABS else run_of(request.user, job)
    if twin:
        return twins.answer(
            twin,
            name=f"job-{job.pk}",
            payload=_payload(request.user, job, progress),
            charts=[chart] if chart else [],
            figure=request.GET.get("figure"),
        )
    ctx = {
        "here": "jobs",
        "job": job,
        "chart": chart,
        "drawings": _drawings(chart) if chart else [],
        "run_of_job": run,
        "experiment": visible_experiments(request.user).filter(job=job).first() if job.kind in LABS else None,
        "answered": _answered(job) if run else None,
        "no_run": _no_run(job) if not run else "",
        "buttons": _buttons(job, progress) if may_steer(request, job) else [],
        **_panel(request, job, progress),
        **_log(request, job),
        **twins.links_context(request, "json"),
    }
    return render_page(request, "jobs/show.html", ctx, fragment="jobs/_panel.html")


def _no_run(job: Job) -> str:
    """Why a job that is done leads to no run."""
    if job.kind in LABS or job.state != Job.State.SUCCEEDED:
        return ""
    return story.no_run(is_hidden=is_hidden_run(job))


def _panel(request: HttpRequest, job: Job, progress: Progress) -> dict[str, Any]:
    return {
        "is_open": job.is_open,
        "status": story.STATUS[progress.state],
        "status_text": story.status_text(job, progress),
        "title": story.title(job, progress),
        "lede": text_filter(request.user, job)(story.lede(job, progress)),
        "who": _who(job),
        "asked_at": job.created_at,
        "stats": story.stats(job, progress),
        "phases": story.phase_rows(job, progress),
        "priority": _priority(request, job),
        "n_tries": f"Attempt {progress.attempt} of {job.max_attempts}",
        "worker": shown(progress.worker),
        "asked": _asked(request.user, job),
    }


def _priority(request: HttpRequest, job: Job) -> dict[str, Any]:
    """What it is, in which queue, and to what this person may change it."""
    changes = [{"value": one.label, "text": _SOONER[one]} for one in services.changes_of(request.user, job)]
    return {"label": job.get_priority_display(), "queue": job.queue, "changes": changes}


def _asked(user: Viewer, job: Job) -> list[tuple[str, str]]:
    if job.kind != "qdg":  # a few plain words and numbers
        return [("kind", job.kind), *((name, _plain(value)) for name, value in shown_config(user, job).items())]
    rows = asked(job.config)
    if job.state != Job.State.SUCCEEDED:
        rows.append(("resumes from", "the last whole shard" if job.workspace else "the beginning"))
    return rows


def _answered(job: Job) -> dict[str, str] | None:
    """Where a language model's label is, once it is there; of several, their list."""
    if job.kind != "suggest" or job.state != Job.State.SUCCEEDED:
        return None
    asked_of = job.config
    place = (asked_of["run"], asked_of["k"])
    if len(asked_of["clusters"]) > 1:
        return {"href": clusters_address(*place, asked_of["affinity"]), "text": "Open the clusters"}
    label = asked_of["clusters"][0]
    href = cluster_address(*place, label, asked_of["affinity"])
    return {"href": f"{href}#h-suggested", "text": f"Open cluster {label}"}


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _log(request: HttpRequest, job: Job) -> dict[str, Any]:
    lines = job.log_lines.order_by("-pk")
    is_whole = request.GET.get("log") == "all"
    shown = list(lines if is_whole else lines[:LOG_LINES])[::-1]
    clean = text_filter(request.user, job)
    for line in shown:
        line.message = clean(line.message)
    return {"lines": shown, "n_lines": lines.count(), "is_whole_log": is_whole}


def _drawings(chart: Chart) -> list[dict[str, Any]]:
    """The figure without its downloads: those stand still, and an open job's panel does not."""
    drawn = [(draw(chart, size), css) for size, css in CHART_SIZES]
    return [{"css": css, "width": one.width, "height": one.height, "marks": one.marks} for one, css in drawn]


def _buttons(job: Job, progress: Progress) -> list[dict[str, str]]:
    names = () if job.cancel_requested_at and job.is_open else _STEERS.get(progress.state, ())
    texts = _BUTTONS | ({"cancel": "Cancel, keep what is done"} if progress.state == "running" else {})
    return [{"href": reverse(f"clusters:job-{name}", args=[job.pk]), "text": texts[name]} for name in names]


def _who(job: Job) -> str:
    return job.requested_by.get_username() if job.requested_by else ""


def _payload(user: Viewer, job: Job, progress: Progress) -> dict[str, Any]:
    clean = text_filter(user, job)
    return {
        "job": {
            "id": job.pk,
            "name": job.name,
            "kind": job.kind,
            "state": progress.state,
            "error": clean(job.error),
            "asked_at": job.created_at.isoformat(),
            "asked_by": _who(job),
            "started_at": job.started_at.isoformat() if job.started_at else None,
            "finished_at": job.finished_at.isoformat() if job.finished_at else None,
            "queue": job.queue,
            "priority": job.get_priority_display(),
            "attempt": progress.attempt,
            "max_attempts": job.max_attempts,
            "bundle_sha256": job.bundle_sha256,
            "config": shown_config(user, job),
        },
        "phase": progress.current.name if progress.current else None,
        "phases": [_phase_payload(phase) for phase in progress.phases],
        "shards_done": progress.n_shards_done,
        "shards": len(progress.shards),
        "rate_per_second": progress.rate,
        "recent_rate_per_second": progress.recent_rate,
        "seconds_left_in_phase": progress.seconds_left,
        "heartbeat_age_seconds": progress.heartbeat_age,
        "log": [
            {"at": line.at.isoformat(), "level": line.level, "message": clean(line.message)}
            for line in job.log_lines.order_by("-pk")[:100]
        ],
    }


def _phase_payload(phase: Phase) -> dict[str, Any]:
    return {
        "name": phase.name,
        "done": phase.n_done,
        "total": phase.n_total,
        "total_is_a_guess": phase.is_guess,
        "unit": phase.unit,
        "is_done": phase.is_done,
        "seconds": round(phase.seconds, 3),
    }


def _steer(request: HttpRequest, number: str, act: Callable[..., Job], said: str) -> HttpResponse:
    if not request.user.is_authenticated:
        return redirect_to_login(reverse("clusters:job", args=[number]))  # this address itself cannot be opened
    job = get_job(request, number)
    if not may_steer(request, job):
        raise PermissionDenied(f"Only {_who(job) or 'an administrator'} or staff may do that to job {job.pk}.")
    try:
        act(job, request.user)
    except queue.JobStateError as error:
        messages.warning(request, str(error))
    except QuotaError as error:
        messages.warning(request, error.sentence)
    else:
        messages.success(request, said)
    return redirect("clusters:job", job.pk)


@require_POST
def cancel(request: HttpRequest, number: str) -> HttpResponse:
    return _steer(request, number, queue.cancel, "The job is being cancelled. What is done is kept.")


@require_POST
def resume(request: HttpRequest, number: str) -> HttpResponse:
    return _steer(request, number, services.resume, "The job is queued again and goes on from what is done.")


@require_POST
def take_over(request: HttpRequest, number: str) -> HttpResponse:
    return _steer(request, number, queue.take_over, "The shard is free; the next worker takes it.")


@require_POST
def prioritise(request: HttpRequest, number: str) -> HttpResponse:
    """Let an open job come sooner or later: its requester may lower it, administrators choose."""
    if not request.user.is_authenticated:
        return redirect_to_login(reverse("clusters:job", args=[number]))
    job = get_job(request, number)
    named = {one.label: one.value for one in Job.Priority}
    try:
        asked = named[chosen(request.POST, "priority", list(named), "normal")]
        services.prioritise(request.user, job, asked)
    except queue.JobStateError as error:
        messages.warning(request, str(error))
    else:
        messages.success(request, f"Job {job.pk} has priority {Job.Priority(asked).label} from its next shard on.")
    return redirect("clusters:job", job.pk)


job_urls: list[URLPattern] = [
    path("runs/new/", new_run.new, name="run-new"),
    *twins.page("jobs", index, "jobs"),
    *twins.page("jobs/workers", jobs_workers.show, "workers"),
    *twins.page("jobs/<str:number>", show, "job"),
    path("jobs/<str:number>/cancel/", cancel, name="job-cancel"),
    path("jobs/<str:number>/resume/", resume, name="job-resume"),
    path("jobs/<str:number>/take-over/", take_over, name="job-take-over"),
    path("jobs/<str:number>/prioritise/", prioritise, name="job-prioritise"),
]

"""The laboratory: what it offers, and what every lab's pages share: lists, starts, progress, changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from clusters.htmx import render_page
from clusters.models import Experiment
from clusters.models.experiments import PAGES
from clusters.queries.access import may_start_jobs
from clusters.queries.experiments import get_experiment, may_manage_experiment, visible_experiments
from clusters.services import experiments as services
from clusters.services.jobs import NOT_RUNNER
from clusters.views import job_story as story
from clusters.views.twins import answer, links_context, page
from compute.errors import ConfigError
from compute.jobs.progress import progress_of
from compute.jobs.quotas import QuotaError
from compute.labs import LABS
from compute.labs.settings import LabConfig

MOST = 50
HEAD = ("experiment", "name", "kind", "preset", "state", "owner", "created_at", "finished_at")
# route, title, what it is for, and which kinds of experiments it holds
_LABS = (
    ("theory", "The Quantization Model", "Turn α, K and the resources, and see how loss scales.", ""),
    ("parity-lab", "Multitask sparse parity", "Parities of Zipf frequencies: quanta that are known.", "parity"),
    ("qdg-bias-lab", "How far QDG can be trusted", "Clustering where the truth is known.", "qdg-bias"),
    ("grokking-lab", "Grokking", "Modular addition, memorised early and understood late.", "grokking"),
    ("curve-paste", "Curves of your own", "Paste losses over scale: scores, class and laws.", ""),
    ("exponents", "Exponents across studies", "What others measured, beside what was measured here.", ""),
)  # fmt: skip
_NAMES = {"parity": "Sparse parity", "qdg-bias": "QDG’s bias", "grokking": "Grokking"}  # in a trail
_UNSET = {"fit_from": "chosen here", "fit_to": "chosen here", "samples": "new batches"}  # what None stands for
_STATUS = {"": ("half", "not finished"), "succeeded": ("on", "finished")}


@require_safe
def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """Every lab, and the experiments that this person can see."""
    found = list(visible_experiments(request.user)[:MOST])
    if twin:
        return answer_list(twin, "experiments", found)
    ctx = {
        "here": "labs",
        "experiments": [shown(one) for one in found],
        "labs": [
            {
                "href": reverse(f"clusters:{route}"),
                "title": title,
                "text": text,
                "n": sum(PAGES[one.kind] == place for one in found),
            }
            for route, title, text, place in _LABS
            if _is_there(route)
        ],
        **links_context(request, "json", "csv"),
    }
    return render_page(request, "labs/index.html", ctx)


def _is_there(route: str) -> bool:
    try:
        reverse(f"clusters:{route}")
    except NoReverseMatch:
        return False
    return True


def answer_list(
    twin: str, name: str, found: Iterable[Experiment], kinds: Sequence[str] = (),
    *, payload: Mapping[str, Any] | None = None, **more: Any,
) -> HttpResponseBase:  # fmt: skip
    """A list of experiments and the presets of these kinds, with what else a page holds, as JSON or CSV."""
    rows = [list(entry(one).values()) for one in found]
    told: dict[str, Any] = {"experiments": [dict(zip(HEAD, row, strict=True)) for row in rows]}
    if kinds:
        told["presets"] = [
            {"kind": kind, "preset": one.key, "title": one.title, "needs_gpu": one.needs_gpu,
             "config": one.config.to_json()}
            for kind in kinds
            for one in LABS[kind].presets
        ]  # fmt: skip
    return answer(twin, name=name, payload=told | dict(payload or {}), head=HEAD, rows=rows, **more)


def entry(one: Experiment) -> dict[str, Any]:
    """An experiment's row of a table."""
    owner = one.owner.get_username() if one.owner else None
    finished = one.finished_at.isoformat() if one.finished_at else None
    values = (one.slug, one.name, one.kind, one.preset, state_of(one), owner, one.created_at.isoformat(), finished)
    return dict(zip(HEAD, values, strict=True))


def state_of(one: Experiment) -> str:
    """succeeded, or its job's state; empty where its job was deleted before it was done."""
    return "succeeded" if one.is_finished else (one.job.state if one.job else "")


def shown(one: Experiment) -> dict[str, Any]:
    """An experiment as lists show it."""
    state = state_of(one)
    css, text = _STATUS.get(state) or (story.STATUS[state], state)
    return {"row": one, "status": css, "status_text": text, "is_open": bool(one.job and one.job.is_open)}


def lab_context(
    request: HttpRequest, kinds: Sequence[str], *, problems: dict[str, str] | None = None
) -> dict[str, Any]:
    """What "labs/_start.html" and "labs/_list.html" show: presets, and the experiments of these kinds."""
    return {
        "here": "labs",
        "presets": [(kind, preset) for kind in kinds for preset in LABS[kind].presets],
        "experiments": [shown(one) for one in visible_experiments(request.user, kinds)[:MOST]],
        "may_start": may_start_jobs(request.user),
        "why_not": NOT_RUNNER,
        "problems": problems or {},
    }


def start_preset(request: HttpRequest, kinds: Sequence[str]) -> HttpResponse:
    """Answer a POST that names `kind` and `preset`: start it and go to its page."""
    kind = request.POST.get("kind", kinds[0])
    preset = LABS[kind].preset(request.POST.get("preset", "")) if kind in kinds else None
    if preset is None:
        raise BadRequest(f"kind must be one of {', '.join(kinds)}, and preset one that the page offers.")
    name = request.POST.get("name") or preset.title
    return start(request, kind, lambda: preset.config, name=name, preset=preset.key)


def start(
    request: HttpRequest, kind: str, read: Callable[[], LabConfig], *, name: str, preset: str = ""
) -> HttpResponse:
    """Start an experiment and go to its page; what stands against it is said where it was asked for."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    try:
        made = services.start_experiment(
            request.user, kind, read(), name=name, preset=preset, is_private="is_private" in request.POST
        )
    except (ConfigError, QuotaError, ValidationError) as error:
        sentence = error.messages[0] if isinstance(error, ValidationError) else str(error)
        messages.error(request, sentence)
        return redirect(request.get_full_path())
    messages.success(request, f"“{made.name}” waits for a worker; this page shows how far it is.")
    return redirect(made)


def experiment_context(request: HttpRequest, experiment: Experiment) -> dict[str, Any]:
    """What "labs/_trail.html", "labs/open.html", "_progress.html" and "_manage.html" beside them show."""
    return {
        "here": "labs",
        "experiment": experiment,
        "shown": shown(experiment),
        "lab": LABS[experiment.kind],
        "lab_name": _NAMES[PAGES[experiment.kind]],
        "lab_href": reverse(f"clusters:{PAGES[experiment.kind]}-lab"),
        "like_href": like_href(experiment.kind, experiment.slug),
        "beyond": [
            {"href": like_href(experiment.kind, one.key), "title": one.title}
            for one in LABS[experiment.kind].presets
            if one.needs_gpu
        ],
        "settings": listed(experiment.config),
        "may_manage": may_manage_experiment(request.user, experiment),
        **progress_context(experiment),
    }


def like_href(kind: str, name: str) -> str:
    """The lab's form, filled from a preset or an experiment."""
    page = PAGES[kind]
    own = (
        f"kind={kind}&like={name}#own-{kind}" if sum(one == page for one in PAGES.values()) > 1 else f"like={name}#own"
    )
    return f"{reverse(f'clusters:{page}-lab')}?{own}"


def listed(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings in the order of their names, as people read them."""
    return [(name.removeprefix("is_").replace("_", " "), _asked(name, value)) for name, value in sorted(config.items())]


def _asked(setting: str, value: Any) -> str:
    """A setting as people read it; what stands for none is another thing for each."""
    if isinstance(value, list):
        return ", ".join(_asked(setting, one) for one in value) or "none"
    return _UNSET.get(setting, "none") if value is None else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and value >= 10_000:
        return f"{value:,}"
    return str(value).removesuffix(".0")


def progress_context(experiment: Experiment) -> dict[str, Any]:
    """How far an unfinished experiment's job is."""
    job = experiment.job
    if experiment.is_finished or job is None:
        return {"job": None}
    progress = progress_of(job)
    return {
        "job": job,
        "is_open": job.is_open,
        "job_status": story.STATUS[progress.state],
        "job_title": story.title(job, progress),
        "job_lede": story.lede(job, progress),
        "job_phases": [
            {"name": one.name, "text": story.done_of(one), "is_done": one.is_done} for one in progress.phases
        ],
        "may_resume": job.state in ("failed", "cancelled"),
    }


@require_safe
@never_cache
def progress(request: HttpRequest, slug: str) -> HttpResponse:
    """The fragment that an unfinished experiment's page asks for every two seconds; the whole page once it is done."""
    experiment = get_experiment(request.user, slug)
    if experiment.is_finished:
        response = HttpResponse(status=204)
        response["HX-Refresh"] = "true"
        return response
    return render(request, "labs/_progress.html", {"experiment": experiment, **progress_context(experiment)})


@require_POST
def change(request: HttpRequest, slug: str) -> HttpResponse:
    """Rename, hide, show or delete an experiment."""
    experiment = get_experiment(request.user, slug)
    if not request.user.is_authenticated:
        raise PermissionDenied("Sign in to change an experiment.")
    action = request.POST.get("action", "")
    try:
        if action == "rename":
            services.rename_experiment(request.user, experiment, request.POST.get("name", ""))
        elif action in ("hide", "publish"):
            services.set_private(request.user, experiment, action == "hide")
        elif action == "delete":
            services.delete_experiment(request.user, experiment)
            messages.success(request, f"“{experiment.name}” is deleted.")
            return redirect(f"clusters:{PAGES[experiment.kind]}-lab")
        else:
            raise BadRequest("action must be one of rename, hide, publish, delete.")
    except ValidationError as error:
        messages.error(request, error.messages[0])
    return redirect(experiment)


lab_urls: list[URLPattern] = [
    *page("labs", index, "labs"),
    path("labs/experiments/<slug:slug>/progress/", progress, name="experiment-progress"),
    path("labs/experiments/<slug:slug>/change/", change, name="experiment-change"),
]

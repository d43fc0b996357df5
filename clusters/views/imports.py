"""What people bring: a form for each kind, what came of it, and the dry run of labels."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from clusters.forms.imports import IMPORT_FORMS, ImportForm, wanted_from
from clusters.forms.label_file import COLUMNS, MAX_ROWS
from clusters.htmx import render_page
from clusters.models import Import, Run
from clusters.parameters import changed, chosen, page_number, whole_number
from clusters.queries.access import may_adjudicate, may_label, may_start_jobs, visible_runs
from clusters.queries.imports import folder_of, problem_of, state_of, visible_imports
from clusters.services import imports as services
from clusters.services.import_labels import ACTIONS, Plan, PlanChangedError, Wanted, apply_plan, plan_of
from clusters.uploads import refusal_of
from clusters.views import twins
from clusters.views.errors import NotFound
from compute.errors import ComputeError

HEAD = ("import", "kind", "file", "state", "run", "job", "by", "at", "problem")
STEP_HEAD = ("line", "action", "run", "affinity", "k", "cluster", "version", "differences", "reason")
SHOWN, MOST_RUNS, STEPS = 50, 200, 50
KINDS = (
    (Import.Kind.BUNDLE, "A bundle", "A run computed elsewhere, or exported whole."),
    (Import.Kind.PUBLISHED, "Published clusters", "The paper’s own, as files of labels and contexts."),
    (Import.Kind.LABELS, "Labels", "Names and tags from a table; looked at before they are written."),
)
STATUS = {"waiting": "mute", "running": "half act", "done": "on good", "refused": "square bad", "cancelled": "mute",
          "dry run": "half act"}  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """The forms, and the history."""
    found = list(visible_imports(request.user)[:SHOWN])
    if twin:
        rows = [_row(request, one) for one in found]
        payload = {"imports": [dict(zip(HEAD, row, strict=True)) for row in rows]}
        return twins.answer(twin, name="imports", payload=payload, head=HEAD, rows=rows)
    kinds = _kinds_for(request)
    kind = chosen(request.GET, "kind", list(IMPORT_FORMS), kinds[0][0] if kinds else Import.Kind.BUNDLE)
    form = _form(request, kind) if any(kind == key for key, *_ in kinds) else None
    if request.method == "POST":
        if form is None:
            raise PermissionDenied(services.NOT_LABELER if kind == Import.Kind.LABELS else services.NOT_RUNNER)
        if form.is_valid() and (one := _started(request, form)):
            return redirect(one)
    ctx = {
        "here": "imports",
        "kind": kind,
        "kinds": [{"key": key, "text": text, "note": note} for key, text, note in kinds],
        "form": form,
        "entries": [_entry(request, one) for one in found],
        "columns": COLUMNS,
        "max_rows": MAX_ROWS,
        "limit": settings.UPLOAD_BYTES,
        **twins.links_context(request, "json", "csv"),
    }
    return render(request, "imports/list.html", ctx, status=422 if form is not None and form.is_bound else 200)


@require_safe
@never_cache
@login_required
def show(request: HttpRequest, number: str, twin: str | None = None) -> HttpResponseBase:
    """What came of one import; of labels that wait, what they would change."""
    one = _get(request, number)
    if one.kind == Import.Kind.LABELS and not one.done_at:
        return _dry_run(request, one, twin)
    row = dict(zip(HEAD, _row(request, one), strict=True))
    if twin:
        return twins.answer(twin, name=f"import-{one.pk}", payload={"import": row | {"result": one.result}})
    ctx = {
        "here": "imports",
        "entry": _entry(request, one),
        "import": one,
        "has_labels": bool(one.result.get("has_labels")) and (folder_of(one) / services.SENT).is_file(),
        "may_label": may_label(request.user),
        "is_open": one.job is not None and one.job.is_open,
        **twins.links_context(request, "json"),
    }
    return render_page(request, "imports/show.html", ctx, fragment="imports/_state.html")


@require_POST
@login_required
def apply(request: HttpRequest, number: str) -> HttpResponse:
    """Write what the dry run showed; where it would not be the same any more, show it again."""
    one = _get(request, number)
    wanted = Wanted(**wanted_from(request.POST, one.asked))
    address = f"{one.get_absolute_url()}?{_query(wanted)}"
    try:
        result = apply_plan(request.user, one, wanted, request.POST.get("fingerprint", ""))
    except PlanChangedError as error:
        messages.warning(request, str(error))
        return redirect(address)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect(address)
    n = result["new"] + result["changed"]
    messages.success(request, f"{n:,} label{'' if n == 1 else 's'} {'was' if n == 1 else 'were'} written.")
    return redirect(one)


@require_POST
@login_required
def delete(request: HttpRequest, number: str) -> HttpResponse:
    """Forget a file of labels that was looked at."""
    one = _get(request, number)
    try:
        services.delete_dry_run(request.user, one)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect(one)
    messages.success(request, f"“{one.file_name}” is deleted; none of its labels was written.")
    return redirect("clusters:imports")


@require_POST
@login_required
def labels(request: HttpRequest, number: str) -> HttpResponse:
    """Look at the labels that came beside a bundle."""
    try:
        return redirect(services.labels_that_came(request.user, _get(request, number)))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("clusters:import", number)


def _get(request: HttpRequest, number: str) -> Import:
    key = whole_number(number)
    one = visible_imports(request.user).filter(pk=key).first() if key is not None else None
    if one is None:
        raise NotFound(
            f"There is no import {number[:20]}",
            advice="It may be someone else’s. The list shows those that are yours.",
            href=reverse("clusters:imports"),
            text="All imports",
        )
    return one


def _kinds_for(request: HttpRequest) -> list[tuple[str, str, str]]:
    """The kinds that this person may bring."""
    runner, labeler = may_start_jobs(request.user), may_label(request.user)
    return [kind for kind in KINDS if (labeler if kind[0] == Import.Kind.LABELS else runner)]


def _form(request: HttpRequest, kind: str) -> ImportForm:
    is_sent = request.method == "POST"
    data, files = (
        (request.POST, request.FILES) if is_sent else (None, None)
    )  # what came is read here, and may be refused
    options: dict[str, Any] = {"refusal": refusal_of(request)}
    if kind == Import.Kind.LABELS:
        runs = list(visible_runs(request.user).filter(archived_at=None).only("slug", "name")[:MOST_RUNS])
        options |= {"runs": runs, "may_adjudicate": may_adjudicate(request.user)}
    return IMPORT_FORMS[kind](data, files, **options)


def _started(request: HttpRequest, form: ImportForm) -> Import | None:
    """The import that the form asks for; None where it is refused, with the reason in the form."""
    values = form.cleaned_data
    common = {name: values[name] for name in ("name", "is_private") if name in values}
    try:
        if form.kind == Import.Kind.BUNDLE:
            return services.start_bundle(request.user, file=values["file"], path=values["path"], **common)
        if form.kind == Import.Kind.PUBLISHED:
            files = {name: values[name] for name in ("labels", "contexts")}
            return services.start_published(request.user, **files, **common)
        asked = {"run": values["run"], "author": "", "as_agreed": values.get("as_agreed", False)}
        return services.start_labels(request.user, file=values["file"], asked=asked)[0]
    except ValidationError as error:
        form.add_error(None, error)
    except ComputeError as error:
        form.add_error(None, str(error))
    return None


# ── the dry run of labels ──


def _dry_run(request: HttpRequest, one: Import, twin: str | None) -> HttpResponseBase:
    wanted = Wanted(**wanted_from(request.GET, one.asked))
    action = chosen(request.GET, "show", ["all", *ACTIONS], "all")
    try:
        plan = plan_of(request.user, one, wanted)
    except ValidationError as error:
        raise NotFound(" ".join(error.messages).removesuffix("."), href=reverse("clusters:imports")) from None
    steps = plan.steps if action == "all" else plan.of(action)
    if twin:
        rows = [_step_row(step) for step in steps]
        payload = {"counts": plan.counts, "fingerprint": plan.fingerprint, "unknown_tags": plan.unknown_tags,
                   "steps": [dict(zip(STEP_HEAD, row, strict=True)) for row in rows]}  # fmt: skip
        return twins.answer(twin, name=f"import-{one.pk}", payload=payload, head=STEP_HEAD, rows=rows)
    page = page_number(request.GET)
    ctx = {
        "here": "imports",
        "import": one,
        "plan": plan,
        "wanted": wanted,
        "steps": steps[(page - 1) * STEPS : page * STEPS],
        "n_steps": len(steps),
        "choices": _choices(request, plan, action),
        "runs": Run.objects.none()
        if _names_runs(plan)
        else visible_runs(request.user).only("slug", "name")[:MOST_RUNS],
        "n_written": plan.counts["new"] + (0 if wanted.only_new else plan.counts["changed"]),
        "may_adjudicate": may_adjudicate(request.user),
        "earlier": changed(request.path, request.GET, page=page - 1) if page > 1 else "",
        "later": changed(request.path, request.GET, page=page + 1) if len(steps) > page * STEPS else "",
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "imports/dry_run.html", ctx)


def _names_runs(plan: Plan) -> bool:
    return bool(plan.steps) and all("names no run" not in step.reason for step in plan.steps)


def _choices(request: HttpRequest, plan: Plan, action: str) -> list[dict[str, Any]]:
    counts = {"all": len(plan.steps), **plan.counts}
    return [
        {
            "name": name,
            "n": n,
            "is_on": name == action,
            "href": changed(request.path, request.GET, show=None if name == "all" else name, page=None),
        }
        for name, n in counts.items()
    ]


def _query(wanted: Wanted) -> str:
    texts = {name: value for name, value in vars(wanted).items() if isinstance(value, str)}
    on = {name: "on" for name, value in vars(wanted).items() if value is True}
    return urlencode({"set": "1", **texts, **on})


def _step_row(step: Any) -> list[Any]:
    clustering = step.cluster.clustering if step.cluster else None
    place = [clustering.run.slug, clustering.affinity, clustering.k, step.cluster.label] if clustering else [None] * 4
    told = "; ".join(f"{one.name}: {one.was!r} → {one.becomes!r}" for one in step.differences)
    return [step.line, step.action, *place, step.version, told, step.reason]


# ── the list ──


def _entry(request: HttpRequest, one: Import) -> dict[str, Any]:
    state = state_of(one)
    return {"one": one, "state": state, "status": STATUS[state], "run": _run(request, one), "problem": problem_of(one)}


def _run(request: HttpRequest, one: Import) -> Run | None:
    """The import's run, if this person may see it: the same bundle may have been there, and be someone's own."""
    run = one.run
    if run is None or not run.is_private or visible_runs(request.user).filter(pk=run.pk).exists():
        return run
    return None


def _row(request: HttpRequest, one: Import) -> list[Any]:
    run = _run(request, one)
    return [
        one.pk, one.kind, one.file_name, state_of(one), run.slug if run else None, one.job_id,
        one.owner.get_username() if one.owner else "", one.created_at.isoformat(), problem_of(one),
    ]  # fmt: skip


import_urls: list[URLPattern] = [
    *twins.page("imports", index, "imports"),
    *twins.page("imports/<str:number>", show, "import"),
    path("imports/<str:number>/apply/", apply, name="import-apply"),
    path("imports/<str:number>/delete/", delete, name="import-delete"),
    path("imports/<str:number>/labels/", labels, name="import-labels"),
]

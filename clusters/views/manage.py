"""One run's own settings: its name, who sees it, whether it is kept."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from clusters.charts.numbers import bytes_text
from clusters.models import Run
from clusters.queries.access import may_manage
from clusters.queries.people import written_about
from clusters.services import runs as services
from clusters.services.bundles import deletable_folder, folder_bytes
from clusters.views.runs import get_run
from compute.errors import StorageError


@require_http_methods(["GET", "HEAD", "POST"])
def manage(request: HttpRequest, slug: str) -> HttpResponse:
    run = get_run(request, slug)
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    if not may_manage(request.user, run):
        raise PermissionDenied(f"Only its owner or an administrator may change the run “{run.name}”.")
    if request.method != "POST":
        return _page(request, run)
    action = _ACTIONS.get(request.POST.get("action", ""))
    if action is None:
        raise BadRequest(f"action must be one of {', '.join(_ACTIONS)}.")
    return action(request, run)


def _page(request: HttpRequest, run: Run, *, problems: dict[str, str] | None = None) -> HttpResponse:
    folder = deletable_folder(run)
    context = {
        "run": run,
        "here": "manage",
        "problems": problems or {},
        "typed": request.POST,
        "frees_bytes": folder_bytes(folder) if folder else 0,
        "frees_after_days": settings.KEEP_DELETED_DAYS,
        "max_name": services.MAX_NAME,
        "readers": run.readers.order_by("username"),
        "written": written_about(run),
    }
    return render(request, "runs/manage.html", context, status=422 if problems else 200)


def _rename(request: HttpRequest, run: Run) -> HttpResponse:
    before = run.name
    try:
        services.rename_run(request.user, run, request.POST.get("name", ""))
    except ValidationError as error:
        return _page(request, run, problems={"name": error.messages[0]})
    messages.success(request, f"“{before}” is now called “{run.name}”. Its address stays as it was.")
    return redirect("clusters:run-manage", run.slug)


def _archive(request: HttpRequest, run: Run) -> HttpResponse:
    services.archive_run(request.user, run)
    messages.success(request, "The run is archived: out of the list, but nothing of it is lost.")
    return redirect("clusters:run-manage", run.slug)


def _unarchive(request: HttpRequest, run: Run) -> HttpResponse:
    services.unarchive_run(request.user, run)
    messages.success(request, "The run is back in the list.")
    return redirect("clusters:run-manage", run.slug)


def _hide(request: HttpRequest, run: Run) -> HttpResponse:
    services.set_private(request.user, run, True)
    messages.success(request, "The run is private: to everyone else it does not exist.")
    return redirect("clusters:run-manage", run.slug)


def _publish(request: HttpRequest, run: Run) -> HttpResponse:
    services.set_private(request.user, run, False)
    messages.success(request, "Everyone who reaches this site can see the run.")
    return redirect("clusters:run-manage", run.slug)


def _share(request: HttpRequest, run: Run) -> HttpResponse:
    try:
        person = services.add_reader(request.user, run, request.POST.get("reader", ""))
    except ValidationError as error:
        return _page(request, run, problems={"reader": error.messages[0]})
    messages.success(request, f"{person.get_username()} sees the run from now on.")
    return redirect("clusters:run-manage", run.slug)


def _unshare(request: HttpRequest, run: Run) -> HttpResponse:
    name = request.POST.get("reader", "")
    try:
        services.remove_reader(request.user, run, name)
    except ValidationError as error:
        return _page(request, run, problems={"reader": error.messages[0]})
    messages.success(request, f"{name} does not see the run any more.")
    return redirect("clusters:run-manage", run.slug)


def _delete(request: HttpRequest, run: Run) -> HttpResponse:
    if request.POST.get("confirm", "").strip() != run.name:
        return _page(request, run, problems={"confirm": f"Type the name exactly, {run.name}, to delete the run."})
    try:
        n_bytes = services.delete_run(request.user, run)
    except StorageError as error:
        return _page(request, run, problems={"confirm": str(error)})
    freed = f", and {bytes_text(n_bytes)} of disk are free again" if n_bytes else ""
    messages.success(request, f"“{run.name}” is deleted{freed}.")
    return redirect("clusters:runs")


_ACTIONS: dict[str, Callable[[HttpRequest, Run], HttpResponse]] = {
    "rename": _rename,
    "archive": _archive,
    "unarchive": _unarchive,
    "hide": _hide,
    "publish": _publish,
    "share": _share,
    "unshare": _unshare,
    "delete": _delete,
}

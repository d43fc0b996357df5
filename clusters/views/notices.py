"""What a person is told."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User as Person
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from clusters.parameters import whole_number
from clusters.queries.notices import notices_of
from clusters.services import notices as services
from clusters.views.errors import NotFound


@never_cache
@login_required
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    rows, before = notices_of(cast(Person, request.user), whole_number(request.GET.get("before", "")))
    return render(request, "notices/list.html", {"here": "notices", "rows": rows, "before": before})


@login_required
@require_POST
def read(request: HttpRequest, number: str = "") -> HttpResponse:
    """Mark one notice as read, or all; what was read already stays so."""
    person = cast(Person, request.user)
    key = whole_number(number) if number else None
    if number and (key is None or not person.notices.filter(pk=key).exists()):
        raise NotFound("There is no such notice", href="/notices/", text="Your notices")
    n_read = services.mark_read(person, key)
    if not number:
        messages.success(request, f"{n_read} marked as read." if n_read else "All of them were read already.")
    return redirect("clusters:notices")


notice_urls: list[URLPattern] = [
    path("notices/", index, name="notices"),
    path("notices/read/", read, name="notices-read"),
    path("notices/<str:number>/read/", read, name="notice-read"),
]

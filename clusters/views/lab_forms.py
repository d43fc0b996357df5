"""An experiment with settings of one's own: what fills a lab's form, and what is done with a form that was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from clusters.forms.lab import LabForm
from clusters.queries.experiments import get_experiment
from clusters.services.experiments import start_experiment
from compute.errors import ConfigError
from compute.jobs.quotas import QuotaError
from compute.labs import LABS
from compute.labs.settings import LabConfig


def start_own(request: HttpRequest, kind: str, form: LabForm, page: Callable[[int], HttpResponse]) -> HttpResponse:
    """Start what a valid form asks for and go to its page; else the lab's page again, with the status given to it."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    if not form.is_valid():
        return page(422)
    values = form.cleaned_data
    try:
        made = start_experiment(request.user, kind, form.config, name=values["name"], is_private=values["is_private"])
    except (QuotaError, ValidationError) as error:
        form.add_error(None, error.messages[0] if isinstance(error, ValidationError) else str(error))
        return page(409)
    messages.success(request, f"“{made.name}” waits for a worker; this page shows how far it is.")
    return redirect(made)


def filled(request: HttpRequest, kind: str, form: type[LabForm]) -> dict[str, Any]:
    """The fields as a preset (the first one, or `?like=`), an earlier experiment, or the address itself fills them."""
    like = request.GET.get("like", "")
    config = _like(request, kind, like) if like else LABS[kind].presets[0].config
    named = {name: str(request.GET[name]) for name in form.base_fields if name in request.GET}
    return form.initial_of(config) | {"name": f"{config.name}-2"[:80] if like else ""} | named


def _like(request: HttpRequest, kind: str, like: str) -> LabConfig:
    """Settings of a preset, or of an experiment that this person may see; the first preset's for an older form's."""
    lab = LABS[kind]
    if preset := lab.preset(like):
        return preset.config
    experiment = get_experiment(request.user, like, [kind])
    try:
        return lab.read(experiment.config)
    except ConfigError:
        return lab.presets[0].config

"""What a run will cost, before it starts: the panel beside its form."""

from __future__ import annotations

import shutil
from typing import Any

from django.conf import settings

from clusters.charts.numbers import bytes_text
from clusters.forms.run import RunForm
from clusters.models import RegisteredCorpus
from compute.config import RunConfig
from compute.errors import ComputeError
from compute.estimate import Estimate, estimate

BYTES_PER_TOKEN = 4.0  # of text, in tokenizers of some ten thousand tokens
MOST_UNKNOWN = 5  # sentences about what is not known that the panel shows
_DEVICES = (("CPU", "cpu"), ("GPU", "cuda"))


def preflight(form: RunForm) -> dict[str, Any]:
    """Costs of the form as it stands; of one that nobody has touched, costs of what stands in it at first."""
    asked = form if form.is_bound else type(form)(form.initial, corpora=form.corpora)
    if not asked.is_valid():
        return {"problems": _problems(asked, is_touched=form.is_bound)}
    try:
        return _costs(asked)
    except ComputeError as error:
        return {"problems": [{"text": str(error), "label": "", "href": ""}]}


def _costs(asked: RunForm) -> dict[str, Any]:
    config: RunConfig = asked.cleaned_data["config"]
    corpus = asked.chosen_corpus
    known = _lengths(corpus) if corpus else {}
    costs = [(name, estimate(config, device=device, **known)) for name, device in _DEVICES]
    first = costs[0][1]
    return {
        "is_known": True,
        "totals": [{"device": name, "time": rough(cost.seconds)} for name, cost in costs],
        "devices": [name for name, _ in costs],
        "phases": _phases(costs),
        "facts": _facts(config, first),
        "mode_reason": asked.cleaned_data["mode_reason"],
        "shortage": _shortage(first),
        "unknown": first.unknown[:MOST_UNKNOWN],
        "n_more_unknown": max(len(first.unknown) - MOST_UNKNOWN, 0),
        "rates": [cost.rate for _, cost in costs],
    }


def _lengths(corpus: RegisteredCorpus) -> dict[str, Any]:
    """How much text there is, as far as it was counted."""
    n_documents, n_bytes = corpus.n_documents, corpus.n_bytes
    mean = n_bytes / n_documents / BYTES_PER_TOKEN if n_documents and n_bytes else None
    return {"n_documents": n_documents, "tokens_per_document": mean}


def rough(seconds: float) -> str:
    """A length of time to two digits, as exact as an estimate is."""
    if seconds < 60:
        return "< 1 min"
    if seconds < 5400:
        return f"{_two_digits(seconds / 60)} min"
    return f"{_two_digits(seconds / 3600)} h"


def _two_digits(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{float(f'{value:.2g}'):,.0f}"


def _phases(costs: list[tuple[str, Estimate]]) -> list[dict[str, Any]]:
    """Every phase, with what it takes on each device."""
    names = list(dict.fromkeys(phase.name for _, cost in costs for phase in cost.phases))
    by_name = [{phase.name: phase for phase in cost.phases} for _, cost in costs]
    return [
        {
            "name": name,
            "note": next((phases[name].note for phases in by_name if name in phases), ""),
            "times": [rough(phases[name].seconds) if name in phases else "" for phases in by_name],
        }
        for name in names
    ]


def _facts(config: RunConfig, cost: Estimate) -> list[dict[str, str]]:
    n = len(config.suite.checkpoints)
    rows = [
        ("checkpoints", f"{n:,}"),
        ("downloads", bytes_text(_round(cost.download_bytes)) if cost.download_bytes else "nothing"),
        ("disk", f"{bytes_text(_round(cost.disk_bytes))}, {bytes_text(_round(_free()))} free here"),
        ("memory", bytes_text(_round(cost.memory_bytes))),
    ]
    return [{"name": name, "value": value} for name, value in rows]


def _shortage(cost: Estimate) -> str:
    free = _free()
    if cost.disk_bytes <= free:
        return ""
    return (
        f"The run needs about {bytes_text(_round(cost.disk_bytes))} of disk, and {bytes_text(_round(free))} are free "
        "here. Make room, ask for less, or compare by sketches."
    )


def _free() -> int:
    return shutil.disk_usage(settings.DATA_DIR).free


def _round(n_bytes: float) -> int:
    return int(float(f"{n_bytes:.2g}"))


def _problems(form: RunForm, *, is_touched: bool) -> list[dict[str, str]]:
    """What has to be mended before the cost can be told, with where; what nobody has filled in yet is no mistake."""
    found = []
    for name, errors in form.errors.as_data().items():
        label, href = (str(form[name].label), f"#{form[name].auto_id}") if name in form.fields else ("", "")
        said = [error for error in errors if is_touched or error.code != "required"]
        found += [{"text": text, "label": label, "href": href} for error in said for text in error.messages]
    return found

"""A job's log: short lines for people, never corpus text, and never without end."""

from __future__ import annotations

from compute.models import LogLine

MAX_LINES = 500  # kept of each job; the oldest go first
_MAX_CHARACTERS = 500
_PRUNE_EVERY = 50


def write(job_id: int, message: str, *, level: str = "info") -> None:
    """Add one line; now and then drop what is beyond `MAX_LINES`."""
    text = " ".join(message.split())
    if len(text) > _MAX_CHARACTERS:
        text = text[: _MAX_CHARACTERS - 1] + "…"
    line = LogLine.objects.create(job_id=job_id, message=text, level=level)
    if line.pk % _PRUNE_EVERY == 0:
        prune(job_id)


def warn(job_id: int, message: str) -> None:
    write(job_id, message, level="warning")


def prune(job_id: int) -> None:
    lines = LogLine.objects.filter(job_id=job_id)
    newest = lines.order_by("-id").values_list("pk", flat=True)[MAX_LINES : MAX_LINES + 1]
    cut = next(iter(newest), None)
    if cut is not None:
        lines.filter(pk__lte=cut).delete()

"""A job in words: what its page says in each of its six states. The numbers are `compute.jobs.progress`'s."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from clusters.charts.chart import Chart, linear_axis, make_chart, make_series
from clusters.charts.numbers import fixed, short_hash
from compute.jobs.progress import Phase, Progress, last_seconds
from compute.jobs.sweep import KEEP
from compute.labs import LABS
from compute.models import Job

STATUS = {
    "queued": "mute",
    "running": "half act",
    "stalled": "tri warn",
    "failed": "square bad",
    "cancelled": "mute",
    "succeeded": "on good",
}
_BAR = {"stalled": "fwarn", "failed": "fbad", "cancelled": "fink3"}
_DOING = {
    "weights": "Fetching weights",
    "corpus": "Reading the corpus",
    "losses": "Computing losses",
    "curves": "Scoring token curves",
    "selection": "Selecting tokens",
    "gradients": "Computing gradients",
    "similarity": "Comparing gradients",
    "clustering": "Clustering",
    "map": "Laying out the maps",
    "bundle": "Writing the bundle",
    "train": "Training",
    "ingest": "Reading the bundle into the database",
    "import": "Reading in what was brought",
    "suggest": "Asking the language model",
}
_DONE = {
    "qdg": "The run is computed",
    "import": "The run is read in",
    "export": "The file is written",
    "suggest": "The language model has answered",
    **dict.fromkeys(LABS, "The experiment is done"),
}
_MIN_CHART_POINTS = 5
_MEASURED = ("MB",)  # units that a number makes no sense without


def duration(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 1:
        return "under 1 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, rest = divmod(round(whole / 60), 60)
    return f"{hours} h" + (f" {rest} min" if rest else "")


def about(seconds: float) -> str:
    """A length of time as roughly as it is known."""
    if seconds < 20:
        return "a few seconds"
    if seconds < 90:
        return "a minute" if seconds > 45 else "half a minute"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} minutes"
    return f"{fixed(seconds / 3600, 1)} hours"


def clock(seconds: float) -> str:
    """4:13, or 1:04:13."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def hour(moment: datetime | None) -> str:
    return f"{moment:%H:%M}" if moment else ""


def ago(now: datetime, moment: datetime | None) -> str:
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    return "just now" if seconds < 5 else f"{duration(seconds if seconds < 60 else seconds // 60 * 60)} ago"


def done_of(phase: Phase) -> str:
    """6,412 of 10,000; the total said to be about so many while it is a guess."""
    if phase.n_total <= phase.n_shards and phase.n_done == 0:  # nobody has counted yet
        return ""
    unit = f" {phase.unit}" if phase.unit in _MEASURED else ""
    return f"{phase.n_done:,} of {'about ' if phase.is_guess and phase.n_shards > 1 else ''}{phase.n_total:,}{unit}"


def title(job: Job, progress: Progress) -> str:
    phase, state = progress.current, progress.state
    if state == "succeeded":
        return _DONE.get(job.kind, "Done")
    if phase is None or state == "queued":
        return "Waiting for a worker" if not progress.n_ahead else f"Waiting, {_jobs(progress.n_ahead)} ahead"
    where = f"{phase.name}, {done_of(phase)}".rstrip(", ")
    if state == "running":
        return ", ".join(filter(None, [_DOING.get(phase.name, phase.name), done_of(phase)]))
    return {"stalled": f"Silent in {where}", "failed": f"Failed in {phase.name}"}.get(state, f"Cancelled in {where}")


def lede(job: Job, progress: Progress) -> str:
    return {
        "queued": _queued,
        "running": _running,
        "stalled": _stalled,
        "failed": _failed,
        "cancelled": _cancelled,
        "succeeded": _succeeded,
    }[progress.state](job, progress)


def waits_for_broker(job: Job) -> bool:
    """Whether no worker was told of a queued job yet, since its wake-up could not be sent."""
    return settings.RUNNER == "celery" and job.woken_at is None


def _queued(job: Job, progress: Progress) -> str:
    kept = f" {_kept(progress)} done already." if progress.n_shards_done else ""
    if waits_for_broker(job):
        return f"The message broker cannot be reached at the moment; workers hear of the job as soon as it can.{kept}"
    start = "It starts when a worker is free." if progress.n_ahead else "A worker takes it within seconds, if one runs."
    return start + kept


def _running(job: Job, progress: Progress) -> str:
    if job.cancel_requested_at is not None:
        return "It is being cancelled: the work ends at its next report, and what is done is kept."
    phase = progress.current
    assert phase is not None  # noqa: S101  (a running job has work left)
    after = [other.name for other in progress.phases[progress.place :]]
    if progress.seconds_left is None:
        start = f"How long {phase.name} takes will be known in a few seconds"
    else:
        left = about(sum(progress.seconds_left) / 2)
        start = f"About {left} of this phase remain{'' if left.endswith('s') else 's'}"
    if not after:
        return f"{start}; it is the last."
    past = last_seconds(job, phase.name)
    took = f", which took {about(past)} last time" if past is not None else ""
    return f"{start}, then {_listed(after)}{took}."


def _stalled(job: Job, progress: Progress) -> str:
    at = f"at {hour(progress.takeover_at)}" if progress.takeover_at else "soon"
    silence = duration(progress.heartbeat_age or 0)
    return f"Its worker has sent no heartbeat for {silence}. Another takes over {at} and loses at most one shard."


def _failed(job: Job, progress: Progress) -> str:
    return job.error or "No reason was written down; the worker's log may have one."


def _cancelled(job: Job, progress: Progress) -> str:
    if not job.workspace:
        return "What was done has been removed; resuming it starts from the beginning."
    return f"{_kept(progress)} kept for {KEEP.days} days. Resuming goes on from there."


def _succeeded(job: Job, progress: Progress) -> str:
    if job.kind != "qdg":
        return f"After {duration(took(progress))} of work."
    clustering = next((phase for phase in progress.phases if phase.name == "clustering"), None)
    n_tokens = job.config.get("selection", {}).get("n_tokens")
    what = f"{clustering.n_total:,} clusterings of {n_tokens:,} tokens" if clustering and n_tokens else "All shards"
    return f"{what}, in {duration(took(progress))} of work. The bundle is whole and was read into the database."


def no_run(*, is_hidden: bool) -> str:
    """Why a job that succeeded leads to no run."""
    if is_hidden:
        return (
            "The same run was there already, and someone else keeps it private, so you cannot open it. "
            "Change the name and start anew to have a run of your own."
        )
    return "Its run has been deleted since."


def took(progress: Progress) -> float:
    return sum(phase.seconds for phase in progress.phases)


def _kept(progress: Progress) -> str:
    n, total = progress.n_shards_done, len(progress.shards)
    return f"{n} of {total} shards {'is' if n == 1 else 'are'}"


def _jobs(n: int) -> str:
    return "1 job" if n == 1 else f"{n} jobs"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def status_text(job: Job, progress: Progress) -> str:
    """The state, with what a person wants to know first."""
    match progress.state:
        case "queued" if progress.n_ahead:
            return f"queued, {progress.n_ahead} ahead"
        case "stalled":
            return f"stalled, last heartbeat {duration(progress.heartbeat_age or 0)} ago"
        case "failed" if progress.current:
            return f"failed in {progress.current.name}, {ago(progress.now, job.finished_at)}"
        case "cancelled":
            return f"cancelled{' by ' + job.cancelled_by if job.cancelled_by else ''}, {hour(job.finished_at)}"
        case "succeeded":
            return f"succeeded in {duration(took(progress))}"
        case "running" if job.cancel_requested_at:
            return "running, being cancelled"
    return progress.state


def stats(job: Job, progress: Progress) -> list[dict[str, str]]:
    """Value, small print beside it, name, and what to add below."""
    phase = progress.current
    n = len(progress.phases)
    rows = [_stat("shards", f"{progress.n_shards_done:,}", f"of {len(progress.shards):,}", "safe on disk")]
    if phase is None:
        rows += [_stat("phases", str(n), "", "all done"), _stat("work", duration(took(progress)), "", "in all")]
        return rows + ([_stat("bundle", short_hash(job.bundle_sha256), "", "sha256")] if job.bundle_sha256 else [])
    rows.insert(0, _stat("phase", str(progress.place), f"of {n}", phase.name))
    if done_of(phase):
        sub = "" if phase.unit in _MEASURED else phase.unit
        rows.insert(1, _stat("done", f"{phase.n_done:,}", done_of(phase).partition(" ")[2], sub))
    if progress.state == "running" and progress.rate:
        rows.append(_rate_stat(progress))
    if progress.state == "running" and progress.seconds_left:
        rows.append(_left_stat(progress))
    if progress.heartbeat_age is not None:
        rows.append(_heartbeat_stat(progress.heartbeat_age))
    return rows


def _stat(name: str, value: str, small: str, sub: str) -> dict[str, str]:
    return {"name": name, "value": value, "small": small, "sub": sub}


def _heartbeat_stat(age: float) -> dict[str, str]:
    value, small = (f"{age:.0f}", "s ago") if age < 60 else (duration(age), "ago")
    return _stat("heartbeat", value, small, f"stalled after {settings.STALLED_SECONDS} s")


def _rate_stat(progress: Progress) -> dict[str, str]:
    overall = per_second(progress.rate or 0)
    if not progress.recent_rate:
        return _stat("rate", overall, "/s", "over this phase")
    return _stat("rate", per_second(progress.recent_rate), "/s", f"last minute; {overall} overall")


def _left_stat(progress: Progress) -> dict[str, str]:
    assert progress.seconds_left is not None  # noqa: S101
    low, high = progress.seconds_left
    middle = (low + high) / 2
    spread = f"{clock(low)}–{clock(high)}" if clock(low) != clock(high) else ""
    return _stat(
        "remaining", clock(middle), spread, f"this phase, about {hour(progress.now + timedelta(seconds=middle))}"
    )


def per_second(rate: float) -> str:
    """A rate, as exactly as it says something."""
    return f"{rate:,.0f}" if rate >= 100 else fixed(rate, 1 if rate >= 1 else 2)


def phase_rows(job: Job, progress: Progress) -> list[dict[str, Any]]:
    return [_phase_row(job, progress, phase) for phase in progress.phases]


def _phase_row(job: Job, progress: Progress, phase: Phase) -> dict[str, Any]:
    kind = "done" if phase.is_done else "now" if phase.is_current and progress.state != "queued" else "todo"
    return {
        "kind": kind,
        "name": phase.name.capitalize(),
        "width": round(100 * phase.share, 1),
        "bar": "fline2" if phase.is_done else _BAR.get(progress.state, "fact"),
        "text": _phase_text(job, progress, phase, kind),
    }


def _phase_text(job: Job, progress: Progress, phase: Phase, kind: str) -> str:
    if kind == "done":
        return f"{phase.n_total:,} {_unit(phase)} · {duration(phase.seconds)}"
    if kind == "now":
        rate = f"{per_second(progress.recent_rate)}/s" if progress.state == "running" and progress.recent_rate else ""
        begun = done_of(phase) or ("starting" if job.is_open else "")
        return " · ".join(filter(None, [begun, rate]))
    if phase.name == "clustering":
        clustering = job.config.get("clustering", {})
        return f"{len(clustering.get('ks', ()))} k × {len(clustering.get('affinities', ()))} affinities"
    return f"{phase.n_shards:,} shards" if phase.n_shards > 1 else ""


def _unit(phase: Phase) -> str:
    return phase.unit.removesuffix("s") if phase.n_total == 1 else phase.unit


def rate_chart(job: Job, progress: Progress) -> Chart | None:
    """How fast the current phase has been going; None while that says nothing yet."""
    phase = progress.current
    if phase is None or len(progress.rates) < _MIN_CHART_POINTS:
        return None
    values = [rate for _, rate in progress.rates]
    end = progress.rates[-1][0]
    ticks = [(second, clock(second)) for second in _clock_ticks(end)]
    return make_chart(
        slug="rate",
        number=0,
        title=_finding(values, phase.unit),
        description=f"{phase.unit} per second since the phase began",
        x=linear_axis([0, end], "time since the phase began", ticks=ticks, exact=True),
        y=linear_axis([0, *values], f"{phase.unit} per second", n=3, from_zero=True),
        series=[
            make_series(
                "line", progress.rates, name="rate", label=per_second(values[-1]), marker="dot", marker_at="end"
            )
        ],
        size="band",
    )


def _finding(rates: list[float], unit: str) -> str:
    """The rate in words: steady if four fifths of the time it kept within a fifth of its middle."""
    ordered = sorted(rates)
    low, middle, high = (ordered[int(share * (len(ordered) - 1))] for share in (0.1, 0.5, 0.9))
    if middle > 0 and low > 0.8 * middle and high < 1.2 * middle:
        return f"Steady at {per_second(middle)} {unit} a second"
    return f"Mostly {per_second(low)} to {per_second(high)} {unit} a second"


def _clock_ticks(end: float) -> list[float]:
    steps = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
    step = next((step for step in steps if end / step <= 8), steps[-1])
    return [float(n * step) for n in range(int(end // step) + 1)]

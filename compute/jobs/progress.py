"""How far a job is, from its rows alone: phases, rates, time left, silence. Numbers only; pages find the words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from compute.models import Job, Shard

RECENT_SECONDS = 60.0
_MIN_BIN_SECONDS = 5.0
_MAX_BINS = 90


@dataclass(frozen=True, kw_only=True)
class Phase:
    """The shards of one name, as one piece of work."""

    name: str
    unit: str
    is_done: bool
    is_current: bool
    n_done: int
    n_total: int
    is_guess: bool  # the total is not known before all its shards have reported
    n_shards: int
    n_shards_done: int
    seconds: float  # in which at least one worker was at it

    @property
    def share(self) -> float:
        if self.is_done:
            return 1.0
        return min(self.n_done / self.n_total, 1.0) if self.n_total else 0.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A job as it stands now, by the database's clock."""

    now: datetime
    state: str  # the job's, or what silence makes of it before the next sweep
    phases: list[Phase]
    place: int  # of the current phase, from 1
    current: Phase | None
    shards: Sequence[Shard]
    worker: str
    attempt: int
    heartbeat_age: float | None
    takeover_at: datetime | None
    rate: float | None  # of the current phase
    recent_rate: float | None  # over its last minute
    seconds_left: tuple[float, float] | None  # of the current phase, by either rate
    rates: list[tuple[float, float]]  # [(seconds since the phase began, per second), …]
    n_ahead: int
    n_shards_done: int


@dataclass(frozen=True)
class _Stretch:
    """Work between two signs of life: seconds since the epoch, and how much was done."""

    start: float
    end: float
    n: float

    def clipped(self, start: float, end: float) -> _Stretch | None:
        lo, hi = max(self.start, start), min(self.end, end)
        if hi <= lo:
            return None
        return _Stretch(lo, hi, self.n * (hi - lo) / (self.end - self.start))


def progress_of(job: Job) -> Progress:
    shards = list(Shard.objects.filter(job=job).annotate(now=Now()).order_by("ordinal"))
    if job.is_open and shards and all(shard.state == Shard.State.SUCCEEDED for shard in shards):
        job.refresh_from_db()  # the last shard was finished between reading the job and its shards
    now: datetime = shards[0].now if shards else job.created_at
    phases = _phases(shards, now)
    place = next((i for i, phase in enumerate(phases, 1) if phase.is_current), len(phases))
    current = phases[place - 1] if phases and phases[place - 1].is_current else None
    busy = [shard for shard in shards if shard.state == Shard.State.RUNNING]
    last = max(busy, key=lambda shard: shard.heartbeat_at or shard.started_at or job.created_at, default=None)
    sign = (last.heartbeat_at or last.started_at) if last else None
    age = (now - sign).total_seconds() if sign else None
    stretches = [s for shard in shards if current and shard.phase == current.name for s in _stretches(shard)]
    rate = _rate(stretches)
    recent = _rate(_clip(stretches, now.timestamp() - RECENT_SECONDS, now.timestamp()))
    return Progress(
        now=now,
        state=_state(job, age),
        phases=phases,
        place=place,
        current=current,
        shards=shards,
        worker=last.worker if last else "",
        attempt=max(job.attempt, 1),
        heartbeat_age=age,
        takeover_at=min((s.lease_expires_at for s in busy if s.lease_expires_at), default=None),
        rate=rate,
        recent_rate=recent,
        seconds_left=_seconds_left(current, rate, recent) if busy else None,
        rates=_rates(stretches),
        n_ahead=_n_ahead(job),
        n_shards_done=sum(shard.state == Shard.State.SUCCEEDED for shard in shards),
    )


def _state(job: Job, age: float | None) -> str:
    if job.state == Job.State.RUNNING and age is not None and age > settings.STALLED_SECONDS:
        return Job.State.STALLED
    return job.state


def _n_ahead(job: Job) -> int:
    if job.state != Job.State.QUEUED:
        return 0
    before = Q(priority__gt=job.priority) | Q(priority=job.priority, pk__lt=job.pk)
    return Job.objects.filter(before, state__in=Job.OPEN_STATES, queue=job.queue).count()


def rate_of(shard: Shard, now: datetime) -> float | None:
    """What the shard does a second: over its last minute, or since it began."""
    stretches = _stretches(shard)
    return _rate(_clip(stretches, now.timestamp() - RECENT_SECONDS, now.timestamp())) or _rate(stretches)


def last_seconds(job: Job, after: str) -> float | None:
    """What the phases after this one took in the last job that was as large and succeeded."""
    earlier = Job.objects.filter(kind=job.kind, state=Job.State.SUCCEEDED).exclude(pk=job.pk).order_by("-pk")
    for other in earlier[:5]:
        if other.config.get("selection") != job.config.get("selection"):
            continue
        phases = _phases(list(other.shards.order_by("ordinal")), other.finished_at or other.created_at)
        names = [phase.name for phase in phases]
        if after in names:
            return sum(phase.seconds for phase in phases[names.index(after) + 1 :])
    return None


def _phases(shards: Sequence[Shard], now: datetime) -> list[Phase]:
    groups = [list(group) for _, group in groupby(shards, key=lambda shard: shard.phase_number)]
    done = [all(shard.state == Shard.State.SUCCEEDED for shard in group) for group in groups]
    first_open = done.index(False) if False in done else len(groups)
    return [_phase(group, done[i], i == first_open, now) for i, group in enumerate(groups)]


def _phase(group: list[Shard], is_done: bool, is_current: bool, now: datetime) -> Phase:
    known = [shard.n_total for shard in group if shard.n_total > 1 or shard.state == Shard.State.SUCCEEDED]
    n_unknown = len(group) - len(known)
    total = sum(known) + n_unknown * (sum(known) / len(known) if known else 1)
    spans = [
        (shard.started_at.timestamp(), (shard.finished_at or _last_sign(shard) or now).timestamp())
        for shard in group
        if shard.started_at
    ]
    return Phase(
        name=group[0].phase,
        unit=group[0].unit,
        is_done=is_done,
        is_current=is_current,
        n_done=sum(shard.n_done for shard in group),
        n_total=round(total),
        is_guess=n_unknown > 0,
        n_shards=len(group),
        n_shards_done=sum(shard.state == Shard.State.SUCCEEDED for shard in group),
        seconds=_covered(spans),
    )


def _last_sign(shard: Shard) -> datetime | None:
    return None if shard.state == Shard.State.RUNNING else shard.heartbeat_at or shard.started_at


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of these spans."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _stretches(shard: Shard) -> list[_Stretch]:
    """Work between the samples of a shard; what it held when it began was done before."""
    if shard.started_at is None:
        return []
    began = shard.started_at.timestamp()
    points = [(began + seconds, float(n)) for seconds, n in shard.samples] or [(began, 0.0)]
    if shard.state == Shard.State.SUCCEEDED and shard.finished_at:
        points.append((shard.finished_at.timestamp(), float(shard.n_total)))
    return [_Stretch(a[0], b[0], max(b[1] - a[1], 0.0)) for a, b in pairwise(points) if b[0] > a[0]]


def _clip(stretches: Iterable[_Stretch], start: float, end: float) -> list[_Stretch]:
    return [clipped for stretch in stretches if (clipped := stretch.clipped(start, end))]


def _rate(stretches: Sequence[_Stretch]) -> float | None:
    seconds = _covered((s.start, s.end) for s in stretches)
    return sum(s.n for s in stretches) / seconds if seconds > 0 else None


def _seconds_left(phase: Phase | None, *rates: float | None) -> tuple[float, float] | None:
    usable = [rate for rate in rates if rate]
    if phase is None or not usable:
        return None
    left = [max(phase.n_total - phase.n_done, 0) / rate for rate in usable]
    return min(left), max(left)


def _rates(stretches: Sequence[_Stretch]) -> list[tuple[float, float]]:
    """The rate over time, in bins wide enough to mean something; empty while there is too little to show."""
    if not stretches:
        return []
    start, end = min(s.start for s in stretches), max(s.end for s in stretches)
    widest = max(s.end - s.start for s in stretches)
    width = max(_MIN_BIN_SECONDS, widest, (end - start) / _MAX_BINS)
    n = int((end - start) // width)
    bins = [(i, _rate(_clip(stretches, start + i * width, start + (i + 1) * width))) for i in range(n)]
    return [((i + 0.5) * width, rate) for i, rate in bins if rate is not None]

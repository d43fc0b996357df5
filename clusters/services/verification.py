"""After a run can be read: what its pages need is prepared, and every file is compared with its hash.

Until then the run says that it is being checked; afterwards since when it is known to be whole, or what is damaged.
"""

from __future__ import annotations

import time
from datetime import timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from clusters.models import Run
from clusters.services.preparation import Report, prepare
from clusters.stored.arrays import bundle_of, forget_bundles
from clusters.stored.derived import forget_derived
from clusters.stored.hashes import alone, checked, forget_checked, keep_checked
from compute.bundle import Bundle
from compute.errors import BundleError

KEEP_SECONDS = 2.0  # between notes of what was found right


def waiting_runs() -> QuerySet[Run]:
    """Runs whose files nobody has finished checking, oldest first, and those whose last check is long ago."""
    wanted = Q(verified_at=None)
    if settings.VERIFY_DAYS:
        wanted |= Q(verified_at__lt=timezone.now() - timedelta(days=settings.VERIFY_DAYS))
    return Run.objects.filter(wanted, damage="").order_by("pk")


def finish(run: Run, report: Report = lambda what, done, total: None) -> bool:
    """Prepare the run's pages and check its files; False where another process is at it.

    Afterwards the run's `verified_at` is set, or its `damage`.
    """
    with alone(run) as is_alone:
        if not is_alone:
            return False
        prepare(run, report)
        _verify(run, report)
    return True


def check_again(run: Run) -> None:
    """Forget what was found earlier: the next check reads every file."""
    forget_checked(run)
    _note(run, verified_at=None, damage="")


def _verify(run: Run, report: Report) -> None:
    try:
        forget_bundles()
        bundle = bundle_of(run)
    except BundleError as error:
        _note(run, verified_at=None, damage=f"This run’s bundle cannot be opened: {error}")
        return
    damage = _damage(run, bundle, report)
    if damage:
        forget_derived(run.bundle_sha256)  # it may have been worked out of what is damaged
        _note(run, verified_at=None, damage=damage)
    else:
        forget_checked(run)
        _note(run, verified_at=timezone.now(), damage="")


def _damage(run: Run, bundle: Bundle, report: Report) -> str:
    """What is wrong with the files that are not as they were; empty where all are right."""
    done, wrong = checked(run, bundle), []
    total = len(bundle.hashes)
    kept_at = time.monotonic()
    for name in bundle.hashes:
        if name in done:
            continue
        report("checking files", len(done), total)
        try:
            bundle.verify_file(name)
        except BundleError:
            wrong.append(name)
            continue
        done.add(name)
        if time.monotonic() - kept_at >= KEEP_SECONDS:
            keep_checked(run, bundle, done)
            kept_at = time.monotonic()
    report("checking files", total, total)
    return _sentence(run, bundle, wrong) if wrong else ""


def _sentence(run: Run, bundle: Bundle, wrong: list[str]) -> str:
    """All damaged files by name: `clusters.stored.arrays` keeps those closed."""
    is_there = (bundle.path / wrong[0]).is_file()
    if len(wrong) > 1:
        what = f"The files {', '.join(wrong)} of this run’s bundle were altered, cut short or are missing"
    else:
        what = f"The file {wrong[0]} of this run’s bundle {'was altered or cut short' if is_there else 'is missing'}"
    return (
        f"{what}; what would be drawn from it is not shown. Copy or compute the bundle again, then run: "
        f"manage.py verify {run.slug}"
    )


def _note(run: Run, **fields: object) -> None:
    for name, value in fields.items():
        setattr(run, name, value)
    Run.objects.filter(pk=run.pk).update(**fields)

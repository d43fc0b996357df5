"""What happens when computing ends, when people come and go, and after the database was migrated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.contrib.auth.models import User as Person
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import post_migrate
from django.dispatch import receiver
from django.http import HttpRequest

from clusters.display import clean_text
from clusters.embedded.errands import checker, exchanger, tidier
from clusters.ingest import ingest
from clusters.services.audit import record
from clusters.services.counters import SIGN_IN_FAILURES
from clusters.services.experiments import receive
from clusters.services.notices import tell_end
from clusters.services.people import make_roles
from clusters.services.retention import is_due
from clusters.services.sharing import has_work
from clusters.services.verification import finish, waiting_runs
from clusters.stored.arrays import is_on_its_way
from compute.errors import BundleError
from compute.jobs.signals import bundle_ready, job_ended, job_steered, swept
from compute.labs import LABS
from compute.models import Job


@receiver(bundle_ready, dispatch_uid="ingest")
def ingest_bundle(
    sender: Any, *, job: Job, path: Path | str, hold: Callable[[], None] = lambda: None, **_: Any
) -> None:
    """A finished job's bundle becomes a run, or an experiment, of whoever asked for it, and is checked at once."""
    if job.kind in LABS:
        receive(path, job=job, hold=hold)
        return
    run = ingest(path, job=job, owner=job.requested_by, private=job.is_private, hold=hold)
    if run.is_verifying:
        finish(run)
    if run.damage:
        raise BundleError(run.damage)  # the job keeps its working files, from which another bundle can be made


@receiver(swept, dispatch_uid="verify")
def check_waiting_runs(sender: Any, **_: Any) -> None:
    """The runner goes on with checks that were cut short, in a process of their own."""
    if _is_web_host() and any(not is_on_its_way(run) for run in waiting_runs()):
        checker.start()


@receiver(swept, dispatch_uid="exchange")
def exchange_files(sender: Any, **_: Any) -> None:
    """Where hosts share no disk: bundles of other hosts are fetched, texts are sent, in a process of their own."""
    if has_work():
        exchanger.start()


@receiver(swept, dispatch_uid="tidy")
def tidy_daily(sender: Any, **_: Any) -> None:
    """What nobody needs any more goes once a day, in a process of its own."""
    if _is_web_host() and is_due():
        tidier.start()


def _is_web_host() -> bool:
    """Whether the files that pages read lie here: a runner of another host neither checks nor tidies its own copies."""
    return Job.Queue.SITE in settings.QUEUES


@receiver(job_ended, dispatch_uid="notice")
def tell_of_end(sender: Any, *, job: Job, **_: Any) -> None:
    tell_end(job)


@receiver(job_steered, dispatch_uid="audit-job")
def record_steering(sender: Any, *, job: Job, action: str, user: Person | None, **_: Any) -> None:
    """Whoever started, cancelled or resumed a job, by a page, by the API or from the terminal."""
    record(user, f"job.{action}", f"job {job.pk}: {job.name}", kind=job.kind)


@receiver(user_logged_in, dispatch_uid="audit-sign-in")
def record_sign_in(sender: Any, *, user: Person, **_: Any) -> None:
    record(user, "sign-in", user.get_username())


@receiver(user_logged_out, dispatch_uid="audit-sign-out")
def record_sign_out(sender: Any, *, user: Person | None, **_: Any) -> None:
    if user is not None:
        record(user, "sign-out", user.get_username())


@receiver(user_login_failed, dispatch_uid="audit-failed")
def record_failure(sender: Any, *, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """A wrong password. Attempts while a name is locked are left out: they could fill the table."""
    SIGN_IN_FAILURES.inc()
    if not getattr(request, "axes_locked_out", False):
        record(None, "sign-in.fail", clean_text(str(credentials.get("username", ""))[:150]))


@receiver(post_migrate, dispatch_uid="roles")
def roles(sender: AppConfig, **_: Any) -> None:
    if sender.name == "clusters":  # the last of our apps: the permissions of all exist
        make_roles()

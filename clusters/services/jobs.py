"""Starting runs and changing how soon they come: who may, and how many."""

from __future__ import annotations

from django.contrib.auth.models import User as Person
from django.core.exceptions import PermissionDenied
from django.db import transaction

from clusters.queries.access import User, is_admin, may_start_jobs
from clusters.services.locks import lock_person
from compute import methods
from compute.config import RunConfig
from compute.jobs import queue, quotas
from compute.models import Job

NOT_RUNNER = "Starting a run needs the runner role. An administrator can add you to it."
_NO_LONGER_RUNNER = "Resuming a run needs the runner role, which you no longer have; an administrator can give it back."
_TOO_HIGH = "Only administrators may let a job go before everybody's; choose normal or low."
Priority = Job.Priority


def start_run(user: User, config: RunConfig, *, is_private: bool = False, priority: int = Job.Priority.NORMAL) -> Job:
    """Queue a run, if the person's and the site's limits leave room for it (else `QuotaError`)."""
    if not isinstance(user, Person) or not may_start_jobs(user):
        raise PermissionDenied(NOT_RUNNER)
    if priority not in offered_priorities(user):
        raise PermissionDenied(_TOO_HIGH)
    with transaction.atomic():
        quotas.check_runs(lock_person(user))
        return queue.enqueue(config, user, is_private=is_private, priority=priority)


def resume(job: Job, user: User) -> Job:
    """Queue a failed or cancelled job again; a run takes a place among its requester's open ones, as a new one does."""
    asker = user if isinstance(user, Person) else None
    if job.kind in methods.KINDS and not may_start_jobs(user):
        raise PermissionDenied(_NO_LONGER_RUNNER)
    with transaction.atomic():
        if not (is_admin(user) or job.is_open):
            if job.kind in methods.KINDS and job.requested_by is not None:
                quotas.check_open(lock_person(job.requested_by))
            quotas.check_site(asker)
        return queue.resume(job, asker)


def offered_priorities(user: User) -> list[Job.Priority]:
    """Those that the person may give to a run."""
    return [Priority.LOW, Priority.NORMAL, *([Priority.HIGH] if is_admin(user) else [])]


def may_prioritise(user: User, job: Job) -> bool:
    """Whether the person may let the job come sooner or later: its requester, and administrators."""
    return job.is_open and (is_admin(user) or (user.is_authenticated and job.requested_by_id == user.pk))


def changes_of(user: User, job: Job) -> list[Job.Priority]:
    """The priorities that this person may give to this job now: requesters may only let others go first."""
    if not may_prioritise(user, job):
        return []
    if is_admin(user):
        return [one for one in offered_priorities(user) if one != job.priority]
    return [one for one in (Priority.NORMAL, Priority.LOW) if one < job.priority]


def prioritise(user: User, job: Job, priority: int) -> Job:
    """Let the job come sooner or later; from the next shard that is claimed on."""
    if not isinstance(user, Person) or not may_prioritise(user, job):
        raise PermissionDenied(
            f"Only whoever asked for job {job.pk}, while it is open, or an administrator may do that."
        )
    if priority not in changes_of(user, job):
        said = ", ".join(one.label for one in changes_of(user, job)) or "nothing else"
        raise PermissionDenied(f"Job {job.pk} has {job.get_priority_display()} priority; you may give it {said}.")
    return queue.prioritise(job, priority, user)

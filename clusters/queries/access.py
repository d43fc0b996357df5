"""Who sees a run and the jobs that made it, and who may change a run."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Permission
from django.db.models import Q, QuerySet

from clusters.models import Run
from compute.models import Job, Probe

User = AbstractBaseUser | AnonymousUser


def visible_runs(user: User) -> QuerySet[Run]:
    """Every public run, private ones that are the person's own or shared with them, and all for a superuser."""
    runs = Run.objects.all()
    if getattr(user, "is_superuser", False) and user.is_active:
        return runs
    if not user.is_authenticated:
        return runs.filter(is_private=False)
    shared = Run.readers.through.objects.filter(user_id=user.pk)
    return runs.filter(Q(is_private=False) | Q(owner_id=user.pk) | Q(pk__in=shared.values("run_id")))


def may_see(user: User, run: Run) -> bool:
    """Whether a run that was read without asking is one of these; of public runs, which most are, nothing is read."""
    return not run.is_private or visible_runs(user).filter(pk=run.pk).exists()


def visible_jobs(user: User) -> QuerySet[Job]:
    """Public jobs, the person's own, and all of them for a superuser; a job is as private as the run it made or asked.

    Whoever a private run is shared with sees the job that made it, but nobody's probes.

    The run may have been there before the job: whoever computed the same bundle counts as having made it.
    """
    jobs = Job.objects.all()
    if getattr(user, "is_superuser", False) and user.is_active:
        return jobs
    hidden = Run.objects.filter(is_private=True)
    private = (
        Q(is_private=True)
        | Q(pk__in=hidden.filter(job__isnull=False).values("job"))
        | Q(bundle_sha256__in=hidden.values("bundle_sha256"))
        | Q(pk__in=Probe.objects.filter(bundle_sha256__in=hidden.values("bundle_sha256")).values("job"))
    )
    if not user.is_authenticated:
        return jobs.filter(~private)
    shared = Run.readers.through.objects.filter(user_id=user.pk).values("run_id")
    made = Run.objects.filter(pk__in=shared, job__isnull=False).values("job")
    return jobs.filter(~private | Q(requested_by_id=user.pk) | Q(pk__in=made))


def run_of(user: User, job: Job) -> Run | None:
    """The run that the job's bundle is, whichever job read it in first, if this person may see it."""
    return visible_runs(user).filter(Q(job=job) | Q(bundle_sha256=job.bundle_sha256)).first()


def is_hidden_run(job: Job) -> bool:
    """Whether there is a run of the job's bundle at all; ask where `run_of` found none."""
    return Run.objects.filter(bundle_sha256=job.bundle_sha256).exists()


def may_manage(user: User, run: Run) -> bool:
    """Whether the person may rename, archive, hide or delete the run: its owner or a superuser."""
    if not (user.is_authenticated and user.is_active):
        return False
    return bool(getattr(user, "is_superuser", False)) or run.owner_id == user.pk


def may_label(user: User) -> bool:
    """Whether the person may label clusters and note things at tokens."""
    return _has(user, "clusters.add_label")


def may_adjudicate(user: User) -> bool:
    """Whether the person may decide what is agreed on, share out work and edit the vocabulary."""
    return _has(user, "clusters.adjudicate_label")


def may_start_jobs(user: User) -> bool:
    return _has(user, "compute.add_job")


def is_admin(user: User) -> bool:
    return bool(user.is_authenticated and user.is_active and getattr(user, "is_superuser", False))


def _has(user: User, permission: str) -> bool:
    if not (user.is_authenticated and user.is_active):
        return False
    return is_admin(user) or permission in _permissions(user)


def _permissions(user: User) -> frozenset[str]:
    """What the person's roles and they themselves may do; one query a request."""
    if not hasattr(user, "_known_permissions"):
        own = Permission.objects.filter(Q(user=user.pk) | Q(group__user=user.pk))
        pairs = own.values_list("content_type__app_label", "codename")
        user._known_permissions = frozenset(f"{application}.{name}" for application, name in pairs)  # type: ignore[union-attr]
    return user._known_permissions  # type: ignore[union-attr]

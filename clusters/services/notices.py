"""What people are told: kept in a list of theirs and, if they like, mailed."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User as Person
from django.db import transaction
from django.db.models.functions import Now
from django.urls import reverse

from clusters.display import clean_text
from clusters.models import Notice, Profile
from clusters.services.mail import send
from compute.models import Job

_ENDS = {
    Job.State.SUCCEEDED: "has succeeded.",
    Job.State.FAILED: "has failed. Its page says why, and resumes it.",
    Job.State.CANCELLED: "was cancelled by {who}. What was done is kept.",
}


def tell(person: Person, text: str, *, href: str = "", key: str = "") -> Notice | None:
    """Tell somebody something; with a key, once. A mail follows the commit, if they want one."""
    with transaction.atomic():
        written = {"text": text[:500], "href": href[:300]}
        if key:
            notice, is_new = Notice.objects.get_or_create(user=person, key=key[:100], defaults=written)
        else:
            notice, is_new = Notice.objects.create(user=person, **written), True
        if not is_new:
            return None
        transaction.on_commit(lambda: _mail(person, notice), robust=True)
    return notice


def tell_end(job: Job) -> Notice | None:
    """Tell whoever asked for a job that it ended: once an end, so again when it was resumed and ends again.

    Nobody is told of what they see anyway: that they cancelled it, or the answer to a text that they probed.
    """
    person = job.requested_by
    is_own = job.state == Job.State.CANCELLED and person is not None and job.cancelled_by == person.get_username()
    is_seen = job.kind == "probe" and job.state == Job.State.SUCCEEDED
    if person is None or not person.is_active or is_own or is_seen or job.is_open:
        return None
    what = _ENDS[Job.State(job.state)].format(who=job.cancelled_by or "an administrator")
    at = job.finished_at.isoformat() if job.finished_at else ""
    return tell(
        person,
        f"Your job {job.pk}, “{clean_text(job.name)}”, {what}",
        href=reverse("clusters:job", args=[job.pk]),
        key=f"job-{job.pk}-{job.state}-{at}",
    )


def mark_read(person: Person, number: int | None = None) -> int:
    """One notice of the person's, or all of them."""
    unread = Notice.objects.filter(user=person, read_at=None)
    return (unread if number is None else unread.filter(pk=number)).update(read_at=Now())


def _mail(person: Person, notice: Notice) -> None:
    wants = Profile.objects.filter(user=person, is_mailed=True).exists()
    if not (settings.HAS_EMAIL and wants and person.email):
        return
    link = f"\n\n{settings.SITE_URL}{notice.href}" if notice.href else ""
    end = f"\n\nYou asked for such mails on your profile: {settings.SITE_URL}{reverse('clusters:profile')}\n"
    send(person.email, "QuantaWeb: " + notice.text.split(". ")[0].rstrip(".")[:120], notice.text + link + end)

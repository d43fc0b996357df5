"""Notices: told once an end, listed, read, and mailed to those who want it."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from clusters.models import Notice, Profile
from clusters.services import notices
from compute.jobs import kinds, lease, queue
from compute.jobs.run import run_job
from compute.models import Job, Shard
from tests.factories import UserFactory
from tests.jobs.states import job_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def ana() -> User:
    return UserFactory(username="ana")


@pytest.fixture
def signed(ana: User) -> Client:
    client = Client()
    client.force_login(ana)
    return client


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A kind of job whose one shard does what `work.does` says."""

    class Work:
        does: Any = staticmethod(lambda job, report: None)

    monkeypatch.setitem(kinds._WORK, "chore", lambda job, report: Work.does(job, report))
    return Work


def chore(person: User | None) -> Job:
    return kinds.enqueue("chore", name="a chore", config={}, requested_by=person, is_private=False)


def told(person: User) -> list[str]:
    return list(Notice.objects.filter(user=person).order_by("pk").values_list("text", flat=True))


def test_a_job_that_succeeds_tells_whoever_asked_for_it(ana: User, work: Any) -> None:
    job = chore(ana)
    run_job(job.pk)
    assert told(ana) == [f"Your job {job.pk}, “a chore”, has succeeded."]
    assert Notice.objects.get().href == f"/jobs/{job.pk}/"


def test_a_job_that_fails_tells_and_tells_again_when_it_was_resumed(ana: User, work: Any) -> None:
    def fail(job: Job, report: Any) -> None:
        raise ValueError("the text of a document")

    work.does = staticmethod(fail)
    job = chore(ana)
    run_job(job.pk)
    assert told(ana) == [f"Your job {job.pk}, “a chore”, has failed. Its page says why, and resumes it."]
    queue.resume(job, ana)
    run_job(job.pk)
    queue.resume(job, ana)
    work.does = staticmethod(lambda job, report: None)
    run_job(job.pk)
    assert ["has failed" in text for text in told(ana)] == [True, True, False]
    assert "the text of a document" not in "".join(told(ana))


def test_one_end_is_told_once(ana: User) -> None:
    job = job_in("failed", ana)
    assert notices.tell_end(job) is not None
    assert notices.tell_end(job) is None
    assert Notice.objects.count() == 1


def test_a_job_that_somebody_else_cancels_tells_who(ana: User, work: Any) -> None:
    queue.cancel(chore(ana), UserFactory(username="boss", is_superuser=True))
    assert told(ana) == [f"Your job {Job.objects.get().pk}, “a chore”, was cancelled by boss. What was done is kept."]


def test_nobody_is_told_that_they_cancelled_a_job_themselves(ana: User, work: Any) -> None:
    queue.cancel(chore(ana), ana)
    assert told(ana) == []


def test_a_job_that_lost_its_worker_for_good_tells(ana: User, work: Any) -> None:
    job = chore(ana)
    held = lease.claim(job.pk, "host:1")
    assert held is not None
    lease.fail(held, "It lost its worker three times.")
    assert "has failed" in told(ana)[0]


def test_jobs_of_nobody_and_of_people_who_left_tell_nobody(ana: User, work: Any) -> None:
    run_job(chore(None).pk)
    User.objects.update(is_active=False)
    run_job(chore(User.objects.get()).pk)
    assert not Notice.objects.exists()


def test_an_answered_probe_tells_nothing_but_a_failed_one_does(ana: User) -> None:
    assert notices.tell_end(job_in("succeeded", ana, kind="probe")) is None
    assert notices.tell_end(job_in("failed", ana, kind="probe")) is not None


def test_a_notice_that_cannot_be_written_does_not_fail_the_job(ana: User, work: Any, monkeypatch: Any) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no notices today")

    monkeypatch.setattr(notices.Notice.objects, "get_or_create", broken)
    job = chore(ana)
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED
    assert not Shard.objects.exclude(state="succeeded").exists()


# ── mails ──
@pytest.fixture
def wanted(ana: User, settings: Any) -> None:
    settings.HAS_EMAIL, settings.SITE_URL = True, "https://quanta.example.org"
    Profile.objects.create(user=ana, is_mailed=True)
    User.objects.update(email="ana@example.org")


@pytest.mark.usefixtures("wanted")
def test_a_mail_goes_to_those_who_want_one(work: Any, django_capture_on_commit_callbacks: Any) -> None:
    job = chore(User.objects.get())
    with django_capture_on_commit_callbacks(execute=True):
        run_job(job.pk)
    (letter,) = mail.outbox
    assert letter.to == ["ana@example.org"]
    assert letter.subject == f"QuantaWeb: Your job {job.pk}, “a chore”, has succeeded"
    assert f"https://quanta.example.org/jobs/{job.pk}/" in letter.body


@pytest.mark.usefixtures("wanted")
@pytest.mark.parametrize("without", ["address", "wish", "server"])
def test_no_mail_goes_without(without: str, work: Any, settings: Any, django_capture_on_commit_callbacks: Any) -> None:
    if without == "address":
        User.objects.update(email="")
    elif without == "wish":
        Profile.objects.update(is_mailed=False)
    else:
        settings.HAS_EMAIL = False
    with django_capture_on_commit_callbacks(execute=True):
        run_job(chore(User.objects.get()).pk)
    assert not mail.outbox
    assert Notice.objects.exists()


@pytest.mark.usefixtures("wanted")
def test_a_mail_that_cannot_be_sent_does_not_fail_the_job(
    work: Any, settings: Any, django_capture_on_commit_callbacks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 1, 1
    job = chore(User.objects.get())
    with django_capture_on_commit_callbacks(execute=True):
        run_job(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED
    assert "a letter could not be sent" in caplog.text
    assert "ana@example.org" not in caplog.text


# ── the pages ──
def test_the_bar_counts_what_is_unread(signed: Client, ana: User) -> None:
    assert "unread notice" not in signed.get("/").content.decode()
    notices.tell(ana, "one")
    notices.tell(ana, "two")
    assert 'aria-label="2 unread notices">2</a>' in signed.get("/").content.decode()


def test_the_list_shows_them_and_marks_them_read(signed: Client, ana: User) -> None:
    first, _ = notices.tell(ana, "one <b>bold</b>", href="/jobs/1/"), notices.tell(ana, "two")
    html = signed.get("/notices/").content.decode()
    assert '<a href="/jobs/1/">one &lt;b&gt;bold&lt;/b&gt;</a>' in html
    assert "2 unread notices" in html
    assert signed.post(f"/notices/{first.pk}/read/").headers["Location"] == "/notices/"  # type: ignore[union-attr]
    assert "1 unread notice<" in signed.get("/notices/").content.decode()
    signed.post("/notices/read/")
    assert "Nothing unread" in unescape(signed.get("/notices/").content.decode())
    assert not Notice.objects.filter(read_at=None).exists()


def test_nobody_reads_the_notices_of_another(signed: Client) -> None:
    other = UserFactory()
    notice = notices.tell(other, "a secret of theirs")
    assert "a secret of theirs" not in signed.get("/notices/").content.decode()
    assert signed.post(f"/notices/{notice.pk}/read/").status_code == 404  # type: ignore[union-attr]
    signed.post("/notices/read/")
    assert Notice.objects.get().read_at is None


@pytest.mark.parametrize("number", ["0", "1" + "0" * 40, "x"])
def test_no_such_notice_is_not_found(signed: Client, number: str) -> None:
    assert signed.post(f"/notices/{number}/read/").status_code == 404


def test_many_notices_come_in_pages_and_as_few_queries(
    signed: Client, ana: User, django_assert_max_num_queries: Any
) -> None:
    for n in range(60):
        notices.tell(ana, f"notice {n:02}")
    with django_assert_max_num_queries(5):
        html = signed.get("/notices/").content.decode()
    assert "notice 59" in html
    assert "notice 09" not in html
    older = signed.get(f"/notices/?before={Notice.objects.get(text='notice 10').pk}").content.decode()
    assert "notice 09" in older


def test_strangers_sign_in_first(client: Client) -> None:
    assert client.get("/notices/").headers["Location"] == "/sign-in/?next=/notices/"

"""What two people do at the same moment, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.utils import timezone

from clusters.models import ApiKey, AuditEvent, Invitation, Notice
from clusters.services import invitations, keys, notices, people
from compute.models import Job
from tests.factories import UserFactory

pytestmark = pytest.mark.usefixtures("site")


def at_once(*deeds: Callable[[], object]) -> list[Exception]:
    """Do them all at the same moment; give what was refused."""
    start = threading.Barrier(len(deeds))
    refused: list[Exception] = []
    broken: list[Exception] = []

    def do(deed: Callable[[], object]) -> None:
        try:
            start.wait()
            deed()
        except (ValidationError, PermissionDenied) as error:
            refused.append(error)
        except Exception as error:
            broken.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=[deed]) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    return refused


def test_two_administrators_cannot_remove_each_other() -> None:
    one, two = UserFactory(username="one", is_superuser=True), UserFactory(username="two", is_superuser=True)
    refused = at_once(
        lambda: people.revoke_role(one, two, people.ADMIN), lambda: people.revoke_role(two, one, people.ADMIN)
    )
    assert User.objects.filter(is_superuser=True).count() == 1
    assert len(refused) == 1


def test_an_invitation_makes_one_account(settings: Any) -> None:
    settings.SIGNUP = "invitation"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    _, secret = invitations.invite(UserFactory(username="boss", is_superuser=True), roles=["labeler"])
    refused = at_once(
        *(lambda name=f"p{n}": invitations.accept(secret, name=name, password="x") for n in range(6))  # type: ignore[misc]
    )
    assert User.objects.exclude(username="boss").count() == 1
    assert len(refused) == 5
    assert Invitation.objects.get().used_by == User.objects.exclude(username="boss").get()
    assert AuditEvent.objects.filter(action="person.sign-up").count() == 1


def test_ten_keys_are_the_most() -> None:
    ana = UserFactory(username="ana")
    refused = at_once(
        *(lambda name=f"key {n}": keys.make_key(ana, name=name, scopes=["read"]) for n in range(14))  # type: ignore[misc]
    )
    assert ApiKey.objects.count() == 10
    assert len(refused) == 4
    assert AuditEvent.objects.filter(action="key.make").count() == 10


def test_an_end_is_told_once() -> None:
    ana = UserFactory(username="ana")
    job = Job.objects.create(name="a", config={}, requested_by=ana, state="failed", finished_at=timezone.now())
    at_once(*(lambda: notices.tell_end(job) for _ in range(6)))
    assert Notice.objects.count() == 1

"""Making an account: where it is open, by invitation, and where it is not."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from clusters.models import AuditEvent, Invitation
from clusters.queries.access import may_label, may_start_jobs
from clusters.services import invitations
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"
FORM = {"username": "dora", "email": "", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture(autouse=True)
def by_invitation(settings: Any) -> None:
    settings.SIGNUP, settings.SIGNUP_ROLES = "invitation", []
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def boss() -> User:
    return UserFactory(username="boss", is_superuser=True)


def secret_of(boss: User, **given: Any) -> str:
    return invitations.invite(boss, **({"roles": ["labeler"]} | given))[1]


def test_an_invitation_makes_an_account_with_its_roles(client: Client, boss: User) -> None:
    path = f"/invitation/{secret_of(boss, roles=['labeler', 'runner'])}/"
    html = unescape(client.get(path).content.decode())
    assert "Invitation by boss" in html
    assert "roles labeler, runner" in html
    assert client.post(path, FORM).headers["Location"] == "/"
    dora = User.objects.get(username="dora")
    assert client.session["_auth_user_id"] == str(dora.pk)
    assert may_label(dora)
    assert may_start_jobs(dora)
    assert Invitation.objects.get().used_by == dora


def test_only_the_hash_of_an_invitation_is_kept(boss: User) -> None:
    secret = secret_of(boss)
    kept = Invitation.objects.get().token_sha256
    assert len(secret) >= 40
    assert len(kept) == 64
    assert secret not in kept
    assert secret not in str(list(AuditEvent.objects.values()))


def test_an_invitation_works_once(client: Client, boss: User) -> None:
    path = f"/invitation/{secret_of(boss)}/"
    client.post(path, FORM)
    other = Client()
    assert other.get(path).status_code == 410
    assert other.post(path, FORM | {"username": "eve"}).status_code == 410
    assert not User.objects.filter(username="eve").exists()


@pytest.mark.parametrize("loss", ["is_active", "is_superuser"])
def test_an_invitation_ends_when_whoever_invited_is_no_administrator_any_more(
    client: Client, boss: User, loss: str
) -> None:
    path = f"/invitation/{secret_of(boss, roles=['admin'])}/"
    User.objects.update(**{loss: False})
    assert client.get(path).status_code == 410
    assert client.post(path, FORM).status_code == 410
    assert not User.objects.filter(username="dora").exists()


def test_an_invitation_that_is_used_meanwhile_makes_no_second_account(boss: User) -> None:
    secret = secret_of(boss)
    invitations.accept(secret, name="dora", password=PASSWORD)
    with pytest.raises(PermissionDenied, match="was used"):
        invitations.accept(secret, name="eve", password=PASSWORD)
    assert not User.objects.filter(username="eve").exists()


def test_an_invitation_ends_after_seven_days(client: Client, boss: User) -> None:
    path = f"/invitation/{secret_of(boss)}/"
    left = Invitation.objects.get().expires_at - timezone.now()
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.post(path, FORM).status_code == 410


def test_an_invitation_can_be_taken_back(client: Client, boss: User) -> None:
    path = f"/invitation/{secret_of(boss)}/"
    admin = Client()
    admin.force_login(boss)
    admin.post(f"/people/invitations/{Invitation.objects.get().pk}/revoke/")
    assert client.post(path, FORM).status_code == 410
    assert admin.post("/people/invitations/99999999999999999999/revoke/").status_code == 404


@pytest.mark.parametrize("token", ["x", "a" * 3000, "%00", "日本", "..%2f"])
def test_a_made_up_invitation_makes_no_account(client: Client, token: str) -> None:
    assert client.post(f"/invitation/{token}/", FORM).status_code in (404, 410)
    assert not User.objects.exists()


def test_looking_does_not_use_it_up(client: Client, boss: User) -> None:
    path = f"/invitation/{secret_of(boss)}/"
    client.get(path)
    client.head(path)
    assert Invitation.objects.get().used_at is None


def test_the_link_is_shown_once(boss: User) -> None:
    admin = Client()
    admin.force_login(boss)
    response = admin.post("/people/invitations/", {"email": "dora@example.org", "roles": ["labeler"]})
    assert response.status_code == 201
    html = unescape(response.content.decode())
    (href,) = re.findall(r'<code id="secret">(http://testserver/invitation/[\w-]+/)</code>', html)
    assert Client().get(href).status_code == 200
    later = admin.get("/people/").content.decode()
    assert href not in later
    assert "dora@example.org" in later


def test_the_link_is_mailed_where_mail_is_set_up(boss: User, settings: Any) -> None:
    settings.HAS_EMAIL, settings.SITE_URL = True, "https://quanta.example.org"
    admin = Client()
    admin.force_login(boss)
    response = admin.post("/people/invitations/", {"email": "dora@example.org"})
    assert "It was mailed to dora@example.org." in response.content.decode()
    (letter,) = mail.outbox
    assert letter.to == ["dora@example.org"]
    assert "https://quanta.example.org/invitation/" in letter.body


def test_a_bad_invitation_is_said_and_stays_typed(boss: User) -> None:
    admin = Client()
    admin.force_login(boss)
    response = admin.post("/people/invitations/", {"email": "dora at home", "roles": ["labeler"]})
    html = unescape(response.content.decode())
    assert response.status_code == 422
    assert 'value="dora at home"' in html
    assert 'value="labeler" checked' in html
    assert admin.post("/people/invitations/", {"roles": ["king"]}).status_code == 422


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password2": "other"}, "The two password fields didn’t match."),
        ({"password1": "12345678", "password2": "12345678"}, "This password is too common."),
        ({"username": "BOSS"}, "A user with that username already exists."),
        ({"username": "a\0b"}, "Null characters are not allowed."),
        ({"username": ""}, "This field is required."),
        ({"email": "nowhere"}, "Enter a valid email address."),
    ],
)
def test_what_makes_no_account_is_said_and_uses_nothing_up(
    client: Client, boss: User, change: dict[str, str], said: str
) -> None:
    response = client.post(f"/invitation/{secret_of(boss)}/", FORM | change)
    assert response.status_code == 422
    assert said in unescape(response.content.decode())
    assert PASSWORD not in response.content.decode()
    assert Invitation.objects.get().used_at is None


def test_where_it_is_off_nothing_makes_an_account(client: Client, boss: User, settings: Any) -> None:
    path = f"/invitation/{secret_of(boss)}/"
    settings.SIGNUP = "off"
    assert client.post(path, FORM).status_code == 410
    assert client.get("/sign-up/").status_code == 403
    assert client.post("/sign-up/", FORM).status_code == 403
    with pytest.raises(PermissionDenied, match="QW_SIGNUP is off"):
        secret_of(boss)
    assert User.objects.count() == 1


def test_by_invitation_alone_means_so(client: Client) -> None:
    response = client.post("/sign-up/", FORM)
    assert response.status_code == 403
    assert "They come by invitation" in response.content.decode()


def test_where_it_is_open_everybody_makes_an_account(client: Client, settings: Any) -> None:
    settings.SIGNUP, settings.SIGNUP_ROLES = "open", ["labeler"]
    assert 'href="/sign-up/"' in client.get("/sign-in/").content.decode()
    assert client.post("/sign-up/", FORM).headers["Location"] == "/"
    dora = User.objects.get()
    assert may_label(dora)
    assert not dora.is_superuser
    assert AuditEvent.objects.filter(action="person.sign-up", actor=dora).exists()


def test_only_administrators_invite() -> None:
    with pytest.raises(PermissionDenied, match="Only an administrator may invite people"):
        invitations.invite(UserFactory(), roles=[])


def test_the_command_prints_a_link(boss: User) -> None:
    out = StringIO()
    call_command("invite", "--role", "labeler", "--base", "https://q.example.org/", stdout=out)
    href = out.getvalue().strip()
    assert re.fullmatch(r"https://q\.example\.org/invitation/[\w-]+/", href)
    assert Client().get(href.removeprefix("https://q.example.org")).status_code == 200
    with pytest.raises(CommandError, match="There is no role 'king'"):
        call_command("invite", "--role", "king")


def test_the_command_refuses_what_is_no_address(boss: User) -> None:
    with pytest.raises(CommandError, match="'nope' is no e-mail address"):
        call_command("invite", "--email", "nope")
    assert not Invitation.objects.exists()


def test_the_command_says_that_accounts_are_off(settings: Any) -> None:
    settings.SIGNUP = "off"
    with pytest.raises(CommandError, match="QW_SIGNUP"):
        call_command("invite")

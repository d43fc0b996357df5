"""Another password by mail, and how often one may try to sign in."""

from __future__ import annotations

import re
import threading
from html import unescape
from typing import Any

import pytest
from django.conf import settings as current
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client, RequestFactory

from clusters.models import AuditEvent
from clusters.services.rates import client_address
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
OLD, NEW = "correct horse battery staple", "another horse battery staple"


@pytest.fixture(autouse=True)
def with_mail(settings: Any) -> None:
    settings.HAS_EMAIL, settings.SITE_URL = True, "https://quanta.example.org"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ana() -> User:
    return UserFactory(username="ana", email="ana@example.org", password=OLD)


def ask(client: Client, email: str) -> Any:
    response = client.post("/password/forgotten/", {"email": email})
    for thread in threading.enumerate():
        if thread.name == "mail":
            thread.join()
    return response


def link() -> str:
    (letter,) = mail.outbox
    (href,) = re.findall(r"https://quanta\.example\.org(/password/again/\S+)", letter.body)
    return str(href)


def test_a_mailed_link_leads_to_another_password(client: Client, ana: User) -> None:
    assert ask(client, "ana@example.org").headers["Location"] == "/password/mailed/"
    path = client.get(link()).headers["Location"]
    assert "Choose another password" in client.get(path).content.decode()
    response = client.post(path, {"new_password1": NEW, "new_password2": NEW})
    assert response.headers["Location"] == "/sign-in/"
    assert User.objects.get().check_password(NEW)
    assert AuditEvent.objects.filter(action="password.reset", actor=ana).exists()


def test_a_mailed_link_works_once(client: Client, ana: User) -> None:
    ask(client, "ana@example.org")
    href = link()
    path = client.get(href).headers["Location"]
    client.post(path, {"new_password1": NEW, "new_password2": NEW})
    assert Client().get(href).status_code == 410


def test_a_mailed_link_ends_when_its_owner_is_deactivated(client: Client, ana: User) -> None:
    ask(client, "ana@example.org")
    path = client.get(link()).headers["Location"]
    User.objects.update(is_active=False)
    assert client.post(path, {"new_password1": NEW, "new_password2": NEW}).status_code == 410
    assert User.objects.get().check_password(OLD)


def test_the_answer_is_the_same_whoever_is_asked_for(client: Client, ana: User) -> None:
    known, unknown = ask(client, "ana@example.org"), ask(client, "nobody@example.org")
    assert (known.status_code, known.headers["Location"]) == (unknown.status_code, unknown.headers["Location"])
    assert len(mail.outbox) == 1


def test_nobody_without_a_password_or_switched_off_gets_a_letter(client: Client) -> None:
    UserFactory(email="one@example.org", password=None)
    UserFactory(email="two@example.org", password=OLD, is_active=False)
    ask(client, "one@example.org")
    ask(client, "two@example.org")
    assert not mail.outbox


def test_the_link_names_our_site_whatever_the_browser_says(ana: User, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    ask(Client(headers={"Host": "evil.example.com"}), "ana@example.org")
    assert "evil.example.com" not in mail.outbox[0].body


def test_a_weak_password_is_refused(client: Client, ana: User) -> None:
    ask(client, "ana@example.org")
    path = client.get(link()).headers["Location"]
    response = client.post(path, {"new_password1": "12345678", "new_password2": "12345678"})
    assert response.status_code == 422
    assert "This password is too common." in response.content.decode()
    assert User.objects.get().check_password(OLD)


@pytest.mark.parametrize(
    "path", ["/password/again/x/y/", "/password/again/MQ/set-password/", "/password/again/MQ/日本/"]
)
def test_a_made_up_link_is_gone(client: Client, ana: User, path: str) -> None:
    assert client.get(path).status_code == 410


def test_a_bad_address_is_said_and_stays_typed(client: Client) -> None:
    response = client.post("/password/forgotten/", {"email": "ana at home"})
    assert response.status_code == 422
    assert 'value="ana at home"' in response.content.decode()


def test_a_server_that_takes_no_letter_breaks_nothing(client: Client, ana: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 1, 1
    assert ask(client, "ana@example.org").status_code == 302


def test_without_mail_the_page_says_who_helps(client: Client, ana: User, settings: Any) -> None:
    settings.HAS_EMAIL = False
    assert "manage.py sign_in_link" in client.get("/password/forgotten/").content.decode()
    assert client.post("/password/forgotten/", {"email": "ana@example.org"}).status_code == 409
    assert not mail.outbox


# ── how often one may try ──
def attempt(client: Client, address: str = "", password: str = "wrong") -> int:
    headers = {"X-Forwarded-For": address} if address else {}
    return client.post("/sign-in/", {"username": "ana", "password": password}, headers=headers).status_code


def test_five_wrong_passwords_lock_the_name_for_half_an_hour(client: Client, ana: User) -> None:
    assert [attempt(client) for _ in range(5)] == [200, 200, 200, 200, 429]
    assert attempt(client, password=OLD) == 429
    assert current.AXES_COOLOFF_TIME == 0.5


def test_a_forged_address_changes_nothing(client: Client, ana: User) -> None:
    for n in range(4):
        attempt(client, f"10.0.0.{n}")
    assert attempt(client, "10.0.0.9") == 429
    assert attempt(client, "10.0.0.10, 127.0.0.1", password=OLD) == 429


def test_behind_a_proxy_its_word_counts_and_the_rest_of_the_header_does_not(ana: User, settings: Any) -> None:
    request = RequestFactory().get("/", headers={"X-Forwarded-For": "6.6.6.6, 10.0.0.1"}, REMOTE_ADDR="172.16.0.1")
    assert client_address(request) == "172.16.0.1"
    settings.PROXIES = 1
    assert client_address(request) == "10.0.0.1"
    settings.PROXIES = 3
    assert client_address(request) == "172.16.0.1"


def test_failures_are_recorded_until_the_name_is_locked(client: Client, ana: User) -> None:
    for _ in range(8):
        attempt(client)
    assert 4 <= AuditEvent.objects.filter(action="sign-in.fail", target="ana").count() <= 5
    assert "wrong" not in unescape(str(list(AuditEvent.objects.values())))

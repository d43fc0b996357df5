"""Signing in by password or by a link that works once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from clusters.models import SignInLink
from clusters.services import people
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def quick_hashes(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def signed_in(client: Client) -> str | None:
    return client.session.get("_auth_user_id")


def address(person: Any) -> str:
    return f"/sign-in/{people.make_sign_in_link(person)}/"


def test_looking_at_a_link_does_not_use_it_up(client: Client) -> None:
    link = address(UserFactory(username="ana"))
    for _ in range(2):
        assert "Sign in as ana?" in client.get(link).content.decode()
    client.head(link)
    assert signed_in(client) is None
    assert SignInLink.objects.get().used_at is None


def test_the_button_signs_in(client: Client) -> None:
    person = UserFactory()
    response = client.post(address(person))
    assert response.headers["Location"] == "/"
    assert signed_in(client) == str(person.pk)


def test_a_link_works_once(client: Client) -> None:
    link = address(UserFactory())
    client.post(link)
    second = Client()
    assert second.post(link).status_code == 410
    assert signed_in(second) is None
    assert second.get(link).status_code == 410


def test_a_link_ends_after_an_hour(client: Client) -> None:
    link = address(UserFactory())
    left = SignInLink.objects.get().expires_at - timezone.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    SignInLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.post(link).status_code == 410
    assert signed_in(client) is None


@pytest.mark.parametrize("token", ["x", "a" * 5000, "%00", "..%2f..", "日本"])
def test_a_made_up_link_lets_nobody_in(client: Client, token: str) -> None:
    assert client.post(f"/sign-in/{token}/").status_code in (404, 410)
    assert signed_in(client) is None


def test_a_link_of_someone_switched_off_lets_nobody_in(client: Client) -> None:
    person = UserFactory()
    link = address(person)
    type(person).objects.update(is_active=False)
    assert client.post(link).status_code == 410


def test_only_the_hash_of_a_link_is_kept() -> None:
    token = people.make_sign_in_link(UserFactory())
    kept = SignInLink.objects.get().token_sha256
    assert len(token) >= 40
    assert len(kept) == 64
    assert token not in kept


def test_a_link_needs_the_forms_token() -> None:
    link = address(UserFactory())
    assert Client(enforce_csrf_checks=True).post(link).status_code == 403
    assert SignInLink.objects.get().used_at is None


def test_the_page_of_a_link_is_not_kept_by_caches(client: Client) -> None:
    response = client.get(address(UserFactory()))
    assert "no-store" in response.headers["Cache-Control"]
    assert response.headers["Referrer-Policy"] == "same-origin"


def test_the_first_administrator_is_made_once() -> None:
    first = people.first_admin()
    assert (first.username, first.is_superuser, first.has_usable_password()) == ("admin", True, False)
    assert people.first_admin() == first


def test_someone_else_called_admin_is_not_made_one() -> None:
    UserFactory(username="admin")
    assert people.first_admin().username == "admin2"


def test_a_password_signs_in_and_leads_to_where_one_wanted(client: Client) -> None:
    UserFactory(username="ana", password=PASSWORD)
    response = client.post("/sign-in/", {"username": "ana", "password": PASSWORD, "next": "/password/"})
    assert response.headers["Location"] == "/password/"


def test_nobody_is_sent_to_another_site(client: Client) -> None:
    UserFactory(username="ana", password=PASSWORD)
    data = {"username": "ana", "password": PASSWORD, "next": "https://example.org/"}
    assert client.post("/sign-in/", data).headers["Location"] == "/"


def test_a_wrong_password_gets_a_sentence(client: Client) -> None:
    UserFactory(username="ana", password=PASSWORD)
    response = client.post("/sign-in/", {"username": "ana", "password": "no"})
    assert response.status_code == 200
    assert "enter a correct username and password" in response.content.decode()


def test_five_wrong_passwords_lock_the_name(client: Client) -> None:
    UserFactory(username="ana", password=PASSWORD)
    for _ in range(5):
        response = client.post("/sign-in/", {"username": "ana", "password": "no"})
    assert response.status_code == 429
    assert "Too many wrong passwords" in response.content.decode()
    assert client.post("/sign-in/", {"username": "ana", "password": PASSWORD}).status_code == 429


def test_signing_out_takes_a_post(client: Client) -> None:
    client.force_login(UserFactory())
    assert client.get("/sign-out/").status_code == 405
    assert signed_in(client)
    client.post("/sign-out/")
    assert signed_in(client) is None


def test_whoever_came_by_a_link_chooses_a_password(client: Client) -> None:
    person = UserFactory(username="ana")
    client.post(address(person))
    assert "old_password" not in client.get("/password/").content.decode()
    client.post("/password/", {"new_password1": PASSWORD, "new_password2": PASSWORD})
    person.refresh_from_db()
    assert person.check_password(PASSWORD)
    assert signed_in(client)
    assert "old_password" in client.get("/password/").content.decode()


def test_whoever_has_a_password_must_give_the_old_one(client: Client) -> None:
    person = UserFactory(username="ana", password=PASSWORD)
    client.force_login(person)
    response = client.post("/password/", {"new_password1": "another long one", "new_password2": "another long one"})
    assert response.status_code == 422
    person.refresh_from_db()
    assert person.check_password(PASSWORD)


def test_a_weak_password_is_refused_with_reasons(client: Client) -> None:
    client.force_login(UserFactory())
    response = client.post("/password/", {"new_password1": "1234", "new_password2": "1234"})
    assert "too short" in response.content.decode()


def test_the_password_page_wants_someone_signed_in(client: Client) -> None:
    assert client.get("/password/").headers["Location"] == "/sign-in/?next=/password/"

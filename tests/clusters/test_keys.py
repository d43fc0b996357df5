"""Keys for scripts: made, shown once, revoked, and what the API makes of those that work no more."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.test import Client
from django.utils import timezone

from clusters.models import ApiKey, AuditEvent
from clusters.services import keys, people
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
FORM = {"name": "notebook", "scopes": ["read"], "days": "30"}


@pytest.fixture
def ana() -> User:
    return UserFactory(username="ana")


@pytest.fixture
def signed(ana: User) -> Client:
    client = Client()
    client.force_login(ana)
    return client


def labeler(person: User) -> User:
    people.grant_role(UserFactory(is_superuser=True), person, people.LABELER)
    return User.objects.get(pk=person.pk)


def answer(secret: str) -> int:
    return Client().get("/api/v1/runs/", headers={"Authorization": f"Bearer {secret}"}).status_code


def test_a_key_is_shown_once_and_kept_as_a_digest(signed: Client) -> None:
    response = signed.post("/profile/keys/", FORM)
    html = unescape(response.content.decode())
    assert response.status_code == 201
    assert "no-store" in response.headers["Cache-Control"]
    (secret,) = re.findall(r'<code id="secret">(qw_\w+)</code>', html)
    assert 'data-copy="#secret"' in html
    key = ApiKey.objects.get()
    assert secret not in (key.digest, key.token_key)
    assert secret.startswith(key.token_key)
    assert secret not in signed.get("/profile/").content.decode()
    assert secret not in str(list(AuditEvent.objects.values()))
    assert answer(secret) == 200


def test_the_list_says_what_a_key_is(signed: Client, ana: User) -> None:
    key, secret = keys.make_key(ana, name="old laptop", scopes=["read"], days=7)
    answer(secret)
    html = unescape(signed.get("/profile/").content.decode())
    assert f"{key.token_key}…" in html
    assert "old laptop" in html
    assert "works" in html
    assert ApiKey.objects.get().last_used_at is not None


def test_a_key_lives_as_long_as_was_asked_for(ana: User) -> None:
    key, _ = keys.make_key(ana, name="a", scopes=["read"], days=365)
    assert abs(key.expiry - timezone.now() - timedelta(days=365)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "Give the key a name"),
        ({"scopes": []}, "Choose what the key may do."),
        ({"scopes": ["read", "admin"]}, "admin is not among what your roles allow: read."),
        ({"days": "366"}, "A key lives at most 365 days."),
        ({"days": "0"}, "A key lives at least one day."),
        ({"days": "1" + "0" * 40}, "A key lives at most 365 days."),
        ({"days": "soon"}, "Write the days as a whole number from 1 to 365."),
    ],
)
def test_what_cannot_be_made_is_said_and_stays_typed(signed: Client, change: dict[str, object], said: str) -> None:
    response = signed.post("/profile/keys/", FORM | change)
    html = unescape(response.content.decode())
    assert response.status_code == 422
    assert said in html
    assert f'value="{(FORM | change)["name"]}"' in html
    assert not ApiKey.objects.exists()


def test_a_key_may_no_more_than_its_owner(ana: User) -> None:
    assert keys.scopes_for(ana) == ["read"]
    assert keys.scopes_for(labeler(ana)) == ["read", "label"]
    assert keys.scopes_for(UserFactory(is_superuser=True)) == ["read", "label", "run", "admin"]
    with pytest.raises(ValidationError, match="Your roles allow read, not run"):
        keys.make_key(ana, name="a", scopes=["read", "run"])


def test_a_name_is_given_once_so_that_a_page_sent_twice_makes_one_key(signed: Client) -> None:
    signed.post("/profile/keys/", FORM)
    response = signed.post("/profile/keys/", FORM)
    assert response.status_code == 422
    assert "You have a key called “notebook” already" in unescape(response.content.decode())
    assert ApiKey.objects.count() == 1


def test_ten_keys_are_the_most_and_dead_ones_do_not_count(ana: User) -> None:
    for n in range(10):
        keys.make_key(ana, name=f"key {n}", scopes=["read"])
    with pytest.raises(ValidationError, match="You have 10 keys that work"):
        keys.make_key(ana, name="one more", scopes=["read"])
    keys.revoke_key(ana, ApiKey.objects.first().token_key)
    ApiKey.objects.filter(name="key 3").update(expiry=timezone.now())
    keys.make_key(ana, name="one more", scopes=["read"])
    keys.make_key(ana, name="two more", scopes=["read"])
    assert keys.live_keys(ana).count() == 10


def test_a_revoked_key_lets_nobody_in(signed: Client, ana: User) -> None:
    key, secret = keys.make_key(ana, name="a", scopes=["read"])
    response = signed.post(f"/profile/keys/{key.token_key}/revoke/")
    assert response.headers["Location"] == "/profile/"
    assert answer(secret) == 401
    assert "revoked" in signed.get("/profile/").content.decode()


def test_an_expired_key_lets_nobody_in(ana: User) -> None:
    _, secret = keys.make_key(ana, name="a", scopes=["read"])
    assert answer(secret) == 200
    ApiKey.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert answer(secret) == 401


def test_the_key_of_somebody_deactivated_lets_nobody_in(ana: User) -> None:
    _, secret = keys.make_key(ana, name="a", scopes=["read"])
    people.deactivate(UserFactory(is_superuser=True), ana)
    assert answer(secret) == 401


@pytest.mark.parametrize("secret", ["qw_", "qw_" + "0" * 64, "nonsense", "é", "qw_" + "f" * 5000])
def test_a_made_up_key_lets_nobody_in(secret: str) -> None:
    assert answer(secret) == 401


def test_nobody_revokes_the_key_of_another(ana: User) -> None:
    key, secret = keys.make_key(ana, name="a", scopes=["read"])
    ben = Client()
    ben.force_login(UserFactory())
    assert ben.post(f"/profile/keys/{key.token_key}/revoke/").status_code == 404
    with pytest.raises(ObjectDoesNotExist):
        keys.revoke_key(UserFactory(), key.token_key)
    assert answer(secret) == 200


def test_making_and_revoking_are_recorded_without_the_key(ana: User) -> None:
    key, secret = keys.make_key(ana, name="a", scopes=["read"])
    keys.revoke_key(ana, key.token_key)
    keys.revoke_key(ana, key.token_key)
    events = AuditEvent.objects.filter(action__startswith="key.").order_by("pk")
    assert [(e.action, e.actor_name, e.target) for e in events] == [
        ("key.make", "ana", key.token_key),
        ("key.revoke", "ana", key.token_key),
    ]
    assert secret not in str(list(events.values()))


def test_keys_are_made_by_forms_of_ours_alone(ana: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ana)
    assert client.post("/profile/keys/", FORM).status_code == 403
    assert client.get("/profile/keys/").status_code == 405

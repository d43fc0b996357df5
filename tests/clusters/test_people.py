"""Who has an account, and the roles that administrators give and take."""

from __future__ import annotations

from html import unescape

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.test import Client

from clusters.models import AuditEvent
from clusters.queries.access import may_label, may_start_jobs
from clusters.services import people
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss() -> User:
    return UserFactory(username="boss", is_superuser=True)


@pytest.fixture
def ana() -> User:
    return UserFactory(username="ana")


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def again(person: User) -> User:
    return User.objects.get(pk=person.pk)


def test_the_page_is_there_for_administrators_alone(boss: User, ana: User) -> None:
    assert signed_in(boss).get("/people/").status_code == 200
    assert signed_in(ana).get("/people/").status_code == 404
    assert Client().get("/people/").headers["Location"] == "/sign-in/?next=/people/"


@pytest.mark.parametrize("path", ["/people/{}/", "/people/invitations/", "/people/invitations/1/revoke/"])
def test_nobody_else_changes_anything(ana: User, path: str) -> None:
    response = signed_in(ana).post(path.format(ana.pk), {"grant": "admin"})
    assert response.status_code == 404
    assert not again(ana).is_superuser


def test_the_menu_shows_it_to_administrators_alone(boss: User, ana: User) -> None:
    assert 'href="/people/"' in signed_in(boss).get("/").content.decode()
    assert 'href="/people/"' not in signed_in(ana).get("/").content.decode()


def test_roles_are_given_and_taken_by_their_buttons(boss: User, ana: User) -> None:
    client = signed_in(boss)
    client.post(f"/people/{ana.pk}/", {"grant": "labeler"})
    client.post(f"/people/{ana.pk}/", {"grant": "runner"})
    assert may_label(again(ana))
    assert may_start_jobs(again(ana))
    client.post(f"/people/{ana.pk}/", {"revoke": "labeler"})
    assert not may_label(again(ana))
    html = unescape(client.get("/people/").content.decode())
    assert 'name="revoke" value="runner"' in html
    deeds = (
        AuditEvent.objects.filter(action__startswith="role.").order_by("pk").values_list("action", "target", "detail")
    )
    assert list(deeds) == [
        ("role.grant", "ana", {"role": "labeler"}),
        ("role.grant", "ana", {"role": "runner"}),
        ("role.revoke", "ana", {"role": "labeler"}),
    ]


def test_an_administrator_is_made_and_unmade(boss: User, ana: User) -> None:
    people.grant_role(boss, ana, people.ADMIN)
    assert again(ana).is_superuser
    people.revoke_role(again(ana), boss, people.ADMIN)
    assert not again(boss).is_superuser


def test_the_last_administrator_stays(boss: User) -> None:
    switched_off = UserFactory(is_superuser=True, is_active=False)
    client = signed_in(boss)
    response = client.post(f"/people/{boss.pk}/", {"revoke": "admin"}, follow=True)
    assert "boss is the only administrator; make another one first." in unescape(response.content.decode())
    assert again(boss).is_superuser
    with pytest.raises(ValidationError, match="You cannot deactivate yourself"):
        people.deactivate(boss, boss)
    people.activate(boss, switched_off)
    people.revoke_role(switched_off, boss, people.ADMIN)
    assert not again(boss).is_superuser


def test_somebody_deactivated_is_out_at_once_and_may_come_back(boss: User, ana: User) -> None:
    hers = signed_in(ana)
    assert hers.get("/profile/").status_code == 200
    client = signed_in(boss)
    client.post(f"/people/{ana.pk}/", {"account": "deactivate"})
    assert hers.get("/profile/").status_code == 302
    assert "let in no more" in client.get("/people/").content.decode()
    client.post(f"/people/{ana.pk}/", {"account": "activate"})
    assert again(ana).is_active


@pytest.mark.parametrize("data", [{}, {"grant": "king"}, {"account": "delete"}, {"revoke": "\0"}])
def test_what_is_no_role_and_no_deed_changes_nothing(boss: User, ana: User, data: dict[str, str]) -> None:
    response = signed_in(boss).post(f"/people/{ana.pk}/", data)
    assert response.status_code in (302, 400)
    assert not AuditEvent.objects.filter(action__startswith="role.").exists()


@pytest.mark.parametrize("number", ["0", "999999", "1" + "0" * 40, "ana", "-1"])
def test_nobody_of_that_number_is_not_found(boss: User, number: str) -> None:
    assert signed_in(boss).post(f"/people/{number}/", {"grant": "runner"}).status_code == 404


def test_the_page_costs_as_many_queries_for_many_people(boss: User, django_assert_max_num_queries: object) -> None:
    for n in range(30):
        people.grant_role(boss, UserFactory(username=f"p{n}"), people.LABELER)
    client = signed_in(boss)
    with django_assert_max_num_queries(8):  # type: ignore[operator]
        client.get("/people/")


def test_only_administrators_rule(ana: User) -> None:
    for act in (people.grant_role, people.revoke_role, people.deactivate, people.activate):
        with pytest.raises(PermissionDenied, match="Only an administrator may"):
            act(ana, UserFactory())

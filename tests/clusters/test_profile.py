"""The profile: unit, theme, address, and the keys of the keyboard."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client

from clusters.models import AuditEvent, Profile
from clusters.queries.people import preferences_of
from clusters.services import profile
from clusters.values.keys import ACTIONS, collisions, keymap, read_key
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
LOOK = {"action": "preferences", "unit": "bits", "theme": "dark", "email": "ana@example.org"}


@pytest.fixture
def ana() -> User:
    return UserFactory(username="ana")


@pytest.fixture
def signed(ana: User) -> Client:
    client = Client()
    client.force_login(ana)
    return client


def text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return unescape(response.content.decode())


def test_a_stranger_signs_in_first(client: Client) -> None:
    assert client.get("/profile/").headers["Location"] == "/sign-in/?next=/profile/"


def test_what_is_chosen_is_kept_and_shown(signed: Client, ana: User) -> None:
    response = signed.post("/profile/", LOOK | {"is_mailed": "on"})
    assert (response.status_code, response.headers["Location"]) == (302, "/profile/")
    kept = Profile.objects.get(user=ana)
    assert (kept.unit, kept.theme, kept.is_mailed) == ("bits", "dark", True)
    ana.refresh_from_db()
    assert ana.email == "ana@example.org"
    html = text(signed, "/profile/")
    assert 'value="bits" checked' in html
    assert 'value="ana@example.org"' in html


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"email": "no address"}, "Enter a valid email address."),
        ({"email": "", "is_mailed": "on"}, "Notices need an address"),
        ({"unit": "bytes"}, "bytes is not one of the available choices"),
    ],
)
def test_what_cannot_be_kept_is_said_and_stays_typed(signed: Client, change: dict[str, str], said: str) -> None:
    response = signed.post("/profile/", LOOK | change)
    html = unescape(response.content.decode())
    assert response.status_code == 422
    assert said in html
    assert f'value="{(LOOK | change)["email"]}"' in html
    assert not Profile.objects.exists()


def test_an_unknown_action_is_refused(signed: Client) -> None:
    assert signed.post("/profile/", {"action": "explode"}).status_code == 400


def test_the_audit_knows_that_the_address_changed_but_not_the_address(signed: Client) -> None:
    signed.post("/profile/", LOOK)
    event = AuditEvent.objects.get(action="profile.save")
    assert event.detail["new_address"] is True
    assert "ana@example.org" not in str(event.detail)


# ── the unit ──
def test_the_unit_of_the_profile_holds_where_the_address_names_none(signed: Client, ana: User, tmp_path: Path) -> None:
    make_run(tmp_path)
    path = "/runs/synthetic/losses/"
    before = text(signed, path)
    Profile.objects.create(user=ana, unit="bits")
    after = text(signed, path)
    assert 'unit=bits" aria-current="true">bits' not in before
    assert 'aria-current="true">bits' in after
    assert "losses.json?unit=bits" in after  # downloads show what the page shows
    assert 'data-unit="bits"' in after


def test_an_address_that_names_a_unit_wins(signed: Client, ana: User, tmp_path: Path) -> None:
    make_run(tmp_path)
    Profile.objects.create(user=ana, unit="bits")
    html = text(signed, "/runs/synthetic/losses/?unit=nats")
    assert '?unit=nats" aria-current="true">nats' in html


def test_strangers_and_scripts_get_nats(signed: Client, ana: User, tmp_path: Path) -> None:
    make_run(tmp_path)
    Profile.objects.create(user=ana, unit="bits")
    assert 'aria-current="true">nats' in text(Client(), "/runs/synthetic/losses/")
    plain = signed.get("/runs/synthetic/losses.json").getvalue()
    assert plain == Client().get("/runs/synthetic/losses.json").getvalue()


# ── the theme ──
def test_the_theme_of_the_profile_holds_in_a_new_browser(ana: User) -> None:
    Profile.objects.create(user=ana, theme="dark")
    client = Client()
    client.force_login(ana)
    assert '<html lang="en" data-theme="dark">' in text(client, "/")
    client.cookies["theme"] = "light"
    assert '<html lang="en" data-theme="light">' in text(client, "/")


def test_the_switch_in_the_bar_writes_both(signed: Client, ana: User) -> None:
    response = signed.post("/preferences/theme/", {"theme": "dark", "next": "/"})
    assert response.cookies["theme"].value == "dark"
    assert Profile.objects.get(user=ana).theme == "dark"
    signed.post("/profile/", LOOK | {"theme": "light"})
    assert signed.cookies["theme"].value == "light"


# ── the keys ──
def test_keys_are_kept_where_they_differ_and_reach_the_page(signed: Client, ana: User) -> None:
    response = signed.post("/profile/", {"action": "keys", "next_context": "d", "previous": "h", "expand": "e"})
    assert response.status_code == 302
    assert Profile.objects.get(user=ana).keys == {"next_context": "d", "previous": "h"}
    assert 'data-keymap="{"ArrowLeft": "h", "j": "d"}"' in text(signed, "/")
    signed.post("/profile/", {"action": "usual-keys"})
    assert "data-keymap" not in text(signed, "/")


def test_a_collision_is_refused_with_a_sentence_and_stays_typed(signed: Client) -> None:
    response = signed.post("/profile/", {"action": "keys", "breaks": "e"})
    html = unescape(response.content.decode())
    assert response.status_code == 422
    assert "“e” is the key for “longer contexts, or the snippet again” already" in html
    assert 'name="breaks" value="e"' in html
    assert not Profile.objects.exists()


def test_two_actions_may_swap_their_keys(ana: User) -> None:
    kept = profile.save_keys(ana, {"next_context": "k", "previous_context": "j"})
    assert keymap(kept.keys) == {"j": "k", "k": "j"}


@pytest.mark.parametrize("written", ["ab", "\0", "Enter", "\u0301", "‮", "x" * 500])
def test_what_is_no_key_is_refused(ana: User, written: str) -> None:
    with pytest.raises(ValidationError, match="is no key"):
        profile.save_keys(ana, {"expand": written})


@pytest.mark.parametrize(
    ("written", "key"), [("←", "ArrowLeft"), (" q ", "q"), ("−", "-"), ("é", "é"), ("e\u0301", "é")]
)
def test_keys_are_read_as_browsers_name_them(written: str, key: str) -> None:
    assert read_key(written) == key


def test_the_usual_keys_do_not_collide() -> None:
    assert collisions({}) == {}
    assert len({action.name for action in ACTIONS}) == len(ACTIONS)


def test_keys_of_actions_that_are_gone_do_no_harm(signed: Client, ana: User) -> None:
    Profile.objects.create(user=ana, keys={"dance": "x"})
    assert "data-keymap" not in text(signed, "/profile/")


def test_a_hostile_key_cannot_leave_its_attribute(signed: Client) -> None:
    signed.post("/profile/", {"action": "keys", "expand": '"'})
    assert 'data-keymap="{&quot;e&quot;: &quot;\\&quot;&quot;}"' in signed.get("/").content.decode()


def test_preferences_cost_one_query(ana: User, django_assert_num_queries: Any) -> None:
    Profile.objects.create(user=ana, unit="bits")
    with django_assert_num_queries(1):
        assert preferences_of(ana).unit == "bits"

"""How many new curves may be fitted, by whom, and what they are told who would wait too long for others'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from clusters.queries import curve_paste, scaling
from clusters.stored import turns
from clusters.stored.recent import Recent
from compute.errors import BeingPrepared
from tests.api.seeds import bearer, make_key
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
FAR = {"REMOTE_ADDR": "203.0.113.7"}
FITS, SCORES, PAGE = "/api/v1/fits/", "/api/v1/curve-scores/", "/labs/curves/"


@pytest.fixture(autouse=True)
def few(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two fits a minute, and nothing counted or fitted yet."""
    settings.WEB_RATES = settings.WEB_RATES | {"fits": 2}
    monkeypatch.setattr(curve_paste, "_recent", Recent(64))
    cache.clear()
    yield
    cache.clear()


def fitted(client: Client, i: int, place: str = FITS, **how: Any) -> int:
    """Status of the i-th curve."""
    query = {"text": f"1 {9 + i}\n10 5\n100 3"} if place == PAGE else {"x": "1,10,100", "y": f"{9 + i},5,3"}
    return client.get(place, query, **(FAR | how)).status_code


def test_thirty_new_curves_a_minute_are_promised(settings: Any) -> None:
    from quantaweb.settings import WEB_RATES

    assert WEB_RATES["fits"] == 30


@pytest.mark.parametrize("place", [FITS, PAGE])
def test_new_curves_are_counted_and_known_ones_are_not(client: Client, place: str) -> None:
    assert [fitted(client, i, place) for i in (0, 0, 0, 1, 2, 0, 1)] == [200, 200, 200, 200, 429, 200, 200]
    assert fitted(client, 2, place, REMOTE_ADDR="203.0.113.8") == 200
    assert [fitted(client, i, place, REMOTE_ADDR="127.0.0.1") for i in (3, 4, 5)] == [200] * 3


def test_page_and_api_are_counted_together(client: Client) -> None:
    assert [fitted(client, 0), fitted(client, 1, PAGE), fitted(client, 2), fitted(client, 3, PAGE)] == [
        200, 200, 429, 429,
    ]  # fmt: skip
    response = client.get(FITS, {"x": "1,10,100", "y": "8,5,3"}, **FAR)
    assert 0 < int(response["Retry-After"]) <= 60
    assert response.json()["error"]["message"].startswith("You ask for more fits of new curves")
    page = client.get(PAGE, {"text": "1 8\n10 5\n100 3"}, **FAR)
    assert 0 < int(page["Retry-After"]) <= 60
    assert "more fits of new curves" in page.content.decode()


def test_each_key_and_each_person_has_a_rate_of_its_own(client: Client) -> None:
    person = UserFactory()
    keys = [bearer(make_key(person, "read")) for _ in range(2)]
    assert [fitted(client, i, headers=keys[0]) for i in range(3)] == [200, 200, 429]
    assert fitted(client, 3, headers=keys[1]) == 200
    client.force_login(person)
    assert [fitted(client, i, PAGE) for i in (4, 5, 6)] == [200, 200, 429]


def test_scores_are_as_free_as_other_numbers(client: Client) -> None:
    assert [fitted(client, i, SCORES) for i in range(4)] == [200] * 4


def test_an_empty_page_counts_for_none(client: Client) -> None:
    assert [client.get(PAGE, **FAR).status_code for _ in range(4)] == [200] * 4


@pytest.mark.parametrize("place", [FITS, PAGE, "/labs/curves.json"])
def test_who_waits_too_long_for_others_is_asked_to_come_again(
    client: Client, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LONGEST_WAIT_S", 0.01)
    query = {"x": "1,10,100", "y": "9,5,3"} if place == FITS else {"text": "1 9\n10 5\n100 3"}
    with curve_paste._fitting.taken():
        response = client.get(place, query)
    assert response.status_code == 503
    assert int(response["Retry-After"]) == 5
    assert "Other curves are being fitted" in response.content.decode()
    assert client.get(place, query).status_code == 200


def test_laws_of_runs_do_not_wait_for_ever_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_WAIT_S", 0.01)
    with scaling._fitting.taken(), pytest.raises(BeingPrepared, match="Other curves are being fitted"):
        scaling._all_laws((1.0, 10.0, 100.0), (9.0, 5.0, 3.125))
    assert scaling._all_laws((1.0, 10.0, 100.0), (9.0, 5.0, 3.125)).n_points == 3


def test_laws_of_many_points_are_of_some_and_say_so(client: Client) -> None:
    x = [1.05**i for i in range(200)]
    y = [1 + 5 * one**-0.3 for one in x]
    query = {"x": ",".join(map(str, x)), "y": ",".join(map(str, y))}
    told = client.get(FITS, query).json()
    assert (told["n_points"], told["n_held_out"]) == (200, 24)
    assert "Laws are fitted to 120 of the 200 points" in told["note"]
    text = "\n".join(f"{a:.6g} {b:.6g}" for a, b in zip(x, y, strict=True))
    page = client.get(PAGE, {"text": text}).content.decode()
    assert "Laws are fitted to 120 of the 200 points" in page
    assert "120 of the" not in client.get(FITS, {"x": "1,10,100", "y": "9,5,3"}).json()["note"]

"""How often pages may be asked for, by whom, and what they are told who ask too often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from clusters.services.rates import counted_as
from clusters.views.throttling import Streams
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
FAR = {"REMOTE_ADDR": "203.0.113.7"}


@pytest.fixture(autouse=True)
def few(settings: Any) -> Iterator[None]:
    settings.WEB_RATES = {"person": 4, "anonymous": 2, "numbers": 6, "letters": 1, "sign-ins": 3}
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def run(tmp_path: Any) -> Any:
    return make_run(tmp_path)


def statuses(client: Client, place: str, n: int, **how: Any) -> list[int]:
    return [client.get(place, **how).status_code for _ in range(n)]


def test_who_asks_too_often_is_told_for_how_long(client: Client) -> None:
    assert statuses(client, "/", 3, **FAR) == [200, 200, 429]
    response = client.get("/", **FAR)
    seconds = int(response["Retry-After"])
    assert 0 < seconds <= 60
    assert f"Try again in {seconds} second" in response.content.decode()
    assert "You ask more often" in response.content.decode()
    assert response["Cache-Control"] == "no-store"
    assert statuses(client, "/", 1, REMOTE_ADDR="203.0.113.8") == [200]


def test_a_person_has_more_wherever_they_are(client: Client) -> None:
    client.force_login(UserFactory())
    assert [client.get("/", REMOTE_ADDR=f"203.0.113.{i}").status_code for i in range(5)] == [200] * 4 + [429]


def test_refusals_cost_little(client: Client, django_assert_num_queries: Any) -> None:
    statuses(client, "/", 2, **FAR)
    with django_assert_num_queries(0):
        assert client.get("/", **FAR).status_code == 429


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.0.0.9"])
def test_this_machine_asks_as_often_as_it_likes(client: Client, address: str) -> None:
    assert statuses(client, "/", 6, REMOTE_ADDR=address) == [200] * 6


def test_machines_that_watch_are_not_counted(client: Client) -> None:
    assert statuses(client, "/livez", 9, **FAR) == [200] * 9


def test_what_is_dragged_through_has_a_rate_of_its_own(client: Client, run: Any) -> None:
    place = f"/runs/{run.slug}/rank-frequency.json?k=6"
    assert statuses(client, place, 7, **FAR) == [200] * 6 + [429]
    assert statuses(client, "/", 1, **FAR) == [200]
    said = client.get(place, **FAR).json()["error"]
    assert (said["status"], said["code"]) == (429, "throttled")


def test_a_figure_for_another_site_s_frame_says_so_in_the_frame(client: Client, run: Any) -> None:
    place = f"/runs/{run.slug}/rank-frequency/?embed=true&figure=rank-frequency"
    assert statuses(client, place, 3, **FAR) == [200, 200, 429]
    response = client.get(place, **FAR)
    assert "frame-ancestors *" in response["Content-Security-Policy"]
    assert "X-Frame-Options" not in response
    assert "Set-Cookie" not in response
    assert "Try again in" in response.content.decode()


def test_a_part_of_a_page_gets_a_sentence(client: Client) -> None:
    statuses(client, "/", 2, **FAR)
    response = client.get("/", headers={"HX-Request": "true"}, **FAR)
    assert response.status_code == 429
    assert "<html" not in response.content.decode()


@pytest.mark.parametrize("forged", ["127.0.0.1", "::1", "198.51.100.1", "127.0.0.1, 203.0.113.9", "x" * 300, "\u2028"])
def test_a_forged_address_changes_nothing_without_a_proxy(client: Client, forged: str) -> None:
    assert statuses(client, "/", 3, headers={"X-Forwarded-For": forged}, **FAR) == [200, 200, 429]


def test_behind_a_proxy_the_address_that_it_saw_counts(client: Client, settings: Any) -> None:
    settings.PROXIES = 1
    for forged, expected in (("", 200), ("127.0.0.1, ", 200), ("198.51.100.9, ::1, ", 429)):
        headers = {"X-Forwarded-For": f"{forged}203.0.113.7"}
        assert statuses(client, "/", 1, headers=headers, REMOTE_ADDR="10.0.0.2") == [expected]


def test_what_is_no_address_is_counted_as_one(client: Client, settings: Any) -> None:
    settings.PROXIES = 1
    asked = [client.get("/", headers={"X-Forwarded-For": name}, **FAR).status_code for name in ("a", "b", "c")]
    assert asked == [200, 200, 429]


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:127.0.0.1", None),
        ("unix:", "nobody"),
        ("", "nobody"),
    ],
)
def test_whom_an_address_is_counted_as(address: str, who: str | None) -> None:
    assert counted_as(address) == who


def test_letters_are_few(client: Client) -> None:
    ask = {"email": "ana@example.org"}
    asked = [client.post("/password/forgotten/", ask, **FAR).status_code for _ in range(2)]
    assert asked[1] == 429
    assert statuses(client, "/password/forgotten/", 1, **FAR) == [200]


def test_many_names_are_not_tried_from_one_address(client: Client) -> None:
    asked = [
        client.post("/sign-in/", {"username": f"person-{i}", "password": "guess"}, **FAR).status_code for i in range(4)
    ]
    assert asked[3] == 429
    assert 429 not in asked[:3]


def test_wrong_passwords_lock_for_a_whole_network_of_ipv6(client: Client, settings: Any) -> None:
    settings.WEB_RATES = settings.WEB_RATES | {"sign-ins": 100}
    UserFactory(username="ana")
    wrong = {"username": "ana", "password": "guess"}
    asked = [client.post("/sign-in/", wrong, REMOTE_ADDR=f"2001:db8:1:2::{i}").status_code for i in range(1, 7)]
    assert asked[0] != asked[-1] == 429
    assert client.post("/sign-in/", wrong, REMOTE_ADDR="2001:db8:1:3::1").status_code == asked[0]


# ── long answers ──


def test_long_answers_leave_threads_for_others() -> None:
    streams = Streams(2)
    assert [streams.begin("a"), streams.begin("a"), streams.begin("b"), streams.begin("c")] == [
        True,
        False,
        True,
        False,
    ]
    first = streams.counted("a", iter([b"1", b"2"]))
    assert list(first) == [b"1", b"2"]
    first.close()  # as the server does, once more
    assert [streams.begin("c"), streams.begin("d")] == [True, False]


@pytest.mark.parametrize("name", ["tokens.csv", "search.csv?q=a", "rank-frequency.csv?figure=rank-frequency"])
def test_a_page_s_table_is_a_download_too(client: Client, run: Any, name: str) -> None:
    place = f"/runs/{run.slug}/{name}"
    another = client.get(f"/runs/{run.slug}/exports/clusters.csv", **FAR)  # under way
    assert client.get(place, **FAR).status_code == 429
    another.close()
    cache.clear()
    response = client.get(place, **FAR)
    assert response.status_code == 200
    assert client.get(place, **FAR).status_code == (429 if response.streaming else 200)
    response.close()
    assert client.get(place, **FAR).status_code == 429  # two a minute, as of pages


def test_the_api_s_tables_are_downloads_too(client: Client, run: Any) -> None:
    place = f"/api/v1/runs/{run.slug}/exports/clusters.csv"
    first = client.get(place, **FAR)
    refused = client.get(place, **FAR)
    assert (first.status_code, refused.status_code, refused.json()["error"]["code"]) == (200, 429, "throttled")
    first.close()
    assert client.get(place, **FAR).status_code == 200


def test_search_s_twin_is_counted_as_the_page_is(client: Client, run: Any) -> None:
    """It looks through the whole text, and nobody drags through it."""
    assert statuses(client, f"/runs/{run.slug}/search.json?q=a", 3, **FAR) == [200, 200, 429]


def test_who_asks_too_often_is_not_read(settings: Any) -> None:
    """The count comes before whatever reads a body, as the check of forms does."""
    order = [name.rpartition(".")[2] for name in settings.MIDDLEWARE]
    assert order.index("HeldBack") < order.index("CsrfViewMiddleware")


def test_a_download_that_is_cut_gives_its_place_back(client: Client, run: Any, settings: Any) -> None:
    settings.WEB_RATES = settings.WEB_RATES | {"anonymous": 100}
    place = f"/runs/{run.slug}/exports/clusters.csv"
    first = client.get(place, **FAR)
    assert first.status_code == 200
    refused = client.get(place, **FAR)
    assert (refused.status_code, refused["Retry-After"]) == (429, "10")
    assert "Too many files are being downloaded" in refused.content.decode()
    assert client.get("/", **FAR).status_code == 200
    first.close()
    assert client.get(place, **FAR).status_code == 200

"""The measurement of the site: every route is in it, its parts are found, its goals mean what they say; a small run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.urls import Resolver404, resolve

from benchmarks.paper import Plan, make_bundle
from benchmarks.web import pages
from benchmarks.web.__main__ import main
from benchmarks.web.draws import Draws
from benchmarks.web.goals import DENSITY, FINDER, PAGE
from benchmarks.web.measure import Measured, fetched_later
from benchmarks.web.report import Report, markdown, row
from benchmarks.web.site import Ingested, beyond_mapped_arrays
from clusters.urls import urlpatterns
from compute.bundle import open_bundle


def measured(**changes: object) -> Measured:
    facts = {"name": "a page", "goal": PAGE, "seconds": [0.01] * 20, "cpu_seconds": [0.01] * 20, "failures": []}
    return Measured(**{**facts, "n_queries": 3, "n_bytes": 1000, **changes})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("web"), Plan(scale=0.002))


@pytest.fixture
def draws(bundle: Path) -> Draws:
    return Draws(open_bundle(bundle), "paper", lambda page: 'x="/runs/paper/similarity/v1/signed/similarity/k3/"')


def test_every_route_is_measured_or_left_out_by_name(draws: Draws) -> None:
    """A page that is added here without a row in the table fails."""
    reached = {resolve(draws.address(page.address).partition("?")[0]).url_name for page in pages.PAGES}
    there = {str(route.name) for route in urlpatterns if not str(route.name).endswith("-twin")}
    assert there - reached - pages.LEFT_OUT == set()
    assert there >= pages.LEFT_OUT


def test_every_address_is_a_route(draws: Draws) -> None:
    for page in pages.PAGES:
        for _ in range(5):
            address = draws.address(page.address).partition("?")[0]
            try:
                resolve(address)
            except Resolver404:
                pytest.fail(f"{page.name}: {address}")


def test_addresses_differ_and_come_again_with_the_seed(bundle: Path) -> None:
    template = "/runs/{run}/tokens/?m_min={m_min}&n_max={n_max}"
    first, again = (Draws(open_bundle(bundle), "paper", str) for _ in range(2))
    addresses = [first.address(template) for _ in range(30)]
    assert len(set(addresses)) == 30
    assert [again.address(template) for _ in range(30)] == addresses


def test_a_matrix_whose_page_names_no_pixels_is_a_miss(bundle: Path) -> None:
    with pytest.raises(LookupError, match="names no pixels"):
        Draws(open_bundle(bundle), "paper", lambda page: "").address("{pixels}/{tile}.png")


def test_what_a_page_fetches_later_is_found() -> None:
    page = """
    <figure hx-get="/runs/a.html?figure=members&amp;k=3" hx-trigger="intersect once"></figure>
    <a href="/b/" hx-get="/runs/b/?after=x#list" hx-trigger="revealed, click">More</a>
    <form hx-get="/runs/c/" hx-trigger="change"></form>
    <img src="/runs/d.png" alt=""><img src="/static/e.png" alt="">
    <div data-positions="/runs/f" data-near="/runs/g"></div>
    """
    assert list(fetched_later(page)) == [
        ("members", "/runs/a.html?figure=members&k=3"),
        ("next", "/runs/b/?after=x"),
        ("image", "/runs/d.png"),
        ("positions", "/runs/f"),
    ]


def test_the_95th_percentile_is_the_value_that_one_in_twenty_exceeds() -> None:
    one = measured(seconds=[n / 1000 for n in range(100, 0, -1)])
    assert (one.p95, one.median) == (0.095, 0.0505)
    assert measured(seconds=[0.3, 0.1, 0.2]).p95 == 0.3


@pytest.mark.parametrize(
    ("changes", "is_good"),
    [
        ({}, True),
        ({"seconds": [0.036] * 30}, False),
        ({"seconds": [0.036] * 30, "goal": FINDER}, True),
        ({"seconds": [0.01] * 18 + [0.2] * 2}, False),
        ({"seconds": [0.29] * 20, "goal": DENSITY}, True),
        ({"n_queries": 16}, False),
        ({"failures": ["404 /runs/x/"]}, False),
        ({"seconds": [], "failures": ["500 /"]}, False),
    ],
)
def test_a_goal_is_missed_by_time_queries_or_failure(changes: dict[str, object], is_good: bool) -> None:
    assert measured(**changes).is_good is is_good
    assert ("MISSED" in row(measured(**changes))) is not is_good


def test_the_report_names_every_miss() -> None:
    slow = measured(name="slow", seconds=[1.0] * 20)
    report = Report("sqlite", Ingested("paper", 61.0, 90.0), [measured(), slow], 401_000_000, None)
    assert [miss.partition(":")[0] for miss in report.misses] == [
        "slow", "readable after 61 s of 60", "401 MB of memory, 400 allowed",
    ]  # fmt: skip
    assert report.summary().count("MISSED") == 3


def test_the_table_for_the_docs_has_both_databases_side_by_side() -> None:
    ingested = Ingested("paper", 20.0, 90.0)
    slower = measured(seconds=[0.02] * 20)
    text = markdown(
        [Report("sqlite", ingested, [measured()], 1_000_000, None), Report("pg", ingested, [slower], None, None)]
    )
    assert "| a page | 10, 10 | 20, 20 | 3 | 1 | median 35 ms, p95 100 ms |" in text
    assert "sqlite: bundle readable after 20.0 s, checked after 90.0 s; web process 1 MB resident" in text


def test_memory_leaves_out_pages_of_mapped_arrays_only() -> None:
    smaps = (
        "7f00-7f01 r--s 00000000 fe:00 12 /data/losses/a.npy\nSize: 9 kB\nRss: 5000 kB\nAnonymous: 0 kB\n"
        "7f02-7f03 rw-p 00000000 00:00 0 [heap]\nRss: 100 kB\n"
        "7f04-7f05 r-xp 00000000 fe:00 13 /usr/lib/libc.so.6\nRss: 20 kB\nVmFlags: rd ex\n"
    )
    assert beyond_mapped_arrays(smaps) == 120 * 1024


def test_a_small_site_is_measured_whole(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    given = ["--bundle", str(bundle), "--databases", "sqlite", "--requests", "1", "--no-browser"]
    given += ["--folder", str(tmp_path / "work"), "--json", str(file)]
    assert main([*given, "--pages", "runs", "overview", "clusters", "similarity", "tokens", "document", "sign-in"]) == 0
    (found,) = json.loads(file.read_text())["databases"]
    assert not [one["failures"] for one in found["pages"] if one["failures"]]
    assert {"runs", "overview", "similarity, tile", "tokens"} <= {one["name"] for one in found["pages"]}
    assert all(one["median"] > 0 for one in found["pages"])
    assert found["ingest"]["readable_seconds"] > 0
    assert not list((tmp_path / "work").iterdir())

"""The hundred kills, continued: `manage.py backup` and `manage.py restore`, killed at random moments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clusters.models import Label, Run
from clusters.services import people
from clusters.services.backup import back_up, restore
from clusters.services.labels import Content, save_label
from clusters.stored.arrays import forget_bundles
from compute.bundle import open_bundle
from tests.databases import Site, default_database
from tests.factories import UserFactory, make_run
from tests.faults.figures import Measured
from tests.faults.test_kills import killed
from tests.postgres import find_binaries

CASES = pytest.mark.parametrize(
    ("site", "n"),
    [("sqlite", 4), *(pytest.param(name, 9, marks=pytest.mark.whole) for name in ("sqlite", "postgres"))],
    indirect=["site"],
)


@pytest.fixture(autouse=True)
def _with_postgres_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian keeps pg_dump beside its server."""
    if folder := find_binaries():
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@pytest.fixture
def lived_in(site: Site) -> Run:
    """A site with two runs and a label."""
    people.make_roles()
    person = UserFactory(is_superuser=True, username="ada")
    make_run(site.data / "bundles", name="first")
    run = make_run(site.data / "bundles", name="second", seed=1)
    cluster = run.clusterings.first().clusters.first()
    save_label(person, cluster, Content(name="comma after the day"), version=0, submit=True)
    return run


@contextmanager
def _empty_site(site: Site, request: pytest.FixtureRequest, settings: Any, name: str) -> Iterator[Site]:
    """A database without any table and an empty data folder."""
    data = site.data.parent / name
    data.mkdir()
    url = f"sqlite:///{data / 'quantaweb.sqlite3'}"
    if not site.url.startswith("sqlite"):
        server = request.getfixturevalue("postgres")
        server.drop(f"qw_{name}")
        url = server.create(f"qw_{name}")
    settings.DATA_DIR, settings.BUNDLE_DIR, settings.CORPUS_DIR = data, data / "bundles", data / "corpora"
    forget_bundles()
    with default_database(url):
        yield Site(url, data, site.periods)
    forget_bundles()


def _is_whole(site: Site) -> None:
    """Both runs with their bundles in this site's folder, and the label."""
    runs = Run.objects.order_by("slug")
    assert [run.slug for run in runs] == ["first", "second"]
    for run in runs:
        bundle = open_bundle(run.bundle_path)
        bundle.verify()
        assert bundle.sha256 == run.bundle_sha256
        assert Path(run.bundle_path).is_relative_to(site.data)
    assert Label.objects.get().name == "comma after the day"
    seen = [path.name for path in (site.data / "bundles").iterdir() if not path.name.startswith(".")]
    assert sorted(seen) == sorted(Path(run.bundle_path).name for run in runs)


@CASES
def test_a_backup_killed_at_random_moments_is_none_and_the_next_one_is_whole(
    site: Site, n: int, lived_in: Run, request: pytest.FixtureRequest, settings: Any, tmp_path: Path,
    measured: Measured,
) -> None:  # fmt: skip
    folder = tmp_path / "backups"
    hit = killed(site, kind="manage", arguments=["backup", str(folder)], kills=n, seed=n, remove=[str(folder)])
    whole = sorted(folder.glob("*Z"))
    assert whole
    assert all((place / "manifest.json").is_file() for place in whole)
    with _empty_site(site, request, settings, "restored") as other:
        restore(whole[-1])
        _is_whole(other)
    measured(24, "manage.py backup is killed at random moments", kills=hit.total(), phases_hit=len(hit),
             phases=dict(hit), same_bundles=True)  # fmt: skip


@CASES
def test_restoring_killed_at_random_moments_is_finished_by_the_next_try(
    site: Site, n: int, lived_in: Run, request: pytest.FixtureRequest, settings: Any, tmp_path: Path,
    measured: Measured,
) -> None:  # fmt: skip
    backup = back_up(tmp_path / "backups").path
    with _empty_site(site, request, settings, "empty") as other:
        hit = killed(
            other, kind="manage", arguments=["restore", str(backup)], kills=n, seed=n, flush=True,
            remove=[str(other.data / "bundles")],
        )  # fmt: skip
        _is_whole(other)
    measured(24, "manage.py restore is killed at random moments", kills=hit.total(), phases_hit=len(hit),
             phases=dict(hit), same_bundles=True)  # fmt: skip

"""Files that rot: whatever is flipped, cut or gone is noticed and said, made anew where it can be, and never shown."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from clusters.models import Run
from clusters.services.verification import check_again, finish, waiting_runs
from clusters.stored import derived as derived_module
from clusters.stored.arrays import array_of, forget_bundles
from clusters.stored.derived import derived
from compute.bundle import open_bundle
from compute.demo.suite import SUITE_FOLDER, demo_suite
from compute.errors import BundleError, CheckpointError
from compute.workspace import Workspace
from tests.databases import Site
from tests.factories import make_run
from tests.faults.serving import SQLITE_IN_CI

PAGES = ("", "rank-frequency/", "k/6/clusters/", "k/6/clusters/0/", "similarity/", "tokens/", "losses/", "scaling/",
         "documents/0/", "map/", "sequence/", "dynamics/", "similarity.json", "losses.json")  # fmt: skip


def flip(file: Path) -> None:
    """One bit, in the middle of what the file holds."""
    content = bytearray(file.read_bytes())
    content[len(content) * 2 // 3] ^= 4
    file.write_bytes(content)


def cut(file: Path) -> None:
    with file.open("r+b") as handle:
        handle.truncate(file.stat().st_size - 3)


BREAK: dict[str, Callable[[Path], None]] = {"flipped": flip, "cut": cut, "gone": Path.unlink}


@pytest.fixture
def run(site: Site) -> Iterator[Run]:
    yield make_run(site.data / "bundles")
    forget_bundles()


@SQLITE_IN_CI
@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.whole)])
def test_every_file_of_a_bundle_that_rots_is_named_and_closed(site: Site, run: Run, every: int, measured: Any) -> None:
    """Each file in turn, flipped, cut or gone: the next check names it, every page says so, none draws from it."""
    bundle = open_bundle(run.bundle_path)
    seconds, n_closed = [], 0
    for i, name in enumerate(sorted(bundle.hashes)[::every]):
        how = list(BREAK)[i % len(BREAK)]
        file = bundle.path / name
        whole = file.read_bytes()
        BREAK[how](file)
        began = time.monotonic()
        check_again(run)
        finish(run)
        seconds.append(time.monotonic() - began)
        run.refresh_from_db()
        assert name in run.damage, f"{name}, {how}"
        assert run.verified_at is None
        if name.endswith(".npy"):
            with pytest.raises(BundleError):
                array_of(run, name.removesuffix(".npy"))
            n_closed += 1
        file.write_bytes(whole)
    check_again(run)
    finish(run)
    assert (run.damage, run.verified_at is None) == ("", False)
    measured(11, "each file of a bundle flipped, cut or gone", files=len(seconds), noticed=len(seconds),
             closed=n_closed, seconds_to_notice=max(seconds))  # fmt: skip


@SQLITE_IN_CI
def test_pages_of_a_damaged_run_say_so_or_do_not_draw(site: Site, run: Run, measured: Any) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root"))
    whole = {path: client.get(f"/runs/synthetic/{path}").content for path in PAGES}
    names = ["losses/syn-10k/step1000.npy", "similarity/signed.npy", "corpus/token_ids.npy"]
    for name in names:
        flip(Path(run.bundle_path) / name)
    check_again(run)
    finish(run)
    refused = 0
    for path in PAGES:
        answer = client.get(f"/runs/synthetic/{path}")
        if answer.status_code == 200 and not path.endswith("json"):
            assert all(name in answer.content.decode() for name in names), path
        elif answer.status_code == 200:
            assert answer.content == whole[path], path
        else:
            assert (answer.status_code, "cannot be read" in answer.content.decode()) in ((404, True), (404, False)), (
                path
            )
            refused += 1
    assert 0 < refused < len(PAGES)
    measured(11, "pages of a run with three damaged arrays", pages=len(PAGES), not_drawn=refused)


@SQLITE_IN_CI
def test_files_are_read_again_every_few_weeks(site: Site, run: Run, settings: Any, measured: Any) -> None:
    finish(run)
    assert not waiting_runs()
    Run.objects.update(verified_at=timezone.now() - timedelta(days=settings.VERIFY_DAYS, seconds=1))
    assert list(waiting_runs()) == [run]
    flip(Path(run.bundle_path) / "map/curves.npy")
    finish(waiting_runs()[0])
    run.refresh_from_db()
    assert "map/curves.npy" in run.damage
    settings.VERIFY_DAYS = 0
    assert not waiting_runs()
    measured(11, "a file that rots long after it was checked", days_between_checks=30)


@pytest.mark.parametrize("how", BREAK)
def test_what_pages_worked_out_is_made_anew(how: str, tmp_path: Path, settings: Any, measured: Any) -> None:
    settings.DERIVED_DIR = tmp_path
    run, right, made = Run(bundle_sha256="ab" * 32), np.arange(100_000.0), []
    derived(run, "page/table", lambda: made.append(1) or right)  # type: ignore[func-returns-value]
    BREAK[how](tmp_path / run.bundle_sha256 / "page/table.npy")
    derived_module._open.cache_clear()
    derived_module._whole.clear()  # as in a process that starts now
    again = derived(run, "page/table", lambda: made.append(1) or right)  # type: ignore[func-returns-value]
    assert np.array_equal(again, right)
    assert len(made) == 2
    derived(run, "page/table", lambda: pytest.fail("it is whole"))
    measured(11, f"a derived file, {how}", made_again=1)


@pytest.mark.parametrize("how", BREAK)
def test_a_shard_s_file_counts_as_absent_and_is_computed_again(how: str, tmp_path: Path, measured: Any) -> None:
    place = Workspace(tmp_path)
    right = np.arange(1000, dtype=np.float32)
    place.save("losses", right, "stamp")
    place.save_json("facts", {"n": 1}, "stamp")
    for kind in ("npy", "json"):
        [file] = [one for one in tmp_path.glob(f"*.{kind}") if one.is_file()]
        BREAK[how](file)
    fresh = Workspace(tmp_path)
    assert not fresh.has("losses", "stamp")
    assert fresh.load("losses", "stamp") is None
    assert fresh.load_json("facts", "stamp") is None
    fresh.save("losses", right, "stamp")
    found = fresh.load("losses", "stamp")
    assert found is not None
    assert np.array_equal(found, right)
    measured(11, f"a shard's file, {how}", taken=0)


@pytest.mark.parametrize("how", BREAK)
def test_damaged_weights_are_refused_with_a_sentence(how: str, tmp_path: Path, measured: Any) -> None:
    shutil.copytree(SUITE_FOLDER, tmp_path / "suite")
    victims = sorted((tmp_path / "suite").rglob("model.safetensors"))
    assert victims
    BREAK[how](victims[len(victims) // 2])
    with pytest.raises(CheckpointError, match=victims[len(victims) // 2].parent.name):
        demo_suite(tmp_path / "suite")
    measured(11, f"shipped weights, {how}", refused=1)

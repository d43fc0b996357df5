"""Old backups go, and nothing that one of those left needs goes with them."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from clusters.models import Run
from clusters.services import backup, backup_files, backup_folder
from clusters.services.backup import back_up, restore
from clusters.services.backup_folder import Thinned, held, thin
from clusters.services.runs import delete_run
from compute.bundle import open_bundle
from tests.databases import Site, sqlite_template  # noqa: F401  (a fixture)
from tests.databases import site as site_fixture
from tests.factories import UserFactory, make_run

site = site_fixture
ON_SQLITE = pytest.mark.parametrize("site", ["sqlite"], indirect=True)
pytestmark = ON_SQLITE
OLD = time.time() - 2 * backup_folder.SETTLED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def make(site: Site, folder: Path) -> Callable[..., Path]:
    """Another backup, of two runs: one that every backup has, and one of its own."""

    def made(seed: int) -> Path:
        Run.objects.exclude(slug="shared").delete()
        if not Run.objects.exists():
            make_run(site.data / "bundles", name="shared")
        make_run(site.data / "bundles", name=f"only {seed}", seed=seed)
        done = back_up(folder)
        assert done.problems == []
        return done.path

    return made


def say(*command: str) -> str:
    out = io.StringIO()
    call_command(*command, stdout=out)
    return out.getvalue().splitlines()[-1]


def dated(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*Z"))


def objects(folder: Path) -> set[str]:
    return {path.name for path in (folder / "objects").glob("??/*")}


def named_by(*backups: Path) -> set[str]:
    manifests = [json.loads((path / "manifest.json").read_text()) for path in backups]
    return {sha256 for one in manifests for entry in one["folders"] for sha256 in entry["files"].values()}


def change(backup: Path, **values: Any) -> None:
    file = backup / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_the_newest_stay_whole_and_what_only_older_ones_named_goes(make, folder, settings, tmp_path) -> None:
    backups = [make(seed) for seed in range(1, 5)]
    shared = named_by(backups[0]) & named_by(backups[3])
    assert len(shared) > 5
    assert named_by(backups[0]) - named_by(*backups[2:])
    gone = thin(backups[3], keep=2)
    assert gone.backups == [backups[1].name, backups[0].name]
    assert gone.n_objects > 1
    assert gone.n_bytes > 100
    assert dated(folder) == [one.name for one in backups[2:]]
    assert objects(folder) == named_by(*backups[2:]) >= shared
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    shutil.rmtree(settings.BUNDLE_DIR)
    restore(backups[2], replace=True)
    assert sorted(Run.objects.values_list("name", flat=True)) == ["only 3", "shared"]
    for path in Run.objects.values_list("bundle_path", flat=True):
        open_bundle(path).verify()


def test_the_command_keeps_as_many_as_it_is_told_and_says_what_went(make, folder) -> None:
    first, second = make(1), make(2)
    said = say("backup", str(folder), "--keep", "2")
    assert said.startswith(f"removed: 1 older backups ({first.name}); ")
    assert "files that no backup names any more" in said
    assert len(dated(folder)) == 2
    assert second.name in dated(folder)


def test_without_being_told_nothing_goes(make, folder) -> None:
    make(1)
    call_command("backup", str(folder), stdout=io.StringIO())
    assert len(dated(folder)) == 2


@pytest.mark.parametrize("given", [["--keep", "0"], ["--keep", "-3"]])
def test_at_least_one_must_stay(make, folder, given) -> None:
    make(1)
    with pytest.raises(CommandError, match="1 or more"):
        call_command("backup", str(folder), *given)
    assert len(dated(folder)) == 1


def test_a_new_backup_with_problems_removes_nothing(make, folder) -> None:
    make(1), make(2)
    before = objects(folder)
    (Path(Run.objects.get(slug="shared").bundle_path) / "curves" / "losses.npy").unlink()
    with pytest.raises(CommandError, match="No older one was removed"):
        call_command("backup", str(folder), "--keep", "1", stdout=io.StringIO())
    assert len(dated(folder)) == 3
    assert before <= objects(folder)


def test_fewer_whole_ones_than_are_to_stay_all_stay(make, folder) -> None:
    backups = [make(seed) for seed in range(1, 4)]
    change(backups[0], problems=["a bundle is damaged"])
    assert thin(backups[2], keep=3) == Thinned([])
    assert len(dated(folder)) == 3


def test_one_that_is_not_whole_does_not_count_and_goes_with_its_age(make, folder) -> None:
    backups = [make(seed) for seed in range(1, 6)]
    change(backups[0], problems=["a bundle is damaged"])
    (backups[2] / "database.sqlite3").unlink()
    own = named_by(backups[3]) - named_by(*(one for one in backups if one != backups[3]))
    (folder / "objects" / min(own)[:2] / min(own)).unlink()
    assert sorted(thin(backups[4], keep=2).backups) == [backups[0].name]
    assert dated(folder) == [one.name for one in backups[1:]]  # 2 and 5 are whole
    assert named_by(backups[1], backups[2], backups[4]) <= objects(folder)


def test_the_new_one_stays_whatever_the_clock_said(make, folder) -> None:
    first, second = make(1), make(2)
    first.rename(folder / "20991231T000000Z")
    assert thin(second, keep=1).backups == ["20991231T000000Z"]
    assert objects(folder) == named_by(second)


def test_a_renamed_backup_stays_with_its_files_and_what_is_no_backup_is_left_alone(make, folder) -> None:
    kept = make(1).rename(folder / "before-the-move")
    older, newest = make(2), make(3)
    for name, content in {"photos": "{}", "20200101T000000Z.txt": "hello", "other": '{"format": "x"}'}.items():
        (folder / name).mkdir()
        (folder / name / ("manifest.json" if name == "other" else "file")).write_text(content)
    (folder / "objects" / "ab").mkdir(exist_ok=True)
    (folder / "objects" / "ab" / "readme").write_text("not an object")
    before = {path.name for path in folder.iterdir()}
    assert thin(newest, keep=1).backups == [older.name]
    assert {path.name for path in folder.iterdir()} == before - {older.name}
    assert objects(folder) == named_by(kept, newest) | {"readme"}


@pytest.mark.parametrize("how", ["torn", "of a newer version", "without a manifest"])
def test_files_stay_while_one_cannot_be_read(make, folder, how) -> None:
    unread, older, newest = make(1), make(2), make(3)
    before = objects(folder)
    if how == "torn":
        (unread / "manifest.json").write_text('{"format": "quanta')
    elif how == "of a newer version":
        change(unread, version=2)
    else:
        (unread / "manifest.json").unlink()
    gone = thin(newest, keep=1)
    assert gone.backups == [older.name]
    assert f"which files {unread.name} needs cannot be read" in gone.left
    assert dated(folder) == [unread.name, newest.name]
    assert objects(folder) == before


def test_nothing_goes_while_another_backup_is_written(make, folder, monkeypatch) -> None:
    """Files that the other counts on would go, since it names them only at its end."""
    first, second = make(1), make(2)
    before, stated, seen = objects(folder), backup_files._stated, []

    def meanwhile(*given: Any) -> Any:
        seen.append(thin(second, keep=1))
        return stated(*given)

    monkeypatch.setattr(backup_files, "_stated", meanwhile)
    done = back_up(folder)
    assert {one.left[:14] for one in seen} == {"another backup"}
    assert dated(folder) == [first.name, second.name, done.path.name]
    assert before <= objects(folder)


def test_nothing_goes_while_one_is_restored(make, folder, monkeypatch) -> None:
    first, second = make(1), make(2)
    seen = []
    monkeypatch.setattr(backup, "_note_begin", lambda *_: seen.append(thin(second, keep=1)))
    with pytest.raises(FileNotFoundError):  # what it would have noted
        restore(first, replace=True)
    assert seen[0].backups == []
    assert "written or read" in seen[0].left
    assert len(dated(folder)) == 2


def test_the_command_says_that_another_is_under_way(make, folder) -> None:
    make(1)
    with held(folder):
        said = say("backup", str(folder), "--keep", "1")
    assert said == (
        "removed: 0 older backups; another backup is being written or read, or this folder cannot be locked"
    )
    assert len(dated(folder)) == 2


def test_files_stay_while_somebody_writes_who_knows_no_lock(make, folder) -> None:
    older, newest = make(1), make(2)
    before = objects(folder)
    partial = folder / ".20261122T140000000000Z.partial"
    partial.mkdir()
    gone = thin(newest, keep=1)
    assert gone.backups == [older.name]
    assert partial.name in gone.left
    assert (objects(folder), partial.is_dir()) == (before, True)


def test_what_a_killed_backup_left_goes_after_a_day(make, folder) -> None:
    newest = make(1)
    partial, piece = folder / ".20261120T140000000000Z.partial", folder / "objects" / ".abc.partial"
    half_removed, foreign = folder / ".20261119T140000000000Z.removed", folder / ".mine.partial"
    for path in (partial, half_removed, foreign):
        path.mkdir()
    piece.touch()
    for path in (partial, piece, foreign):
        os.utime(path, (OLD, OLD))
    assert thin(newest, keep=1) == Thinned([])
    assert [path.exists() for path in (partial, piece, half_removed, foreign)] == [False, False, False, True]


@pytest.mark.parametrize("step", range(1, 9))
def test_cut_short_anywhere_what_is_left_is_whole_and_the_next_time_goes_on(make, folder, monkeypatch, step) -> None:
    backups = [make(seed) for seed in range(1, 5)]
    calls = []

    def cut(original: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) == step:
                raise KeyboardInterrupt
            return original(*given, **named)

        return called

    with monkeypatch.context() as patched:
        for owner, name in ((Path, "unlink"), (Path, "rename"), (shutil, "rmtree")):
            patched.setattr(owner, name, cut(getattr(owner, name)))
        with pytest.raises(KeyboardInterrupt):
            thin(backups[3], keep=2)
    left = [folder / name for name in dated(folder)]
    assert set(backups[2:]) <= set(left)
    assert named_by(*left) <= objects(folder)
    thin(backups[3], keep=2)
    assert dated(folder) == [one.name for one in backups[2:]]
    assert objects(folder) == named_by(*backups[2:])
    assert not list(folder.glob(".*"))


def test_a_folder_that_cannot_be_removed_is_told(make, folder, monkeypatch) -> None:
    make(1)

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(backup_folder, "_remove", refused)
    with pytest.raises(CommandError, match="The new backup is whole, but old ones could not be removed"):
        call_command("backup", str(folder), "--keep", "1", stdout=io.StringIO())
    assert len(dated(folder)) == 2


def test_a_deleted_runs_files_go_with_the_last_backup_that_has_them(make, folder) -> None:
    first = make(1)
    alone = named_by(first)
    delete_run(UserFactory(is_superuser=True), Run.objects.get(name="only 1"))
    newest = back_up(folder).path
    assert alone <= objects(folder)
    thin(newest, keep=1)
    assert not alone <= objects(folder)
    assert objects(folder) == named_by(newest)

"""A site that is saved, destroyed and brought back: nothing is missing, and nothing damaged passes for good."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from clusters.embedded.startup import unapplied_migrations
from clusters.models import Cluster, Experiment, Label, RegisteredCorpus, Run
from clusters.services import backup, people, postgres
from clusters.services.backup import back_up, restore, restore_bundle
from clusters.services.corpora import remove_corpus
from clusters.services.experiments import receive
from clusters.services.labels import Content, save_label
from clusters.services.runs import delete_run
from clusters.services.verification import check_again, finish
from clusters.stored.arrays import bundle_of, experiment_array, forget_bundles
from compute.bundle import file_sha256, open_bundle
from compute.errors import BundleError, StorageError
from compute.labs import frame
from compute.models import Job
from tests.compute.counting import COUNTING, Counting
from tests.databases import Site, default_database
from tests.factories import UserFactory, make_run


@contextmanager
def another_site(site: Site, request: Any, settings: Any, name: str) -> Iterator[Path]:
    """An empty database of the same kind and an empty data folder."""
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
        yield data
    forget_bundles()


@pytest.fixture(autouse=True)
def with_postgres_programs(monkeypatch) -> None:
    """Debian keeps pg_dump beside its server."""
    from tests.postgres import find_binaries

    if folder := find_binaries():
        monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.fixture
def lived_in(site: Site, settings: Any) -> Run:
    """A site with a run, a label, an uploaded corpus and a job that has begun."""
    settings.CORPUS_DIR = site.data / "corpora"
    people.make_roles()
    run = make_run(site.data / "bundles", name="kept")
    person = UserFactory(is_superuser=True, username="ada")
    cluster = Cluster.objects.filter(clustering__run=run).order_by("pk")[0]
    save_label(person, cluster, Content(name="comma after the day", tags=("lexical",)), version=0, submit=True)
    folder = Path(settings.CORPUS_DIR) / "abc"
    folder.mkdir(parents=True)
    (folder / "texts.jsonl").write_text('{"text": "hello"}')
    RegisteredCorpus.objects.create(name="mine", kind="upload", source=str(folder / "texts.jsonl"))
    Job.objects.create(name="begun", config={}, workspace=str(site.data / "workspaces" / "7"))
    _finished_experiment(site)
    return run


def _finished_experiment(site: Site) -> None:
    lab = dataclasses.replace(COUNTING, kind="parity")
    receive(frame.run_lab(lab, Counting(name="counted"), site.data / "lab", site.data / "bundles"))


def test_everything_comes_back_on_an_empty_machine(site, lived_in, request, settings, tmp_path) -> None:
    sha256 = lived_in.bundle_sha256
    done = back_up(tmp_path / "backups")
    assert done.problems == []
    shutil.rmtree(site.data / "bundles")
    with another_site(site, request, settings, "empty") as data:
        rows = restore(done.path)
        assert rows["clusters_run"] == 1
        assert sum(rows.values()) == done.n_rows
        label = Label.objects.get()
        assert (label.name, [tag.slug for tag in label.tags.all()]) == ("comma after the day", ["lexical"])
        assert label.revisions.count() == 1
        run = Run.objects.get(slug="kept")
        assert Path(run.bundle_path).is_relative_to(data)
        bundle = open_bundle(run.bundle_path)
        bundle.verify()
        assert bundle.sha256 == sha256
        experiment = Experiment.objects.get()
        assert Path(experiment.bundle_path).is_relative_to(data)
        assert experiment_array(experiment, "counts").tolist() == [[0, 1, 2], [0, 2, 4]]
        corpus = RegisteredCorpus.objects.get()
        assert Path(corpus.source).read_text() == '{"text": "hello"}'
        assert Path(corpus.source).is_relative_to(data)
        assert Path(Job.objects.get().workspace) == data / "workspaces" / "7"


def test_what_was_saved_once_is_not_copied_again(lived_in, tmp_path) -> None:
    first = back_up(tmp_path / "backups")
    second = back_up(tmp_path / "backups")
    assert first.n_new > 10
    assert (second.n_new, second.n_objects) == (0, first.n_objects)
    assert len(list((tmp_path / "backups").glob("*Z"))) == 2


def test_a_site_that_is_in_use_is_not_replaced_unasked(lived_in, tmp_path) -> None:
    done = back_up(tmp_path / "backups")
    Label.objects.update(name="written since")
    with pytest.raises(StorageError, match="not empty"):
        restore(done.path)
    assert Label.objects.get().name == "written since"
    restore(done.path, replace=True)
    assert Label.objects.get().name == "comma after the day"


def test_a_run_that_is_deleted_while_files_are_copied_is_saved_all_the_same(
    site, lived_in, request, settings, tmp_path, monkeypatch
) -> None:
    save = backup._save_database

    def then_deleted(folder: Path) -> Any:
        saved = save(folder)
        delete_run(User.objects.get(username="ada"), lived_in)
        return saved

    monkeypatch.setattr(backup, "_save_database", then_deleted)
    done = back_up(tmp_path / "backups")
    assert done.problems == []
    assert not Path(lived_in.bundle_path).exists()
    with another_site(site, request, settings, "after"):
        restore(done.path)
        open_bundle(Run.objects.get().bundle_path).verify()


def test_a_corpus_that_is_removed_while_files_are_copied_is_saved_all_the_same(
    site, lived_in, request, settings, tmp_path
) -> None:
    def report(text: str) -> None:
        if text.startswith("database:"):
            remove_corpus(User.objects.get(username="ada"), RegisteredCorpus.objects.get())

    done = back_up(tmp_path / "backups", report=report)
    assert done.problems == []
    assert not (Path(settings.CORPUS_DIR) / "abc").exists()
    with another_site(site, request, settings, "after"):
        restore(done.path)
        assert Path(RegisteredCorpus.objects.get().source).read_text() == '{"text": "hello"}'


def test_bundles_whose_folders_are_named_alike_both_come_back(site, lived_in, request, settings, tmp_path) -> None:
    for seed, name in enumerate(("a", "b"), 1):
        made = make_run(tmp_path / name, name=name, seed=seed)
        place = Path(made.bundle_path).rename(tmp_path / name / "bundle")
        Run.objects.filter(pk=made.pk).update(bundle_path=str(place))
    done = back_up(tmp_path / "backups")
    with another_site(site, request, settings, "alike"):
        restore(done.path)
        restore(done.path, replace=True)  # which finds them in their places
        for run in Run.objects.all():
            assert open_bundle(run.bundle_path).sha256 == run.bundle_sha256
            open_bundle(run.bundle_path).verify()
        names = [Path(run.bundle_path).name for run in Run.objects.exclude(slug="kept").order_by("slug")]
        assert names == ["bundle", f"bundle-{Run.objects.get(slug='b').bundle_sha256[:12]}"]
        assert len(list(Path(settings.BUNDLE_DIR).iterdir())) == 4


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_what_is_damaged_since_is_put_aside_and_comes_back_whole(site, lived_in, settings, tmp_path) -> None:
    finish(lived_in)
    done = back_up(tmp_path / "backups")
    flip(Path(lived_in.bundle_path) / "curves" / "losses.npy")
    text = Path(RegisteredCorpus.objects.get().source)
    text.write_text("something else")
    check_again(lived_in)
    finish(lived_in)
    assert Run.objects.get().damage
    restore(done.path, replace=True)
    run = Run.objects.get()
    assert (bool(run.verified_at), run.damage, run.bundle_path) == (True, "", lived_in.bundle_path)
    open_bundle(run.bundle_path).verify()
    assert text.read_text() == '{"text": "hello"}'
    aside = {folder.parent.name for folder in site.data.glob("*/.damaged-*")}
    assert aside == {"bundles", "corpora"}


def test_one_bundle_comes_back_and_no_row_changes_but_its_runs_check(site, lived_in, tmp_path) -> None:
    done = back_up(tmp_path / "backups")
    Label.objects.update(name="written since")
    experiment = Experiment.objects.get()
    flip(Path(lived_in.bundle_path) / "curves" / "losses.npy")
    shutil.rmtree(experiment.bundle_path)
    Run.objects.update(damage="one file is not as it was")
    call_command("restore", str(done.path), "--bundle", "kept")
    call_command("restore", str(done.path), "--bundle", Path(experiment.bundle_path).name)
    run = Run.objects.get()
    assert (run.verified_at, run.damage, run.bundle_path) == (None, "", lived_in.bundle_path)
    for one in (run, experiment):
        open_bundle(one.bundle_path).verify()
    assert Label.objects.get().name == "written since"
    with pytest.raises(CommandError, match="No bundles are named 'other'"):
        call_command("restore", str(done.path), "--bundle", "other")


def test_a_bundle_that_was_not_saved_whole_is_not_trusted(site, lived_in, request, settings, tmp_path) -> None:
    finish(lived_in)
    shutil.rmtree(Path(lived_in.bundle_path) / "curves")
    done = back_up(tmp_path / "backups")
    assert "curves/class.npy is missing and 8 more" in " ".join(done.problems)
    assert done.n_objects > 20
    with pytest.raises(StorageError, match="does not hold the bundle of kept whole"):
        restore_bundle(done.path, "kept")
    with another_site(site, request, settings, "doubted"):
        restore(done.path)
        run = Run.objects.get()
        assert run.verified_at is None
        with pytest.raises(BundleError, match="missing"):
            open_bundle(run.bundle_path).verify()
        assert bundle_of(run).array("corpus/token_ids").size


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_a_damaged_object_stops_before_anything_is_touched(lived_in, tmp_path, how) -> None:
    done = back_up(tmp_path / "backups")
    victim = max((path for path in (tmp_path / "backups" / "objects").rglob("*") if path.is_file()), key=str)
    if how == "missing":
        victim.unlink()
    else:
        flip(victim)
    Label.objects.update(name="written since")
    with pytest.raises(StorageError, match="nothing was restored"):
        restore(done.path, replace=True)
    assert Label.objects.get().name == "written since"


def test_a_damaged_bundle_is_told_and_the_rest_is_saved(lived_in, tmp_path) -> None:
    flip(Path(lived_in.bundle_path) / "curves" / "losses.npy")
    with pytest.raises(CommandError, match=r"losses\.npy is not as its hash says"):
        call_command("backup", str(tmp_path / "backups"))
    [place] = (tmp_path / "backups").glob("*Z")
    manifest = json.loads((place / "manifest.json").read_text())
    lacks = {entry["key"]: entry["lacks"] for entry in manifest["folders"]}
    assert lacks == {
        lived_in.bundle_sha256: ["curves/losses.npy"],
        Experiment.objects.get().bundle_sha256: [],
        str(RegisteredCorpus.objects.get().pk): [],
    }
    assert manifest["rows"]["clusters_label"] == 1


def test_a_backup_that_was_cut_short_is_none(lived_in, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clusters.services.backup._write", full)
    with pytest.raises(CommandError, match="No space left"):
        call_command("backup", str(tmp_path / "backups"))
    assert list((tmp_path / "backups").glob("*Z")) == []
    assert list((tmp_path / "backups").glob(".*")) == []


def test_what_is_no_backup_is_refused(lived_in, tmp_path) -> None:
    with pytest.raises(CommandError, match="is no backup"):
        call_command("restore", str(tmp_path))


def test_a_manifest_cannot_write_outside_its_folder(lived_in, tmp_path) -> None:
    done = back_up(tmp_path / "backups")
    manifest = json.loads((done.path / "manifest.json").read_text())
    entry = next(entry for entry in manifest["folders"] if entry["kind"] == "corpus")
    entry["name"] = "elsewhere"
    entry["files"] = {"../../escaped": next(iter(entry["files"].values()))}
    (done.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StorageError, match="outside its folder"):
        restore(done.path, replace=True)
    assert not list(tmp_path.rglob("escaped"))


# ── back to an older release's tables ──


@pytest.fixture
def of_the_release_before(lived_in, tmp_path) -> Path:
    """A backup of tables as the release before had them; the site has been upgraded since, and used."""
    Experiment.objects.all().delete()
    call_command("migrate", "compute", "0004", verbosity=0)
    call_command("migrate", "clusters", "0010", verbosity=0)
    done = back_up(tmp_path / "backups")
    assert done.problems == []
    call_command("migrate", verbosity=0)
    Label.objects.update(name="written since")
    Experiment.objects.create(kind="parity", name="new", config={}, job=Job.objects.get(), bundle_sha256="")
    return done.path


def tables() -> set[str]:
    return set(connection.introspection.table_names())


def test_a_backup_of_an_older_release_replaces_newer_tables(of_the_release_before) -> None:
    restore(of_the_release_before, replace=True)
    assert "clusters_run" in tables()
    assert "clusters_experiment" not in tables()
    assert [leaf for leaf in unapplied_migrations() if "experiment" in leaf]
    call_command("migrate", verbosity=0)
    assert unapplied_migrations() == []
    assert Label.objects.get().name == "comma after the day"
    assert not Experiment.objects.exists()
    open_bundle(Run.objects.get().bundle_path).verify()
    Experiment.objects.create(kind="parity", name="newer", config={}, job=Job.objects.get(), bundle_sha256="")


def test_newer_tables_without_rows_are_not_replaced_unasked(of_the_release_before) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE clusters_thing_of_tomorrow (id integer)")
    call_command("flush", interactive=False, verbosity=0, allow_cascade=True)
    with pytest.raises(StorageError, match="not empty"):
        restore(of_the_release_before)
    restore(of_the_release_before, replace=True)
    assert "clusters_thing_of_tomorrow" not in tables()
    call_command("migrate", verbosity=0)
    call_command("flush", interactive=False, verbosity=0, allow_cascade=True)
    restore(of_the_release_before)  # a new site, whose tables are known
    assert Label.objects.count() == 1


@pytest.mark.parametrize("site", ["postgres"], indirect=True)
def test_a_dump_that_breaks_off_leaves_everything_as_it_was(of_the_release_before) -> None:
    file, manifest = of_the_release_before / "database.dump", of_the_release_before / "manifest.json"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 3 // 4])
    stated = json.loads(manifest.read_text())
    stated["database"]["sha256"] = file_sha256(file)
    manifest.write_text(json.dumps(stated))
    with pytest.raises(StorageError, match="pg_restore failed"):
        restore(of_the_release_before, replace=True)
    assert Label.objects.get().name == "written since"
    assert Experiment.objects.get().name == "new"


KILLED = """
import os, signal, sys
from pathlib import Path
import django
django.setup()
from clusters.services import backup, postgres
send, sent = postgres._rows, []
def rows(script):
    sent.append(1)
    if len(sent) == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    return send(script)
postgres._rows = rows
backup.restore(Path(sys.argv[1]), replace=True)
"""


@pytest.mark.parametrize("site", ["postgres"], indirect=True)
def test_a_restore_that_is_killed_between_tables_leaves_the_old_rows(site, of_the_release_before) -> None:
    assert site.start("-c", KILLED, str(of_the_release_before)).wait(60) == -signal.SIGKILL
    assert Label.objects.get().name == "written since"
    assert Experiment.objects.get().name == "new"
    restore(of_the_release_before, replace=True)
    assert Label.objects.count() == 1
    assert "clusters_experiment" not in tables()


@pytest.mark.parametrize("site", ["postgres"], indirect=True)
def test_a_backup_asks_the_database_for_as_much_tls_as_the_site_does(site, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "sslmode", "verify-full")
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "sslrootcert", "/data/ca.pem")
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "asked $PGSSLMODE by $PGSSLROOTCERT" >&2\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(StorageError, match="pg_dump failed: asked verify-full by /data/ca.pem"):
        postgres.dump(tmp_path / "dump", "00000003-00000001-1")


@pytest.mark.parametrize("site", ["postgres"], indirect=True)
def test_a_backup_proves_itself_to_the_database_as_the_site_does(site, tmp_path, monkeypatch) -> None:
    address = {"passfile": "/run/pgpass", "service": "site", "ssl_min_protocol_version": "TLSv1.3", "options": "-c a=1"}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", address)
    program = tmp_path / "pg_dump"
    told = '"$PGPASSFILE $PGSERVICE $PGSSLMINPROTOCOLVERSION $PGUSER ${PGOPTIONS-without}"'
    program.write_text(f"#!/bin/sh\necho {told} >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    user = connection.settings_dict["USER"]
    with pytest.raises(StorageError, match=f"pg_dump failed: /run/pgpass site TLSv1.3 {user} without"):
        postgres.dump(tmp_path / "dump", "00000003-00000001-1")


@pytest.mark.parametrize("site", ["postgres"], indirect=True)
def test_what_is_not_of_the_sites_schema_outlives_a_restore(lived_in, tmp_path) -> None:
    """Extensions with what is made of them, and other schemas; everything else of the schema is the backup's again."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION pg_trgm")
        cursor.execute("CREATE INDEX of_pg_trgm ON clusters_label USING gin (name gin_trgm_ops)")
        cursor.execute("CREATE TYPE mood AS ENUM ('glad')")
        cursor.execute("CREATE TABLE own_moods (id serial PRIMARY KEY, mood mood, run bigint REFERENCES clusters_run)")
        cursor.execute("CREATE SCHEMA elsewhere CREATE TABLE kept (id integer)")
        done = back_up(tmp_path / "backups")
        cursor.execute("INSERT INTO elsewhere.kept VALUES (7)")
        cursor.execute("CREATE VIEW moods AS SELECT mood FROM own_moods")
        cursor.execute("CREATE FUNCTION cheer(mood) RETURNS mood LANGUAGE sql AS 'SELECT $1'")
    restore(done.path, replace=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM elsewhere.kept")
        assert cursor.fetchall() == [(7,)]
        cursor.execute("SELECT to_regclass('moods'), to_regproc('cheer'), to_regclass('of_pg_trgm')")
        assert cursor.fetchone() == (None, None, "of_pg_trgm")
        cursor.execute("SELECT similarity('comma', 'commas') > 0.5")
        assert cursor.fetchone() == (True,)
        cursor.execute("INSERT INTO own_moods (mood) VALUES ('glad') RETURNING id")
        assert cursor.fetchone() == (1,)

"""Renaming, archiving, hiding and deleting runs; and who may."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.test import Client

from clusters.models import Checkpoint, Cluster, Corpus, Membership, Run, Token
from clusters.queries.access import may_manage, visible_runs
from clusters.services import bundles as folders
from clusters.services import people
from clusters.services import runs as services
from clusters.services.retention import tidy
from compute.errors import StorageError
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def bundles(tmp_path: Path, settings: Any) -> Path:
    settings.BUNDLE_DIR = tmp_path / "bundles"
    settings.BUNDLE_DIR.mkdir()
    return settings.BUNDLE_DIR


@pytest.fixture
def owner() -> Any:
    return UserFactory()


@pytest.fixture
def run(bundles: Path, owner: Any) -> Run:
    return make_run(bundles, owner=owner)


def test_a_private_run_is_seen_by_its_owner_and_superusers_only(run: Run, owner: Any) -> None:
    services.set_private(owner, run, True)
    boss = UserFactory(is_superuser=True)
    seen = [visible_runs(person).exists() for person in (AnonymousUser(), UserFactory(), owner, boss)]
    assert seen == [False, False, True, True]


def test_a_superuser_who_was_switched_off_sees_and_manages_nothing_more(run: Run, owner: Any) -> None:
    services.set_private(owner, run, True)
    gone = UserFactory(is_superuser=True, is_active=False)
    assert not visible_runs(gone).exists()
    assert not may_manage(gone, run)


@pytest.mark.parametrize("act", ["rename", "archive", "hide", "delete"])
def test_nobody_else_may_change_a_run(run: Run, act: str) -> None:
    stranger = UserFactory()
    acts = {
        "rename": lambda: services.rename_run(stranger, run, "mine"),
        "archive": lambda: services.archive_run(stranger, run),
        "hide": lambda: services.set_private(stranger, run, True),
        "delete": lambda: services.delete_run(stranger, run),
    }
    with pytest.raises(PermissionDenied):
        acts[act]()
    fresh = Run.objects.get()
    assert (fresh.name, fresh.archived_at, fresh.is_private) == ("synthetic", None, False)


def test_a_new_name_leaves_the_address(run: Run, owner: Any) -> None:
    services.rename_run(owner, run, "  A\n better \0 name ")
    fresh = Run.objects.get()
    assert (fresh.name, fresh.slug) == ("A better ␀ name", "synthetic")


@pytest.mark.parametrize(("name", "sentence"), [("  \n", "is empty"), ("x" * 121, "121 characters long; at most 120")])
def test_a_name_that_cannot_be_is_refused_with_a_sentence(run: Run, owner: Any, name: str, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        services.rename_run(owner, run, name)


def test_archiving_twice_keeps_the_first_date(run: Run, owner: Any) -> None:
    first = services.archive_run(owner, run).archived_at
    assert services.archive_run(owner, run).archived_at == first
    assert services.unarchive_run(owner, run).archived_at is None


def test_deleting_frees_the_bundle_and_every_row(run: Run, owner: Any, bundles: Path, settings: Any) -> None:
    settings.KEEP_DELETED_DAYS = 0
    on_disk = sum(file.stat().st_size for file in Path(run.bundle_path).rglob("*") if file.is_file())
    assert services.delete_run(owner, run) == on_disk > 0
    assert list(bundles.iterdir()) == []
    assert not any(table.objects.exists() for table in (Run, Cluster, Token, Membership, Corpus, Checkpoint))


def test_deleting_leaves_what_another_run_uses(run: Run, owner: Any, bundles: Path) -> None:
    other = make_run(bundles, seed=1)
    services.delete_run(owner, run)
    assert Run.objects.get() == other
    assert other.run_checkpoints.count() == 6
    assert Token.objects.count() == other.n_tokens


def test_a_bundle_outside_the_data_folder_stays(bundles: Path, owner: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "elsewhere", owner=owner)
    assert services.delete_run(owner, run) == 0
    assert Path(run.bundle_path).is_dir()
    assert not Run.objects.exists()


@pytest.mark.parametrize("path", ["{bundles}", "{bundles}/../bundles", "{bundles}/a/b", "/", ""])
def test_a_path_that_is_no_bundle_of_ours_is_never_removed(run: Run, bundles: Path, path: str) -> None:
    run.bundle_path = path.format(bundles=bundles)
    assert folders.deletable_folder(run) is None


def test_a_bundle_that_cannot_be_moved_keeps_its_run(run: Run, owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StorageError, match="nothing was deleted"):
        services.delete_run(owner, run)
    assert Run.objects.filter(pk=run.pk).exists()
    assert Membership.objects.exists()


def test_a_bundle_comes_back_when_the_rows_could_not_go(run: Run, owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = folders.transaction.atomic

    class Failing:
        def __enter__(self) -> None:
            self.inner = real()
            self.inner.__enter__()

        def __exit__(self, *_: object) -> None:
            self.inner.__exit__(RuntimeError, RuntimeError("the commit failed"), None)
            raise RuntimeError("the commit failed")

    monkeypatch.setattr(folders.transaction, "atomic", Failing)
    with pytest.raises(RuntimeError, match="commit failed"):
        services.delete_run(owner, run)
    assert Path(run.bundle_path).is_dir()
    assert Run.objects.filter(pk=run.pk).exists()


def test_a_deletion_killed_before_its_commit_gives_the_bundle_back(run: Run, bundles: Path) -> None:
    folder = Path(run.bundle_path)
    folder.rename(trash := folder.with_name(f".trash-0123456789ab-{folder.name}"))
    folders.restore_kept()
    assert trash.is_dir()  # somebody may be about to commit
    os.utime(trash, (time.time() - 90,) * 2)
    folders.restore_kept()
    assert (folder / "manifest.json").is_file()
    assert not list(bundles.glob(".trash-*"))


def test_a_deleted_bundle_is_kept_for_backups_and_goes_days_later(run: Run, owner: Any, bundles: Path) -> None:
    os.utime(run.bundle_path, (0, 0))  # what counts is when it was deleted
    services.delete_run(owner, run)
    [left] = bundles.glob(".trash-*")
    tidy(kinds=["deleted runs"])
    assert (left / "manifest.json").is_file()
    for days, is_kept in ((6, True), (8, False)):
        os.utime(left, (time.time() - days * 86_400,) * 2)
        tidy(kinds=["deleted runs"])
        assert (left / "manifest.json").is_file() is is_kept


# ── the page ──


def page(client: Client, run: Run, **data: str) -> Any:
    address = f"/runs/{run.slug}/manage/"
    return client.post(address, data) if data else client.get(address)


def test_the_page_shows_what_deleting_frees(client: Client, run: Run, owner: Any) -> None:
    client.force_login(owner)
    response = page(client, run)
    assert response.status_code == 200
    assert "frees <b>" in response.content.decode()
    assert "Make it private" in response.content.decode()


def test_a_stranger_may_not_open_the_page_and_a_visitor_is_asked_to_sign_in(client: Client, run: Run) -> None:
    assert page(client, run).headers["Location"] == "/sign-in/?next=/runs/synthetic/manage/"
    client.force_login(UserFactory())
    assert page(client, run).status_code == 403


def test_to_others_a_private_run_does_not_exist(client: Client, run: Run, owner: Any) -> None:
    services.set_private(owner, run, True)
    assert page(client, run).status_code == 404
    client.force_login(UserFactory())
    assert page(client, run).status_code == 404
    assert page(client, run, action="publish").status_code == 404


@pytest.mark.parametrize(
    ("data", "field", "value"),
    [
        ({"action": "rename", "name": "Better"}, "name", "Better"),
        ({"action": "hide"}, "is_private", True),
    ],
)
def test_each_form_does_what_it_says(
    client: Client, run: Run, owner: Any, data: dict[str, str], field: str, value: object
) -> None:
    client.force_login(owner)
    assert page(client, run, **data).status_code == 302
    assert getattr(Run.objects.get(), field) == value


def test_archive_and_back(client: Client, run: Run, owner: Any) -> None:
    client.force_login(owner)
    page(client, run, action="archive")
    assert Run.objects.get().archived_at is not None
    assert "Put it back" in page(client, run).content.decode()
    page(client, run, action="unarchive")
    assert Run.objects.get().archived_at is None


def test_an_empty_name_comes_back_with_a_sentence(client: Client, run: Run, owner: Any) -> None:
    client.force_login(owner)
    response = page(client, run, action="rename", name=" ")
    assert response.status_code == 422
    assert "Give the run a name" in response.content.decode()


def test_deleting_asks_for_the_name(client: Client, run: Run, owner: Any) -> None:
    client.force_login(owner)
    response = page(client, run, action="delete", confirm="something else")
    assert response.status_code == 422
    assert Run.objects.exists()
    assert page(client, run, action="delete", confirm="synthetic").headers["Location"] == "/"
    assert not Run.objects.exists()


def test_a_made_up_action_is_a_bad_request(client: Client, run: Run, owner: Any) -> None:
    client.force_login(owner)
    assert page(client, run, action="explode").status_code == 400


def test_a_post_without_its_token_is_refused(run: Run, owner: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    assert page(client, run, action="archive").status_code == 403


def test_a_hostile_name_is_shown_as_text(client: Client, run: Run, owner: Any) -> None:
    services.rename_run(owner, run, "<script>alert(1)</script>")
    client.force_login(owner)
    assert "<script>alert" not in page(client, run).content.decode()


# ── roles ──


def test_runners_may_start_jobs() -> None:
    boss, person = UserFactory(is_superuser=True), UserFactory()
    assert not person.has_perm("compute.add_job")
    people.grant_role(boss, person)
    assert type(person).objects.get(pk=person.pk).has_perm("compute.add_job")
    people.revoke_role(boss, person)
    assert not type(person).objects.get(pk=person.pk).has_perm("compute.add_job")


def test_only_superusers_give_roles() -> None:
    with pytest.raises(PermissionDenied):
        people.grant_role(UserFactory(), UserFactory())


def test_an_unknown_role_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="there are labeler, adjudicator, runner"):
        people.grant_role(UserFactory(is_superuser=True), UserFactory(), "king")

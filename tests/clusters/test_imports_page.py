"""Bringing runs: forms, the job, what is refused and leaves nothing, who sees what."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client

from clusters.models import AuditEvent, Cluster, Import, Run, Token
from compute.bundle import open_bundle
from compute.jobs.run import Outcome, run_next_shard
from compute.models import Job
from compute.published import build_bundle
from tests.factories import UserFactory, write_bundle
from tests.published_files import CONTEXTS, LABELS, write

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def places(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    settings.BUNDLE_DIR = settings.DATA_DIR / "bundles"
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "temporary"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    settings.ALLOWED_ROOTS = [tmp_path / "allowed"]
    return Path(settings.DATA_DIR)


def person(name: str, *roles: str) -> User:
    user = UserFactory(username=name)
    user.groups.add(*Group.objects.filter(name__in=roles))
    return user


@pytest.fixture
def ana(db: None) -> Client:
    return signed_in(person("ana", "runner", "labeler"))


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def sent(name: str, value: Any) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, value if isinstance(value, bytes) else json.dumps(value).encode())


def packed(folder: Path, **beside: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(folder, "run/bundle")
        for name, content in beside.items():
            info = tarfile.TarInfo(f"run/{name.replace('_', '.')}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def worked() -> Job:
    """The latest job, after a worker was at it."""
    run_next_shard(None, worker="test:1")
    return Job.objects.latest("pk")


def text(response: Any) -> str:
    return response.content.decode()


# ── published clusters ──


def test_published_labels_become_a_run(ana: Client) -> None:
    response = ana.post("/imports/?kind=published", {"labels": sent("l.json", LABELS), "name": "The paper's"})
    assert response.status_code == 302
    assert "Waiting for a worker" in text(ana.get(response["Location"]))
    assert worked().state == Job.State.SUCCEEDED
    run = Run.objects.get()
    assert (run.name, run.n_tokens, run.clusterings.count(), run.owner.username) == ("The paper's", 6, 4, "ana")
    assert "The run is here" in text(ana.get(response["Location"]))
    assert run.get_absolute_url() in text(ana.get("/imports/"))
    assert Cluster.objects.filter(clustering__k=3, clustering__affinity="signed").get(rank=1).label == 0
    assert AuditEvent.objects.filter(action="import.published").exists()


def test_the_files_that_were_sent_are_removed_when_they_are_read_in(ana: Client, places: Path) -> None:
    ana.post("/imports/?kind=published", {"labels": sent("l.json", LABELS), "name": "p"})
    assert [*(places / "imports").iterdir()]
    worked()
    assert not [*(places / "imports").iterdir()]


def test_contexts_come_along(ana: Client) -> None:
    files = {"labels": sent("l.json", LABELS), "contexts": sent("c.json", CONTEXTS)}
    ana.post("/imports/?kind=published", files | {"name": "p"})
    assert worked().state == Job.State.SUCCEEDED
    first = Token.objects.get(row=0)  # the smallest flat index is 7
    assert (first.answer, first.context, first.loss_nats) == ("    ", "⏎", None)
    assert Token.objects.get(answer="=cmd").context == " été日<b>"


@pytest.mark.parametrize("contexts", [None, CONTEXTS])
def test_every_page_of_such_a_run_answers(ana: Client, contexts: Any, tmp_path: Path) -> None:
    ana.post(
        "/imports/?kind=published",
        {"labels": sent("l.json", LABELS), "name": "p"} | ({"contexts": sent("c.json", contexts)} if contexts else {}),
    )
    worked()
    pages = [
        "", "rank-frequency/", "k/3/clusters/", "k/3/clusters/?view=table", "k/3/clusters/?sort=dominant",
        "k/3/clusters/0/", "k/3/clusters/0/?affinity=absolute", "tokens/", "similarity/", "losses/", "scaling/",
        "sequence/", "map/", "search/", "search/?q=cat", "probe/", "documents/0/", "exports/", "rank-frequency.json",
        "k/3/clusters.json", "k/3/clusters/0.json", "dynamics/",
    ]  # fmt: skip
    answers = {page: ana.get(f"/runs/p/{page}").status_code for page in pages}
    assert answers == dict.fromkeys(pages, 200)
    assert ana.get("/runs/p/tokens/1/").status_code == (200 if contexts else 404)
    assert ana.get("/compare/?a=p&b=p").status_code in (200, 404)


def test_both_ranks_are_shown(ana: Client) -> None:
    ana.post("/imports/?kind=published", {"labels": sent("l.json", LABELS), "name": "p"})
    worked()
    page = text(ana.get("/runs/p/k/3/clusters/0/"))
    assert "rank 1" in page
    assert "the paper’s cluster 0, counted from 0" in page
    assert "the paper’s 2" in text(ana.get("/runs/p/k/3/clusters/"))


def test_runs_that_were_computed_have_one_rank(tmp_path: Path, ana: Client) -> None:
    from clusters.ingest import ingest

    run = ingest(write_bundle(tmp_path))
    assert "the paper’s cluster" not in text(ana.get(f"/runs/{run.slug}/k/3/clusters/0/"))


def test_wrong_labels_are_refused_at_once_and_leave_nothing(ana: Client, places: Path) -> None:
    response = ana.post("/imports/?kind=published", {"labels": sent("l.json", {"2": [[0, 1, 5]]}), "name": "p"})
    assert response.status_code == 422
    assert "a label is 5; labels are whole numbers from 0 to 1" in text(response)
    assert not Import.objects.exists()
    assert not Job.objects.exists()
    assert not [*(places / "imports").glob("*")]


def test_wrong_contexts_fail_the_job_with_a_sentence(ana: Client, places: Path) -> None:
    few = dict(list(CONTEXTS.items())[:3])
    response = ana.post(
        "/imports/?kind=published", {"labels": sent("l", LABELS), "contexts": sent("c", few), "name": "p"}
    )
    assert worked().state == Job.State.FAILED
    page = text(ana.get(response["Location"]))
    assert "Nothing was read in" in page
    assert "There are 3 contexts and 6 labelled tokens" in page
    assert not Run.objects.exists()
    assert not [*(places / "imports").glob("*")]
    assert not [*(places / "bundles").glob("*")]


# ── bundles ──


def test_a_whole_run_comes_back_with_its_labels(ana: Client, tmp_path: Path, places: Path) -> None:
    bundle = write_bundle(tmp_path / "made")
    labels = b'{"affinity": "signed", "k": 3, "label": 0, "name": "ours", "author": "ben"}\n{"end": true, "rows": 1}\n'
    archive = packed(bundle, labels_jsonl=labels, README_txt=b"read me")
    response = ana.post("/imports/?kind=bundle", {"file": sent("run.tar", archive), "name": ""})
    assert worked().state == Job.State.SUCCEEDED
    run = Run.objects.get()
    assert Path(run.bundle_path).parent == places / "bundles"
    assert run.verified_at is not None
    assert "Labels came with the bundle" in text(ana.get(response["Location"]))
    answer = ana.post(f"{response['Location']}labels/", follow=True)
    assert "1 label would be written" in text(answer)
    assert "ours" in text(answer)


def test_the_same_bundle_twice_is_one_run(ana: Client, tmp_path: Path, places: Path) -> None:
    archive = packed(write_bundle(tmp_path / "made"))
    for _ in range(2):
        ana.post("/imports/?kind=bundle", {"file": sent("run.tar", archive)})
        assert worked().state == Job.State.SUCCEEDED
    assert Run.objects.count() == 1
    assert len([*(places / "bundles").iterdir()]) == 1


def test_another_bundle_whose_hash_begins_alike_is_not_replaced(ana: Client, tmp_path: Path, places: Path) -> None:
    mine, others = (open_bundle(write_bundle(tmp_path / str(seed), seed=seed)) for seed in (1, 2))
    place = places / "bundles" / f"{mine.manifest['name']}-{mine.sha256[:12]}"
    place.parent.mkdir(parents=True)
    others.path.rename(place)
    ana.post("/imports/?kind=bundle", {"file": sent("run.tar", packed(mine.path)), "name": "two"})
    job = worked()
    assert (job.state, "Another bundle" in job.error) == ("failed", True)
    assert open_bundle(place).sha256 == others.sha256


def test_a_worker_that_was_killed_half_way_does_no_harm(
    ana: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compute.jobs.lease import Stopped

    def killed(*_: Any, **__: Any) -> None:
        raise Stopped("The worker is being stopped.")

    ana.post("/imports/?kind=bundle", {"file": sent("run.tar", packed(write_bundle(tmp_path / "made")))})
    with monkeypatch.context() as patch:
        patch.setattr("clusters.services.import_job.ingest", killed)
        assert run_next_shard(None, worker="test:1") is Outcome.RELEASED
    assert worked().state == Job.State.SUCCEEDED
    assert Run.objects.count() == 1


@pytest.mark.parametrize("what", ["altered", "text"])
def test_a_damaged_bundle_is_refused_and_leaves_nothing(what: str, ana: Client, tmp_path: Path, places: Path) -> None:
    bundle = write_bundle(tmp_path / "made")
    with next((bundle / "losses").rglob("step1000.npy")).open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\x00\x00\x80\x3f")
    raw = packed(bundle) if what == "altered" else b"no archive at all" * 100
    response = ana.post("/imports/?kind=bundle", {"file": sent("run.tar", raw)})
    assert worked().state == Job.State.FAILED
    assert ("was altered or cut short" if what == "altered" else "no .tar") in text(ana.get(response["Location"]))
    assert not Run.objects.exists()
    assert not [*(places / "imports").glob("*")]
    assert not [*(places / "bundles").glob("*")]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(value: float, ana: Client, tmp_path: Path) -> None:
    table = np.eye(40, dtype=np.float32)
    table[3, 4] = value
    bundle = write_bundle(tmp_path / "made", arrays={"similarity/signed": table})
    ana.post("/imports/?kind=bundle", {"file": sent("run.tar", packed(bundle))})
    assert "similarity/signed holds NaN or infinity" in worked().error


def test_a_bundle_is_named_by_its_path_and_stays_there(ana: Client, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "allowed")
    assert ana.post("/imports/?kind=bundle", {"path": str(bundle)}).status_code == 302
    assert worked().state == Job.State.SUCCEEDED
    assert Run.objects.get().bundle_path == str(bundle)


@pytest.mark.parametrize("path", ["/etc", "/etc/passwd", "{root}/../data", "relative", "{root}/nothing", "{root}"])
def test_other_paths_are_refused(path: str, ana: Client, tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    response = ana.post("/imports/?kind=bundle", {"path": path.format(root=tmp_path / "allowed")})
    assert response.status_code == 422
    assert not Job.objects.exists()


def test_a_file_or_a_path_but_not_both(ana: Client, tmp_path: Path) -> None:
    for fields in ({}, {"path": str(write_bundle(tmp_path / "allowed")), "file": sent("a.tar", b"x")}):
        response = ana.post("/imports/?kind=bundle", fields)
        assert response.status_code == 422
        assert "one of the two" in text(response)


def test_a_private_run_stays_private(ana: Client, tmp_path: Path) -> None:
    archive = packed(write_bundle(tmp_path / "made"))
    ana.post("/imports/?kind=bundle", {"file": sent("run.tar", archive), "is_private": "on"})
    worked()
    assert Run.objects.get().is_private
    other = signed_in(person("ben", "runner"))
    response = other.post("/imports/?kind=bundle", {"file": sent("run.tar", archive)})
    worked()
    page = text(other.get(response["Location"]))
    assert "someone else keeps it private" in page
    assert Run.objects.get().slug not in page


def test_three_imports_wait_at_most(ana: Client, tmp_path: Path) -> None:
    for _ in range(3):
        ana.post("/imports/?kind=bundle", {"file": sent("run.tar", b"x" * 600)})
    response = ana.post("/imports/?kind=bundle", {"file": sent("run.tar", b"x" * 600)})
    assert response.status_code == 422
    assert "3 imports of yours are still being read in" in text(response)


# ── who may ──


def test_a_bundle_that_would_leave_the_database_no_room_is_refused(ana: Client, places: Path, settings: Any) -> None:
    places.mkdir()
    settings.RESERVE_MB = 10**9
    response = ana.post("/imports/?kind=bundle", {"file": sent("run.tar", b"x")})
    assert response.status_code == 422
    assert "no room for further files" in text(response)
    assert not [*places.rglob("archive")]


def test_without_a_role_nothing_is_offered_and_nothing_taken() -> None:
    nobody = signed_in(person("nobody"))
    assert "An administrator can add you" in text(nobody.get("/imports/"))
    assert nobody.post("/imports/?kind=bundle", {"path": "/x"}).status_code == 403
    assert nobody.post("/imports/?kind=labels", {}).status_code == 403
    assert Client().get("/imports/")["Location"].startswith("/sign-in/")


def test_labelers_bring_labels_only() -> None:
    labeler = signed_in(person("lea", "labeler"))
    assert "Published clusters" not in text(labeler.get("/imports/"))
    assert labeler.post("/imports/?kind=published", {"labels": sent("l", LABELS), "name": "p"}).status_code == 403


def test_an_upload_of_somebody_without_a_role_is_read_no_further(places: Path, tmp_path: Path) -> None:
    response = signed_in(person("nobody")).post("/imports/?kind=bundle", {"file": sent("a.tar", b"x" * 100_000)})
    assert response.status_code == 403
    assert not [*(tmp_path / "temporary").iterdir()]


def test_a_file_that_is_too_large_is_refused(ana: Client, settings: Any) -> None:
    settings.UPLOAD_BYTES = 1000
    response = ana.post("/imports/?kind=bundle", {"file": sent("a.tar", b"x" * 100_000)})
    assert response.status_code == 422
    assert "The file is larger than" in text(response)


def test_another_persons_import_is_not_there(ana: Client) -> None:
    response = ana.post("/imports/?kind=published", {"labels": sent("l", LABELS), "name": "p"})
    other = signed_in(person("ben", "runner", "labeler"))
    assert other.get(response["Location"]).status_code == 404
    assert "published_labels" not in text(other.get("/imports/"))
    assert ana.get("/imports/9" + "9" * 30 + "/").status_code == 404


def test_the_list_has_twins(ana: Client) -> None:
    ana.post("/imports/?kind=published", {"labels": sent("l.json", LABELS), "name": "p"})
    [one] = ana.get("/imports.json").json()["imports"]
    assert (one["kind"], one["file"], one["state"]) == ("published", "l.json", "waiting")
    assert ana.get(f"/imports/{one['import']}.json").json()["import"]["job"] == one["job"]


# ── the command ──


def test_the_command_reads_published_labels_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("import_published", str(write(tmp_path / "l.json", LABELS)), "--name", "paper")
    assert "paper: 6 tokens, 4 clusterings: /runs/paper/" in capsys.readouterr().out
    with pytest.raises(CommandError, match="a label is 7"):
        call_command("import_published", str(write(tmp_path / "w.json", {"2": [[0, 7]]})))


def test_a_bundle_of_labels_says_where_they_came_from(tmp_path: Path) -> None:
    source = open_bundle(build_bundle(write(tmp_path / "l.json", LABELS), None, tmp_path)).manifest["source"]
    assert (source["kind"], source["rank_origin"], len(source["labels_sha256"])) == ("published", 0, 64)

"""Exports: tables at once, files that a worker writes, links that expire."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from clusters.models import Cluster, Export, Label, Run
from clusters.queries.finder import rows as finder_rows
from clusters.queries.finder.columns import Columns
from clusters.services import export_job
from clusters.services import exports as services
from clusters.services.labels import Content, save_label
from clusters.services.people import deactivate
from compute.bundle import open_bundle
from compute.errors import ComputeError, StorageError
from compute.jobs.run import Outcome, run_next_shard
from tests.factories import KS, N_SELECTED, make_run, n_predictions

pytestmark = pytest.mark.django_db
PAGE = "/runs/synthetic/exports/"


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.DATA_DIR, settings.EXPORT_DIR = tmp_path, tmp_path / "exports"


@pytest.fixture
def run(tmp_path) -> Run:
    return make_run(tmp_path)


@pytest.fixture
def ana() -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def signed_in(client, ana) -> Client:
    client.force_login(ana)
    return client


def content(response) -> str:
    return response.getvalue().decode()


def rows_of(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), comment="#", keep_default_na=False)


def written(export: Export) -> Export:
    assert run_next_shard(export.job_id, worker="here:1") is Outcome.DONE
    export.refresh_from_db()
    return export


def href(client: Client) -> str:
    return client.get(f"{PAGE[:-1]}.json").json()["exports"][0]["href"]


# ── tables at once ──


def test_memberships_are_every_token_in_every_clustering(client, run):
    found = rows_of(content(client.get(f"{PAGE}memberships.csv")))
    assert len(found) == N_SELECTED * len(KS) * 2
    own = found[(found.affinity == "absolute") & (found.k == 6)]
    sizes = own.groupby("label").size()
    for cluster in Cluster.objects.filter(clustering__k=6, clustering__affinity="absolute"):
        assert sizes[cluster.label] == cluster.size
        assert set(own[own.label == cluster.label]["rank"]) == {cluster.rank}


def test_clusters_of_one_clustering(client, run):
    lines = content(client.get(f"{PAGE}clusters.jsonl", {"affinity": "signed", "k": "3"})).splitlines()
    clusters = [json.loads(line) for line in lines[:-1]]
    assert [one["rank"] for one in clusters] == [1, 2, 3]
    assert {(one["affinity"], one["k"]) for one in clusters} == {("signed", 3)}
    assert json.loads(lines[-1]) == {"end": True, "rows": 3}


def test_clustered_tokens_have_their_label_at_every_k(client, run):
    found = rows_of(content(client.get(f"{PAGE}clustered.csv")))
    labels = open_bundle(Path(run.bundle_path)).array("clustering/signed/k6")
    assert found["signed_k6"].tolist() == labels.tolist()
    assert set(found["is_clustered"]) == {True}


def test_tokens_are_the_finder_s_rows(client, run):
    columns = Columns(run)
    table = finder_rows.TableRows(columns)
    expected = table.of(np.arange(columns.n))
    lines = content(client.get(f"{PAGE}tokens.jsonl")).splitlines()
    assert len(lines) - 1 == len(expected) == n_predictions()
    for line, row in zip(lines, expected[:50], strict=False):
        assert json.loads(line) == pytest.approx(dict(zip(table.head, row, strict=True)), nan_ok=True)


def test_tokens_obey_the_finder_s_conditions(client, run):
    found = rows_of(content(client.get(f"{PAGE}tokens.csv", {"class": "polygenic"})))
    assert set(found["class"]) == {"polygenic"}


@pytest.mark.parametrize(
    ("name", "status"),
    [("tokens.csv?clas=polygenic", 400), ("clusters.csv?k=4", 400), ("clusters.csv?word=x", 400),
     ("clusters.csv?affinity=odd", 400), ("tokens.xlsx", 404), ("archive.csv", 404), ("users.csv", 404)],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(client, run, name, status):
    assert client.get(PAGE + name).status_code == status


def test_head_says_what_would_come_and_sends_nothing(client, run):
    response = client.head(f"{PAGE}tokens.csv")
    assert (response.status_code, response.getvalue()) == (200, b"")
    assert response["Content-Type"].startswith("text/csv")


def test_labels_are_those_that_one_may_see(client, run, ana):
    ana.user_permissions.set(_permission("add_label"))
    cluster = Cluster.objects.first()
    save_label(ana, cluster, Content(name="=draft"), version=0)
    assert content(client.get(f"{PAGE}labels.csv")).splitlines()[-1] == "# end, 0 rows"
    client.force_login(ana)
    own = content(client.get(f"{PAGE}labels.csv"))
    assert '"\'=draft"' in own
    save_label(ana, cluster, Content(name="a rule"), version=1, submit=True)
    client.logout()
    [line, _] = content(client.get(f"{PAGE}labels.jsonl")).splitlines()
    assert (json.loads(line)["name"], json.loads(line)["author"]) == ("a rule", "ana")
    assert [one["action"] for one in json.loads(line)["history"]] == ["submit"]  # the draft stays hers


def test_a_run_without_its_text_offers_what_it_has(client, run, monkeypatch):
    monkeypatch.setattr("clusters.queries.exports.has_tokens", lambda run: False)
    monkeypatch.setattr("clusters.views.exports.has_tokens", lambda run: False)
    assert "came without its corpus" in content(client.get(PAGE))
    assert client.get(f"{PAGE}tokens.csv").status_code == 404
    assert client.get(f"{PAGE}memberships.csv").status_code == 200


def test_a_page_takes_few_queries(signed_in, run, ana, django_assert_max_num_queries):
    for _ in range(3):
        written(services.start_export(ana, run, "clusters", "csv"))
    with django_assert_max_num_queries(15):
        assert signed_in.get(PAGE).status_code == 200


# ── files that a worker writes ──


def test_a_file_is_asked_for_written_and_fetched_without_a_session(signed_in, run):
    assert signed_in.post(PAGE, {"what": "memberships.csv"}).status_code == 302
    export = written(Export.objects.get())
    got = Client().get(href(signed_in)).getvalue()
    assert got == signed_in.get(f"{PAGE}memberships.csv").getvalue()
    assert (hashlib.sha256(got).hexdigest(), len(got)) == (export.sha256, export.n_bytes)
    assert export.n_rows == N_SELECTED * len(KS) * 2


@pytest.mark.parametrize("kind", services.table_kinds())
def test_parquet_says_what_its_columns_are(run, ana, kind):
    export = written(services.start_export(ana, run, kind, "parquet"))
    found = pq.read_table(services.file_of(export))
    assert found.num_rows == export.n_rows
    assert found.schema.metadata[b"bundle_sha256"].decode() == run.bundle_sha256
    if kind == "tokens":
        losses = [field for field in found.schema if field.name.startswith("loss_nats")]
        assert losses
        assert {field.metadata[b"unit"] for field in losses} == {b"nats"}
        assert {str(field.type) for field in losses} == {"float"}


def test_parquet_goes_in_row_groups(run, ana, monkeypatch):
    monkeypatch.setattr(export_job, "ROW_GROUP", 40)
    export = written(services.start_export(ana, run, "memberships", "parquet"))
    assert pq.ParquetFile(services.file_of(export)).num_row_groups == len(KS) * 2


def test_the_archive_is_the_bundle_with_labels_and_their_hashes(run, ana, tmp_path):
    export = written(services.start_export(ana, run, "archive", "tar"))
    with tarfile.open(services.file_of(export)) as tar:
        tar.extractall(tmp_path / "out", filter="data")
    folder = tmp_path / "out" / run.slug
    again = open_bundle(folder / "bundle")
    again.verify()
    assert again.sha256 == run.bundle_sha256
    readme = (folder / "README.txt").read_text()
    assert run.bundle_sha256 in readme
    assert hashlib.sha256((folder / "labels.jsonl").read_bytes()).hexdigest() in readme


def test_no_room_for_an_archive_is_said_and_leaves_nothing(run, ana, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    export = services.start_export(ana, run, "archive", "tar")
    with pytest.raises(StorageError, match="Free some space"):
        export_job.work(export.job, lambda *_: None)
    assert not list(services.folder_of(export).iterdir())


def test_a_full_disk_is_said_and_leaves_nothing(run, ana, monkeypatch):
    def full(*_):
        yield b"some"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_job, "chunks", full)
    export = services.start_export(ana, run, "clusters", "csv")
    with pytest.raises(StorageError, match="is full"):
        export_job.work(export.job, lambda *_: None)
    assert not list(services.folder_of(export).iterdir())


def test_writing_twice_does_no_harm(run, ana):
    export = written(services.start_export(ana, run, "clusters", "csv"))
    before = export.expires_at
    export_job.work(export.job, lambda *_: None)
    export.refresh_from_db()
    assert export.expires_at == before


def test_nobody_writes_what_its_asker_may_no_longer_see(run, ana):
    export = services.start_export(ana, run, "clusters", "csv")
    Run.objects.update(is_private=True)
    with pytest.raises(ComputeError, match="may not see"):
        export_job.work(export.job, lambda *_: None)


def test_five_are_kept_at_a_time(signed_in, run):
    for _ in range(5):
        assert signed_in.post(PAGE, {"what": "clusters.csv"}).status_code == 302
    response = signed_in.post(PAGE, {"what": "tokens.parquet"})
    assert response.status_code == 422
    assert "5 are kept at a time" in content(response)
    assert 'value="tokens.parquet" selected' in content(response)
    export = Export.objects.first()
    assert signed_in.post(f"{PAGE}{export.pk}/delete/").status_code == 302
    assert signed_in.post(PAGE, {"what": "tokens.parquet"}).status_code == 302


@pytest.mark.parametrize("what", ["", "clusters", "clusters.tar", "archive.csv", "users.csv", "tokens.exe"])
def test_files_that_are_not_offered_are_refused(signed_in, run, what):
    assert signed_in.post(PAGE, {"what": what}).status_code == 422
    assert not Export.objects.exists()


def test_who_is_not_signed_in_is_asked_to(client, run):
    response = client.post(PAGE, {"what": "clusters.csv"})
    assert response.status_code == 302
    assert "sign-in" in response["Location"]


def test_a_file_goes_on_where_it_was_cut(signed_in, run, ana):
    export = written(services.start_export(ana, run, "clusters", "csv"))
    address, whole = href(signed_in), services.file_of(export).read_bytes()
    part = signed_in.get(address, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.getvalue()) == (206, whole[10:20])
    assert part["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert signed_in.get(address, headers={"range": "bytes=-5"}).getvalue() == whole[-5:]
    assert signed_in.get(address, headers={"range": f"bytes={len(whole)}-"}).status_code == 416
    other = signed_in.get(address, headers={"range": "bytes=10-19", "if-range": '"other"'})
    assert (other.status_code, other.getvalue()) == (200, whole)
    assert signed_in.head(address)["Content-Length"] == str(len(whole))


def test_an_expired_link_says_so(signed_in, run, ana):
    written(services.start_export(ana, run, "clusters", "csv"))
    address = href(signed_in)
    Export.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    response = signed_in.get(address)
    assert response.status_code == 410
    assert "expired" in content(response)


def test_a_deleted_export_s_link_is_gone_and_a_forged_one_was_never_there(signed_in, run, ana):
    export = written(services.start_export(ana, run, "clusters", "csv"))
    address, folder = href(signed_in), services.folder_of(export)
    signed_in.post(f"{PAGE}{export.pk}/delete/")
    assert not folder.exists()
    assert signed_in.get(address).status_code == 410
    assert signed_in.get(f"/exports/{export.pk}:1:forged/").status_code == 404


def test_a_link_ends_when_the_run_is_hidden_from_whoever_asked(client, signed_in, run, ana):
    written(services.start_export(ana, run, "clusters", "csv"))
    address = href(signed_in)
    Run.objects.update(is_private=True)
    assert client.get(address).status_code == 410
    run.readers.add(ana)
    assert client.get(address).status_code == 200
    run.readers.remove(ana)
    assert client.get(address).status_code == 410


def test_a_link_ends_when_whoever_asked_is_deactivated(client, signed_in, run, ana):
    Run.objects.update(is_private=True, owner=ana)
    written(services.start_export(ana, run, "labels", "csv"))
    address = href(signed_in)
    deactivate(User.objects.create_superuser("admin"), ana)
    assert Client().get(address).status_code == 410


def test_others_exports_are_not_listed_and_not_theirs_to_delete(signed_in, run):
    export = written(services.start_export(User.objects.create_user("ben"), run, "labels", "csv"))
    assert signed_in.get(f"{PAGE[:-1]}.json").json()["exports"] == []
    assert signed_in.post(f"{PAGE}{export.pk}/delete/").status_code == 404
    assert Export.objects.exists()


def test_a_filter_too_long_is_refused(run, ana):
    with pytest.raises(ValidationError, match="longer"):
        services.start_export(ana, run, "tokens", "csv", "a" * 2001)


def _permission(codename: str):
    from django.contrib.auth.models import Permission

    return Permission.objects.filter(codename=codename, content_type__model=Label._meta.model_name)

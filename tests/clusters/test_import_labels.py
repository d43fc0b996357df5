"""Labels from a file: what would change is shown first, and only that is written."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from clusters.forms.label_file import LabelFileError, read_label_file
from clusters.models import Assignment, Import, Label, LabelRevision, Queue, QueueItem, Run, Tag
from clusters.queries.exports import labels_table
from clusters.services.labels import Content, save_label
from clusters.values.tables import chunks
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
ROW = {"run": "synthetic", "affinity": "signed", "k": 3, "cluster": 0}


@pytest.fixture(autouse=True)
def places(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path / "data"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path)


def person(name: str, role: str = "labeler") -> User:
    user = UserFactory(username=name)
    user.groups.add(Group.objects.get(name=role))
    return user


@pytest.fixture
def ana(db: None) -> User:
    return person("ana")


def client(user: User) -> Client:
    found = Client()
    found.force_login(user)
    return found


def jsonl(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(ROW | row) + "\n" for row in rows).encode()


def csv_of(*rows: dict[str, Any]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(ROW | rows[0]))
    writer.writeheader()
    writer.writerows(ROW | row for row in rows)
    return out.getvalue().encode()


def send(user: User, raw: bytes, **fields: Any) -> Any:
    file = SimpleUploadedFile("labels.csv", raw)
    return client(user).post("/imports/?kind=labels", fields | {"file": file})


def dry_run(user: User, raw: bytes, query: str = "", **fields: Any) -> dict[str, Any]:
    response = send(user, raw, **fields)
    assert response.status_code == 302, response.content.decode()
    one = Import.objects.latest("pk")
    return client(user).get(f"/imports/{one.pk}.json{query}").json() | {"import": one.pk}


def write(user: User, plan: dict[str, Any], **fields: Any) -> Any:
    data = {"fingerprint": plan["fingerprint"], "set": "1"} | fields
    return client(user).post(f"/imports/{plan['import']}/apply/", data, follow=True)


def cluster(run: Run, label: int = 0) -> Any:
    return run.clusterings.get(k=3, affinity="signed").clusters.get(label=label)


def label_of(user: User, run: Run, label: int = 0) -> Label:
    return Label.objects.get(cluster=cluster(run, label), author=user, origin="person")


# ── what would change ──


def test_nothing_is_written_before_it_was_looked_at(ana: User, run: Run) -> None:
    plan = dry_run(ana, csv_of({"name": "ours"}))
    assert plan["counts"] == {"new": 1, "changed": 0, "same": 0, "refused": 0}
    assert not Label.objects.exists()


def test_what_was_looked_at_is_written_as_the_importers_own(ana: User, run: Run) -> None:
    plan = dry_run(
        ana, csv_of({"name": "ours", "kind": "skill", "confidence": 2, "state": "submitted", "author": "ben"})
    )
    page = write(ana, plan).content.decode()
    assert "1 label was written" in page
    label = label_of(ana, run)
    assert (label.name, label.kind, label.confidence, label.state) == ("ours", "skill", 2, "submitted")
    revision = LabelRevision.objects.get(label=label)
    assert revision.action == "import"
    assert revision.source == {"import": plan["import"], "file": "labels.csv", "line": 2, "author": "ben"}


def test_the_page_shows_every_difference(ana: User, run: Run) -> None:
    save_label(ana, cluster(run), Content(name="mine", description="kept"), version=0)
    plan = dry_run(ana, csv_of({"name": "theirs"}))
    assert plan["counts"]["changed"] == 1
    assert plan["steps"][0]["differences"] == "name: 'mine' → 'theirs'"
    page = client(ana).get(f"/imports/{plan['import']}/").content.decode()
    assert "<del>mine</del>" in page
    assert "<ins>theirs</ins>" in page


def test_what_has_no_column_stays_as_it_is(ana: User, run: Run) -> None:
    save_label(ana, cluster(run), Content(name="mine", description="kept", kind="word"), version=0)
    write(ana, dry_run(ana, csv_of({"name": "theirs"})))
    label = label_of(ana, run)
    assert (label.name, label.description, label.kind, label.version) == ("theirs", "kept", "word", 2)


def test_the_same_file_again_changes_nothing(ana: User, run: Run) -> None:
    raw = csv_of({"name": " ours  again", "description": "a\nrule ", "tags": "lexical", "state": "submitted"})
    write(ana, dry_run(ana, raw))
    assert dry_run(ana, raw)["counts"] == {"new": 0, "changed": 0, "same": 1, "refused": 0}


def test_a_change_meanwhile_is_shown_again_and_nothing_is_overwritten(ana: User, run: Run) -> None:
    plan = dry_run(ana, csv_of({"name": "theirs"}))
    save_label(ana, cluster(run), Content(name="by hand"), version=0)
    page = write(ana, plan).content.decode()
    assert "Something changed since this was shown" in page
    assert "<del>by hand</del>" in page
    assert label_of(ana, run).name == "by hand"


def test_only_new_ones_may_be_asked_for(ana: User, run: Run) -> None:
    save_label(ana, cluster(run), Content(name="mine"), version=0)
    plan = dry_run(ana, csv_of({"name": "theirs"}, {"cluster": 1, "name": "new"}))
    write(ana, plan, only_new="on")
    assert (label_of(ana, run).name, label_of(ana, run, 1).name) == ("mine", "new")


def test_labels_are_written_once(ana: User, run: Run) -> None:
    plan = dry_run(ana, csv_of({"name": "ours"}))
    write(ana, plan)
    assert "written already" in write(ana, plan).content.decode()
    assert label_of(ana, run).version == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"run": "nowhere"}, "There is no run nowhere"),
        ({"k": 4}, "has no cluster 0 at k = 4"),
        ({"cluster": 99}, "has no cluster 99"),
        ({"cluster": -1}, "The cluster is -1"),
        ({"k": 10**40}, "it is a whole number from 1 on"),
        ({"k": 3.5}, "The k is 3.5"),
        ({"affinity": "user__password"}, "signed or absolute"),
        ({"kind": "best"}, "skill, word, mixture"),
        ({"confidence": 4}, "1 (a guess)"),
        ({"tags": ["made-up"]}, "no tag made-up"),
        ({"state": "submitted", "name": ""}, "neither a name nor a kind"),
        ({"state": "gone"}, "draft or submitted"),
        ({"name": "x" * 201}, "at most 200"),
        ({"name": "\x00"}, "NUL or half of a character"),
        ({"name": "\ud800"}, "NUL or half of a character"),
        ({"name": 5}, "which is no text"),
    ],
)
def test_a_row_that_cannot_be_written_says_why(row: dict[str, Any], reason: str, ana: User, run: Run) -> None:
    plan = dry_run(ana, jsonl({"name": "fine", "cluster": 1}, {"name": "ours"} | row))
    assert plan["counts"]["refused"] == 1
    refused = next(step for step in plan["steps"] if step["action"] == "refused")
    assert refused["line"] == 2
    assert reason in refused["reason"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"k": 1, "k": 2}', "names a field twice"),
        ('{"k": NaN}', "NaN is no number"),
        ('{"k": ', "not JSON"),
        ('{"name": "' + "x" * 300_000 + '"}', "at most 200,000"),
    ],
)
def test_a_line_that_is_no_json_says_why(line: str, reason: str, ana: User, run: Run) -> None:
    plan = dry_run(ana, jsonl({"name": "fine"}) + line.encode())
    assert reason in plan["steps"][1]["reason"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no column affinity"),
        (b"name\nours\n", "no column affinity and no column k"),
        (b"affinity,k,cluster\n", "holds no labels"),
        (b"affinity,k,cluster,k\n", "names a column twice"),
        ("affinity,k,cluster\nsigned,3,0\n".encode("utf-16"), "UTF-16"),
        (b"affinity,k,cluster\n\xff", "not UTF-8"),
        (b"affinity,k,cluster\n\x00", "NUL"),
        (b'affinity,k,cluster\n"signed', "no CSV"),
        (b"affinity,k,cluster\n" + b"x" * 1_000_000, "no CSV"),
        (b"affinity,k,cluster\n" + b"signed,3,0\n" * 5_001, "more than 5,000 rows"),
    ],
)
def test_a_file_that_is_none_is_refused_whole(raw: bytes, reason: str, ana: User) -> None:
    response = send(ana, raw or b"\n")
    assert response.status_code == 422
    assert reason in response.content.decode()
    assert not Import.objects.exists()


def test_a_file_that_is_too_large_is_refused() -> None:
    with pytest.raises(LabelFileError, match="at most 10,000,000"):
        read_label_file(bytes(10_000_001))


def test_marks_of_our_own_csv_are_undone() -> None:
    raw = csv_of({"name": "'=cmd|calc", "description": "'tis"})
    [row] = read_label_file(raw).rows
    assert (row.content["name"], row.content["description"]) == ("=cmd|calc", "'tis")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_the_site_exports_comes_back_as_it_was(form: str, ana: User, run: Run) -> None:
    said = Content(name="=cmd", description="+ a\n- b", kind="mixture", confidence=3, tags=("lexical", "numeric"))
    save_label(ana, cluster(run), said, version=0, submit=True)
    raw = b"".join(chunks(labels_table(ana, run), form))
    assert dry_run(ana, raw, run=run.slug)["counts"] == {"new": 0, "changed": 0, "same": 1, "refused": 0}
    ben = person("ben")
    write(ben, dry_run(ben, raw, run=run.slug), run=run.slug)
    label = label_of(ben, run)
    assert (label.name, label.description, label.kind, label.confidence) == ("=cmd", "+ a\n- b", "mixture", 3)
    assert sorted(label.tags.values_list("slug", flat=True)) == ["lexical", "numeric"]
    assert label.state == "submitted"


# ── which run, whose rows ──


def test_a_run_is_named_by_its_bundle_too(ana: User, run: Run) -> None:
    plan = dry_run(ana, csv_of({"run": "", "bundle_sha256": run.bundle_sha256, "name": "ours"}))
    assert plan["counts"]["new"] == 1


def test_rows_without_a_run_take_the_one_that_is_chosen(ana: User, run: Run) -> None:
    raw = csv_of({"run": "", "name": "ours"})
    plan = dry_run(ana, raw)
    assert "choose one for the file" in plan["steps"][0]["reason"]
    query = f"?set=1&run={run.slug}"
    assert client(ana).get(f"/imports/{plan['import']}.json{query}").json()["counts"]["new"] == 1


def test_two_rows_of_one_cluster_are_one_authors_choice(ana: User, run: Run) -> None:
    raw = csv_of({"name": "one", "author": "ben"}, {"name": "two", "author": "lea"})
    plan = dry_run(ana, raw)
    assert plan["counts"]["new"] == 0
    assert all("choose one author’s rows" in step["reason"] for step in plan["steps"])
    chosen = client(ana).get(f"/imports/{plan['import']}.json?set=1&author=lea").json()
    assert [step["line"] for step in chosen["steps"]] == [3]


def test_of_two_rows_by_one_author_the_first_is_taken(ana: User, run: Run) -> None:
    plan = dry_run(ana, csv_of({"name": "one"}, {"name": "two"}))
    assert plan["counts"]["new"] == 1
    assert "Line 2 is of the same cluster" in plan["steps"][1]["reason"]


def test_a_private_run_of_others_is_not_there(ana: User, tmp_path: Path) -> None:
    make_run(tmp_path, owner=person("ben"), private=True, name="secret")
    plan = dry_run(ana, csv_of({"run": "secret", "name": "ours"}))
    assert "There is no run secret, or you may not see it" in plan["steps"][0]["reason"]


# ── agreed labels and tags are adjudicators' ──


def test_adjudicators_bring_agreed_labels(run: Run) -> None:
    judge = person("jo", "adjudicator")
    plan = dry_run(judge, csv_of({"name": "agreed", "state": "submitted"}), as_agreed="on")
    write(judge, plan, as_agreed="on")
    assert Label.objects.get(origin="agreed").name == "agreed"


def test_labelers_bring_neither_agreed_labels_nor_tags(ana: User, run: Run) -> None:
    plan = dry_run(ana, csv_of({"name": "ours", "tags": "brand-new"}))
    for switch in ("as_agreed", "make_tags"):
        assert client(ana).get(f"/imports/{plan['import']}/?set=1&{switch}=on").status_code == 403
        assert client(ana).post(f"/imports/{plan['import']}/apply/", {"set": "1", switch: "on"}).status_code == 403
    assert not Tag.objects.filter(slug="brand-new").exists()


def test_unknown_tags_are_offered_to_be_made(run: Run) -> None:
    judge = person("jo", "adjudicator")
    raw = csv_of({"name": "ours", "tags": "brand-new"})
    plan = dry_run(judge, raw)
    assert (plan["counts"]["refused"], plan["unknown_tags"]) == (1, ["brand-new"])
    assert "make new tags" in client(judge).get(f"/imports/{plan['import']}/").content.decode()
    again = client(judge).get(f"/imports/{plan['import']}.json?set=1&make_tags=on").json()
    write(judge, again | {"import": plan["import"]}, make_tags="on")
    assert list(label_of(judge, run).tags.values_list("slug", flat=True)) == ["brand-new"]


def test_an_agreed_label_stays_hidden_from_those_who_are_still_asked(run: Run) -> None:
    judge, other = person("jo", "adjudicator"), person("lea", "adjudicator")
    save_label(other, cluster(run), Content(name="secret"), version=0, submit=True, origin=Label.Origin.AGREED)
    queue = Queue.objects.create(name="q", clustering=cluster(run).clustering)
    item = QueueItem.objects.create(queue=queue, cluster=cluster(run), ordinal=0)
    Assignment.objects.create(item=item, person=judge)
    plan = dry_run(judge, csv_of({"name": "guess"}), as_agreed="on")
    assert "secret" not in json.dumps(plan)
    assert "asks for your own label of this cluster first" in plan["steps"][0]["reason"]


# ── the command ──


def test_the_command_shows_first_and_writes_when_asked(
    ana: User, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(csv_of({"name": "ours"}, {"cluster": 99, "name": "x"}))
    call_command("import_labels", str(file), "--user", "ana")
    said = capsys.readouterr().out
    assert "line 2: new: name: '' → 'ours'" in said
    assert "line 3: refused: “synthetic” has no cluster 99" in said
    assert not Label.objects.exists()
    call_command("import_labels", str(file), "--user", "ana", "--apply")
    assert "Written: 1 new, 0 changed." in capsys.readouterr().out
    assert label_of(ana, run).name == "ours"


def test_the_command_refuses_what_the_page_refuses(ana: User, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(b"nothing")
    with pytest.raises(CommandError, match="no column affinity"):
        call_command("import_labels", str(file), "--user", "ana")
    with pytest.raises(CommandError, match="There is nobody called"):
        call_command("import_labels", str(file), "--user", "nobody")


# ── files that wait ──


def test_five_files_wait_at_most_and_one_that_is_deleted_makes_room(ana: User, run: Run, settings: Any) -> None:
    raw = jsonl({"affinity": "signed", "k": 3, "cluster": 0, "name": "a"})
    assert [send(ana, raw).status_code for _ in range(5)] == [302] * 5
    numbers = ", ".join(str(one.pk) for one in Import.objects.order_by("pk"))
    refused = send(ana, raw)
    assert refused.status_code == 422
    assert f"imports {numbers}" in refused.content.decode()
    folder = Path(settings.DATA_DIR) / "imports"
    assert len([*folder.iterdir()]) == 5
    one = Import.objects.latest("pk")
    assert client(person("ben")).post(f"/imports/{one.pk}/delete/").status_code == 404
    assert client(ana).post(f"/imports/{one.pk}/delete/").status_code == 302
    assert len([*folder.iterdir()]) == 4
    assert send(ana, raw).status_code == 302
    Import.objects.update(created_at=timezone.now() - timedelta(days=8))  # their files are gone
    assert send(ana, raw).status_code == 302


def test_labels_that_are_written_cannot_be_deleted(ana: User, run: Run) -> None:
    raw = jsonl({"affinity": "signed", "k": 3, "cluster": 0, "name": "a"})
    write(ana, dry_run(ana, raw))
    one = Import.objects.get()
    assert client(ana).post(f"/imports/{one.pk}/delete/").headers["Location"] == one.get_absolute_url()
    assert Import.objects.filter(pk=one.pk).exists()


def test_what_would_leave_the_database_no_room_is_refused(ana: User, run: Run, settings: Any) -> None:
    settings.DATA_DIR.mkdir(exist_ok=True)
    settings.RESERVE_MB = 10**9
    refused = send(ana, jsonl({"affinity": "signed", "k": 3, "cluster": 0, "name": "a"}))
    assert refused.status_code == 422
    assert "no room for further files" in refused.content.decode()
    assert not Import.objects.exists()

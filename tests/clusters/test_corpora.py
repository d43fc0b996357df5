"""Registered corpora: what is taken in, what is refused and leaves nothing behind, who sees and removes which."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import zstandard
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from clusters.models import RegisteredCorpus
from compute.jobs import queue
from compute.suites import changed
from tests.jobs import fake

pytestmark = pytest.mark.django_db
TEXTS = ("One document.", "Another: ünïcödé.", "")
LINES = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()


@pytest.fixture(autouse=True)
def store(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where uploads go, and a place of its own for files that come in."""
    monkeypatch.setattr("compute.pipeline.plan", fake.plan)
    settings.DATA_DIR = tmp_path / "data"
    settings.CORPUS_DIR = settings.DATA_DIR / "corpora"
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "temporary"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    return Path(settings.CORPUS_DIR)


@pytest.fixture
def ana() -> User:
    return _runner("ana")


@pytest.fixture
def ben() -> User:
    return _runner("ben")


def _runner(name: str) -> User:
    user = User.objects.create_user(name)
    user.user_permissions.add(Permission.objects.get(codename="add_job", content_type__app_label="compute"))
    return user


def seen_by(user: User | None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


def send(user: User | None, content: bytes, file_name: str = "pile.jsonl", **fields: Any) -> Any:
    file = SimpleUploadedFile(file_name, content)
    return seen_by(user).post("/corpora/new/", {"name": "pile", "text_field": "text"} | fields | {"file": file})


def text(response: Any) -> str:
    return response.content.decode()


def parquet(texts: tuple[str, ...]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    file = io.BytesIO()
    files.write_table(pyarrow.table({"text": list(texts)}), file)
    return file.getvalue()


def nothing_is_left(store: Path, settings: Any) -> bool:
    kept = [*store.iterdir()] if store.exists() else []
    return not kept and not [*Path(settings.FILE_UPLOAD_TEMP_DIR).iterdir()] and not RegisteredCorpus.objects.exists()


# ── files that people send ──


def test_a_person_keeps_twenty_files_here(ana: User, ben: User) -> None:
    kept = [RegisteredCorpus(name=str(n), kind="upload", source=f"/{n}", owner=ana) for n in range(20)]
    RegisteredCorpus.objects.bulk_create(kept)
    refused = send(ana, LINES)
    assert refused.status_code == 422
    assert "20 files of yours are kept here" in text(refused)
    assert send(ben, LINES).status_code == 302
    RegisteredCorpus.objects.filter(owner=ana, name="0").delete()
    assert send(ana, LINES).status_code == 302


def test_a_file_that_would_leave_the_database_no_room_is_refused(ana: User, store: Path, settings: Any) -> None:
    store.mkdir(parents=True)
    settings.RESERVE_MB = 10**9
    refused = send(ana, LINES)
    assert refused.status_code == 422
    assert "no room for further files" in text(refused)
    assert nothing_is_left(store, settings)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.jsonl", bytes),
        ("b.jsonl.gz", lambda content: gzip.compress(content, mtime=0)),
        ("c.JSONL.ZST", lambda content: zstandard.compress(content)),
        ("d.parquet", lambda content: parquet(TEXTS)),
    ],
)
def test_a_file_is_kept_under_a_name_of_ours(ana: User, store: Path, name: str, pack: Any) -> None:
    response = send(ana, pack(LINES), name)
    corpus = RegisteredCorpus.objects.get()
    assert response["Location"] == f"/corpora/{corpus.pk}/"
    assert (corpus.n_documents, corpus.owner, corpus.file_name) == (3, ana, name)
    kept = Path(corpus.source)
    assert kept.read_bytes() == pack(LINES)
    assert (kept.parent.parent, kept.name) == (store, f"pile{name[1:].lower()}")
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_all_packings_of_one_text_have_one_hash(ana: User) -> None:
    send(ana, LINES)
    send(ana, gzip.compress(LINES), "pile.jsonl.gz", name="packed")
    first, second = RegisteredCorpus.objects.all()
    assert first.sha256 == second.sha256
    assert len(first.sha256) == 64


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (LINES + b"not json\n", "a.jsonl", "Line 4 of a.jsonl is not JSON"),
        (LINES + b'{"txt": 1}\n', "a.jsonl", "Line 4 of a.jsonl"),
        (b'{"text": NaN}\n', "a.jsonl", "Line 1 of a.jsonl"),
        (b'{"text": "\xff"}\n', "a.jsonl", "is not UTF-8"),
        (b'{"text": "' + b"x" * 1_100_000 + b'"}\n', "a.jsonl", "Line 1 of a.jsonl"),
        (b"[" * 100_000 + b"\n", "a.jsonl", "Line 1 of a.jsonl"),
        (gzip.compress(LINES)[:-9], "a.jsonl.gz", "a.jsonl.gz"),
        (b"no parquet", "a.parquet", "a.parquet"),
        (LINES, "a.csv", "must end in"),
        (LINES, "a.pkl", "must end in"),
        (b"", "a.jsonl", "is empty"),
    ],
    ids=[
        "no JSON",
        "no text",
        "NaN",
        "no UTF-8",
        "long line",
        "deep",
        "cut off",
        "no Parquet",
        "csv",
        "pickle",
        "empty",
    ],
)
def test_a_bad_file_is_refused_with_its_line_and_leaves_nothing(
    ana: User, store: Path, settings: Any, content: bytes, name: str, said: str
) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    response = send(ana, content, name)
    assert response.status_code == 422
    assert said in text(response)
    assert str(store) not in text(response)
    assert nothing_is_left(store, settings)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_file_that_unpacks_without_end_is_refused(ana: User, store: Path, settings: Any, pack: Any) -> None:
    line = json.dumps({"text": "a" * 900_000}).encode() + b"\n"
    suffix = "gz" if pack is gzip.compress else "zst"
    response = send(ana, pack(line * 60), f"bomb.jsonl.{suffix}")
    assert response.status_code == 422
    assert "unpacks to more than 200 times its size" in text(response)
    assert nothing_is_left(store, settings)


def test_a_file_that_is_too_large_is_read_no_further(ana: User, store: Path, settings: Any) -> None:
    settings.UPLOAD_BYTES = 1_000_000
    response = send(ana, b"x" * 3_000_000)
    assert response.status_code == 422
    assert "The file is larger than 1 MB" in text(response)
    assert 'value="pile"' in text(response)
    assert nothing_is_left(store, settings)


def test_only_runners_can_send_files_anywhere(store: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", lambda *args, **kwargs: made.append("file"))
    nobody = User.objects.create_user("nobody")
    assert send(None, LINES).status_code == 302
    assert send(nobody, LINES).status_code == 403
    assert seen_by(None).post("/sign-in/", {"file": SimpleUploadedFile("a", LINES)}).status_code == 200
    assert made == []
    assert nothing_is_left(store, settings)


@pytest.mark.parametrize("name", ["../../x.jsonl", "/etc/x.jsonl", "<script>x.jsonl", "a" * 300 + ".jsonl"])
def test_a_hostile_file_name_names_nothing_of_ours(ana: User, store: Path, name: str) -> None:
    response = send(ana, LINES, name)
    if response.status_code == 302:
        shown = text(seen_by(ana).get(response["Location"]))
        assert "<script>x" not in shown
        assert Path(RegisteredCorpus.objects.get().source).name == "pile.jsonl"
    assert {path.name for path in store.parent.rglob("*.jsonl")} <= {"pile.jsonl"}


def test_a_name_that_is_no_file_name_still_gives_one(ana: User) -> None:
    send(ana, LINES, name="日本 / ..")
    assert Path(RegisteredCorpus.objects.get().source).name == "corpus.jsonl"


def test_a_full_disk_is_said(ana: User, store: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("clusters.services.corpora.os.fsync", full)
    response = send(ana, LINES)
    assert response.status_code == 422
    assert "could not be kept (No space left on device)" in text(response)
    assert nothing_is_left(store, settings)


def test_a_missing_reader_is_said(ana: User, store: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    response = send(ana, b"PAR1", "a.parquet")
    assert "This site cannot read .parquet files: pyarrow is not installed" in text(response)
    assert nothing_is_left(store, settings)


def test_one_person_s_corpora_have_different_names(ana: User, ben: User) -> None:
    send(ana, LINES)
    assert "already" in text(send(ana, LINES))
    assert send(ben, LINES).status_code == 302


# ── data sets and paths ──


def register(user: User, kind: str, **fields: Any) -> Any:
    return seen_by(user).post(f"/corpora/new/?kind={kind}", {"name": "pile", "text_field": "text"} | fields)


def test_a_data_set_of_the_hub_is_noted(ana: User) -> None:
    response = register(ana, "hub", repository="a/pile", revision="v1", subset="all", split="test", text_field="body")
    corpus = RegisteredCorpus.objects.get()
    assert response.status_code == 302
    assert (corpus.source, corpus.subset, corpus.split, corpus.text_field) == ("hub:a/pile@v1", "all", "test", "body")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("repository", "../../etc", "is no Hub id"),
        ("repository", "https://example.org/x", "is no Hub id"),
        ("repository", "..%2f..%2fx", "is no Hub id"),
        ("revision", "refs/../x", "is no revision"),
        ("split", "a/b", "letters, digits"),
        ("subset", "../x", "letters, digits"),
        ("text_field", "a b", "letters, digits"),
    ],
)
def test_a_hostile_data_set_is_refused_by_its_text(ana: User, field: str, value: str, said: str) -> None:
    fields = {"repository": "a/b", "revision": "main", "split": "train"} | {field: value}
    response = register(ana, "hub", **fields)
    assert response.status_code == 422
    assert said in text(response)
    assert not RegisteredCorpus.objects.exists()


def test_a_name_holds_nothing_invisible(ana: User) -> None:
    register(ana, "hub", repository="a/b", revision="main", split="train", name="a\u202eb\u200b")
    assert not set("\u202e\u200b") & set(RegisteredCorpus.objects.get().name)


@pytest.fixture
def root(tmp_path: Path, settings: Any) -> Path:
    root = tmp_path / "allowed"
    (root / "texts").mkdir(parents=True)
    (root / "pile.jsonl.zst").write_bytes(b"")
    (root / "notes.doc").write_bytes(b"")
    (root / "out").symlink_to("/etc")
    settings.ALLOWED_ROOTS = [root]
    return root


@pytest.mark.parametrize("name", ["texts", "pile.jsonl.zst"])
def test_a_path_inside_the_allowed_folders_is_noted(ana: User, root: Path, name: str) -> None:
    assert register(ana, "path", path=f"{root}/{name}").status_code == 302
    assert RegisteredCorpus.objects.get().source == str(root / name)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/etc/passwd", "none of the allowed folders"),
        ("{root}/../x", "without “..”"),
        ("{root}/out", "through a link"),
        ("{root}/out/passwd", "through a link"),
        ("{root}/nowhere", "There is no"),
        ("{root}/notes.doc", "neither a folder nor a file"),
    ],
)
def test_any_other_path_is_refused(ana: User, root: Path, path: str, said: str) -> None:
    response = register(ana, "path", path=path.format(root=root))
    assert response.status_code == 422
    assert said in text(response)
    assert not RegisteredCorpus.objects.exists()


def test_an_unknown_kind_is_a_bad_request(ana: User) -> None:
    assert seen_by(ana).get("/corpora/new/?kind=other").status_code == 400


# ── who sees and removes which ──


def corpus(owner: User | None, **values: Any) -> RegisteredCorpus:
    facts = {"name": "secretive", "kind": "path", "source": "/data/here/pile.jsonl"} | values
    return RegisteredCorpus.objects.create(owner=owner, **facts)


PAGES = ("/corpora/{}/", "/corpora/{}.json", "/corpora/{}.csv")
LISTS = ("/corpora/", "/corpora.json", "/corpora.csv")


def test_a_private_corpus_is_there_for_its_owner_and_superusers_only(ana: User, ben: User) -> None:
    hidden = corpus(ana, is_private=True)
    admin = User.objects.create_superuser("adam")
    for page in PAGES:
        found = [seen_by(user).get(page.format(hidden.pk)).status_code for user in (None, ben, ana, admin)]
        assert found == [404, 404, 200, 200]
    for page in LISTS:
        found = ["secretive" in seen_by(user).get(page).getvalue().decode() for user in (None, ben, ana, admin)]
        assert found == [False, False, True, True]


def test_where_a_text_lies_is_shown_to_its_owner_and_staff_only(ana: User, ben: User) -> None:
    public = corpus(ana)
    eve = User.objects.create_user("eve", is_staff=True)
    for page in (*PAGES, *LISTS):
        shown = [seen_by(user).get(page.format(public.pk)).getvalue().decode() for user in (None, ben, ana, eve)]
        assert ["/data/here" in one for one in shown] == [False, False, True, True]


@pytest.mark.parametrize("number", ["999", "0", "abc", "9" * 40, "1%00", "-1"])
def test_an_unknown_corpus_is_not_found(number: str) -> None:
    assert seen_by(None).get(f"/corpora/{number}/").status_code == 404


def test_the_list_asks_no_more_for_more_corpora(ana: User, django_assert_max_num_queries: Any) -> None:
    for number in range(5):
        corpus(ana, name=f"corpus {number}")
    with django_assert_max_num_queries(2):
        shown = text(seen_by(None).get("/corpora/"))
    assert "corpus 4" in shown
    assert "Installed packages" in shown


@pytest.mark.parametrize("days", [7, 0])
def test_an_owner_removes_a_corpus_with_its_file(ana: User, store: Path, settings: Any, days: int) -> None:
    settings.KEEP_DELETED_DAYS = days
    send(ana, LINES)
    kept = RegisteredCorpus.objects.get()
    os.utime(Path(kept.source).parent, (0, 0))
    assert seen_by(ana).post(f"/corpora/{kept.pk}/remove/")["Location"] == "/corpora/"
    assert not RegisteredCorpus.objects.exists()
    in_trash = [folder.name[:7] for folder in store.iterdir() if time.time() - folder.stat().st_mtime < 60]
    assert in_trash == ([".trash-"] if days else [])


def test_text_that_lies_elsewhere_stays(ana: User, root: Path) -> None:
    kept = corpus(ana, source=str(root / "pile.jsonl.zst"))
    seen_by(ana).post(f"/corpora/{kept.pk}/remove/")
    assert (root / "pile.jsonl.zst").exists()
    assert not RegisteredCorpus.objects.exists()


def test_only_the_owner_and_staff_may_remove_it(ana: User, ben: User) -> None:
    address = f"/corpora/{corpus(ana).pk}/remove/"
    assert seen_by(ana).get(address).status_code == 405
    assert "/sign-in/" in seen_by(None).post(address)["Location"]
    assert seen_by(ben).post(address).status_code == 403
    assert seen_by(User.objects.create_user("eve", is_staff=True)).post(address).status_code == 302
    assert not RegisteredCorpus.objects.exists()


def test_a_corpus_that_a_job_still_reads_is_not_removed(ana: User) -> None:
    kept = corpus(ana)
    job = queue.enqueue(changed(fake.config(), source=kept.source), ana)
    assert f'href="/jobs/{job.pk}/"' in text(seen_by(ana).get(f"/corpora/{kept.pk}/"))
    response = seen_by(ana).post(f"/corpora/{kept.pk}/remove/", follow=True)
    assert f"Job {job.pk} still reads this corpus" in text(response)
    assert RegisteredCorpus.objects.exists()


def test_removing_needs_the_form_s_token(ana: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ana)
    assert client.post(f"/corpora/{corpus(ana).pk}/remove/").status_code == 403


def test_sending_needs_the_form_s_token(ana: User, store: Path, settings: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ana)
    sent = {"name": "pile", "text_field": "text", "file": SimpleUploadedFile("a.jsonl", LINES)}
    assert client.post("/corpora/new/", sent).status_code == 403
    assert nothing_is_left(store, settings)


def test_the_form_needs_the_runner_role(ana: User) -> None:
    nobody = User.objects.create_user("nobody")
    assert [seen_by(user).get("/corpora/new/").status_code for user in (None, nobody, ana)] == [302, 403, 200]

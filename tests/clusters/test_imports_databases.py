"""Imports on both databases: a bundle of labels alone, hostile texts, and labels written at once by several people."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from clusters.ingest import ingest
from clusters.models import Label, LabelRevision, Run, Token
from clusters.services.import_labels import Wanted, apply_plan, plan_of
from clusters.services.imports import start_labels, start_published
from compute.jobs.run import run_next_shard
from compute.models import Job
from compute.published import build_bundle
from tests.databases import Site, postgres_template, site, sqlite_template  # noqa: F401  (fixtures)
from tests.postgres import postgres  # noqa: F401
from tests.published_files import CONTEXTS, LABELS, write

N_PEOPLE = 6


def person(name: str) -> User:
    user = User.objects.create_user(name)
    user.groups.add(*Group.objects.filter(name__in=("runner", "labeler")))
    return user


def sent(path: Path) -> SimpleUploadedFile:
    return SimpleUploadedFile(path.name, path.read_bytes())


def test_published_labels_are_read_in(site: Site, tmp_path: Path) -> None:  # noqa: F811
    labels, contexts = write(tmp_path / "l.json", LABELS), write(tmp_path / "c.json", CONTEXTS)
    one = start_published(person("ana"), labels=sent(labels), contexts=sent(contexts), name="p", is_private=False)
    run_next_shard(None, worker="test:1")
    assert Job.objects.get().state == Job.State.SUCCEEDED
    one.refresh_from_db()
    run = Run.objects.get()
    assert one.run == run
    assert list(Token.objects.filter(run=run).order_by("row").values_list("loss_nats", flat=True)) == [None] * 6
    assert Token.objects.get(row=4).answer == "␀"
    without = ingest(build_bundle(labels, None, tmp_path))
    assert without.clusterings.get(k=3, affinity="signed").clusters.get(rank=1).n_documents is None


def test_words_are_still_found_after_the_tokens_table_was_built_anew(site: Site, tmp_path: Path) -> None:  # noqa: F811
    ingest(build_bundle(write(tmp_path / "l.json", LABELS), write(tmp_path / "c.json", CONTEXTS), tmp_path))
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT count(*) FROM clusters_token_words WHERE clusters_token_words MATCH 'cat'")
        else:
            cursor.execute("SELECT count(*) FROM clusters_token WHERE to_tsvector('simple', context) @@ 'cat'::tsquery")
        assert cursor.fetchone()[0] == 1


def test_several_people_write_the_same_file_at_once(site: Site, tmp_path: Path) -> None:  # noqa: F811
    run = ingest(build_bundle(write(tmp_path / "l.json", LABELS), None, tmp_path))
    rows = "".join(f"signed,3,{label},rule {label}\n" for label in range(3))
    raw = f"affinity,k,cluster,name\n{rows}".encode()

    def bring(user: User) -> int:
        try:
            one, _ = start_labels(user, file=SimpleUploadedFile("l.csv", raw), asked={"run": run.slug})
            wanted = Wanted.of(one)
            result = apply_plan(user, one, wanted, plan_of(user, one, wanted).fingerprint)
            assert not result["left"]
            return int(result["new"])
        finally:
            connection.close()

    people = [person(f"person{n}") for n in range(N_PEOPLE)]
    with ThreadPoolExecutor(N_PEOPLE) as pool:
        written = sum(pool.map(bring, people))
    assert written == Label.objects.count() == LabelRevision.objects.count() == 3 * N_PEOPLE

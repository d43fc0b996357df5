"""What an earlier release wrote is all there after an upgrade, means the same, and its pages answer."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.test import Client

from clusters.models import Cluster, Label, Run
from compute.models import Job
from tests.jobs.states import STATES
from tests.migrations.conftest import OF_THE_PREVIOUS, Upgraded

MOVED = {"clusters_run": {"bundle_path"}}  # the test's own doing
PAGES = (
    "", "k/6/clusters/", "k/6/clusters/?view=table", "k/6/clusters/1/", "rank-frequency/", "similarity/", "sequence/",
    "tokens/", "search/?q=the", "documents/3/", "map/", "losses/", "scaling/", "probe/", "suggestions/",
    "dynamics/", "rank-frequency.json", "k/6/clusters.csv",
)  # fmt: skip
SITE_PAGES = ("/", "/jobs/", "/labels/", "/notes/", "/labeling/", "/collections/", "/people/", "/corpora/", "/imports/",
              "/profile/", "/audit/", "/readyz", "/labs/", "/labs/parity/", "/exponents/")  # fmt: skip


def browser() -> Client:
    from django.contrib.auth.models import User

    client = Client(raise_request_exception=False)
    client.force_login(User.objects.get(username="ada"))
    return client


def test_every_row_is_still_there_and_says_the_same(upgraded: Upgraded, measured: Any) -> None:
    lost: dict[str, Any] = {}
    after = upgraded.rows()
    for table, rows in upgraded.before.items():
        left_out = {i for i, name in enumerate(sorted(upgraded.tables[table])) if name in MOVED.get(table, ())}
        was, now = ([tuple(v for i, v in enumerate(row) if i not in left_out) for row in one]
                    for one in (rows, after[table]))  # fmt: skip
        if missing := Counter(map(repr, was)) - Counter(map(repr, now)):
            lost[table] = list(missing)[:2]
    assert not lost
    n_rows = sum(map(len, upgraded.before.values()))
    assert n_rows > 500
    assert all(upgraded.before[table] for table in upgraded.tables), "a table of the release has no row to look at"
    measured(23, f"upgraded from {upgraded.release}", database=connection.vendor, rows_kept=n_rows)


def test_every_model_can_be_read(upgraded: Upgraded) -> None:
    for app in ("clusters", "compute", "auth"):
        for model in apps.get_app_config(app).get_models():
            for row in model.objects.all()[:50]:
                assert str(row)


def test_jobs_are_in_the_states_that_they_were_in(upgraded: Upgraded) -> None:
    assert set(Job.objects.filter(name__endswith=" job").values_list("name", "state")) >= {
        (f"a {state} job", state) for state in STATES
    }
    page = browser()
    for job in Job.objects.filter(kind="qdg"):
        said = page.get(f"/jobs/{job.pk}/")
        assert said.status_code == 200, job
        assert job.name in said.content.decode()


def test_every_page_of_the_run_answers(upgraded: Upgraded) -> None:
    run, page = Run.objects.get(name="Everything"), browser()
    statuses = {path: page.get(f"/runs/{run.slug}/{path}").status_code for path in PAGES}
    assert statuses == dict.fromkeys(PAGES, 200)
    token = run.tokens.order_by("row")[0].flat_index
    assert page.get(f"/runs/{run.slug}/tokens/{token}/").status_code == 200


def test_every_page_of_the_site_answers(upgraded: Upgraded) -> None:
    page = browser()
    statuses = {path: page.get(path).status_code for path in SITE_PAGES}
    assert {status for path, status in statuses.items() if path != "/readyz"} == {200}, statuses
    assert page.get("/readyz").json()["checks"]["database"].endswith("current")


def test_words_of_contexts_are_still_found(upgraded: Upgraded) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT count(*) FROM clusters_token_words WHERE clusters_token_words MATCH 'cat'")
        else:
            cursor.execute("SELECT count(*) FROM clusters_token WHERE to_tsvector('simple', context) @@ 'cat'::tsquery")
        assert cursor.fetchone()[0] > 10


def test_labels_say_what_they_said(upgraded: Upgraded) -> None:
    if "clusters_label" not in upgraded.tables:
        assert not Label.objects.exists()
        return
    agreed = Label.objects.get(origin="agreed", name="commas, as agreed")
    assert (agreed.kind, agreed.confidence, [tag.slug for tag in agreed.tags.all()]) == (
        "skill", 3, ["lexical", "syntactic"],
    )  # fmt: skip
    own = Label.objects.get(author__username="ada", cluster=agreed.cluster, origin="person")
    assert (own.version, [one.content["name"] for one in own.revisions.order_by("version")]) == (
        2, ["commas, says ada", "commas, says ada, again"],
    )  # fmt: skip
    cluster = Cluster.objects.get(pk=agreed.cluster_id)
    page = browser().get(f"/runs/everything/k/6/clusters/{cluster.label}/").content.decode()
    assert "commas, as agreed" in page
    assert "DROP TABLE clusters_run" in page
    assert "<b>&amp;</b>" not in page


@OF_THE_PREVIOUS
@pytest.mark.parametrize("app", ["compute", "clusters"])
def test_one_step_back_and_forth_loses_nothing(upgraded: Upgraded, app: str) -> None:
    """Back to the previous release's last migration of an app, whose code would then run, and forward again."""
    began = time.monotonic()
    before = upgraded.rows()
    try:
        call_command("migrate", app, upgraded.leaves[app], verbosity=0)
        assert upgraded.rows() == before
    finally:
        call_command("migrate", verbosity=0)
    assert upgraded.rows() == before
    assert time.monotonic() - began < 60


def test_the_rows_of_the_code_have_their_migrations(upgraded: Upgraded) -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)

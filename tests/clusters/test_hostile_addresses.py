"""What no database can compare with is in no address's way: on both databases it is not there, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.databases import Site, postgres_template, site, sqlite_template  # noqa: F401  (fixtures)
from tests.factories import make_run
from tests.postgres import postgres  # noqa: F401

READ = (
    "/collections/a%00b/", "/labeling/quiz/?run=a%00b", "/labeling/quiz/results/?run=a%00b",
    "/labeling/agreement/?of=a%00b/signed/6", "/api/v1/runs/a%00b/", "/api/v1/collections/a%00b/",
    "/api/v1/tags/a%00b/", "/api/v1/labels/99999999999999999999/", "/labels/999999999999999999/",
    "/labeling/queues/999999999999999999/", "/suggestions/99999999999999999999/",
)  # fmt: skip


def test_nul_and_numbers_too_large_are_nobody_s(site: Site, tmp_path: Path) -> None:  # noqa: F811
    boss = User.objects.create_superuser("boss")
    make_run(tmp_path / "run", owner=boss)
    client = Client()
    client.force_login(boss)
    found = {path: client.get(path).status_code for path in READ}
    assert set(found.values()) <= {400, 404}, found
    assert client.post("/profile/keys/a%00b/revoke/").status_code == 404
    gone = client.post("/runs/synthetic/manage/", {"action": "unshare", "reader": "a\0b"})
    assert gone.status_code == 422


@pytest.mark.django_db
def test_no_address_takes_another_site_for_its_next_page(client: Client) -> None:
    client.force_login(User.objects.create_user("ana"))
    for path in ("/preferences/theme/", "/collections/keep/"):
        for there in ("//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"):
            sent = {"next": there, "theme": "dark", "new": "one", "path": "/"}
            assert "evil" not in client.post(path, sent).headers.get("Location", "")

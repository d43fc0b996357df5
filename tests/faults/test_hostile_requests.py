"""Requests made to break things: numbers no database holds, nesting, filters through relations, names that climb."""

from __future__ import annotations

import base64
import sys
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.test import Client

from clusters.models import Import, RegisteredCorpus
from clusters.services.imports import start_labels
from compute.models import Job
from tests.api.seeds import bearer, seeded_site
from tests.databases import Site
from tests.factories import UserFactory
from tests.faults.serving import SQLITE_IN_CI
from tests.faults.test_forbidden import addresses

HUGE = "1" + "0" * 40
NESTED = "[" * 100_000 + "]" * 100_000
DEEP_CURSOR = base64.urlsafe_b64encode(b"[" * 3000).decode()
ODD = {
    "huge": "&".join(f"{name}={HUGE}" for name in ("page", "offset", "limit", "id", "k", "size", "before", "token")),
    "negative": "&".join(f"{name}=-{HUGE}" for name in ("page", "offset", "limit", "id", "k", "label", "token")),
    "nul": "&".join(f"{name}=a%00b" for name in ("page", "q", "text", "run", "tag", "sort", "cursor", "after", "name")),
    "cursor": f"cursor={DEEP_CURSOR}&after={DEEP_CURSOR}",
    "halves": "&".join(f"{name}=%ED%A0%80%FF" for name in ("q", "text", "cursor", "after", "run", "sort")),
    "numbers": "page=NaN&offset=1e400&limit=Infinity&id=٣&k=0x10&size=1_000&token=%2B7&index=-0",
    "sql": f"q={quote(chr(39) + ' OR 1=1 --')}&text={quote(chr(39) + ';DROP TABLE x')}&sort={quote('name); --')}",
    "relations": "user__password__startswith=a&owner__password__regex=.*&ordering=password&sort=owner__password",
    "many": "&".join(f"tag=t{n}&affinity=x&fields=f{n}" for n in range(300)),
}
BODYLESS, NO_BODY = ("/cancel/", "/resume/", "/withdraw/"), {"delete /api/v1/labels/1/"}  # they read no body
CHEAP = ("huge", "nul")


@pytest.fixture
def seen(site: Site) -> tuple[Client, dict[str, str]]:
    """Who may see everything, by session and by key."""
    _, admin, key = seeded_site(site.data / "made")
    client = Client(raise_request_exception=False)
    client.force_login(admin)
    return client, bearer(key)


@SQLITE_IN_CI
@pytest.mark.parametrize("names", [CHEAP, pytest.param(tuple(ODD), marks=pytest.mark.whole)], ids=["few", "all"])
def test_no_address_breaks_over_what_is_asked_of_it(
    site: Site, seen: tuple[Client, dict[str, str]], names: tuple[str, ...], measured: Any
) -> None:
    client, key = seen
    broken, n_requests = {}, 0
    places = [place for place in sorted(set(addresses())) if not place.startswith(("/sign-out", "/metrics", "/readyz"))]
    for place in places:
        for name in names:
            headers = key if place.startswith("/api/") else {}
            answer = client.get(f"{place}?{ODD[name]}", headers=headers)
            n_requests += 1
            if answer.status_code >= 500:
                broken[f"{place} {name}"] = answer.status_code
            answer.close()
    assert len(places) > 150
    assert not broken
    measured(16, "numbers, cursors and texts no database holds, at every address", requests=n_requests, answers_5xx=0)


@SQLITE_IN_CI
def test_numbers_in_addresses_are_those_that_are_there(
    site: Site, seen: tuple[Client, dict[str, str]], measured: Any
) -> None:
    client, key = seen
    statuses = {}
    for place in sorted(set(addresses())):
        for number in (HUGE, "9" * 18):
            changed = "/".join(number if part in ("1", "0", "3", "6") else part for part in place.split("/"))
            if changed != place:
                statuses[changed] = client.get(changed, headers=key if "/api/" in changed else {}).status_code
    assert len(statuses) > 80
    assert not {place: status for place, status in statuses.items() if status not in (400, 404, 405)}
    measured(16, "numbers too large in addresses", requests=len(statuses), answered_400_404_405=len(statuses))


# ── nesting ──


@SQLITE_IN_CI
def test_json_nested_100_000_deep_is_refused_everywhere(
    site: Site, seen: tuple[Client, dict[str, str]], measured: Any
) -> None:
    client, key = seen
    statuses: dict[str, int] = {}
    places = [place for place in sorted(set(addresses())) if place.startswith("/api/v1/")]
    for place in places:
        for method in ("post", "put", "patch", "delete"):
            send = getattr(client, method)
            answer = send(place, NESTED, content_type="application/json", headers=key | {"If-Match": '"1"'})
            statuses[f"{method} {place}"] = answer.status_code
    read = {deed: status for deed, status in statuses.items() if status not in (400, 404, 405, 412, 415, 428)}
    assert set(read) <= {f"post {place}" for place in places if place.endswith(BODYLESS)} | NO_BODY, read
    assert list(statuses.values()).count(400) > 10
    nested = '{"name": ' + "[" * 900 + "]" * 900 + "}"
    for text in (nested, '{"a":' * 70 + "1" + "}" * 70):
        assert client.post("/api/v1/jobs/", text, content_type="application/json", headers=key).status_code == 400
    measured(17, "JSON nested 100,000 deep, at every address of the API", requests=len(statuses), answers_5xx=0,
             answered_400=list(statuses.values()).count(400))  # fmt: skip


@SQLITE_IN_CI
def test_nested_json_in_files_and_forms_is_refused(
    site: Site, seen: tuple[Client, dict[str, str]], measured: Any
) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    client, _ = seen
    for raw in (NESTED, f'{{"2": {NESTED}}}', '{"a":' * 100_000):
        file = SimpleUploadedFile("l.json", raw.encode())
        answer = client.post("/imports/?kind=published", {"labels": file, "name": "p"})
        assert answer.status_code == 422
        assert "nested too deep" in answer.content.decode()
    rows = f'{{"affinity": "signed", "k": 6, "cluster": 0, "name": {NESTED[:150_000]}}}\n'.encode()
    admin = User.objects.get(username="admin")
    one, found = start_labels(admin, file=SimpleUploadedFile("l.jsonl", rows), asked={"run": "synthetic"})
    assert [row.reason for row in found.unreadable] == ["The line is nested too deep."]
    cursors = [f"/labels/?after={DEEP_CURSOR}", f"/api/v1/labels/?cursor={DEEP_CURSOR}", f"/notes/?after={DEEP_CURSOR}"]
    assert {client.get(place).status_code for place in cursors} <= {200, 400}
    assert Import.objects.get() == one
    measured(17, "JSON nested deep in imported files and cursors", refused=7)


# ── filters ──


@SQLITE_IN_CI
def test_the_api_refuses_filters_that_it_does_not_offer(
    site: Site, seen: tuple[Client, dict[str, str]], measured: Any
) -> None:
    client, key = seen
    accepted, refused = [], 0
    for place in sorted(set(addresses())):
        if not place.startswith("/api/v1/") or client.get(place, headers=key).status_code != 200:
            continue
        for question in ("user__password__startswith=a", "ordering=password", "author__user__email=a", "id__gt=0",
                         f"x={quote(chr(39) + ' OR 1=1')}"):  # fmt: skip
            status = client.get(f"{place}?{question}", headers=key).status_code
            refused += status == 400
            if status != 400:
                accepted.append(f"{place}?{question}: {status}")
    assert refused > 100
    assert not accepted
    measured(
        18, "filters through relations, at every list and object of the API", requests=refused, answered_400=refused
    )


@SQLITE_IN_CI
def test_quotes_are_text_and_nothing_else(site: Site, seen: tuple[Client, dict[str, str]], measured: Any) -> None:
    client, key = seen
    UserFactory(username="someone", email="a-secret@example.org", password="secret")
    texts = ("' OR 1=1 --", "%' OR '1'='1", "\\", "a' UNION SELECT password FROM auth_user --", "%", "_")
    places = ("/labels/?text={}", "/notes/?text={}", "/runs/synthetic/search/?q={}", "/runs/synthetic/tokens/?text={}",
              "/api/v1/labels/?text={}", "/collections/?text={}", "/people/?q={}", "/audit/?who={}")  # fmt: skip
    statuses = []
    for place in places:
        for text in texts:
            answer = client.get(place.format(quote(text)), headers=key if "/api/" in place else {})
            statuses.append(answer.status_code)
            assert "pbkdf2" not in answer.content.decode()
    assert set(statuses) <= {200, 400, 404}
    assert User.objects.count() == 2
    measured(18, "quotes and wildcards in every search", requests=len(statuses), answers_5xx=0)


# ── names that climb ──

NAMES = (
    "../../etc", "..%2f..%2fetc/passwd", "..%252f..%252fetc", "..\\..\\etc", "/etc/passwd", "me/../etc",
    "me/net@refs/../x", "me/net@../x", "me/net@refs%2f..%2fx", "me/net@-f", "me/net\0", "http://127.0.0.1/me/net", "file:///etc/passwd",
    "me/net/more", "~/x", "me/net@a b", "....//....//etc", "me/ne\u202et",
)  # fmt: skip
WATCHED = ("open", "os.listdir", "os.scandir", "os.mkdir", "socket.connect", "socket.getaddrinfo", "subprocess.Popen")


class Watch:
    """Every file that is opened and every connection that is made while it is on."""

    def __init__(self) -> None:
        self.is_on = False
        self.seen: list[str] = []
        sys.addaudithook(self._heard)  # there is no way to take it away again

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_on and event in WATCHED:
            self.seen.append(f"{event} {arguments[:2]!r}")

    def __enter__(self) -> list[str]:
        self.seen, self.is_on = [], True
        return self.seen

    def __exit__(self, *_: object) -> None:
        self.is_on = False


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


def harmless(event: str, site: Site) -> bool:
    """The site's own templates, code and database."""
    own = ("templates", ".html", ".py", "site-packages", "sqlite3", ".s.PGSQL", "static", "/dev/null", "/proc/")
    is_own = any(mark in event for mark in (*own, str(site.data / "made")))
    return is_own and not any(mark in event for mark in ("etc", "..", "refs", "passwd"))


@SQLITE_IN_CI
def test_names_that_climb_are_refused_before_any_file_or_connection(
    site: Site, seen: tuple[Client, dict[str, str]], watch: Watch, settings: Any, measured: Any
) -> None:
    settings.ALLOWED_ROOTS = [site.data / "allowed"]
    client, key = seen
    client.get("/runs/new/?suite=hub")  # templates are read once
    client.get("/corpora/new/?kind=hub")
    n_jobs = Job.objects.count()
    hub = {"name": "a", "suite": "hub", "clustered": "net/main"}
    data_set = {"name": "a", "repository": "a/b", "revision": "main", "split": "train", "text_field": "t"}
    n_asked, wrong = 0, []
    for name in NAMES:
        deeds = (
            ("/api/v1/jobs/", hub | {"repositories": [name]}),
            ("/api/v1/jobs/", hub | {"repositories": ["a/b"], "tokenizer": name}),
            ("/api/v1/jobs/", {"name": "a", "suite": "folders", "folders": [f"m/s={name}"], "clustered": "m/s"}),
            ("/runs/new/", hub | {"repositories": name}),
            ("/corpora/new/?kind=hub", data_set | {"repository": name}),
            ("/corpora/new/?kind=hub", data_set | {"revision": name}),
            ("/corpora/new/?kind=path", {"name": "a", "path": name, "text_field": "t"}),
            ("/imports/?kind=bundle", {"path": name}),
        )  # fmt: skip
        for place, sent in deeds:
            kind = {"content_type": "application/json", "headers": key} if "/api/" in place else {}
            with watch as events:
                answer = client.post(place, sent, **kind)
            n_asked += 1
            if answer.status_code not in (400, 422):
                wrong.append(f"{place} {sent}: {answer.status_code}")
            wrong += [f"{place} {sent}: {event}" for event in events if not harmless(event, site)]
    for name in NAMES:
        for place in ("/runs/{}/", "/api/v1/runs/{}/", "/api/v1/suites/{}/", "/runs/synthetic/exports/{}"):
            with watch as events:
                status = client.get(place.format(quote(name)), headers=key if "/api/" in place else {}).status_code
            n_asked += 1
            wrong += [f"{place} {name}: {status}"] if status not in (301, 400, 404) else []
            wrong += [f"{place} {name}: {event}" for event in events if not harmless(event, site)]
    assert not wrong, "\n".join(wrong[:10])
    assert not RegisteredCorpus.objects.exists()
    assert Job.objects.count() == n_jobs
    measured(19, "names of models, revisions and paths that climb", requests=n_asked, files_opened=0, connections=0)

"""No log and no report holds what somebody wrote, searched for or signs in with, whatever the site does."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import structlog
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from clusters.models import Cluster
from clusters.services.people import make_sign_in_link
from compute.jobs import probes, run
from compute.models import Job
from compute.suites import demo_config
from quantaweb import logs, reports
from quantaweb.requests import RequestLog
from tests.api.seeds import bearer, make_key
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
MARK = "Quetzalcoatlus"  # in every text that somebody gives
PASSWORD = "correct-Horse-quetzal-7"
FORMS = ("plain", "json")


@pytest.fixture(params=FORMS)
def written(request: pytest.FixtureRequest) -> Iterator[Written]:
    """Everything that is logged, at the lowest level, as the site writes it."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Discreet(request.param))
    handler.addFilter(logs.SaidElsewhere())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield Written(stream, request.param)
    root.removeHandler(handler)
    root.setLevel(before)


class Written:
    def __init__(self, stream: StringIO, form: str) -> None:
        self.stream, self.form = stream, form

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["logger"] == "quantaweb.requests"]


@pytest.fixture
def site(tmp_path: Any, settings: Any) -> Any:
    settings.DATA_DIR = tmp_path / "data"
    settings.CORPUS_DIR, settings.WORKSPACE_DIR = settings.DATA_DIR / "corpora", settings.DATA_DIR / "workspaces"
    cache.clear()
    return make_run(tmp_path)


@pytest.fixture
def person(db: None) -> Any:
    found = UserFactory(username="ana")
    found.set_password(PASSWORD)
    found.save()
    found.groups.add(*Group.objects.filter(name__in=("runner", "labeler", "adjudicator")))
    return found


def wander(run_: Any, person: Any) -> list[str]:
    """Use the site as people do, with a mark in all that they send; give the secrets that were used."""
    client = Client(raise_request_exception=False, headers={"User-Agent": MARK, "Referer": f"https://x/?q={MARK}"})
    link, key = make_sign_in_link(person), make_key(person, "read", "label", "run")
    client.get(f"/sign-in/{link}/")
    client.post(f"/sign-in/{link}/")
    client.post("/sign-out/")
    client.post("/sign-in/", {"username": MARK, "password": f"wrong-{MARK}"})
    client.post("/sign-in/", {"username": "ana", "password": PASSWORD})
    client.get(f"/sign-in/?next=https://{MARK}.example/")
    for place in ("/", f"/{MARK}/", f"/runs/{MARK}/", f"/runs/{run_.slug}/search/?q={MARK}", f"/jobs/{MARK}/",
                  f"/runs/{run_.slug}/tokens/?token={MARK}&{MARK}=1", f"/runs/{run_.slug}/rank-frequency/?k={MARK}",
                  f"/exports/{MARK}/", f"/collections/{MARK}/", f"/invitation/{MARK}/"):  # fmt: skip
        client.get(place)
    client.get("/", headers={"Host": f"{MARK}.example"})
    client.get("/", headers={"X-Request-ID": f"{MARK}\n{MARK}"})
    cluster = Cluster.objects.filter(clustering__run=run_).first()
    assert cluster is not None
    place = f"/runs/{run_.slug}/k/{cluster.clustering.k}/clusters/{cluster.label}/"
    client.post(place, {"name": MARK, "description": MARK, "version": "0"})
    client.post(f"/runs/{run_.slug}/probe/", {"text": f"{MARK} said {MARK}."})
    probes.enqueue(
        demo_config(), bundle=Path(run_.bundle_path), bundle_sha256=run_.bundle_sha256, text=f"{MARK}.", chosen=[],
        requested_by=person, is_private=False,
    )  # fmt: skip
    client.post("/imports/", {"kind": "labels", "file": SimpleUploadedFile(f"{MARK}.csv", f"a,b\n{MARK}".encode())})
    client.post("/imports/", {"kind": "bundle", "file": SimpleUploadedFile(f"{MARK}.tar", MARK.encode())})
    client.post("/corpora/new/", {"name": MARK, "file": SimpleUploadedFile(f"{MARK}.jsonl", MARK.encode())})
    api = {"headers": bearer(key), "content_type": "application/json"}
    client.post("/api/v1/labels/", json.dumps({"name": MARK}), **api)
    client.post("/api/v1/notes/", f'{{"text": "{MARK}', **api)
    client.get(f"/api/v1/runs/{run_.slug}/tokens/?token={MARK}", headers=bearer(key))
    client.get(f"/api/v1/{MARK}", headers=bearer(f"qw_{MARK}"))
    with patch("clusters.views.runs.get_run", side_effect=ValueError(f"could not read {MARK}")):
        assert client.get(f"/runs/{run_.slug}/").status_code == 500
    with patch("clusters.api.runs.visible_run", side_effect=KeyError(MARK)):
        client.get(f"/api/v1/runs/{run_.slug}/?fields={MARK}", headers=bearer(key))
    morsels = [morsel.value for morsel in client.cookies.values()]
    return [MARK, PASSWORD, link, key, key[3:], *(value for value in morsels if len(value) > 8)]


def work(person: Any) -> None:
    """A worker meets a text that it cannot read, and fails with the text in its error; an import fails, too."""
    for error in (ValueError(f"cannot read {MARK}"), UnicodeDecodeError("utf-8", MARK.encode(), 0, 1, MARK)):
        for job in Job.objects.filter(state=Job.State.QUEUED):
            with patch("compute.jobs.kinds.work_of", return_value=_failing(error)):
                run.run_next_shard(job.pk, worker="here:1")


def _failing(error: Exception) -> Any:
    def work_(job: Job, report: Any) -> None:
        try:
            raise error
        except ValueError as cause:
            raise LookupError(f"{cause} and {MARK}") from cause

    return work_


def test_whatever_people_and_workers_do_nothing_of_theirs_is_logged(written: Written, site: Any, person: Any) -> None:
    secrets = wander(site, person)
    work(person)
    assert Job.objects.filter(kind=probes.KIND, state=Job.State.FAILED).exists()
    found = {secret for secret in secrets if secret.lower() in written.text.lower()}
    assert found == set()
    assert written.text.count("LookupError from") >= 1  # the worker's failure is told
    if written.form == "json":
        events = [line["event"] for line in written.lines]
        assert "shard failed" in events
        failed = next(line for line in written.lines if line["event"] == "shard failed")
        assert {"job_id", "shard", "phase", "attempt", "worker", "places"} <= set(failed)
        asked = written.requests()
        assert all({"method", "route", "status", "ms", "user_id", "request_id"} <= set(line) for line in asked)
        assert "/runs/<slug:slug>/search/" in {line["route"] for line in asked}
        assert person.pk in {line["user_id"] for line in asked}
        assert [line["status"] for line in asked].count(500) >= 1


def test_nothing_of_theirs_is_reported(site: Any, person: Any) -> None:
    import sentry_sdk
    from sentry_sdk.transport import Transport

    class Kept(Transport):
        """Keeps what would have been sent."""

        def __init__(self) -> None:
            super().__init__()
            self.sent: list[bytes] = []

        def capture_envelope(self, envelope: Any) -> None:
            self.sent.append(envelope.serialize())

    kept = Kept()
    reports.start("https://key@127.0.0.1/1", "web", transport=kept)
    try:
        secrets = wander(site, person)
        work(person)
    finally:
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)
    text = b"\n".join(kept.sent).decode()
    assert {secret for secret in secrets if secret.lower() in text.lower()} == set()
    assert text.count('"type":"ValueError"') >= 1
    assert '"function":"overview"' in text  # where it broke is told
    assert '"vars"' not in text
    assert '"breadcrumbs"' not in text


def test_a_request_s_name_is_taken_if_it_is_one_and_given_back(client: Client) -> None:
    assert client.get("/livez", headers={"X-Request-ID": "trace-0123.4_5"})["X-Request-ID"] == "trace-0123.4_5"
    for bad in ("short", "x" * 65, "with space here", "<script>alert", "a\u2028bcdefgh"):
        given = client.get("/livez", headers={"X-Request-ID": bad})["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{32}", given), bad


def test_all_lines_of_a_request_bear_its_name_and_none_after_it(written: Written, rf: Any) -> None:
    def answer(request: Any) -> Any:
        logging.getLogger("clusters.test").warning("within")
        raise SystemExit

    with pytest.raises(SystemExit):
        RequestLog(answer)(rf.get("/", headers={"X-Request-ID": "the-first-one"}))
    logging.getLogger("clusters.test").warning("after")
    assert structlog.contextvars.get_contextvars() == {}
    assert written.text.count("the-first-one") == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", ["a\nFAKE ERROR", "a\r\nb", "a\x1b[31mb", "a\u2028b", "a\u202eb", "a\x85b"])
def test_no_value_begins_a_line_of_its_own(form: str, value: str) -> None:
    record = logging.LogRecord("clusters.x", logging.WARNING, __file__, 1, "run %s", (value,), None)
    line = logs.Discreet(form).format(record)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("sent qw_0123456789abcdef", "sent qw_…"),
        ("Authorization: Bearer abcdefgh12345", "Authorization: …"),
        ("redis://:hush@broker:6379/0", "redis://…@broker:6379/0"),
        ("postgres://quanta:hush@db/q", "postgres://…@db/q"),
        ("GET /sign-in/abc:def/ was odd", "GET /sign-in/… was odd"),
        ("GET /runs/demo/search/?q=word here", "GET /runs/demo/search/?… here"),
        ("password=hush next", "password=… next"),
    ],
)
def test_secrets_are_taken_out_of_our_own_lines_too(said: str, kept: str) -> None:
    record = logging.LogRecord("clusters.x", logging.WARNING, __file__, 1, "%s", (said,), None)
    assert kept in logs.Discreet("plain").format(record)
    assert "hush" not in logs.Discreet("json").format(record)


def test_of_libraries_numbers_are_told_and_no_texts(written: Written) -> None:
    logging.getLogger("urllib3.connectionpool").warning("%s://%s:%d answered %s", "https", MARK, 443, MARK)
    logging.getLogger("django.db.backends").warning("(%.3f) %s; args=%s", 0.5, f"SELECT '{MARK}'", [MARK])
    assert MARK not in written.text
    assert "443" in written.text
    assert "0.500" in written.text


def test_a_library_s_failure_says_what_broke(written: Written) -> None:
    """What torch says of a GPU quotes no text, and whoever runs the site needs it."""
    try:
        compile("1 +", MARK, "exec")
    except SyntaxError:
        logging.getLogger("clusters.x").exception("it broke")
    try:
        None.missing  # type: ignore[attr-defined]  # noqa: B018
    except AttributeError:
        logging.getLogger("clusters.x").exception("it broke")
    assert "AttributeError: 'NoneType' object has no attribute 'missing'" in written.text
    assert MARK not in written.text

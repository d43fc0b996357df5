"""What holds for every address of the API: who may ask, what may be asked, and in which shape it answers."""

from __future__ import annotations

import gzip
import io
import json
import math
from datetime import timedelta

import numpy as np
import pytest
from django.test import Client
from django.utils import timezone

from clusters.api.parsers import MAX_BYTES, MAX_DEPTH
from clusters.api.renderers import FiniteJSONRenderer
from clusters.api.resource import read_cursor, write_cursor
from clusters.models import ApiKey, Run
from compute.errors import BeingPrepared
from tests.api.seeds import bearer, make_key
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
RUNS = "/api/v1/runs/"
CLUSTERS = f"{RUNS}synthetic/clusterings/signed/6/clusters/"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def admin():
    return UserFactory(is_superuser=True, is_staff=True)


def error_of(response, status: int) -> dict:
    assert response.status_code == status, response.content[:300]
    assert response["Content-Type"].startswith("application/json")
    said = response.json()
    assert set(said) == {"error"}
    assert said["error"]["status"] == status
    assert set(said["error"]) <= {"status", "code", "message", "fields", "current"}
    assert said["error"]["message"].endswith((".", "…", ":"))
    return said["error"]


# ── what may be asked ──


def test_an_unknown_parameter_is_refused_and_the_allowed_ones_are_named(client):
    said = error_of(client.get(f"{RUNS}?user__password__startswith=a"), 400)
    assert said["code"] == "unknown_parameter"
    assert "user__password__startswith" in said["message"]
    assert "Allowed: fields, limit, cursor, archived." in said["message"]


def test_the_same_parameter_twice_is_refused(client):
    assert "more than once: limit" in error_of(client.get(f"{RUNS}?limit=1&limit=2"), 400)["message"]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1e1", "", "1" + "0" * 40, "%00", "NaN"])
def test_a_limit_lies_between_one_and_a_hundred(client, limit):
    assert "limit" in error_of(client.get(f"{RUNS}?limit={limit}"), 400)["fields"]


def test_fields_narrow_an_answer_and_unknown_ones_are_refused(client, run):
    assert client.get(f"{RUNS}synthetic/?fields=run,name").json() == {"run": "synthetic", "name": "synthetic"}
    listed = client.get(f"{RUNS}?fields=run").json()["results"]
    assert listed == [{"run": "synthetic"}]
    assert "There are run, name" in error_of(client.get(f"{RUNS}synthetic/?fields=run,secret"), 400)["message"]


# ── lists ──


def copies(run: Run, n: int) -> None:
    for i in range(n):
        Run.objects.create(
            slug=f"copy{i}", name=f"copy {i}", bundle_sha256=f"{i:064x}", bundle_path="/nowhere", corpus=run.corpus,
            checkpoint=run.checkpoint, n_tokens=1, manifest={},
        )  # fmt: skip


def walk(client, address: str) -> list[dict]:
    found = []
    while address:
        response = client.get(address)
        page = response.json()
        assert len(page["results"]) <= 2
        expected = f'<{page["next"]}>; rel="next"' if page["next"] else None
        assert response.headers.get("Link") == expected
        found += page["results"]
        address = page["next"]
    return found


def test_a_list_comes_page_by_page_and_says_in_a_header_where_it_goes_on(client, run):
    copies(run, 4)
    slugs = [one["run"] for one in walk(client, f"{RUNS}?limit=2")]
    assert sorted(slugs) == ["copy0", "copy1", "copy2", "copy3", "synthetic"]


def test_rows_that_are_added_while_somebody_pages_are_neither_skipped_nor_repeated(client, run):
    copies(run, 3)
    first = client.get(f"{RUNS}?limit=2").json()
    Run.objects.create(
        slug="late", name="late", bundle_sha256="f" * 64, bundle_path="/nowhere", corpus=run.corpus,
        checkpoint=run.checkpoint, n_tokens=1, manifest={},
    )  # fmt: skip
    rest = walk(client, first["next"])
    assert [one["run"] for one in [*first["results"], *rest]] == ["copy2", "copy1", "copy0", "synthetic"]


JUNK = [
    "x", "!!!", "é", "W10", write_cursor([]), write_cursor([1, 2]), write_cursor([None]), write_cursor([[1]]),
    write_cursor([10**40]), write_cursor(["1" + "0" * 40]), write_cursor(["a"]), write_cursor([{"a": 1}]),
    "W05hTl0", "WzFlOTk5XQ", "A" * 2001, write_cursor(["\x00"]), write_cursor(["\ud800"]),
]  # fmt: skip


@pytest.mark.parametrize("cursor", JUNK)
def test_a_cursor_that_no_list_gave_out_is_refused(client, run, cursor):
    error_of(client.get(RUNS, {"cursor": cursor}), 400)
    error_of(client.get(CLUSTERS, {"cursor": cursor}), 400)


def test_a_cursor_holds_no_text_that_a_database_cannot_compare():
    from clusters.api.errors import UnknownParameter

    for text in ("\x00", "a\x00b"):
        with pytest.raises(UnknownParameter):
            read_cursor(write_cursor([text]), str)
    assert read_cursor(write_cursor(["a", 3]), str, int) == ["a", 3]


def test_a_moment_beyond_every_calendar_is_no_cursor():
    from clusters.api.errors import UnknownParameter
    from clusters.api.resource import _kind_of

    kind = _kind_of(Run._meta.get_field("created_at"))
    with pytest.raises(UnknownParameter):
        read_cursor(write_cursor(["9999-12-31T23:59:59-23:59"]), kind)


# ── errors ──


@pytest.mark.parametrize("address", ["/api/nothing/", "/api/v1/nothing", "/api/v1/runs/a/b/c/d/", "/api/v1/%00/"])
def test_an_address_that_is_none_is_answered_in_json(client, address):
    assert "no address" in error_of(client.get(address), 404)["message"]
    error_of(client.post(address), 404)


def test_a_read_without_the_last_slash_is_sent_on_and_a_write_is_told(client):
    response = client.get("/api/v1/runs?limit=1")
    assert response.status_code == 301
    assert response["Location"] == "/api/v1/runs/?limit=1"
    assert "end with a slash: /api/v1/jobs/." in error_of(client.post("/api/v1/jobs"), 404)["message"]


def test_what_is_missing_is_said_with_advice(client, run):
    said = error_of(client.get(f"{RUNS}synthetic/clusterings/signed/7/"), 404)
    assert said["message"] == "“synthetic” has no signed clustering at k = 7. It has k = 3, 6."


def test_what_breaks_is_said_in_json_and_tells_no_secret(client, run, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("the password is 1234")

    monkeypatch.setattr("clusters.api.runs.runs_for_list", broken)
    client.raise_request_exception = False
    said = error_of(client.get(RUNS), 500)
    assert "1234" not in json.dumps(said)


def test_what_is_being_prepared_says_when_to_ask_again(client, run, monkeypatch):
    def wait(*args, **kwargs):
        raise BeingPrepared("Somebody asked for it first.")

    monkeypatch.setattr("clusters.api.runs.runs_for_list", wait)
    response = client.get(RUNS)
    error_of(response, 503)
    assert int(response["Retry-After"]) > 0


def test_a_bundle_that_was_moved_away_is_said_to_be(client, run, tmp_path):
    from clusters.stored.arrays import forget_bundles

    forget_bundles()
    Run.objects.filter(pk=run.pk).update(bundle_path=str(tmp_path / "gone"))
    assert "cannot be read" in error_of(client.get(f"{RUNS}synthetic/"), 404)["message"]


def test_another_method_is_405_whoever_asks(client):
    response = client.delete(RUNS)
    error_of(response, 405)
    assert response["Allow"] == "GET, HEAD, OPTIONS"


# ── who asks ──


def test_a_write_without_anybody_is_401_and_says_how_to_sign_in(client):
    response = client.post("/api/v1/jobs/", {}, content_type="application/json")
    assert "Authorization: Bearer qw_" in error_of(response, 401)["message"]
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"revoked_at": timezone.now()}, "revoked"),
        ({"expiry": timedelta(seconds=-1)}, "expired"),
    ],
)
def test_a_key_that_is_over_is_401_and_says_why(client, admin, fields, word):
    key = make_key(admin, "read", **fields)
    response = client.get(RUNS, headers=bearer(key))
    assert word in error_of(response, 401)["message"]
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header", ["Bearer qw_nothing", "Bearer", "Bearer a b", "Bearer é", "bearer " + "q" * 5000, "Bearer qw_\x80"]
)
def test_what_is_no_key_is_401(client, header):
    error_of(client.get(RUNS, headers={"Authorization": header}), 401)


def test_a_key_of_somebody_who_was_shut_out_is_401(client, admin):
    key = make_key(admin, "read")
    admin.is_active = False
    admin.save()
    error_of(client.get(RUNS, headers=bearer(key)), 401)


def test_a_key_without_the_scope_is_403_and_names_it(client, admin):
    key = make_key(admin, "label")
    assert "“read”" in error_of(client.get(RUNS, headers=bearer(key)), 403)["message"]
    response = client.post("/api/v1/jobs/", {}, content_type="application/json", headers=bearer(key))
    assert "“run”" in error_of(response, 403)["message"]


def test_a_key_sees_what_its_owner_sees(client, tmp_path, admin):
    make_run(tmp_path, owner=admin, private=True)
    assert client.get(RUNS).json()["results"] == []
    [found] = client.get(RUNS, headers=bearer(make_key(admin, "read"))).json()["results"]
    assert found["is_private"]
    stranger = make_key(UserFactory(), "read")
    error_of(client.get(f"{RUNS}synthetic/", headers=bearer(stranger)), 404)


def test_a_key_knows_when_it_was_last_used(client, admin):
    key = make_key(admin, "read")
    client.get(RUNS, headers=bearer(key))
    assert timezone.now() - ApiKey.objects.get().last_used_at < timedelta(seconds=10)


def test_a_session_needs_its_csrf_token_to_write(admin):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin)
    assert "CSRF" in error_of(client.post("/api/v1/jobs/", {}, content_type="application/json"), 403)["message"]
    assert client.get(RUNS).status_code == 200


def test_a_key_needs_no_csrf_token(admin):
    client = Client(enforce_csrf_checks=True)
    headers = bearer(make_key(admin, "run"))
    error_of(client.post("/api/v1/jobs/", {}, content_type="application/json", headers=headers), 400)


# ── bodies ──


@pytest.fixture
def send(client, admin):
    headers = bearer(make_key(admin, "run"))

    def post(body, content_type="application/json"):
        return client.post("/api/v1/jobs/", body, content_type=content_type, headers=headers)

    return post


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[" * 100_000, "nested"),
        ('{"a":' * 100_000, "nested"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "nested"),
        ('{"name": "a\\u0000b"}', "NUL"),
        ('{"name": "\\ud800"}', "half of a character"),
        ('{"a\\udfff": 1}', "half of a character"),
        ('{"seed": 1' + "0" * 40 + "}", "2⁶³"),
        ('{"seed": 1' + "0" * 5000 + "}", "not JSON"),
        ('{"auto_hours": 1e999}', "finite"),
        ('{"auto_hours": NaN}', "not JSON"),
        ('{"auto_hours": -Infinity}', "not JSON"),
        ("", "required"),
        ("{", "not JSON"),
        (b"\xff\xfe", "UTF-8"),
        ("[]", "dictionary"),
        ('"text"', "dictionary"),
        ("null", "No data"),
        ('"' + '\\"' * 1_000_000, "not JSON"),
        (" " * (MAX_BYTES + 200_000), "larger"),
    ],
)
def test_a_hostile_body_is_refused_with_a_sentence(send, body, said):
    assert said in error_of(send(body), 400)["message"]


def test_a_body_of_another_kind_is_415(send):
    error_of(send("a=b", "application/x-www-form-urlencoded"), 415)
    error_of(send("<a/>", "application/xml"), 415)


def test_a_field_that_is_none_is_refused_and_the_allowed_ones_are_named(send):
    said = error_of(send('{"name": "a", "seeed": 1}'), 400)
    assert said["code"] == "unknown_field"
    assert "No such field: seeed. Allowed: suite, name" in said["message"]


@pytest.mark.parametrize("value", ['"nan"', '"1e999"', '"inf"'])
def test_a_number_written_as_a_text_is_finite_too(send, value):
    assert "auto_hours" in error_of(send(f'{{"name": "a", "auto_hours": {value}}}'), 400)["fields"]


# ── kinds of answers ──


def test_an_array_comes_as_a_numpy_file_that_needs_no_pickle(client, run):
    response = client.get(f"{RUNS}synthetic/rank-frequency/", headers={"Accept": "application/x-npy"})
    assert response["Content-Type"] == "application/x-npy"
    found = np.load(io.BytesIO(response.content), allow_pickle=False)
    assert found.tolist() == client.get(f"{RUNS}synthetic/rank-frequency/").json()["envelope"]


def test_a_numpy_file_has_no_fields(client, run):
    address = f"{RUNS}synthetic/rank-frequency/?fields=run"
    error_of(client.get(address, headers={"Accept": "application/x-npy"}), 400)


@pytest.mark.parametrize("accept", ["text/html", "application/x-npy", "image/*", "nonsense"])
def test_a_kind_that_is_not_answered_is_406_and_the_others_are_named(client, accept):
    said = error_of(client.get(RUNS, headers={"Accept": accept}), 406)
    assert "application/json" in said["message"]


@pytest.mark.parametrize("accept", ["*/*", "application/*", "text/html, */*;q=0.1", "application/json"])
def test_a_browser_gets_json(client, accept):
    assert client.get(RUNS, headers={"Accept": accept})["Content-Type"] == "application/json"


def test_what_never_changes_is_not_sent_twice(client, run):
    address = f"{CLUSTERS}0/curves/"
    first = client.get(address)
    again = client.get(address, headers={"If-None-Match": f'"other", W/{first["ETag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again["ETag"] == first["ETag"]
    file = client.get(address, headers={"Accept": "application/x-npy", "If-None-Match": first["ETag"]})
    assert file.status_code == 200  # another kind is another answer
    assert client.get(f"{address}?over=steps", headers={"If-None-Match": first["ETag"]}).status_code == 200
    assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_run_that_was_hidden_is_not_confirmed_by_its_etag(client, run):
    tag = client.get(f"{CLUSTERS}0/curves/")["ETag"]
    Run.objects.update(is_private=True)
    error_of(client.get(f"{CLUSTERS}0/curves/", headers={"If-None-Match": tag}), 404)


def test_answers_are_kept_by_nobody_else(client, run):
    response = client.get(RUNS)
    assert response["Cache-Control"] == "private, no-cache"
    assert {"Accept", "Authorization", "Cookie"} <= set(response["Vary"].split(", "))


def test_long_answers_are_packed(client, run):
    response = client.get(f"{RUNS}synthetic/", headers={"Accept-Encoding": "gzip"})
    assert response["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(response.content))["run"] == "synthetic"


def test_head_answers_as_get_without_a_body(client, run):
    head, get = client.head(RUNS), client.get(RUNS)
    assert (head.status_code, head.content) == (200, b"")
    assert head["Content-Type"] == get["Content-Type"]


def test_options_say_what_may_be_done(client):
    response = client.options("/api/v1/jobs/")
    assert response.status_code == 200
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_what_is_no_number_is_null():
    values = {"a": [math.nan, math.inf, 1.5], "b": np.array([[np.nan, 2]], np.float32), "c": np.float64("nan")}
    assert json.loads(FiniteJSONRenderer().render(values)) == {"a": [None, None, 1.5], "b": [[None, 2.0]], "c": None}


# ── scripts on other sites ──


ORIGIN = "https://notebook.example"


def preflight(client, origin: str):
    return client.options(
        "/api/v1/jobs/",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, idempotency-key, if-match",
        },
    )


def test_a_configured_origin_may_send_keys_and_read_what_headers_say(client, settings):
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]
    asked = preflight(client, ORIGIN)
    assert asked["Access-Control-Allow-Origin"] == ORIGIN
    allowed = asked["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "idempotency-key", "if-match", "if-none-match"} <= set(allowed)
    answered = client.get(RUNS, headers={"Origin": ORIGIN})
    assert answered["Access-Control-Allow-Origin"] == ORIGIN
    assert {"ETag", "Link", "Retry-After"} <= set(answered["Access-Control-Expose-Headers"].split(", "))
    assert "Access-Control-Allow-Credentials" not in answered


def test_no_other_origin_may(client, settings):
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]
    for origin in ("https://evil.example", "null", f"{ORIGIN}.evil.example"):
        assert "Access-Control-Allow-Origin" not in preflight(client, origin)
        assert "Access-Control-Allow-Origin" not in client.get(RUNS, headers={"Origin": origin})


def test_no_page_is_open_to_scripts_of_other_sites(client, settings):
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]
    assert "Access-Control-Allow-Origin" not in client.get("/", headers={"Origin": ORIGIN})

"""The schema is OpenAPI 3.1, says what is there, and can be read as pages."""

from __future__ import annotations

import io
import re
from collections import Counter

import pytest
from django.core.management import call_command
from django.urls import get_resolver

from clusters.api.resource import Resource
from tests.factories import make_run

pytestmark = pytest.mark.django_db
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def schema():
    from drf_spectacular.generators import SchemaGenerator

    return SchemaGenerator().get_schema(request=None, public=True)


def operations(schema) -> dict[tuple[str, str], dict]:
    return {
        (path, method): told for path, item in schema["paths"].items() for method, told in item.items()
        if method in METHODS
    }  # fmt: skip


def test_it_is_valid_and_made_without_a_warning():
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=io.StringIO(), stderr=io.StringIO())


def test_it_is_openapi_31_in_json(client):
    response = client.get("/api/schema/")
    assert response.json()["openapi"].startswith("3.1")
    assert response["Content-Type"].startswith("application/vnd.oai.openapi+json")


def test_every_resource_is_in_it(schema):
    classes = {
        pattern.callback.view_class for one in get_resolver().url_patterns if str(one.pattern) == "api/"
        for part in one.url_patterns if str(part.pattern) == "v1/" for pattern in part.url_patterns
    }  # fmt: skip
    assert all(issubclass(one, Resource) for one in classes)
    n_methods = sum(hasattr(one, method) for one in classes for method in METHODS)
    assert len(operations(schema)) >= n_methods


def test_operations_have_names_of_their_own(schema):
    names = Counter(told["operationId"] for told in operations(schema).values())
    assert [name for name, n in names.items() if n > 1] == []
    assert {"runs_list", "run_read", "clusters_list", "cluster_read", "jobs_create", "job_cancel"} <= set(names)
    assert all(re.fullmatch(r"[a-z][a-z_0-9]*", name) for name in names)


def test_everything_is_described(schema):
    for place, told in operations(schema).items():
        assert told["description"].endswith((".", "”.")), place
        assert len(told["tags"]) == 1, place
        assert "429" in told["responses"], place


def test_what_needs_a_key_says_which_scope(schema):
    told = operations(schema)["/api/v1/jobs/", "post"]
    assert "scope “run”" in told["description"]
    assert {} not in told["security"]
    assert {} in operations(schema)["/api/v1/runs/", "get"]["security"]
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_files_of_arrays_are_told_apart_from_json(schema):
    answers = operations(schema)["/api/v1/runs/{slug}/rank-frequency/", "get"]["responses"]
    assert answers["200"]["content"]["application/x-npy"]["schema"]["format"] == "binary"
    assert set(answers["404"]["content"]) == {"application/json"}
    assert answers["404"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")


# ── pages ──


def test_the_pages_name_every_operation(client, schema):
    text = client.get("/api/docs/").content.decode()
    for told in operations(schema).values():
        assert f"#{told['operationId']}" in text
    for noun in {told["tags"][0] for told in operations(schema).values()}:
        assert client.get(f"/api/docs/{noun}/").status_code == 200


def test_a_page_has_a_line_for_the_shell_and_an_address_to_try(client, tmp_path):
    run = make_run(tmp_path)
    text = client.get("/api/docs/runs/").content.decode()
    assert f'href="/api/v1/runs/{run.slug}/"' in text
    assert f"curl http://testserver/api/v1/runs/{run.slug}/" in text
    links = re.findall(r'class="btn" href="([^"]+)"', client.get("/api/docs/clusters/").content.decode())
    assert len(links) > 4
    for link in links:
        assert client.get(link).status_code == 200, link


def test_the_pages_run_no_script_of_their_own(client, tmp_path):
    make_run(tmp_path)
    for address in ("/api/docs/", "/api/docs/jobs/"):
        text = client.get(address).content.decode()
        assert "style=" not in text
        assert not re.search(r"<script(?![^>]*\bsrc=)", text)
        assert "<style" not in text


def test_a_noun_that_is_none_is_said_to_be(client):
    response = client.get("/api/docs/secrets/")
    assert response.status_code == 404
    assert "no noun" in response.content.decode()


def test_every_page_leads_to_the_api(client):
    assert 'href="/api/docs/"' in client.get("/").content.decode()

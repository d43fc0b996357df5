"""What the proxy and the web server let through, and what the proxy writes down."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from django.conf import settings
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

DEPLOY = Path(__file__).parents[2] / "deploy"
UPLOADS = {"/imports/", "/api/v1/imports/", "/corpora/new/"}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Config:
    """gunicorn's, as a container has it."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/tmp/nowhere")
    found = Config()
    for name, value in runpy.run_path(str(DEPLOY / "gunicorn.py")).items():
        if name in found.settings and not callable(value):
            found.set(name, value)
    return found


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO", "X_FORWARDED_FOR", "REMOTE_ADDR"])
def test_no_header_of_a_visitor_stands_for_what_the_server_itself_says(config: Config, name: str) -> None:
    sent = f"GET /runs/metrics HTTP/1.1\r\nHost: site\r\n{name}: /runs\r\n\r\n".encode()
    request = next(RequestParser(config, iter([sent]), ("172.18.0.2", 40000)))
    assert request.headers == [("HOST", "site")]


def test_no_process_is_replaced_while_it_sends(config: Config) -> None:
    """Replacing one cuts what it has been sending for longer than its grace, and idles its threads until then."""
    assert config.max_requests == 0


def test_the_proxy_reads_forms_whole_before_the_server_sees_them() -> None:
    text = (DEPLOY / "Caddyfile").read_text()
    limits = dict(re.findall(r"request_body @(\w+) \{\s+max_size (\d+)MB", text))
    [buffered] = map(int, re.findall(r"request_buffers (\d+)KB", text))
    compose = (DEPLOY.parent / "docker-compose.yml").read_text()
    memory = int(re.findall(r"mem_limit: (\d+)m", compose.partition("  proxy:")[2])[0])
    assert buffered * 900 < memory * 1000  # of as many that send slowly at once
    assert int(limits["forms"]) * 10**6 > settings.DATA_UPLOAD_MAX_MEMORY_SIZE  # the site's own sentence comes first
    assert int(limits["files"]) * 10**6 > settings.UPLOAD_BYTES
    places = re.findall(r"(?:files|forms not|\{\s+not) path (.*)", text)
    assert [set(found.split()) for found in places] == [UPLOADS] * 3


def test_every_page_that_takes_files_is_one_of_those_the_proxy_lets_long_bodies_through_to() -> None:
    text = (DEPLOY.parent / "clusters/uploads.py").read_text()
    assert set(re.findall(r'"(/[a-z0-9/]+/)"', text)) <= UPLOADS
    forms = (DEPLOY.parent / "templates").rglob("*.html")
    assert {file.parent.name for file in forms if "multipart/form-data" in file.read_text()} <= {"imports", "corpora"}


def written(uri: str) -> str:
    """What of a request's address stands in the proxy's log."""
    found = re.search(r'request>uri regexp "(.*)" "\$3"', (DEPLOY / "Caddyfile").read_text())
    assert found is not None
    return re.sub(found[1], r"\3", uri)


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("/sign-in/veryverysecret/?next=/x", "/sign-in"),
        ("/invitation/veryverysecret/", "/invitation"),
        ("/exports/7:1u:veryverysecret/", "/exports"),
        ("/collections/veryverysecret/edit/", "/collections"),
        ("/search/?q=veryverysecret", "/search/"),
        ("/runs/demo/clusters/", "/runs/demo/clusters/"),
    ],
)
def test_the_proxy_writes_down_no_link_that_is_a_key(uri: str, kept: str) -> None:
    assert written(uri) == kept


def test_the_proxys_errors_are_written_as_discreetly_as_its_requests() -> None:
    """One log for both: a log of the site's own would leave errors to the default one, which hides nothing."""
    general, _, site = (DEPLOY / "Caddyfile").read_text().partition("{$QW_SITE")
    assert "format filter" in general
    assert "request>headers delete" in general
    assert re.search(r"^\tlog$", site, re.MULTILINE)
    assert not re.search(r"log \{", site)

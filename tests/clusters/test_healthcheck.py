"""The command that containers are watched by."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO

import pytest
from django.core.management import CommandError, call_command


class Answering(BaseHTTPRequestHandler):
    status = 200
    asked: list[tuple[str, str | None, str | None]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Host"], self.headers["X-Forwarded-Proto"]))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b'{"ready": true}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[type[Answering]]:
    handler = type("Handler", (Answering,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        handler.port = server.server_port
        yield handler
        server.shutdown()


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("healthcheck", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.enable_socket
def test_a_web_server_that_is_ready_is_healthy(web, settings) -> None:
    settings.ALLOWED_HOSTS, settings.BEHIND_TLS = ["quanta.example.org"], False
    assert "ready" in said("--port", str(web.port))
    assert web.asked == [("/readyz", "quanta.example.org", None)]


@pytest.mark.enable_socket
def test_behind_tls_it_asks_as_the_proxy_does(web, settings) -> None:
    settings.ALLOWED_HOSTS, settings.BEHIND_TLS = ["*", ".example.org"], True
    said("--port", str(web.port))
    assert web.asked == [("/readyz", "example.org", "https")]


@pytest.mark.enable_socket
def test_a_web_server_that_is_not_ready_is_unhealthy(web) -> None:
    web.status = 503
    with pytest.raises(CommandError, match="not ready"):
        said("--port", str(web.port))


@pytest.mark.enable_socket
def test_a_web_server_that_is_gone_is_unhealthy() -> None:
    with pytest.raises(CommandError, match="does not answer"):
        said("--port", "1")


def test_a_worker_is_healthy_while_its_file_is_fresh(tmp_path, settings) -> None:
    settings.ALIVE_FILE, settings.HEARTBEAT_SECONDS = str(tmp_path / "alive"), 15
    (tmp_path / "alive").touch()
    assert said("--worker").startswith("alive 0 s ago")


def test_a_worker_that_missed_three_heartbeats_is_unhealthy(tmp_path, settings) -> None:
    settings.ALIVE_FILE, settings.HEARTBEAT_SECONDS = str(tmp_path / "alive"), 15
    (tmp_path / "alive").touch()
    long_ago = time.time() - 61
    os.utime(tmp_path / "alive", (long_ago, long_ago))
    with pytest.raises(CommandError, match="61 s old; 60 s are allowed"):
        said("--worker")


@pytest.mark.parametrize(("file", "sentence"), [("", "names no file"), ("/nowhere/alive", "has not touched")])
def test_without_a_file_no_worker_is_called_healthy(settings, file: str, sentence: str) -> None:
    settings.ALIVE_FILE = file
    with pytest.raises(CommandError, match=sentence):
        said("--worker")

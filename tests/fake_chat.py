"""An OpenAI-compatible endpoint on this machine that answers as a test tells it to."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Asked"], None]


class Asked(BaseHTTPRequestHandler):
    """One request; a test's answer writes to it."""

    server: FakeChat

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(self)
        answer = self.server.answers[min(len(self.server.asked), len(self.server.answers)) - 1]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # whoever asked has heard enough
            answer(self)

    def reply(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class FakeChat(ThreadingHTTPServer):
    """What was asked, and what is answered in turn; the last answer is given again."""

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.answers, self.asked = list(answers), []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


@contextmanager
def fake_chat(*answers: Answer) -> Iterator[FakeChat]:
    server = FakeChat(*answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def said(content: object) -> Answer:
    """A model that says this."""
    body = json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()
    return lambda asked: asked.reply(body)


def raw(body: bytes, status: int = 200, **headers: str) -> Answer:
    return lambda asked: asked.reply(body, status, **headers)

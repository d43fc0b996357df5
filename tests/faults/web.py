"""The site as gunicorn serves it, and somebody who keeps asking for its pages while things break."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

import httpx

from tests.databases import Site
from tests.faults.breaking import end, free_port, wait_for

OPTIONS = ("--workers", "2", "--worker-class", "gthread", "--threads", "4", "--log-level", "warning")


@contextmanager
def served(site: Site, **environment: str) -> Iterator[str]:
    """The address of a gunicorn of two processes of four threads."""
    port = free_port()
    command = ("-m", "gunicorn", "quantaweb.wsgi:application", "--bind", f"127.0.0.1:{port}", *OPTIONS)
    started = site.start(*command, DJANGO_SETTINGS_MODULE="quantaweb.settings", **environment)
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/livez", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_for(answers, "gunicorn", seconds=90, site=site)
        yield address
    finally:
        end(started)


@dataclass(frozen=True)
class Answer:
    """One answer: when it came, and what it said."""

    at: float
    path: str
    status: int
    headers: Mapping[str, str]
    text: str


class Visitor:
    """Asks for the paths again and again from a thread of its own, and remembers every answer."""

    def __init__(self, address: str, paths: Mapping[str, Mapping[str, str]], cookies: Mapping[str, str]) -> None:
        self.answers: list[Answer] = []
        self._paths = paths
        self._client = httpx.Client(base_url=address, timeout=30, cookies=dict(cookies))
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="visitor")

    def __enter__(self) -> Visitor:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._left.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._left.is_set():
            for path, headers in self._paths.items():
                got = self._client.get(path, headers=dict(headers))
                self.answers.append(Answer(time.monotonic(), path, got.status_code, got.headers, got.text))
            self._left.wait(0.1)

    def last_refused(self) -> float:
        return max(answer.at for answer in self.answers if answer.status == 503)

    def since(self, moment: float) -> list[Answer]:
        return [answer for answer in self.answers if answer.at > moment]

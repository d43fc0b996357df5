"""Bodies that come a byte at a time, at the server itself, without a proxy before it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.databases import Site
from tests.faults.serving import Web, serving

FORM = "application/x-www-form-urlencoded"
HEAD = (
    "POST {place} HTTP/1.1\r\nHost: localhost\r\nCookie: csrftoken=" + "a" * 32 + "\r\n"
    f"Content-Type: {FORM}\r\nContent-Length: {{n}}\r\n\r\n"
)


def opened(web: Web, n: int, place: str = "/sign-in/") -> socket.socket:
    """A connection that has announced a body."""
    link = socket.create_connection(("127.0.0.1", int(web.address.rpartition(":")[2])), timeout=30)
    link.sendall(HEAD.format(place=place, n=n).encode())
    return link


@contextmanager
def dripping(web: Web, n: int) -> Iterator[list[socket.socket]]:
    """So many connections, each of which sends a byte a second of a megabyte."""
    links, is_over = [opened(web, 1_000_000) for _ in range(n)], threading.Event()

    def drip() -> None:
        while not is_over.wait(1.0):
            for link in links:
                with suppress(OSError):
                    link.send(b"a")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield links
    finally:
        is_over.set()
        thread.join()
        for link in links:
            link.close()


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_slow_bodies_leave_half_of_the_threads_to_others(site: Site) -> None:
    with serving(site) as web, web.client() as client, dripping(web, 8) as links:
        time.sleep(3.5)  # four threads, two of which may wait: all but the first two have been cut by now
        since = time.monotonic()
        assert client.get("/livez").status_code == 200
        assert time.monotonic() - since < 2
        page = client.post("/sign-in/", data={"username": "ana", "password": "guess"})
        assert page.status_code == 403  # of a form without its token, and of none that was not waited for
        cut = [link for link in links if answer_of(link).startswith(b"HTTP/1.1 429")]
        assert len(cut) == 6


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_body_that_takes_its_time_is_read_and_one_that_ends_early_is_not_taken_for_whole(site: Site) -> None:
    with serving(site) as web:
        link = opened(web, 300)
        for _ in range(3):
            time.sleep(0.8)
            link.sendall(b"a" * 100)
        assert answer_of(link, 10).startswith(b"HTTP/1.1 403")
        link.close()
        link = opened(web, 300)
        link.sendall(b"csrfmiddlewaretoken=" + b"a" * 32 + b"&username=ana")
        link.shutdown(socket.SHUT_WR)
        assert answer_of(link, 10).startswith(b"HTTP/1.1 400")
        link.close()


def answer_of(link: socket.socket, seconds: float = 0.2) -> bytes:
    link.settimeout(seconds)
    try:
        return link.recv(4096)
    except TimeoutError:
        return b""

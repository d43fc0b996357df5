"""Who may send a file, and how large, is asked before a byte of it is read."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import Client

from tests.api.seeds import bearer, make_key
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
BOUNDARY = "quantaweb"
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="kind"\r\n\r\nbundle\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="b.tar"\r\n'
    "Content-Type: application/x-tar\r\n\r\n"
).encode()
READ_AHEAD = 200_000  # Django reads a body in pieces of 64 kB


class Body(io.RawIOBase):
    """A body without end, that counts what is read of it."""

    def __init__(self) -> None:
        self.n_read = 0
        self._head = io.BytesIO(HEAD)

    def read(self, size: int = -1) -> bytes:
        piece = self._head.read(size) or b"\0" * (size if size > 0 else 65_536)
        self.n_read += len(piece)
        return piece


def send(place: str, client: Client, n_announced: int, headers: dict[str, str]) -> tuple[int, str, int]:
    """The status, the answer, and how many bytes of the body were read."""
    body = Body()
    environ: dict[str, Any] = {
        **client._base_environ(PATH_INFO=place, REQUEST_METHOD="POST"),  # type: ignore[attr-defined]
        "wsgi.input": body,
        "CONTENT_LENGTH": str(n_announced),
        "CONTENT_TYPE": f"multipart/form-data; boundary={BOUNDARY}",
        **headers,
    }
    status: list[int] = []
    answer = WSGIHandler()(environ, lambda line, headers, info=None: status.append(int(line.split()[0])))
    assert isinstance(answer, HttpResponse)
    return status[0], answer.content.decode(), body.n_read


@pytest.fixture
def send_as(client: Client) -> Any:
    def sent(role: str, scopes: tuple[str, ...], n_announced: int = 60_000_000) -> tuple[int, str, int]:
        person = UserFactory()
        person.groups.add(*Group.objects.filter(name=role))
        key = bearer(make_key(person, *scopes))
        return send("/api/v1/imports/", client, n_announced, {"HTTP_AUTHORIZATION": key["Authorization"]})

    return sent


def test_without_a_role_nothing_is_read(send_as: Any) -> None:
    status, said, n_read = send_as("", ("read", "run"))
    assert (status, n_read) == (403, 0)
    assert "needs the runner role" in said


def test_without_the_scope_nothing_is_read(send_as: Any) -> None:
    status, said, n_read = send_as("runner", ("read",))
    assert (status, n_read) == (403, 0)
    assert "neither the “run” nor the “label” scope" in said


def test_without_a_key_nothing_is_read(client: Client) -> None:
    status, _, n_read = send("/api/v1/imports/", client, 60_000_000, {})
    assert (status, n_read) == (401, 0)


def test_what_is_announced_as_too_large_is_not_waited_for(send_as: Any) -> None:
    status, said, n_read = send_as("runner", ("read", "run"), 300_000_000)
    assert (status, n_read < READ_AHEAD) == (400, True)
    assert "larger than 100 MB" in said


def test_who_may_bring_labels_alone_sends_no_bundle(send_as: Any) -> None:
    status, said, n_read = send_as("labeler", ("read", "label"))
    assert (status, n_read < READ_AHEAD) == (400, True)
    assert "larger than 10 MB, as labels never are" in said


@pytest.mark.parametrize("place", ["/imports/", "/corpora/new/"])
def test_on_pages_whoever_may_not_send_files_is_not_read(place: str) -> None:
    client = Client()
    client.force_login(UserFactory())
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    status, _, n_read = send(place, client, 60_000_000, {"HTTP_COOKIE": cookie})
    assert status == 403
    assert n_read < READ_AHEAD

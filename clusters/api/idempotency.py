"""POSTs that name an Idempotency-Key are done once; asked again, they get the first answer."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.core.files.uploadedfile import UploadedFile
from django.core.handlers.wsgi import WSGIRequest
from django.db import IntegrityError, transaction
from django.urls import resolve
from django.utils import timezone
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.errors import Busy, Unprocessable
from clusters.models import IdempotentRequest
from clusters.queries.clusters import visible_run
from clusters.views.twins import finite

KEPT = timedelta(days=1)
LONGEST = timedelta(minutes=10)  # that a request is believed to be under way; its process was killed since
HEADERS = ("Location", "ETag")
_BUSY = "The first request with this Idempotency-Key is still being done; ask again in a moment."


def idempotent(post: Callable[..., Response]) -> Callable[..., Response]:
    """The method; with an Idempotency-Key of the same person, done at most once a day.

    What it writes and the answer that is kept are one transaction: a process that is killed leaves neither.
    """

    @wraps(post)
    def once(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "").strip()
        if not key or not request.user.is_authenticated:
            return post(self, request, *args, **kwargs)
        if len(key) > 200 or not key.isprintable():
            raise Unprocessable("An Idempotency-Key is at most 200 printable characters.")
        kept = _begun(request, key)
        if kept.status is not None:
            _refuse_what_is_hidden(request, kept)
            return Response(kept.body, status=kept.status, headers={**kept.headers, "Idempotent-Replayed": "true"})
        try:
            with transaction.atomic():
                response = post(self, request, *args, **kwargs)
                _keep(kept, response)
        except BaseException:
            _unanswered(kept).delete()
            raise
        return response

    return once


def _refuse_what_is_hidden(request: Request, kept: IdempotentRequest) -> None:
    """An answer is given again to whoever may still read what it tells of."""
    place = kept.headers.get("Location")
    if place is None:
        data = request.data if isinstance(request.data, Mapping) else {}
        slug = (request.resolver_match.kwargs if request.resolver_match else {}).get("slug") or data.get("run")
        if isinstance(slug, str):
            visible_run(request.user, slug)
        return
    environ = {name: value for name, value in request._request.META.items() if name not in _OF_THE_BODY}
    path = urlsplit(place).path
    again = WSGIRequest({**environ, "REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.input": io.BytesIO()})
    again.user, again.session = request._request.user, request._request.session
    found = resolve(path)
    status = found.func(again, *found.args, **found.kwargs).status_code
    if status == 404:  # a key that may not read gets 403 here, and its own answer
        raise NotFound("What this request made is there no more, or hidden from you.")


_OF_THE_BODY = {"CONTENT_LENGTH", "CONTENT_TYPE", "QUERY_STRING", "HTTP_IF_NONE_MATCH", "HTTP_ACCEPT"}


def _begun(request: Request, key: str) -> IdempotentRequest:
    """The request's row: new, taken over from a process that was killed, or with the answer that was given."""
    now, said = timezone.now(), _print(request)
    IdempotentRequest.objects.filter(created_at__lt=now - KEPT).delete()
    try:
        with transaction.atomic():
            return IdempotentRequest.objects.create(user_id=request.user.pk, key=key, fingerprint=said)
    except IntegrityError:
        kept = IdempotentRequest.objects.filter(user_id=request.user.pk, key=key).first()
    if kept is None:  # it failed meanwhile, and left nothing
        raise Busy(_BUSY)
    if kept.fingerprint != said:
        raise Unprocessable("This Idempotency-Key was used for another request; take a new one.")
    if kept.status is None:
        if kept.created_at > now - LONGEST or not _unanswered(kept).update(created_at=now):
            raise Busy(_BUSY)
        kept.created_at = now
    return kept


def _unanswered(kept: IdempotentRequest) -> Any:
    """The row, as long as it is this request's and has no answer."""
    return IdempotentRequest.objects.filter(pk=kept.pk, created_at=kept.created_at, status=None)


def _keep(kept: IdempotentRequest, response: Response) -> None:
    headers = {name: response[name] for name in HEADERS if name in response}
    if not _unanswered(kept).update(status=response.status_code, body=finite(response.data), headers=headers):
        raise Busy(_BUSY)  # somebody took it over and does it now; this attempt is undone


def _print(request: Request) -> str:
    """What is asked, as a hash: the method, the address, and every byte of the body."""
    said = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode("utf-8", "replace"))
    data = request.data
    files = {name: file for name, file in data.items() if isinstance(file, UploadedFile)} if _is_form(data) else {}
    for name, file in sorted(files.items()):
        said.update(f"{name} {file.name} {file.size}\n".encode("utf-8", "replace"))
        for chunk in file.chunks():
            said.update(chunk)
        file.seek(0)
    rest = {name: data.getlist(name) for name in data if name not in files} if _is_form(data) else data
    said.update(repr(finite(rest)).encode("utf-8", "replace"))
    return said.hexdigest()


def _is_form(data: object) -> bool:
    return isinstance(data, Mapping) and hasattr(data, "getlist")

"""POSTs that name an Idempotency-Key are done once; asked again, they get the first answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.errors import Busy, Unprocessable
from clusters.models import IdempotentRequest
from clusters.views.twins import finite

KEPT = timedelta(days=1)
HEADERS = ("Location", "ETag")


def idempotent(post: Callable[..., Response]) -> Callable[..., Response]:
    """The method; with an Idempotency-Key of the same person, done at most once a day."""

    @wraps(post)
    def once(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "").strip()
        if not key or not request.user.is_authenticated:
            return post(self, request, *args, **kwargs)
        if len(key) > 200 or not key.isprintable():
            raise Unprocessable("An Idempotency-Key is at most 200 printable characters.")
        kept, is_new = _begun(request, key)
        if not is_new:
            return _again(kept, request)
        try:
            response = post(self, request, *args, **kwargs)
        except BaseException:
            kept.delete()
            raise
        kept.status, kept.body = response.status_code, finite(response.data)
        kept.headers = {name: response[name] for name in HEADERS if name in response}
        kept.save(update_fields=["status", "body", "headers"])
        return response

    return once


def _begun(request: Request, key: str) -> tuple[IdempotentRequest, bool]:
    IdempotentRequest.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    try:
        with transaction.atomic():
            kept = IdempotentRequest.objects.create(user_id=request.user.pk, key=key, fingerprint=_print(request))
        return kept, True
    except IntegrityError:
        return IdempotentRequest.objects.get(user_id=request.user.pk, key=key), False


def _again(kept: IdempotentRequest, request: Request) -> Response:
    if kept.fingerprint != _print(request):
        raise Unprocessable("This Idempotency-Key was used for another request; take a new one.")
    if kept.status is None:
        raise Busy("The first request with this Idempotency-Key is still being done; ask again in a moment.")
    return Response(kept.body, status=kept.status, headers={**kept.headers, "Idempotent-Replayed": "true"})


def _print(request: Request) -> str:
    said = f"{request.method} {request.get_full_path()}\n{finite(request.data)!r}"
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()

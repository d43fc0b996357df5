"""A file on disk, whole or the part that a client asks for, so that a download can go on where it was cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def ranged(request: HttpRequest, file: Path, *, tag: str) -> HttpResponseBase:
    """Answer GET and HEAD of a file that never changes under its tag; one range of bytes at a time."""
    n = file.stat().st_size
    part = _part(request, n, tag)
    if part is None:
        response: HttpResponseBase = HttpResponse(status=416)
        response["Content-Range"] = f"bytes */{n}"
        return response
    first, stop = part
    is_whole = (first, stop) == (0, n)
    body = iter(()) if request.method == "HEAD" else _bytes(file, first, stop)
    response = StreamingHttpResponse(body, content_type="application/octet-stream", status=200 if is_whole else 206)
    response["Content-Length"] = str(stop - first)
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = f'"{tag}"'
    response["Content-Disposition"] = f'attachment; filename="{file.name}"'
    if not is_whole:
        response["Content-Range"] = f"bytes {first}-{stop - 1}/{n}"
    return response


def _part(request: HttpRequest, n: int, tag: str) -> tuple[int, int] | None:
    """First byte and the one after the last; all where no range, an odd one, or one of another file is asked for."""
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is None or asked.groups() == ("", "") or request.headers.get("If-Range", f'"{tag}"') != f'"{tag}"':
        return 0, n
    first, last = asked.groups()
    if not first:
        return (max(n - int(last), 0), n) if int(last) else None
    if int(first) >= n or (last and int(last) < int(first)):
        return None
    return int(first), min(int(last) + 1, n) if last else n


def _bytes(file: Path, first: int, stop: int) -> Iterator[bytes]:
    with file.open("rb") as handle:
        handle.seek(first)
        left = stop - first
        while left > 0 and (data := handle.read(min(CHUNK, left))):
            left -= len(data)
            yield data

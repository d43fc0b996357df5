"""The site as gunicorn serves it, with every answer saying what it took: seconds, processor seconds, queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from django.db import connection

from quantaweb.wsgi import application as site

Start = Callable[..., Any]


def application(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    """The whole answer is made before the clock stops, streams included."""
    n_queries = 0

    def count(execute: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal n_queries
        n_queries += 1
        return execute(*arguments)

    answered: list[Any] = []
    since, cpu_since = time.perf_counter(), time.thread_time()
    with connection.execute_wrapper(count):
        body = site(environ, lambda status, headers, *rest: answered.extend((status, headers)))
        content = b"".join(body)
        if hasattr(body, "close"):
            body.close()
    took, cpu = time.perf_counter() - since, time.thread_time() - cpu_since
    status, headers = answered
    measured = [("X-Seconds", f"{took:.6f}"), ("X-Cpu-Seconds", f"{cpu:.6f}"), ("X-Queries", str(n_queries))]
    start_response(status, [*headers, *measured])
    return [content]

"""What web processes share for a moment: Redis, whose being slow or gone costs a line in the log and nothing else.

Nothing is kept here that may not be lost: counts of requests, above all. Values are JSON, never pickle, so whoever can
write to the cache can run nothing here.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

logger = logging.getLogger(__name__)
ANSWER_SECONDS = 0.1  # to connect, and for each answer; a request asks two or three times
REST_SECONDS = 5.0  # after a failure nobody asks for so long


class JsonSerializer:
    """Whole numbers as they are, so that Redis can count; everything else as JSON."""

    def dumps(self, value: Any) -> int | bytes:
        return value if type(value) is int else json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        try:
            return int(data)
        except ValueError:
            return json.loads(data)


def _or_as_if_empty(method: Callable[..., Any]) -> Callable[..., Any]:
    """The cache's method; while the cache does not answer, Django's answer of a cache that keeps nothing."""
    name = method.__name__

    @wraps(method)
    def asked(self: PatientCache, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() < self.rests_until:
            return _empty(name, args, kwargs)
        try:
            return method(self, *args, **kwargs)
        except (RedisError, OSError) as error:
            type(self).rests_until = time.monotonic() + REST_SECONDS
            logger.warning(
                "the cache does not answer (%s); for %.0f s nothing is counted or kept there",
                type(error).__name__,
                REST_SECONDS,
            )
            return _empty(name, args, kwargs)

    return asked


def _empty(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if name == "get":
        return kwargs.get("default", args[1] if len(args) > 1 else None)
    if name == "incr":
        raise ValueError("Nothing is kept while the cache does not answer.")  # as Django does for a missing key
    return {"get_many": {}, "set_many": [], "add": True, "set": None, "clear": True}.get(name, False)


class PatientCache(RedisCache):
    """Django's Redis cache: asked once, answered within half a second, and missed by nobody when it is gone."""

    rests_until = 0.0

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        options = params.setdefault("OPTIONS", {})
        options |= {
            "serializer": JsonSerializer(),
            "socket_connect_timeout": ANSWER_SECONDS,
            "socket_timeout": ANSWER_SECONDS,
            "retry": Retry(NoBackoff(), 0),
        }
        super().__init__(server, params)
        self._class = RedisCacheClient

    get = _or_as_if_empty(RedisCache.get)
    set = _or_as_if_empty(RedisCache.set)
    add = _or_as_if_empty(RedisCache.add)
    touch = _or_as_if_empty(RedisCache.touch)
    delete = _or_as_if_empty(RedisCache.delete)
    has_key = _or_as_if_empty(RedisCache.has_key)
    incr = _or_as_if_empty(RedisCache.incr)
    get_many = _or_as_if_empty(RedisCache.get_many)
    set_many = _or_as_if_empty(RedisCache.set_many)
    delete_many = _or_as_if_empty(RedisCache.delete_many)
    clear = _or_as_if_empty(RedisCache.clear)

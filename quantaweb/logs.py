"""Logs: one line an event, plain or JSON, and in none of them what somebody wrote, searched for or signs in with.

Our own lines keep their values, on one line and without secrets. Lines of libraries keep only their numbers: a library
may log an address, a statement or a message that holds a text. Exceptions are told by their type and the places that
they passed through, not by their message.
"""

from __future__ import annotations

import logging
import re
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog

OWN = ("quantaweb", "clusters", "compute")
OUTSPOKEN = ("gunicorn.error", "celery.worker", "celery.apps", "celery.beat", "celery.app.trace")  # of themselves
FIELDS = ("job_id", "shard", "phase", "attempt", "worker", "method", "route", "status", "ms", "user_id", "request_id")
_REFUSED = {"DisallowedHost": "a request named a host that QW_ALLOWED_HOSTS does not list"}
LONGEST = 500  # characters of a value
_ROOT = Path(__file__).resolve().parent.parent
_TELLING = (AttributeError, ImportError, NameError, NotImplementedError, TypeError)  # their messages quote code alone
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_SECRETS = (
    (re.compile(r"\bqw_[A-Za-z0-9_-]{8,}"), "qw_…"),
    (re.compile(r"(?i)\b(bearer|token|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 …"),
    (
        re.compile(r"(?i)\b(sessionid|csrftoken|password|passwd|secret|api_?key|authorization)(['\"]?\s*[=:]\s*)\S+"),
        r"\1\2…",
    ),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]+@"), r"\1…@"),
    (re.compile(r"/(sign-in|invitation|again|exports|collections)/[^\s'\"]+"), r"/\1/…"),  # links that are keys
    (re.compile(r"\?[^\s'\"]*=[^\s'\"]*"), "?…"),
)


def configuration(form: str, level: str) -> dict[str, Any]:
    """Django's LOGGING: everything to standard error, through one formatter."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"said_elsewhere": {"()": "quantaweb.logs.SaidElsewhere"}},
        "formatters": {"discreet": {"()": "quantaweb.logs.Discreet", "form": form}},
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "discreet", "filters": ["said_elsewhere"]}
        },
        "root": {"handlers": ["console"], "level": level},
        # Django's own handlers are for a developer's terminal; its lines come here as all others do
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
        },
    }


class SaidElsewhere(logging.Filter):
    """Drops what the line of the request itself says: refusals, and runserver's own lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        is_refusal = record.name == "django.request" and record.levelno < logging.ERROR
        return not is_refusal and record.name != "django.server"


class Discreet(structlog.stdlib.ProcessorFormatter):
    """Formats every record, whoever made it."""

    def __init__(self, form: str = "plain") -> None:
        before: list[Any] = [
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.contextvars.merge_contextvars,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.ExtraAdder(allow=(*FIELDS, "exception", "places")),
        ]
        render = structlog.processors.JSONRenderer(ensure_ascii=False, default=str) if form == "json" else _plain
        super().__init__(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )

    def format(self, record: logging.LogRecord) -> str:
        return super().format(discreet(record))


def discreet(record: logging.LogRecord) -> logging.LogRecord:
    """A copy of the record that may be written down."""
    copy = logging.makeLogRecord(record.__dict__)
    copy.msg, copy.args = _said(record), None
    if record.name.startswith("django.security."):
        copy.levelno, copy.levelname = logging.WARNING, "WARNING"
    elif record.exc_info and record.exc_info[1] is not None:
        copy.exception, copy.places = told(record.exc_info[1])
    for name in FIELDS:
        if name != "route" and isinstance(value := getattr(copy, name, None), str):
            setattr(copy, name, clean(value))
    copy.exc_info = copy.exc_text = copy.stack_info = None
    return copy


def _said(record: logging.LogRecord) -> str:
    """The message: the template that is in the code, and of its values what may be told."""
    if record.name.startswith("django.security."):
        return _REFUSED.get(record.name.rpartition(".")[2], "a request was refused as suspicious")
    if record.name == "django.request":
        return "a request was answered with an error"
    template, args = str(record.msg), record.args
    is_own = record.name.partition(".")[0] in OWN
    is_free = record.name.startswith(OUTSPOKEN) and not record.exc_info
    if not args:  # it may have been put together from anything
        return clean(template) if not record.exc_info or is_own else "an exception"
    keep = _value if is_own or is_free else _number
    try:
        if isinstance(args, dict):
            return template % {name: keep(value) for name, value in args.items()}
        return template % tuple(keep(value) for value in (args if isinstance(args, tuple) else (args,)))
    except (TypeError, ValueError):  # %d of what is told by a sign
        return template


def _value(value: Any) -> Any:
    if isinstance(value, (int, float, type(None))):
        return value
    return _of_error(value) if isinstance(value, BaseException) else clean(str(value))


def _number(value: Any) -> Any:
    return value if isinstance(value, (int, float)) else "…"


def clean(text: str) -> str:
    """On one line, without secrets, and not without end."""
    return _CONTROL.sub(" ", scrubbed(text))[:LONGEST]


def scrubbed(text: str) -> str:
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _of_error(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, OSError):
        return f"{name}: {error.strerror}" if error.strerror else name
    is_telling = isinstance(error, _TELLING) or (isinstance(error, RuntimeError) and _is_foreign(error))
    return f"{name}: {clean(str(error))}" if is_telling else name


def _is_foreign(error: RuntimeError) -> bool:
    """Whether a library raised it, as torch does when a GPU fails."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "site-packages" in frames[-1].filename and "django" not in Path(frames[-1].filename).parts


def told(error: BaseException) -> tuple[str, list[str]]:
    """An exception by its type, and those of its causes; and where each came by, the last cause's places first."""
    kinds: list[str] = []
    places: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        kinds.append(_of_error(link))
        places = _places(link.__traceback__) + places
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return " from ".join(kinds), places[-40:]


def _places(trace: TracebackType | None) -> list[str]:
    return [f"{_file(frame.filename)}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]


def _file(name: str) -> str:
    """A file of ours from the project's folder, of a library from its package."""
    path = Path(name)
    if "site-packages" in path.parts:
        return "/".join(path.parts[path.parts.index("site-packages") + 1 :])
    return str(path.relative_to(_ROOT)) if _ROOT in path.parents else path.name


def _plain(_: Any, __: str, event: Any) -> str:
    """One line for people; an exception's places on lines of their own."""
    time, level, name = event.pop("timestamp"), event.pop("level").upper(), event.pop("logger", "")
    said, error, places = event.pop("event"), event.pop("exception", ""), event.pop("places", [])
    more = "".join(f" {key}={value}" for key, value in event.items() if value not in ("", None))
    lines = [f"{time} {level} {name}: {said}{f' ({error})' if error else ''}{more}"]
    return "\n".join([*lines, *(f"    {place}" for place in places)])

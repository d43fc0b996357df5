"""Error reports to a Sentry that the operator names: what broke and where, never what anybody wrote or sent."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from quantaweb import logs

KEPT = ("event_id", "timestamp", "level", "logger", "platform", "release", "environment", "server_name", "sdk", "type")
KEPT_OF_FRAMES = ("filename", "function", "module", "lineno", "in_app")


def start(dsn: str, role: str, transport: Any = None) -> None:
    """Begin to report; nothing is timed, and no library but Django, Celery and the log is listened to.

    ImproperlyConfigured where the address is none of a Sentry.
    """
    import sentry_sdk
    from sentry_sdk.integrations.celery import CeleryIntegration
    from sentry_sdk.integrations.django import DjangoIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration
    from sentry_sdk.utils import BadDsn, Dsn

    try:
        Dsn(dsn)
    except BadDsn as error:
        raise ImproperlyConfigured(
            "QW_SENTRY_DSN is no address of a Sentry; copy the DSN that it shows for the project, such as "
            "https://key@sentry.example.org/42."
        ) from error
    sentry_sdk.init(
        dsn=dsn,
        environment=role,
        transport=transport,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        traces_sample_rate=0.0,
        send_client_reports=False,
        auto_enabling_integrations=False,
        integrations=[
            DjangoIntegration(transaction_style="url", middleware_spans=False, signals_spans=False),
            CeleryIntegration(),
            LoggingIntegration(level=None, event_level=logging.ERROR, sentry_logs_level=None),
        ],
        before_send=discreet,
        before_breadcrumb=lambda crumb, hint: None,
    )


def discreet(event: Any, hint: dict[str, Any]) -> Any:
    """What may leave this machine, built from nothing, so that what a new release adds stays here."""
    kept = {name: event[name] for name in KEPT if name in event}
    request = event.get("request") or {}
    method = request.get("method")
    kept["transaction"] = (
        logs.clean(str(event.get("transaction") or "")) if "{" in str(event.get("transaction")) else ""
    )
    if method:
        kept["request"] = {"method": method}
    if (user := (event.get("user") or {}).get("id")) is not None:
        kept["user"] = {"id": user}
    if exceptions := (event.get("exception") or {}).get("values"):
        kept["exception"] = {"values": [_exception(one) for one in exceptions]}
    record = hint.get("log_record")
    if record is not None:
        said = logs.discreet(record)
        kept["logentry"] = {"message": said.getMessage()}
        kept["extra"] = {name: getattr(said, name) for name in logs.FIELDS if hasattr(said, name)}
    return kept


def _exception(one: dict[str, Any]) -> dict[str, Any]:
    frames = (one.get("stacktrace") or {}).get("frames") or []
    places = [{name: frame[name] for name in KEPT_OF_FRAMES if name in frame} for frame in frames]
    return {"type": one.get("type"), "module": one.get("module"), "stacktrace": {"frames": places}}

"""One shape for everything that can go wrong: {"error": {"status", "code", "message", "fields"}}."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import BadRequest, RequestDataTooBig
from django.core.exceptions import PermissionDenied as Forbidden
from django.core.exceptions import ValidationError as Invalid
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler

from clusters.api.parsers import TOO_LARGE
from clusters.services.labels import ConflictError
from clusters.stored.arrays import forget_bundles
from clusters.views.outage import outage_of
from compute.errors import BeingPrepared, BundleError, ComputeError, StorageError
from compute.jobs.queue import JobStateError
from compute.jobs.quotas import QuotaError

logger = logging.getLogger(__name__)
RETRY_S = 5
SIGN_IN = "Sign in, or send a key: Authorization: Bearer qw_…"


class UnknownParameter(exceptions.ParseError):
    default_code = "unknown_parameter"


class UnknownField(exceptions.ParseError):
    default_code = "unknown_field"


class Unavailable(exceptions.APIException):
    """What is asked for will be there; `wait` becomes Retry-After."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"

    def __init__(self, detail: str, *, wait: int = RETRY_S) -> None:
        super().__init__(detail)
        self.wait = wait


class PreconditionRequired(exceptions.APIException):
    status_code = status.HTTP_428_PRECONDITION_REQUIRED
    default_code = "precondition_required"
    default_detail = "Send If-Match with the ETag of what you have read, so that nobody's words are lost."


class PreconditionFailed(exceptions.APIException):
    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "precondition_failed"

    def __init__(self, detail: str, current: object) -> None:
        super().__init__(detail)
        self.current = current


class Unprocessable(exceptions.APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "unprocessable"


class TooMany(exceptions.APIException):
    """So much is not allowed within the time; `wait` becomes Retry-After."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "throttled"

    def __init__(self, detail: str, wait: float) -> None:
        super().__init__(detail)
        self.wait = wait


class Busy(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: our own exceptions and Django's, in the one shape; None for what is a bug."""
    known = _as_drf(error)
    if isinstance(known, exceptions.NotAcceptable):
        kinds = ", ".join(one.media_type for one in context["view"].get_renderers())
        known = exceptions.NotAcceptable(f"This address answers {kinds}; ask for one of them in Accept, or for */*.")
    response = exception_handler(known, context)
    if response is None:
        return None
    response.data = body(response.status_code, known)
    return response


def body(code: int, error: Exception) -> dict[str, Any]:
    detail = getattr(error, "detail", str(error))
    found: dict[str, Any] = {"status": code, "code": _code(error), "message": sentences(_message(detail))}
    if isinstance(detail, dict):
        found["fields"] = {str(name): _message(value) for name, value in detail.items()}
    if (current := getattr(error, "current", None)) is not None:
        found["current"] = current
    return {"error": found}


def _as_drf(error: Exception) -> Exception:
    if isinstance(error, RequestDataTooBig):
        return exceptions.ParseError(TOO_LARGE)
    if isinstance(error, BadRequest):
        return exceptions.ParseError(str(error) or None)
    if isinstance(error, Http404):
        said = [*map(str, error.args), getattr(error, "advice", "")]
        return exceptions.NotFound(sentences(*said) or None)
    if isinstance(error, Forbidden):
        return exceptions.PermissionDenied(str(error) or None)
    if isinstance(error, QuotaError):
        left = error.seconds_left
        return Busy(error.sentence) if left is None else TooMany(error.sentence, left)
    if isinstance(error, (ConflictError, JobStateError)):
        return Busy(str(error))
    if isinstance(error, Invalid):
        fields = error.message_dict if hasattr(error, "error_dict") else {"non_field_errors": error.messages}
        return exceptions.ValidationError(fields)
    if isinstance(error, exceptions.NotAuthenticated):
        error.detail = exceptions.ErrorDetail(SIGN_IN, "not_authenticated")
    if isinstance(error, ComputeError):
        return _of_computing(error)
    if outage := outage_of(error):
        return Unavailable(f"{outage.title}. {outage.sentence}", wait=outage.retry_seconds)
    return error


def _of_computing(error: ComputeError) -> Exception:
    if isinstance(error, BundleError):
        logger.error("%s", error)
        forget_bundles()
        return exceptions.NotFound(
            "The data of this run cannot be read. Its bundle was moved away, altered or cut short; put it back."
        )
    if isinstance(error, (BeingPrepared, StorageError)):
        return Unavailable(str(error))
    return Unprocessable(str(error))


def sentences(*said: str) -> str:
    """What was said, as sentences."""
    return " ".join(text if text.endswith((".", "?", "!", "…")) else f"{text}." for text in filter(None, said))


def _code(error: Exception) -> str:
    codes = error.get_codes() if isinstance(error, exceptions.APIException) else "error"
    return codes if isinstance(codes, str) else getattr(error, "default_code", "invalid")


def _message(detail: Any) -> str:
    if isinstance(detail, dict):
        return " ".join(
            _message(value) if name == "non_field_errors" else f"{name}: {_message(value)}"
            for name, value in detail.items()
        )
    if isinstance(detail, (list, tuple)):
        return " ".join(_message(item) for item in detail)
    return str(detail)

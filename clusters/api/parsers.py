"""Reading JSON that may be hostile."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

MAX_BYTES = 2_500_000
TOO_LARGE = f"The body is larger than {MAX_BYTES:,} bytes; send less at a time."
MAX_DEPTH = 64
LEAST_INTEGER, MOST_INTEGER = -(2**63), 2**63 - 1  # what every database holds
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_TOO_DEEP = f"The body is nested more than {MAX_DEPTH} deep."


class StrictJSONParser(JSONParser):
    """JSON in UTF-8, at most 2.5 MB and 64 deep, without NaN, NUL, halves of characters or numbers of no database."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ParseError(TOO_LARGE)
        try:
            value = json.loads(raw.decode("utf-8"), parse_constant=_refuse)
        except UnicodeDecodeError as error:
            raise ParseError(f"The body is not UTF-8: {error.reason} at byte {error.start}.") from None
        except RecursionError:
            raise ParseError(_TOO_DEEP) from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {str(error)[:200]}.") from None
        _check(value)
        return value


def is_unfit(text: str) -> bool:
    """Whether a text holds what no database does: NUL, or half of a character."""
    return _UNFIT.search(text) is not None


def impossible_number(value: object) -> str:
    """Why a number cannot be stored or compared with what is; empty for one that can, and for what is no number."""
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    if isinstance(value, int) and not LEAST_INTEGER <= value <= MOST_INTEGER:
        return "must lie between −2⁶³ and 2⁶³ − 1"
    return ""


def _check(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ParseError(_TOO_DEEP)
    if isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, str) and is_unfit(value):
        raise ParseError("A text in the body holds NUL or half of a character.")
    elif wrong := impossible_number(value):
        raise ParseError(f"A number in the body {wrong}.")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")

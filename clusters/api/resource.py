"""The frame of every resource: what may be asked, in which order, page by page, and who may ask.

A resource is one class: its `parameters` (a `Parameters` serializer; what it does not name is refused), its `answers`
(the serializer of one thing), and its methods. From the same class the schema is made (`schema.py`). Reads go through
`clusters.queries`, writes through `clusters.services`; here is only what HTTP adds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from django.utils.http import parse_etags
from django.views.decorators.gzip import gzip_page
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from clusters.api.errors import PreconditionFailed, PreconditionRequired, UnknownField, UnknownParameter
from clusters.api.fields import Whole
from clusters.api.parsers import impossible_number, is_unfit
from clusters.api.permissions import READ
from clusters.api.renderers import FiniteJSONRenderer, NpyRenderer
from clusters.models import Run

MAX_LIMIT, LIMIT = 100, 20
MAX_CURSOR = 2000
REVISION = 1  # of the form that arrays are answered in; part of their ETags


class Parameters(serializers.Serializer):
    """What may stand in a resource's query string. Anything else, or the same thing twice, is refused."""

    def to_internal_value(self, data: Any) -> Any:
        if unknown := sorted(set(data) - set(self.fields)):
            allowed = ", ".join(self.fields) or "none"
            raise UnknownParameter(f"No such parameter: {', '.join(unknown)[:200]}. Allowed: {allowed}.")
        lists = [name for name, field in self.fields.items() if isinstance(field, serializers.ListField)]
        if twice := [name for name in data if len(data.getlist(name)) > 1 and name not in lists]:
            raise UnknownParameter(f"Given more than once: {', '.join(twice)}.")
        # a plain mapping: of a form, DRF would take what is absent for "no"
        return super().to_internal_value({name: data.getlist(name) if name in lists else data[name] for name in data})


class One(Parameters):
    """Of a single thing: which fields of it."""

    fields_ = serializers.CharField(  # in the address: `fields`
        required=False, max_length=500, help_text="Names with commas between them; else all."
    )

    def get_fields(self) -> dict[str, serializers.Field]:
        found = super().get_fields()
        return {"fields" if name == "fields_" else name: field for name, field in found.items()}


class Page(One):
    """Of a list: how many at once, and from where on."""

    limit = Whole(required=False, min_value=1, max_value=MAX_LIMIT, default=LIMIT, help_text="How many at once.")
    cursor = serializers.CharField(required=False, max_length=MAX_CURSOR, help_text="As `next` has it.")


@method_decorator(gzip_page, name="dispatch")
class Resource(APIView):
    """Something at an address."""

    parameters: ClassVar[type[Parameters]] = One
    answers: ClassVar[Any] = None  # a serializer of one thing; schema.py reads it
    accepts: ClassVar[Any] = None  # a serializer of what a POST, PUT or PATCH sends
    is_list: ClassVar[bool] = False  # whether a GET answers {"results": [answers, …], "next": address or null}
    npy: ClassVar[str] = ""  # the field that `Accept: application/x-npy` gets alone
    scope: ClassVar[str] = READ  # that a key needs for anything but reading
    is_personal: ClassVar[bool] = False  # reading needs a person, too
    is_throttled: ClassVar[bool] = True  # False for pure numbers that people drag through
    # what only the schema reads; the operation's name where the class's own does not fit ("run" → run_list, run_read,
    # run_create …), the statuses of methods that answer otherwise than 200, 201 to POST and 204 to DELETE, and what
    # they answer if not `answers`
    operation: ClassVar[str] = ""
    tag: ClassVar[str] = ""  # the noun that it belongs to; else its module's name
    statuses: ClassVar[Mapping[str, Sequence[int]]] = {}
    answers_to: ClassVar[Mapping[str, Any]] = {}

    def get_renderers(self) -> list[Any]:
        return [FiniteJSONRenderer(), *([NpyRenderer()] if self.npy else [])]

    @property
    def asked(self) -> dict[str, Any]:
        """The query's parameters, checked; 400 naming the allowed ones."""
        if not hasattr(self, "_asked"):
            parsed = self.parameters(data=self.request.query_params)
            parsed.is_valid(raise_exception=True)
            _refuse_impossible(parsed.validated_data)
            self._asked: dict[str, Any] = parsed.validated_data
        return self._asked

    def sent(self, accepts: type[serializers.BaseSerializer] | None = None) -> dict[str, Any]:
        """The body, checked; 400 with what is wrong by field, or what no field is called."""
        parsed = (accepts or self.accepts)(data=self.request.data)
        known = getattr(parsed, "fields", {})
        if isinstance(self.request.data, Mapping) and (unknown := sorted(set(self.request.data) - set(known))):
            names = ", ".join(map(str, unknown))[:200]
            raise UnknownField(f"No such field: {names}. Allowed: {', '.join(known) or 'none'}.")
        parsed.is_valid(raise_exception=True)
        _refuse_impossible(parsed.validated_data)
        return dict(parsed.validated_data)

    def context(self) -> dict[str, Any]:
        """What the serializers of the answer know besides the thing itself."""
        return {"request": self.request}

    def one(self, thing: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        """Answer one thing, or those fields of it that are asked for."""
        return Response(self._sparse(self.answers(thing, context=self.context()).data), status=status, headers=headers)

    def many(self, things: Iterable[object], *, next_cursor: str | None) -> Response:
        """Answer one page of a list; `next_cursor` leads to the rest, None at the end."""
        results = [self._sparse(item) for item in self.answers(things, many=True, context=self.context()).data]
        following = self.address_with(next_cursor) if next_cursor else None
        headers = {"Link": f'<{following}>; rel="next"'} if following else None
        return Response({"results": results, "next": following}, headers=headers)

    def paged(self, queryset: QuerySet[Any], *, order: Sequence[str] = ("-pk",)) -> Response:
        """One page of a queryset, in an order whose fields are never null and whose last is unique."""
        rows, following = keyset_page(queryset, order, self.asked["limit"], self.asked.get("cursor"))
        return self.many(rows, next_cursor=following)

    def unchanged(self, run: Run) -> Response | None:
        """Name the answer, which is made of the run's bundle alone; 304 where the client holds it already.

        Begin a GET with it, after the run was found and before anything is read:
        `if same := self.unchanged(run): return same`.
        """
        kind = self.request.accepted_renderer.media_type
        named = f"{REVISION} {run.bundle_sha256} {self.request.get_full_path()} {kind}"
        self._etag = f'"{hashlib.sha256(named.encode("utf-8", "replace")).hexdigest()[:32]}"'
        held = [tag.removeprefix("W/") for tag in parse_etags(self.request.headers.get("If-None-Match", ""))]
        return Response(status=304) if self._etag in held or "*" in held else None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method in ("GET", "HEAD"):
            _ = self.asked  # refuse what is not allowed before anything is read

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answered = super().finalize_response(request, response, *args, **kwargs)
        answered["Cache-Control"] = "private, no-cache"  # kept by who asked, and asked for again
        patch_vary_headers(answered, ("Accept", "Authorization", "Cookie"))
        if (tag := getattr(self, "_etag", "")) and answered.status_code in (200, 304):
            answered["ETag"] = tag
        return answered

    def _sparse(self, data: Any) -> Any:
        wanted = self.asked.get("fields") if self.request.method in ("GET", "HEAD") else None
        if not wanted:
            return data
        if isinstance(self.request.accepted_renderer, NpyRenderer):
            raise UnknownParameter("A .npy file holds one array and no fields; leave `fields` out, or ask for JSON.")
        names = [name.strip() for name in wanted.split(",") if name.strip()]
        if unknown := [name for name in names if name not in data]:
            raise UnknownParameter(f"No such field: {', '.join(unknown)[:200]}. There are {', '.join(data)}.")
        return {name: data[name] for name in names}

    def address_with(self, cursor: str) -> str:
        """This address, further on."""
        query = self.request.query_params.copy()
        query["cursor"] = cursor
        return self.request.build_absolute_uri(f"{self.request.path}?{query.urlencode()}")


def _refuse_impossible(values: Any) -> None:
    """400 where a number, alone or in a list, is one that no database holds."""
    if not isinstance(values, Mapping):
        return
    for name, value in values.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if wrong := impossible_number(one):
                raise serializers.ValidationError({name: f"The number {wrong}."})


def write_cursor(values: Sequence[object]) -> str:
    """An opaque place in a list."""
    text = json.dumps(values, separators=(",", ":"), default=str)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, *kinds: Callable[[Any], Any]) -> list[Any] | None:
    """The values that `write_cursor` wrote, each made with its kind; None at the beginning, 400 where it is none."""
    if not cursor:
        return None
    try:
        values = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if not isinstance(values, list) or len(values) != len(kinds):
            raise ValueError
        return [_place(value, kind) for value, kind in zip(values, kinds, strict=True)]
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        raise UnknownParameter("This cursor leads nowhere; take `next` as it was given, or leave cursor out.") from None


def _place(value: Any, kind: Callable[[Any], Any]) -> Any:
    """One value of a cursor, such as a database can compare with."""
    if not isinstance(value, (str, int, float)) or (isinstance(value, str) and is_unfit(value)):
        raise ValueError
    made = kind(value)
    if impossible_number(made):
        raise ValueError
    return made.astimezone(UTC) if isinstance(made, datetime) else made


def keyset_page(
    queryset: QuerySet[Any], order: Sequence[str], limit: int, cursor: str | None
) -> tuple[list[Any], str | None]:
    """Up to `limit` rows after the cursor, and the cursor of the rest, by comparing the order's fields."""
    names = [name.lstrip("-") for name in order]
    fields = [queryset.model._meta.pk if name == "pk" else queryset.model._meta.get_field(name) for name in names]
    place = read_cursor(cursor, *(_kind_of(field) for field in fields))
    if place is not None:
        after = Q(pk__in=[])
        for i, name in enumerate(names):
            same = {names[j]: place[j] for j in range(i)}
            compared = "lt" if order[i].startswith("-") else "gt"
            after |= Q(**same, **{f"{name}__{compared}": place[i]})
        queryset = queryset.filter(after)
    rows = list(queryset.order_by(*order)[: limit + 1])
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], write_cursor([getattr(last, name) for name in names])


def _kind_of(field: Any) -> Callable[[Any], Any]:
    def kind(value: Any) -> Any:
        try:
            return field.to_python(value)
        except ValidationError as error:
            raise ValueError from error

    return kind


def etag(version: int) -> str:
    return f'"{version}"'


def expected_version(request: Request) -> int:
    """The version that If-Match names; 428 without one, 400 where it names none."""
    asked = request.headers.get("If-Match", "").strip()
    if not asked:
        raise PreconditionRequired
    number = asked.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise UnknownParameter('If-Match must be one ETag as it was given, like "3".')
    return int(number)


def stale(error: Exception, current: object) -> PreconditionFailed:
    """412, with what the thing says now."""
    return PreconditionFailed(str(error), current)

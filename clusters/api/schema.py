"""The OpenAPI schema, made from the same classes that answer."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse, inline_serializer
from rest_framework import serializers

from clusters.api.renderers import NPY
from clusters.models import Affinity, Experiment, Export, Import, Label
from compute.models import Job
from compute.numerics.laws import LAWS

# choices that several things have, for the settings to name
AFFINITIES, JOB_STATES = Affinity.values, Job.State.values
LABEL_KINDS, LABEL_ORIGINS, LABEL_STATES = Label.Kind.values, Label.Origin.values, Label.State.values
EXPORT_KINDS, IMPORT_KINDS = Export.Kind.values, Import.Kind.values
EXPERIMENT_KINDS, LAW_NAMES = Experiment.Kind.values, list(LAWS)
OF_TOKENS = ["sizes", "steps"]  # what the curves of tokens are over

ERROR = inline_serializer(
    "Error",
    {
        "error": inline_serializer(
            "ErrorDetail",
            {
                "status": serializers.IntegerField(),
                "code": serializers.CharField(),
                "message": serializers.CharField(help_text="A sentence: what happened, and what to do."),
                "fields": serializers.DictField(child=serializers.CharField(), required=False),
                "current": serializers.DictField(required=False, help_text="Of a 412: what the thing says now."),
            },
        )
    },
)
PATHS: dict[str, dict[str, Any]] = {  # what stands in addresses
    "slug": {"description": "The run, as its address names it."},
    "affinity": {"description": "Which clusterings: by signed or by absolute cosines.", "enum": Affinity.values},
    "k": {"description": "The number of clusters.", "type": "integer"},
    "label": {"description": "The cluster’s number in its clustering, from 0; not the rank.", "type": "integer"},
}
MEANINGS = {
    "304": "You hold this answer already (If-None-Match).",
    "400": "A parameter, a field or the body is not what it must be; the message names what is allowed.",
    "401": "Nobody is signed in, or the key is unknown, expired or revoked.",
    "403": "You, or your key’s scopes, do not allow this.",
    "404": "There is no such thing, or you may not see it.",
    "406": "None of the kinds that Accept names is answered here.",
    "409": "The thing’s state does not allow this now.",
    "412": "It was changed since you read it; `current` is what it says now.",
    "415": "The body is of a kind that is not read here; send JSON.",
    "422": "The request is well formed, but cannot be done.",
    "428": "Send If-Match with the ETag of what you have read.",
    "429": "Too many requests; Retry-After says for how long to wait.",
    "503": "It is being prepared, or the database cannot be reached; Retry-After says when to ask again.",
}
_ACTIONS = {"POST": "create", "PUT": "replace", "PATCH": "update", "DELETE": "delete"}
_DONE = {"POST": (201,), "DELETE": (204,)}


class Schema(AutoSchema):
    """Reads `parameters`, `accepts`, `answers` and their like of a resource."""

    def get_override_parameters(self) -> list[Any]:
        return [self.view.parameters] if self.method == "GET" and hasattr(self.view, "parameters") else []

    def get_request_serializer(self) -> Any:
        return getattr(self.view, "accepts", None) if self.method in ("POST", "PUT", "PATCH") else None

    def get_tags(self) -> list[str]:
        """The noun that the resource's module is called by."""
        return [self.view.tag or type(self.view).__module__.rpartition(".")[2]]

    def get_operation_id(self) -> str:
        name = self.view.operation or _snake(type(self.view).__name__.removesuffix("Detail"))
        if self.view.operation and not hasattr(self.view, "get") and self.method == "POST":
            return name  # "job_cancel": what is done, not what is made
        if self.method == "GET":
            return f"{name}_{'list' if self.view.is_list else 'read'}"
        return f"{name}_{_ACTIONS[self.method]}"

    def get_description(self) -> str:
        needs = f" With a key, this needs its scope “{self.view.scope}”." if self.method != "GET" else ""
        return f"{super().get_description()}{needs}"

    def get_auth(self) -> list[dict[str, list[str]]]:
        is_open = self.method == "GET" and not self.view.is_personal
        return [*super().get_auth(), *([{}] if is_open else [])]

    def get_response_serializers(self) -> Any:
        view, method = self.view, self.method
        answers = view.answers_to.get(method, view.answers)
        if method == "GET" and view.is_list and answers is not None:
            answers = inline_serializer(
                f"{answers.__name__.removesuffix('Serializer')}Page",
                {"results": answers(many=True), "next": serializers.URLField(allow_null=True)},
            )
        statuses = [str(one) for one in view.statuses.get(method, _DONE.get(method, (200,)))]
        done = {one: OpenApiResponse(None if one == "204" else answers, description="Done.") for one in statuses}
        return done | self._errors()

    def _errors(self) -> dict[str, Any]:
        codes = ["400", "401", "403", "404", "406", "422", "429", "503"]
        codes += [] if self.method == "GET" else ["409", "412", "415", "428"]
        told = {"304": OpenApiResponse(None, description=MEANINGS["304"])} if self.method == "GET" else {}
        return told | {code: OpenApiResponse(ERROR, description=MEANINGS[code]) for code in codes}

    def _get_response_for_code(
        self, serializer: Any, status_code: str, media_types: Any = None, direction: str = "response"
    ) -> Any:
        """Errors are JSON, whatever was asked for; a `.npy` file has no fields."""
        is_error = not status_code.startswith("2")
        kinds = ["application/json"] if is_error else media_types
        found = super()._get_response_for_code(serializer, status_code, kinds, direction)
        if NPY in found.get("content", {}):
            binary = {"type": "string", "format": "binary", "description": f"The array `{self.view.npy}` alone."}
            found["content"][NPY] = {"schema": binary}
        return found

    def _resolve_path_parameters(self, variables: Any) -> Any:
        found = super()._resolve_path_parameters(variables)
        for one in found:
            known = PATHS.get(one["name"], {})
            one["schema"] |= {name: known[name] for name in ("enum", "type") if name in known}
            one["description"] = known.get("description", "") or one.get("description", "")
        return found


class NumbersSchema(OpenApiSerializerFieldExtension):
    """Arrays of numbers, nested as deep as they have axes."""

    target_class = "clusters.api.fields.Numbers"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "integer" if self.target.is_integer else ["number", "null"]}
        for _ in range(self.target.n_axes):
            schema = {"type": "array", "items": schema}
        return schema | ({"type": ["array", "null"]} if self.target.allow_null else {})


class KeyScheme(OpenApiAuthenticationExtension):
    target_class = "clusters.api.authentication.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "qw_…",
            "description": "A personal key, made on your profile: `Authorization: Bearer qw_…`.",
        }


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "clusters.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "The browser’s session; what changes something needs X-CSRFToken as well.",
        }


def own_paths(endpoints: list[Any]) -> list[Any]:
    """Only the API's own addresses are part of its schema."""
    return [one for one in endpoints if one[0].startswith("/api/v1/")]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()

"""The OpenAPI schema, made from the same classes that answer."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse, inline_serializer
from rest_framework import serializers

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


class Schema(AutoSchema):
    """Reads `parameters`, `accepts`, `answers` and `is_list` of a resource."""

    def get_override_parameters(self) -> list[Any]:
        return [self.view.parameters] if self.method == "GET" and hasattr(self.view, "parameters") else []

    def get_request_serializer(self) -> Any:
        return getattr(self.view, "accepts", None) if self.method in ("POST", "PUT", "PATCH") else None

    def get_tags(self) -> list[str]:
        return [getattr(self.view, "tag", "") or super().get_tags()[0]]

    def get_response_serializers(self) -> Any:
        answers = getattr(self.view, "answers", None)
        if answers is None:
            return {"204": OpenApiResponse(description="Done.")} | self._errors()
        if self.method == "GET" and self.view.is_list:
            answers = inline_serializer(
                f"{answers.__name__.removesuffix('Serializer')}Page",
                {"results": answers(many=True), "next": serializers.URLField(allow_null=True)},
            )
        done = {"POST": "201", "DELETE": "204"}.get(self.method, "200")
        return {done: None if self.method == "DELETE" else answers} | self._errors()

    def _errors(self) -> dict[str, Any]:
        codes = ["400", "401", "403", "404", "406", "429", "503"]
        if self.method != "GET":
            codes += ["405", "409", "412", "415", "422", "428"]
        return dict.fromkeys(codes, ERROR)


def own_paths(endpoints: list[Any]) -> list[Any]:
    """Only the API's own addresses are part of its schema."""
    return [one for one in endpoints if one[0].startswith("/api/v1/")]

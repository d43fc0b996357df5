"""The schema as pages: every operation with what it takes, what it answers, and a line for the shell."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from clusters.api.resource import MAX_LIMIT
from clusters.api.throttling import PerKey
from clusters.queries.access import User, visible_runs
from clusters.queries.runs import default_affinity, default_k
from clusters.views.errors import NotFound

METHODS = ("get", "post", "put", "patch", "delete")
ROOT = "/api/v1"
LAST = ("limit", "cursor", "fields")  # what nearly every list takes
MAX_DEPTH = 4  # of fields within fields
_FREE = {"string": "…", "integer": 1, "number": 0.5, "boolean": True}  # stand-ins in an example's body


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """All operations by noun, and what holds for every one of them."""
    ctx = {"nouns": nouns(), "n_operations": sum(len(noun["operations"]) for noun in nouns())}
    return render(request, "api/index.html", {**_about(request), **ctx})


@require_safe
def noun(request: HttpRequest, name: str) -> HttpResponse:
    """Every operation of one noun."""
    found = next((one for one in nouns() if one["name"] == name), None)
    if found is None:
        known = ", ".join(one["name"] for one in nouns())
        raise NotFound(f"The API has no noun “{name[:40]}”", advice=f"It has {known}.", href="/api/docs/", text="API")
    root, examples = request.build_absolute_uri("/")[:-1], _examples(request.user)
    shown = [{**one, **_tried(one, root, examples)} for one in found["operations"]]
    return render(request, "api/noun.html", {**_about(request), "noun": found, "nouns": nouns(), "operations": shown})


def _about(request: HttpRequest) -> dict[str, Any]:
    rates = PerKey.THROTTLE_RATES
    return {
        "here": "api",
        "root": request.build_absolute_uri(f"{ROOT}/"),
        "most": MAX_LIMIT,
        "rates": {name: rates[name].partition("/")[0] for name in ("person", "anonymous")}
        | {"jobs": settings.JOBS_PER_HOUR},
    }


@lru_cache(maxsize=1)
def nouns() -> list[dict[str, Any]]:
    """The schema's operations in the order of the addresses, gathered by noun."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    parts = schema["components"]["schemas"]
    found: dict[str, list[dict[str, Any]]] = {}
    for address, item in schema["paths"].items():
        for method in METHODS:
            if method in item:
                one = _operation(address, method, item[method], parts)
                found.setdefault(item[method]["tags"][0], []).append(one)
    return [{"name": name, "about": _lede(name), "operations": found[name]} for name in sorted(found)]


def _lede(name: str) -> str:
    """What the noun's module says of itself."""
    try:
        return str(import_module(f"clusters.api.{name}").__doc__ or "").partition("\n")[0]
    except ModuleNotFoundError:
        return ""


def _operation(address: str, method: str, told: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    body = _content(told.get("requestBody", {}))
    answers = told["responses"]
    done = next((_content(answers[code]) for code in answers if code.startswith("2")), None)
    first, _, rest = told.get("description", "").partition("\n\n")
    return {
        "id": told["operationId"], "method": method.upper(), "path": address,
        "steps": address.removeprefix(ROOT).split("/"),
        "summary": _pieces(first.replace("\n", " ")), "more": _pieces(rest.replace("\n", " ")),
        "parameters": sorted((_parameter(one, parts) for one in told.get("parameters", ())), key=_order(address)),
        "takes": _fields(body, parts), "answers": _fields(_item(done, parts), parts),
        "is_list": bool(done) and _item(done, parts) is not done,
        "is_open": {} in told.get("security", ()),
        "has_npy": any("application/x-npy" in one.get("content", {}) for one in answers.values()),
        "statuses": [{"code": code, "text": answers[code]["description"]} for code in answers],
        "example": _example(body, parts) if body else None,
    }  # fmt: skip


def _content(holder: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of the JSON, or of whatever else is sent or answered."""
    kinds = holder.get("content", {})
    kind: dict[str, Any] = kinds.get("application/json") or next(iter(kinds.values()), {})
    return kind.get("schema")


def _resolved(schema: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference, or one alone among "all of", leads to."""
    while "$ref" in schema or len(schema.get("allOf", ())) == 1:
        schema = parts[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema["allOf"][0]
    return schema


def _item(schema: dict[str, Any] | None, parts: dict[str, Any]) -> dict[str, Any] | None:
    """Of a page of a list one thing of it; else the schema itself."""
    properties = _resolved(schema, parts).get("properties", {}) if schema else {}
    is_page = set(properties) == {"results", "next"}
    return properties["results"]["items"] if is_page else schema


def _parameter(told: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    schema = told["schema"]
    return {
        "name": told["name"], "is_path": told["in"] == "path", "is_required": told.get("required", False),
        "type": _type(schema, parts), "default": _written(schema.get("default")),
        "about": _pieces(told.get("description", "")),
    }  # fmt: skip


def _order(address: str) -> Callable[[dict[str, Any]], tuple[int, int]]:
    """What stands in the address first, in its order; what nearly every list takes last."""

    def place(parameter: dict[str, Any]) -> tuple[int, int]:
        name = parameter["name"]
        if parameter["is_path"]:
            return 0, address.index(f"{{{name}}}")
        return (2, LAST.index(name)) if name in LAST else (1, 0)

    return place


def _fields(schema: dict[str, Any] | None, parts: dict[str, Any], depth: int = 0) -> list[dict[str, Any]]:
    """The fields of an object and of the objects in it, each with how deep it lies."""
    if not schema or depth > MAX_DEPTH:
        return []
    known, rows = _resolved(schema, parts), []
    for name, own in known.get("properties", {}).items():
        inner = _resolved(own.get("items", own), parts)
        about = own.get("description", "") or ("" if "properties" in inner else inner.get("description", ""))
        rows.append(
            {
                "name": name, "depth": depth, "type": _type(own, parts), "about": _pieces(about),
                "is_required": name in known.get("required", ()), "default": _written(own.get("default")),
            }
        )  # fmt: skip
        rows += _fields(inner, parts, depth + 1) if "properties" in inner else []
    return rows


def _type(schema: dict[str, Any], parts: dict[str, Any]) -> str:
    """The kind of value, in words."""
    if len(several := schema.get("oneOf", schema.get("anyOf", ()))) > 1:
        return " or ".join(dict.fromkeys(_type(one, parts) for one in several))
    known = _resolved(schema, parts)
    if "enum" in known:
        return " | ".join("null" if one is None else str(one) or "“”" for one in known["enum"])
    kinds = known.get("type", "any")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    words = [_word(kind, known, parts) for kind in kinds if kind != "null"]
    return " or ".join([*words, "null"] if "null" in kinds else words)


def _word(kind: str, schema: dict[str, Any], parts: dict[str, Any]) -> str:
    if kind == "array":
        return f"list of {_type(schema.get('items', {}), parts)}"
    form = schema.get("format", "")
    word = {"date-time": "time", "uri": "address", "binary": "file"}.get(form, kind)
    bounds = [schema.get("minimum"), schema.get("maximum")]
    if kind in ("integer", "number") and any(bound is not None for bound in bounds):
        low, high = ("" if bound is None else f"{bound:,}" for bound in bounds)
        return f"{word} {low}–{high}" if low and high else f"{word} ≥ {low}" if low else f"{word} ≤ {high}"
    return word


def _written(default: Any) -> str:
    return "" if default in (None, "") else json.dumps(default, ensure_ascii=False)


def _pieces(text: str) -> list[dict[str, Any]]:
    """A text cut at its backticks, every second piece being code."""
    return [{"text": piece, "is_code": i % 2 == 1} for i, piece in enumerate(text.split("`")) if piece]


def _example(schema: dict[str, Any], parts: dict[str, Any]) -> str:
    """A body with what must be given, or, where nothing must, with the first field."""
    known = _resolved(schema, parts)
    properties = known.get("properties", {})
    wanted = known.get("required") or list(properties)[:1]
    return json.dumps({name: _stand_in(properties[name], parts) for name in wanted}, ensure_ascii=False)


def _stand_in(schema: dict[str, Any], parts: dict[str, Any]) -> Any:
    known = _resolved(schema, parts)
    if known.get("enum"):
        return known["enum"][0]
    kind = known.get("type", "string")
    kind = kind if isinstance(kind, str) else kind[0]
    if kind == "array":
        return [_stand_in(known.get("items", {}), parts)]
    return known.get("minimum") or _FREE.get(kind, {})


def _examples(user: User) -> dict[str, str]:
    """What stands in addresses that can be tried: a run that this person may see, and a cluster of it."""
    run = visible_runs(user).filter(archived_at=None).order_by("-pk").first()
    if run is None:
        return {}
    affinity = default_affinity(run)
    known = {"slug": run.slug, "affinity": affinity, "k": default_k(run, affinity), "label": 0, "index": 0, "number": 0}
    return {name: str(value) for name, value in known.items() if value is not None}


def _tried(operation: dict[str, Any], root: str, examples: dict[str, str]) -> dict[str, str]:
    """The operation's line for the shell, and, of a GET whose address can be filled in, that address."""
    names = [one["name"] for one in operation["parameters"] if one["is_path"]]
    address = operation["path"]
    for name in names:
        address = address.replace(f"{{{name}}}", examples.get(name, name.upper()))
    query = [one["name"] for one in operation["parameters"] if one["is_required"] and not one["is_path"]]
    if query:
        address += "?" + "&".join(f"{name}={examples.get(name, name.upper())}" for name in query)
    is_whole = operation["method"] == "GET" and all(name in examples for name in [*names, *query])
    return {"curl": _curl(operation, f"{root}{address}"), "href": address if is_whole else ""}


def _curl(operation: dict[str, Any], address: str) -> str:
    method = operation["method"]
    parts = ["curl", "" if method == "GET" else f"-X {method}"]
    parts.append("" if method == "GET" and operation["is_open"] else '-H "Authorization: Bearer $QW_KEY"')
    if any(one["code"] == "412" for one in operation["statuses"]) and method in ("PUT", "PATCH", "DELETE"):
        parts.append("-H 'If-Match: \"3\"'")
    if operation["example"]:
        parts.append(f"-H 'Content-Type: application/json' -d '{operation['example']}'")
    return " ".join([*filter(None, parts), f"'{address}'" if "?" in address else address])


urls = [
    path("", index, name="docs"),
    path("<slug:name>/", noun, name="docs-noun"),
]

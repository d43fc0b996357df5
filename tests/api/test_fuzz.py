"""Every operation of the schema with what Schemathesis makes up: no 5xx, and every answer fits the schema."""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from clusters.api.throttling import PerKey
from compute.models import Job
from tests.api.seeds import bearer, first_label, seeded_site
from tests.databases import Site, postgres_template, site, sqlite_template  # noqa: F401  (fixtures)
from tests.postgres import postgres  # noqa: F401  (a fixture)

EXAMPLES = int(os.environ.get("QW_FUZZ_EXAMPLES", "4"))
OPAQUE = ("cursor", "fields")  # texts that only an answer knows
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


@pytest.fixture
def api(site: Site, tmp_path: Any, monkeypatch: Any, settings: Any) -> tuple[Any, dict[str, Any], dict[str, str]]:  # noqa: F811
    """The schema, real values for its addresses, and the headers of a key that may do all."""
    monkeypatch.setattr(PerKey, "THROTTLE_RATES", dict.fromkeys(PerKey.THROTTLE_RATES, "1000000/min"))
    settings.JOBS_PER_HOUR = settings.OPEN_JOBS_PER_PERSON = settings.QUEUE_LIMIT = 10**6
    run, _, key = seeded_site(tmp_path)
    schema = schemathesis.openapi.from_wsgi("/api/schema/", get_wsgi_application())
    known = {
        "runs": {"slug": run.slug, "affinity": "signed", "k": 6, "label": 0, "index": 3, "number": 0, "id": 1},
        "tags": {"slug": "lexical"}, "labels": {"id": first_label().pk}, "jobs": {"id": Job.objects.get().pk},
    }  # fmt: skip
    return schema, known, {**bearer(key), "If-Match": '"1"', "Accept-Encoding": "identity"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "refused"])
def test_no_operation_breaks_or_answers_what_its_schema_does_not_say(api: Any, mode: GenerationMode) -> None:
    schema, known, headers = api
    wrong: dict[str, str] = {}
    n_operations = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        n_operations += 1
        found = _problem(operation, mode, known, headers)
        if found:
            wrong[f"{operation.method.upper()} {operation.path}"] = found
    assert n_operations > 20
    assert not wrong, "\n\n".join(f"{name}\n{text}" for name, text in wrong.items())


def _problem(operation: Any, mode: GenerationMode, known: dict[str, Any], headers: dict[str, str]) -> str:
    """What is wrong with one operation, in words; empty where nothing is."""

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        verbosity=Verbosity.quiet, suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if mode == GenerationMode.POSITIVE:  # so that it gets further than "there is no such run"
            case.path_parameters = {**(case.path_parameters or {}), **_real(operation.path, known)}
            case.query = {name: value for name, value in (case.query or {}).items() if name not in OPAQUE}
        case.call_and_validate(headers=headers, checks=CHECKS)

    try:
        ask()
    except FailureGroup as group:
        return "\n".join(f"{failure.title}: {failure.message}" for failure in group.exceptions)[:1500]
    except schemathesis.errors.SchemathesisError as error:
        return "" if "negative" in str(error) else str(error)  # nothing of it can be wrong
    return ""


def _real(path: str, known: dict[str, Any]) -> dict[str, Any]:
    """Values that lead to something, for what stands in the address."""
    own = known.get(path.split("/")[3], {})
    return {name: value for name, value in {**known["runs"], **own}.items() if f"{{{name}}}" in path}

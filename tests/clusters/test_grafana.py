"""The dashboard and the alerts ask for numbers that the site really tells, with labels that these have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from clusters.models import AuditEvent
from clusters.services.backup import ACTION
from compute.models import Job, Shard, Worker
from tests.clusters.test_metrics import ago

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "grafana"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
RULES = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
BY_PROMETHEUS = {"job", "instance", "le"}
USED = re.compile(r"\b(quantaweb_\w+|up)(?:\{([^}]*)\})?")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")


def expressions() -> Iterator[str]:
    for panel in PANELS:
        yield from (target["expr"] for target in panel["targets"])
    yield from (rule["expr"] for rule in RULES)


@pytest.fixture
def told(client: Client, settings: Any, tmp_path: Path, db: None) -> dict[str, set[str]]:
    """Every name of a sample with its labels, on a site where everything has happened."""
    settings.DATA_DIR = tmp_path
    AuditEvent.objects.create(action=ACTION, detail={"problems": 0})
    job = Job.objects.create(name="runs", config={}, state=Job.State.RUNNING)
    Shard.objects.create(
        job=job, ordinal=0, phase="losses", phase_number=0, phase_ordinal=0, name="a", unit="tokens",
        state=Shard.State.RUNNING, started_at=ago(60), samples=[[0, 0], [60, 9]],
    )  # fmt: skip
    Worker.objects.create(name="w", kind="celery", seen_at=ago(1), host="h", device="cuda:0", vram_bytes=1)
    client.get("/")
    client.post("/sign-in/", {"username": "ada", "password": "wrong"})
    text = client.get("/metrics").content.decode()
    found: dict[str, set[str]] = {"up": set()}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_number_that_is_asked_for_is_told(told: dict[str, set[str]]) -> None:
    asked = {name for expression in expressions() for name, _ in USED.findall(expression)}
    assert asked - set(told) == set()
    assert len(asked) > 20
    unwatched = {name for name in told if name.startswith("quantaweb_")} - asked
    assert {name for name in unwatched if not name.endswith(("_created", "_count"))} == set()


def test_every_label_that_is_asked_for_is_there(told: dict[str, set[str]]) -> None:
    for expression in expressions():
        has = BY_PROMETHEUS.union(*(told[name] for name, _ in USED.findall(expression)))
        for name, matchers in USED.findall(expression):
            assert set(LABEL.findall(matchers)) <= BY_PROMETHEUS | told[name], expression
        for group in GROUPED.findall(expression):
            assert {label.strip() for label in group.split(",")} <= has, expression


def test_a_check_that_was_asked_for_has_hours_before_it_is_called_late() -> None:
    """An old run that is checked again counts as unchecked since it was read in."""
    [rule] = [rule for rule in RULES if "quantaweb_verify_age_seconds" in rule["expr"]]
    assert rule["for"] == "6h"


def test_expressions_are_balanced() -> None:
    for expression in expressions():
        bare = re.sub(r'"[^"]*"', "", expression)
        for left, right in ("()", "{}", "[]"):
            assert bare.count(left) == bare.count(right), expression


def test_grafana_finds_what_it_needs_in_every_panel() -> None:
    assert DASHBOARD["schemaVersion"] >= 38  # of Grafana 10
    assert DASHBOARD["uid"] == "quantaweb"
    assert "id" not in DASHBOARD  # Grafana gives it one
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert names == {"datasource", "job"}
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in PANELS:
        assert panel["type"] in {"stat", "timeseries", "table"}
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert all('job="$job"' in target["expr"] for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_no_two_panels_lie_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert {"summary", "description"} == set(rule["annotations"])
    watched = {name for rule in RULES for name, _ in USED.findall(rule["expr"])}
    assert watched >= {
        "quantaweb_queue_age_seconds", "quantaweb_heartbeat_age_seconds", "quantaweb_disk_free_bytes",
        "quantaweb_responses_total", "quantaweb_backup_age_seconds",
    }  # fmt: skip


def test_prometheus_reads_the_rules_that_lie_beside_its_settings() -> None:
    read = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert all((FOLDER / name).is_file() for name in read["rule_files"])
    [site] = read["scrape_configs"]
    assert (site["job_name"], site["metrics_path"]) == ("quantaweb", "/metrics")

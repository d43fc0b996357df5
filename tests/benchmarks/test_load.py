"""The load test's judgement, and that a change which was answered and is not there is found."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.load import __main__ as load
from benchmarks.load.people import lost, make
from benchmarks.load.plan import LoadPlan
from benchmarks.load.report import Measured
from clusters.models import LabelRevision
from clusters.services.labels import Content, change_label
from clusters.services.people import make_roles
from tests.factories import make_run


def stage(users: int, page: float = 50, name: str = "stage", **more: Any) -> dict[str, Any]:
    kinds = {
        "page": {"n": 9, "p50": 20.0, "p95": page, "p99": page},
        "PATCH": {"n": 9, "p50": 9.0, "p95": 90.0, "p99": 99.0},
    }
    usual = {"statuses": {"200": 18}, "wrong": {}, "locked": 0, "crowd_busy": 0.1, "requests_per_second": 9.0}
    return {"name": name, "users": users, "seconds": 60.0, "kinds": kinds, **usual, **more}


def measured(*stages: dict[str, Any], **more: Any) -> Measured:
    writes = {"written": 9, "revisions": 9, "lost": 0}
    return Measured("sqlite", False, list(stages), **({"writes": writes} | more))


def test_the_knee_is_the_first_stage_that_is_too_slow() -> None:
    assert measured(stage(25), stage(50, page=301), stage(100, page=900)).knee == 50
    assert measured(stage(25), stage(100, page=900, name="spike")).knee is None


def test_a_good_measurement_misses_nothing() -> None:
    assert measured(stage(25, page=299), memory={"soak": {"web": [60, 70], "database": [40, 40]}}).misses == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (measured(stage(25, page=301)), "page: p95 of 301 ms with 25 people, not 300"),
        (measured(stage(5, crowd_busy=0.9)), "5: the crowd's core was 90% busy, so this is invalid"),
        (measured(stage(5, wrong={"page 500": 1})), "5: refused or failed: {'page 500': 1}"),
        (measured(stage(5), writes={"written": 9, "revisions": 8, "lost": 1}), "writes: "),
        (measured(stage(5), memory={"soak": {"web": [100, 111]}}), "memory grew by 11.0% over the soak"),
        (measured(stage(5), locked_in_log=2), "“locked” was said 2 times in the log"),
    ],
)
def test_what_was_promised_and_did_not_hold_is_said(found: Measured, said: str) -> None:
    [miss] = found.misses
    assert miss.startswith(said)
    assert f"MISSED: {said}" in found.markdown()


def test_the_table_counts_failures_apart_from_refusals() -> None:
    table = measured(stage(5, statuses={"200": 9, "503": 2, "0": 1, "412": 4})).markdown()
    assert "| 5 | 20, 50, 50 | none | none | 9, 90, 99 | none | 9.0 | 3 | 10% |" in table


def test_orders_are_stages_then_the_soak_then_the_sudden_crowd() -> None:
    given = load._arguments(["--stages", "1,5", "--soak", "60", "--free"])
    assert [(one["name"], one["users"]) for one in load._orders(given)] == [
        ("stage", 1), ("stage", 5), ("soak", 12), ("spike", 100),
    ]  # fmt: skip
    assert load._arguments(["--stages", "--free"]).stages == []
    with pytest.raises(SystemExit):
        load._arguments(["--stages", "one"])


def test_the_plan_is_of_the_papers_size_with_few_steps() -> None:
    plan = LoadPlan()
    assert (plan.n_predictions, plan.n_selected, max(plan.ks)) == (10_658_635, 10_000, 400)
    assert plan.n_selected * len(plan.ks) * 2 == 100_000
    assert len(plan.steps) < 10


@pytest.mark.django_db
def test_a_change_that_was_answered_and_is_not_there_is_found(tmp_path: Any) -> None:
    make_roles()
    make_run(tmp_path)
    facts = make(2)
    assert facts["k"] == 6
    assert sum(len(person["labels"]) for person in facts["people"]) == facts["n_revisions"] == 6
    label: Any = LabelRevision.objects.order_by("pk")[0].label
    change_label(label.author, label, Content(name="after", kind="skill"), version=1, submit=True)
    good, bad = [label.pk, 2, "after"], [label.pk, 3, "never written"]
    assert lost([good], facts["n_revisions"]) == {"written": 1, "revisions": 1, "lost": 0}
    assert lost([good, bad], facts["n_revisions"]) == {"written": 2, "revisions": 1, "lost": 1}

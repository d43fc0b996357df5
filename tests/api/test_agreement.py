"""Agreement through the API."""

from __future__ import annotations

import pytest

from tests.factories import make_run
from tests.labeling import adjudicator, clusters_of, labelers, queue_of, seen_by, submit

pytestmark = pytest.mark.django_db
API = "/api/v1/agreement/"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def eva():
    return adjudicator()


@pytest.fixture
def people():
    return labelers("ana", "ben")


@pytest.fixture
def queue(run, eva, people):
    queue = queue_of(eva, run, people)
    for i, cluster in enumerate(clusters_of(run)):
        submit(people[0], cluster, "one rule", kind=("skill", "word")[i % 2])
        submit(people[1], cluster, "one rule", kind=("skill", "word")[i % 2 if i else 1])
    return queue


@pytest.mark.parametrize("of", ["queue={queue}", "run=synthetic&k=6", "run=synthetic&k=6&affinity=signed&labels=now"])
def test_agreement_is_measured_over_a_queue_or_a_clustering(eva, queue, of):
    found = seen_by(eva).get(f"{API}?{of.format(queue=queue.pk)}").json()
    assert (found["n_labels"], found["n_clusters"], found["n_compared"]) == (12, 6, 6)
    kind = found["measures"][0]
    # 12 values, five skills and seven words; one cluster of six is split
    assert kind["value"] == pytest.approx(1 - (2 / 12) / (2 * 5 * 7 / (12 * 11)))
    assert kind["low"] <= kind["value"] <= kind["high"]
    assert found["pairs"][0]["same_kind"] == pytest.approx(5 / 6)


def test_what_is_undefined_is_null_with_a_reason(eva, queue):
    found = seen_by(eva).get(f"{API}?queue={queue.pk}").json()
    misfits = next(one for one in found["measures"] if one["measure"] == "misfits")
    assert misfits["value"] is None
    assert misfits["undefined"].startswith("undefined: everybody said the same")


def test_disagreements_come_page_by_page_the_greatest_first(run, eva, queue):
    address, seen = f"{API}disagreements/?queue={queue.pk}&limit=4", []
    while address:
        page = seen_by(eva).get(address).json()
        seen += page["results"]
        address = page["next"]
    assert len({one["cluster"] for one in seen}) == 6
    assert seen[0]["cluster"] == clusters_of(run)[0].label
    assert (seen[0]["kind"], seen[0]["kinds"]) == (1.0, "skill word")
    assert [one["disagreement"] for one in seen] == sorted((one["disagreement"] for one in seen), reverse=True)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400), ("queue=1&run=synthetic&k=6", 400), ("run=synthetic", 400), ("queue=x", 400), ("labels=best", 400),
        ("queue=9999", 404), ("run=nobody&k=6", 404), ("run=synthetic&k=7", 404), (f"queue={10**40}", 400),
        ("run=synthetic&k=6&user__password=x", 400),
    ],
)  # fmt: skip
def test_what_names_no_labels_is_refused(run, eva, query, status):
    for path in (API, f"{API}disagreements/"):
        assert seen_by(eva).get(f"{path}?{query}").status_code == status


@pytest.mark.parametrize("cursor", ["junk", "WzFd0", "Wy0xXQ", "WyJ4Il0"])
def test_a_junk_cursor_is_refused(eva, queue, cursor):
    assert seen_by(eva).get(f"{API}disagreements/?queue={queue.pk}&cursor={cursor}").status_code == 400


def test_labelers_see_it_once_their_part_is_in(run, eva, people):
    queue = queue_of(eva, run, people)
    for path in (API, f"{API}disagreements/"):
        response = seen_by(people[0]).get(f"{path}?queue={queue.pk}")
        assert response.status_code == 404
        assert "6 labels that are asked of you" in response.json()["error"]["message"]
    for cluster in clusters_of(run):
        submit(people[0], cluster)
    assert seen_by(people[0]).get(f"{API}?queue={queue.pk}").status_code == 200
    assert seen_by(None).get(f"{API}?queue={queue.pk}").status_code in (401, 403)

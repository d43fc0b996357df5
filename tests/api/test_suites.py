"""What runs are made of, through the API; only of runs that one may see."""

from __future__ import annotations

import pytest

from tests.api.seeds import bearer, make_key
from tests.factories import NETWORKS, STEPS, UserFactory, make_run

pytestmark = pytest.mark.django_db
N_CHECKPOINTS = len(NETWORKS) + len(STEPS) - 1


def results(client, address: str, **how) -> list[dict]:
    response = client.get(f"/api/v1/{address}", **how)
    assert response.status_code == 200, response.content
    return response.json()["results"]


def test_suites_say_how_much_there_is_of_them(client, tmp_path):
    make_run(tmp_path)
    [found] = results(client, "suites/")
    assert found == {"suite": "synthetic", "n_lms": len(NETWORKS), "n_checkpoints": N_CHECKPOINTS, "n_runs": 1}


def test_suites_come_page_by_page(client, tmp_path):
    run = make_run(tmp_path)
    for i, row in enumerate(run.run_checkpoints.select_related("checkpoint")):
        row.checkpoint.suite = f"suite {i}"
        row.checkpoint.save()
    names, address = [], "/api/v1/suites/?limit=4"
    while address:
        page = client.get(address).json()
        names += [one["suite"] for one in page["results"]]
        address = page["next"]
    assert names == [f"suite {i}" for i in range(N_CHECKPOINTS)]


def test_checkpoints_come_smallest_first_and_by_name(client, tmp_path):
    make_run(tmp_path)
    found = results(client, "checkpoints/?limit=100")
    sizes = [one["n_non_embedding"] for one in found]
    assert len(found) == N_CHECKPOINTS
    assert sizes == sorted(sizes)
    assert {one["lm"] for one in results(client, "checkpoints/?lm=syn-10k&suite=synthetic")} == {"syn-10k"}
    assert results(client, "checkpoints/?revision=step1") == []


def test_a_corpus_says_what_it_holds(client, tmp_path):
    run = make_run(tmp_path)
    [found] = results(client, "corpora/")
    assert (found["sha256"], found["n_predictions"]) == (run.corpus.sha256, run.corpus.n_predictions)


@pytest.mark.parametrize("address", ["suites/", "checkpoints/", "corpora/"])
def test_what_only_a_private_run_is_made_of_is_seen_by_nobody_else(client, tmp_path, address):
    owner = UserFactory()
    make_run(tmp_path, owner=owner, private=True)
    assert results(client, address) == []
    assert results(client, address, headers=bearer(make_key(UserFactory(), "read"))) == []
    assert results(client, address, headers=bearer(make_key(owner, "read")))

"""Runs through the API: the list, one with its provenance, and its checkpoints."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from clusters.models import Run
from clusters.queries.runs import rank_curves
from clusters.views.shown_settings import shown_manifest
from tests.api.seeds import bearer, make_key
from tests.factories import KS, N_SELECTED, NETWORKS, UserFactory, make_run, n_predictions

pytestmark = pytest.mark.django_db
RUNS = "/api/v1/runs/"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def test_the_list_says_what_each_run_is(client, run):
    [found] = client.get(RUNS).json()["results"]
    assert found["run"] == run.slug
    assert found["bundle_sha256"] == run.bundle_sha256
    assert found["ks"] == {"signed": list(KS), "absolute": list(KS)}
    assert (found["n_clustered"], found["n_predictions"]) == (N_SELECTED, n_predictions())
    assert found["mean_loss_nats"] == pytest.approx(
        run.run_checkpoints.get(checkpoint=run.checkpoint_id).mean_loss_nats
    )
    assert (found["is_private"], found["is_archived"], found["damage"]) == (False, False, "")


def test_archived_runs_are_a_list_of_their_own(client, run):
    Run.objects.update(archived_at=timezone.now())
    assert client.get(RUNS).json()["results"] == []
    [found] = client.get(f"{RUNS}?archived=true").json()["results"]
    assert found["is_archived"]


def test_one_run_says_how_it_was_made_and_how_to_cite_it(client, run):
    found = client.get(f"{RUNS}{run.slug}/").json()
    assert {"corpus", "network", "bundle"} <= {fact["name"] for fact in found["provenance"]}
    assert run.bundle_sha256 in found["citation"]
    assert "http://testserver/runs/synthetic/" in found["citation"]
    assert found["affinities"] == ["signed", "absolute"]
    assert found["manifest"]["corpus"]["n_predictions"] == n_predictions()


def test_where_files_lie_on_the_server_is_not_said_to_others(client, tmp_path):
    owner = UserFactory()
    config = {"suite": {"tokenizer": "/srv/secret/tokenizer.json"}, "corpus": {"source": "/srv/secret/text.jsonl"}}
    run = make_run(tmp_path, owner=owner, manifest={"config": config})
    assert "/srv/secret" not in client.get(f"{RUNS}{run.slug}/").content.decode()
    own = client.get(f"{RUNS}{run.slug}/", headers=bearer(make_key(owner, "read")))
    assert "/srv/secret" in own.content.decode()
    assert shown_manifest(AnonymousUser(), run) != run.manifest


def test_somebody_elses_private_run_is_404_at_every_address(client, tmp_path):
    make_run(tmp_path, private=True, owner=UserFactory())
    cluster = "clusterings/signed/6/clusters/0/"
    for part in ("", "checkpoints/", "clusterings/", "rank-frequency/", "clusterings/signed/6/", cluster,
                 *(f"{cluster}{one}/" for one in ("members", "contexts", "curves", "crosswalk"))):  # fmt: skip
        response = client.get(f"{RUNS}synthetic/{part}")
        assert response.status_code == 404, part
        assert "There is no run “synthetic”" in response.json()["error"]["message"]


def test_checkpoints_come_by_size_and_step_with_what_was_measured(client, run):
    found = client.get(f"{RUNS}{run.slug}/checkpoints/?limit=100").json()["results"]
    rows = list(run.run_checkpoints.select_related("checkpoint").order_by("ordinal"))
    assert [(one["lm"], one["revision"]) for one in found] == [
        (row.checkpoint.lm, row.checkpoint.revision) for row in rows
    ]
    assert [one["mean_loss_nats"] for one in found] == [row.mean_loss_nats for row in rows]
    assert [one["n_non_embedding"] for one in found if one["is_final"]] == [size for _, size in NETWORKS]


def test_the_list_costs_as_many_queries_for_one_run_as_for_many(client, run, django_assert_max_num_queries):
    for i in range(5):
        Run.objects.create(
            slug=f"copy{i}", name="copy", bundle_sha256=f"{i:064x}", bundle_path="/nowhere", corpus=run.corpus,
            checkpoint=run.checkpoint, n_tokens=1, manifest={},
        )  # fmt: skip
    with django_assert_max_num_queries(3):
        assert len(client.get(RUNS).json()["results"]) == 6


# ── rank-frequency ──


def test_rank_frequency_has_curves_envelope_and_slope_with_its_window(client, run):
    found = client.get(f"{RUNS}{run.slug}/rank-frequency/").json()
    curves = rank_curves(run)["signed"]
    assert found["envelope"] == curves.envelope
    assert [one["k"] for one in found["curves"]] == list(KS)
    assert [one["sizes"] for one in found["curves"]] == [one.sizes for one in curves.clusterings]
    fit = curves.fit(*curves.window)
    assert found["fit"]["slope"] == pytest.approx(fit.slope)
    assert (found["fit"]["first_rank"], found["fit"]["last_rank"]) == curves.window
    assert found["fit"]["interval"]["low"] < found["fit"]["slope"] < found["fit"]["interval"]["high"]
    assert found["curves"][0]["agreement"] is not None


def test_rank_frequency_answers_the_window_the_affinity_and_the_ks_that_are_asked_for(client, run):
    found = client.get(f"{RUNS}{run.slug}/rank-frequency/?affinity=absolute&first=2&last=5&k=6").json()
    curves = rank_curves(run)["absolute"]
    assert found["fit"]["slope"] == pytest.approx(curves.fit(2, 5).slope)
    assert [one["k"] for one in found["curves"]] == [6]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("first=5&last=2", "lies after the last"),
        ("first=1&last=1000000", "rank"),
        ("k=7", "choose of 3, 6"),
        ("k=3&k=9999999999999999999999", "k"),
        ("affinity=cosine", "cosine"),
        ("first=0", "first"),
    ],
)
def test_a_window_that_cannot_be_fitted_is_refused_with_a_sentence(client, run, query, said):
    response = client.get(f"{RUNS}{run.slug}/rank-frequency/?{query}")
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]


def test_a_run_without_that_affinity_says_which_it_has(client, run):
    run.clusterings.filter(affinity="absolute").delete()
    response = client.get(f"{RUNS}{run.slug}/rank-frequency/?affinity=absolute")
    assert response.status_code == 404
    assert "has no absolute clusterings" in response.json()["error"]["message"]

"""The list of runs and a run's overview: what they say, to whom, and with how few reads."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clusters.models import Cluster, Run
from clusters.queries import runs as queries
from clusters.services.labels import Content, save_label
from compute.models import Job
from tests.factories import NETWORKS, UserFactory, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def page(client, path, status=200, **query):
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode()


# ── the list ──


def test_an_empty_list_says_how_a_run_comes(client):
    html = page(client, "/")
    assert "No run yet" in html
    assert "make demo" in html


def test_the_list_names_each_run_its_network_and_its_ks(client, run):
    html = page(client, "/")
    assert f'href="{run.get_absolute_url()}"' in html
    assert "syn-800k" in html
    assert "3–6" in html


def test_a_private_run_is_in_its_owner_s_list_alone(client, tmp_path):
    owner = UserFactory(username="ada", password="x")
    make_run(tmp_path, owner=owner, private=True, name="secretive")
    assert "secretive" not in page(client, "/")
    assert "secretive" not in page(client, "/runs.json")
    client.force_login(owner)
    html = page(client, "/")
    assert "secretive" in html
    assert "private" in html


def test_archived_runs_stand_behind_a_filter(client, run):
    Run.objects.filter(pk=run.pk).update(archived_at=timezone.now())
    assert run.get_absolute_url() not in page(client, "/")
    assert run.get_absolute_url() in page(client, "/", show="archived")


def test_a_filter_that_does_not_exist_is_refused(client):
    page(client, "/", 400, show="everything")


def test_work_under_way_stands_on_top(client, run):
    Job.objects.create(name="larger", config={}, state="running")
    Job.objects.create(name="done", config={}, state="succeeded")
    html = page(client, "/")
    assert html.index("larger") < html.index(run.get_absolute_url())
    assert "done" not in html


def test_reads_of_the_list_do_not_grow_with_runs(client, tmp_path):
    make_run(tmp_path / "a", seed=1)
    page(client, "/")
    with CaptureQueriesContext(
        connection,
    ) as few:
        page(client, "/")
    for seed in (2, 3, 4):
        make_run(tmp_path / str(seed), seed=seed)
    with CaptureQueriesContext(connection) as many:
        page(client, "/")
    assert len(many) == len(few) <= 15


# ── the overview ──


def test_the_overview_says_what_was_clustered_of_how_many(client, run):
    html = page(client, run.get_absolute_url())
    assert "<dd>40</dd>" in html
    assert "of 40 with loss under 0.1" in html


def test_the_overview_draws_four_figures(client, run):
    html = page(client, run.get_absolute_url())
    for slug in ("mean-loss", "losses", "rank-frequency", "curve-classes"):
        assert f'id="fig-{slug}"' in html


def test_the_overview_takes_few_reads(client, run):
    page(client, run.get_absolute_url())
    with CaptureQueriesContext(connection) as reads:
        page(client, run.get_absolute_url())
    assert len(reads) <= 15
    assert not any("membership" in query["sql"].lower() for query in reads)


def test_k_and_affinity_are_chosen_in_the_address(client, run):
    html = page(client, run.get_absolute_url(), k="3", affinity="absolute")
    assert '<option value="3" selected>' in html
    assert "Largest clusters, k = 3" in html
    assert "/k/3/clusters/?affinity=absolute" in html


@pytest.mark.parametrize("k", ["7", "abc", "-1", "9" * 30])
def test_a_k_that_the_run_has_not_is_answered_with_those_it_has(client, run, k):
    html = page(client, run.get_absolute_url(), 404, k=k)
    assert "It has k = 3, 6" in html


def test_an_affinity_that_does_not_exist_is_refused(client, run):
    page(client, run.get_absolute_url(), 400, affinity="<b>")


def test_an_unknown_run_is_named_and_the_list_offered(client):
    html = page(client, "/runs/nowhere/", 404)
    assert "There is no run “nowhere”" in html
    assert 'href="/">All runs' in html


def test_an_unknown_address_says_so_in_the_look(client):
    html = page(client, "/no/such/page/", 404)
    assert "Nothing is kept at this address" in html
    assert "look.css" in html


def test_a_private_run_is_not_found_by_others(client, tmp_path):
    run = make_run(tmp_path, owner=UserFactory(), private=True)
    for path in (run.get_absolute_url(), f"/runs/{run.slug}.json", f"/runs/{run.slug}/rank-frequency/"):
        page(client, path, 404)


def test_one_size_of_network_gives_sentences_instead_of_figures(client, tmp_path):
    run = make_run(tmp_path, networks=NETWORKS[-1:], curves=False)
    html = page(client, run.get_absolute_url())
    assert "A curve over size needs at least two" in html
    assert "this run scored no curves" in html


def test_a_run_whose_bundle_was_moved_still_has_its_overview(client, tmp_path):
    run = make_run(tmp_path, seed=99)  # nothing of it is remembered yet
    Run.objects.filter(pk=run.pk).update(bundle_path="/nowhere/at/all")
    html = page(client, run.get_absolute_url())
    assert "cannot be read where it lay" in html


def test_answers_are_shown_as_text(client, run):
    html = page(client, run.get_absolute_url(), k="3")
    assert "<script>alert(1)" not in html


def test_the_agreement_of_both_affinities_is_that_of_their_labels(run):
    same = queries.agreement(run, 6)
    assert -1 <= same <= 1
    assert queries.agreement(run, 5) is None


def test_the_default_k_is_the_one_nearest_to_a_hundred(run):
    run.manifest = {"clusterings": [{"affinity": "signed", "k": k} for k in (50, 90, 110, 300)]}
    assert queries.default_k(run) == 90


def test_the_citation_names_the_bundle_whole(client, run):
    assert run.bundle_sha256 in page(client, run.get_absolute_url())


def test_the_page_s_numbers_are_its_twin_s(client, run):
    twin = json.loads(page(client, f"/runs/{run.slug}.json", k="6"))
    html = page(client, run.get_absolute_url(), k="6")
    assert twin["k"] == 6
    assert len(twin["figures"]) == 4
    for figure in twin["figures"]:
        assert figure["title"] in html.replace("&#x27;", "'")
    assert [c["tokens"] for c in twin["largest_clusters"]] == run.clusterings.get(affinity="signed", k=6).sizes[:16]


# ── how a run was compared, and where its network came from ──


def test_the_overview_says_how_gradients_were_compared_and_where_the_weights_came_from(client, run):
    facts = {
        "vectors": "gradients",
        "mode": "sketch",
        "sketch_size": 65536,
        "refine": 30,
        "rms": 0.0039,
        "largest": 0.0237,
    }
    own = run.manifest["clustered"]
    hub = {"id": "someone/net", "revision": "main", "commit": "0123456789abcdef0123456789abcdef01234567"}
    for entry in run.manifest["checkpoints"]:
        if (entry["lm"], entry["revision"]) == (own["lm"], own["revision"]):
            entry["hub"] = hub
    run.manifest["similarity"] = facts
    run.save()
    html = page(client, run.get_absolute_url())
    assert "gradients, by sketches of 65,536 numbers" in html
    assert "cosines within 0.004 (root mean square), 0.024 at most" in html
    assert "the 30 nearest of each exactly" in html
    assert "someone/net at 0123456789ab" in html


def test_an_exact_comparison_is_said_to_be_one(client, run):
    run.manifest["similarity"] = {"vectors": "activations", "mode": "exact"}
    run.save()
    assert "activations, exactly" in page(client, run.get_absolute_url())


def test_the_largest_clusters_go_by_the_names_that_people_gave_them(client, tmp_path) -> None:
    run = make_run(tmp_path)
    cluster = Cluster.objects.filter(clustering__run=run).order_by("rank")[0]
    save_label(UserFactory(is_superuser=True), cluster, Content(name="close the <bracket>"), version=0, submit=True)
    here = client.get(run.get_absolute_url(), {"k": cluster.clustering.k, "affinity": cluster.clustering.affinity})
    assert "close the &lt;bracket&gt;</a>" in here.content.decode()

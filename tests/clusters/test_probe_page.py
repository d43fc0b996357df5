"""The page of probes: who may ask, what is refused, how an answer is shown, and who sees it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from django.contrib.auth.models import Group

from clusters.queries import probe as reads
from compute.jobs import probes
from compute.models import Job, Probe, Shard
from tests.factories import KS, N_SELECTED, VOCABULARY, UserFactory, make_run

pytestmark = pytest.mark.django_db
HERE = "/runs/synthetic/probe/"
IDS = [1, 2, 3, 15, 4, 6, 16, 18, 9, 10, 11]  # hostile ones among them
N = len(IDS) - 1


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(reads, "_is_here", lambda ref: True)
    monkeypatch.setattr(reads, "_has_tokenizer", lambda config: True)
    return make_run(tmp_path)


@pytest.fixture
def ana(django_user_model):
    person = UserFactory(username="ana")
    person.groups.add(Group.objects.get(name="runner"))
    return person


def probe_of(run, user=None, *, state="succeeded", is_private=True, chosen=(3, 5), text="the cat <script>", **facts):
    """A probe as a worker leaves it; token 3 points where clustered token 7 does."""
    job = Job.objects.create(
        kind=probes.KIND, name="probe of synthetic", config=run.manifest["config"], requested_by=user, state=state,
        is_private=is_private, error="The text is too short." if state == "failed" else "",
    )  # fmt: skip
    Shard.objects.create(
        job=job, ordinal=0, phase="probe", phase_number=0, phase_ordinal=0, name="x", n_total=6, n_done=3,
        state=state if state != "stalled" else "running",
    )  # fmt: skip
    rng = np.random.default_rng(1)
    cosines = np.full((len(chosen), N_SELECTED), 0.01, np.float16) + rng.normal(0, 0.01, (len(chosen), N_SELECTED))
    cosines[0, 7] = 1.0
    losses = rng.uniform(0.1, 5, (4, N)).round(5)
    sizes = run.manifest["sizes"]
    told = {
        "token_ids": IDS, "n_tokens_in_text": len(IDS), "networks": sizes, "losses_nats": losses.tolist(),
        "clustered": {"lm": "syn-800k", "revision": "step1000"}, "clustered_losses_nats": losses[-1].tolist(),
        "scores": {name: [0.5] * N for name in
                   ("monogenicity", "n_eff", "amplitude_bits", "linearity", "breakthroughness")} | {"class": [1] * N},
        "skipped": [], "chosen": list(chosen), "norms": [1.0] * len(chosen), "seconds": 1.5,
    } | facts  # fmt: skip
    done = state == "succeeded"
    Probe.objects.create(
        job=job, bundle_path=run.bundle_path, bundle_sha256=run.bundle_sha256, text=text, chosen=list(chosen),
        facts=told if done else None, cosines=cosines.astype(np.float16).tobytes() if done else None,
    )  # fmt: skip
    return job


def page(client, status=200, **query) -> str:
    response = client.get(HERE, query)
    assert response.status_code == status
    return response.content.decode()


# Asking.


def test_a_runner_is_offered_the_form_and_examples(client, run, ana):
    client.force_login(ana)
    html = page(client)
    assert "<textarea" in html
    assert "?example=python" in html
    assert "The answer appears here" in html
    assert "import argparse" in page(client, example="python")


def test_a_guest_is_told_to_sign_in(client, run):
    html = page(client)
    assert "Sign in to ask" in html
    assert "<textarea" not in html


def test_a_person_without_the_role_is_told_so_and_refused(client, run):
    client.force_login(UserFactory())
    assert "Asking takes the runner role" in page(client)
    assert client.post(HERE, {"text": "the cat sat"}).status_code == 403


def test_a_guest_who_posts_is_sent_to_sign_in(client, run):
    assert "/sign-in/" in client.post(HERE, {"text": "the cat sat"})["Location"]


def test_a_text_becomes_a_private_job_with_an_address(client, run, ana):
    client.force_login(ana)
    response = client.post(HERE, {"text": "the cat\r\nsat"})
    job = Job.objects.get()
    assert response["Location"] == f"{HERE}?job={job.pk}"
    assert (job.kind, job.is_private, job.requested_by) == ("probe", True, ana)
    assert job.probe.text == "the cat\nsat"
    assert "the cat" not in json.dumps(job.config) + job.name
    assert [shard.phase for shard in job.shards.all()] == ["probe"]


def test_an_answer_may_be_shared_but_not_of_a_private_run(client, run, ana):
    client.force_login(ana)
    client.post(HERE, {"text": "the cat", "is_shared": "on"})
    run.is_private, run.owner = True, ana
    run.save()
    client.post(HERE, {"text": "the cat", "is_shared": "on"})
    assert list(Job.objects.order_by("pk").values_list("is_private", flat=True)) == [False, True]


def test_chosen_tokens_go_with_the_text(client, run, ana):
    client.force_login(ana)
    response = client.post(HERE, {"text": "the cat", "chosen": "5,3", "at": "5"})
    job = Job.objects.get()
    assert job.probe.chosen == [3, 5]
    assert response["Location"].endswith(f"?job={job.pk}&at=5")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"text": ""}, "Paste a text first"),
        ({"text": " \n "}, "nothing but blank space"),
        ({"text": "x" * 20_001}, "20001 characters long"),
        ({"text": "a\0b"}, "NUL characters"),
        ({"text": "ok then", "chosen": "1,x"}, "named by their positions"),
        ({"text": "ok then", "chosen": "1,2,3,4,5,6,7,8,9"}, "at most 8"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence(client, run, ana, given, said):
    client.force_login(ana)
    response = client.post(HERE, given)
    assert response.status_code == 422
    assert said in response.content.decode()
    assert not Job.objects.exists()


def test_three_texts_may_wait_at_a_time(client, run, ana):
    client.force_login(ana)
    for _ in range(3):
        client.post(HERE, {"text": "the cat"})
    response = client.post(HERE, {"text": "the cat"})
    assert "3 texts of yours wait" in response.content.decode()
    assert Job.objects.count() == 3


def test_a_run_without_sketches_says_why_it_cannot_be_asked(client, tmp_path, ana):
    make_run(tmp_path, manifest={"probe": None})
    client.force_login(ana)
    assert "holds no sketches of gradients" in page(client)


def test_weights_that_are_not_here_are_named(client, tmp_path):
    make_run(tmp_path)  # the made-up networks are nowhere
    assert "The weights of syn-800k/step1000 are not on this server" in page(client)


def test_settings_that_cannot_be_read_are_a_reason(client, tmp_path):
    make_run(tmp_path, manifest={"config": {}})
    assert "is not known here" in page(client)


# While it is worked on.


@pytest.mark.parametrize("state", ["queued", "running", "stalled"])
def test_an_open_probe_asks_for_itself_until_it_is_done(client, run, ana, state):
    client.force_login(ana)
    job = probe_of(run, ana, state=state)
    html = page(client, job=job.pk)
    assert 'hx-trigger="every 1s"' in html
    Job.objects.filter(pk=job.pk).update(state="failed", error="The text is too short.")
    part = client.get(HERE, {"job": job.pk}, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<div id="answer"')
    assert "hx-trigger" not in part
    assert "The text is too short." in part


def test_the_page_of_the_job_leads_to_the_answer(client, run, ana):
    client.force_login(ana)
    job = probe_of(run, ana)
    assert client.get(f"/jobs/{job.pk}/")["Location"] == f"{HERE}?job={job.pk}"
    assert "the cat" not in client.get(f"/jobs/{job.pk}.json").content.decode()
    assert "the cat" not in client.get("/jobs/").content.decode()


# The answer.


def test_tokens_are_shaded_links_and_hostile_ones_harmless(client, run, ana):
    client.force_login(ana)
    html = page(client, job=probe_of(run, ana).pk)
    text = html[html.index('id="text"') : html.index("Choose a token to see")]
    assert len(re.findall(r'<a class="t ', text)) == N
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in html
    assert len(re.findall(r'class="t[^"]* clustered', text)) == 2
    assert text.count('aria-current="true"') == 1


def test_the_nearest_cluster_and_context_are_those_of_the_token_it_points_at(client, run, ana):
    client.force_login(ana)
    payload = client.get(f"{HERE[:-1]}.json", {"job": probe_of(run, ana).pk, "k": 6}).json()
    from clusters.stored.arrays import array_of

    labels = np.array(array_of(run, "clustering/signed/k6"))
    flat = array_of(run, "selection/flat_index")
    assert payload["nearest_tokens"][0]["index"] == flat[7]
    assert payload["nearest_tokens"][0]["cosine"] == pytest.approx(1, abs=1e-3)
    near = {row["label"]: row for row in payload["nearest_clusters"]}[int(labels[7])]
    assert near["highest_cosine"] == pytest.approx(1, abs=1e-3)
    means = [row["mean_cosine"] for row in payload["nearest_clusters"]]
    assert means == sorted(means, reverse=True)


def test_the_finding_compares_with_the_members_among_themselves():
    from clusters.charts.probe import finding

    assert finding(9, 0.42, 0.44).endswith("is 0.42, as much as theirs with each other (0.44).")
    assert "less than theirs with each other (0.44)" in finding(9, 0.04, 0.44)
    assert "more than theirs" in finding(9, 0.9, 0.44)
    assert finding(9, -0.1, None).endswith("is −0.10.")


def test_the_centroid_s_cosine_is_that_of_the_mean_direction(client, run, ana):
    """Against vectors: the mean cosine over the length of the members' mean."""
    from clusters.stored.arrays import array_of

    labels = np.array(array_of(run, "clustering/signed/k3"))
    similarity = np.array(array_of(run, "similarity/signed"), np.float64)
    clustering = run.clusterings.get(affinity="signed", k=3)
    found = reads.nearest_clusters(run, clustering, similarity[7].astype(np.float32), 3)
    for near in found:
        members = labels == near.cluster.label
        length = np.sqrt(similarity[np.ix_(members, members)].mean())
        assert near.centroid == pytest.approx(similarity[7, members].mean() / length, abs=1e-4)


def test_another_token_of_the_text_can_be_looked_at_and_asked_about(client, run, ana):
    client.force_login(ana)
    job = probe_of(run, ana)
    html = page(client, job=job.pk, at=7)
    assert "Its gradient was not computed" in html
    assert '<input type="hidden" name="chosen" value="3,5,7">' in html


def test_losses_can_be_read_in_bits(client, run, ana):
    client.force_login(ana)
    job = probe_of(run, ana)
    mean = np.mean(job.probe.facts["clustered_losses_nats"])
    assert f"{mean:.2f} <small>nats</small>" in page(client, job=job.pk)
    html = page(client, job=job.pk, unit="bits")
    assert f"{mean / np.log(2):.2f} <small>bits</small>" in html
    assert "loss, bits" in html


def test_a_token_without_direction_says_so(client, run, ana):
    client.force_login(ana)
    html = page(client, job=probe_of(run, ana, norms=[0.0, 1.0]).pk, at=3)
    assert "no direction" in html


def test_a_cut_text_and_networks_left_out_are_said(client, run, ana):
    client.force_login(ana)
    skipped = [{"name": "syn-10k/step1000", "why": "its weights are not here"}]
    html = page(client, job=probe_of(run, ana, n_tokens_in_text=999, skipped=skipped).pk)
    assert "the first 11 of 999 were read" in html
    assert "syn-10k/step1000 is left out" in html


def test_numbers_come_as_csv_and_as_a_figure(client, run, ana):
    client.force_login(ana)
    job = probe_of(run, ana)
    rows = client.get(f"{HERE[:-1]}.csv", {"job": job.pk}).getvalue().decode().splitlines()
    assert rows[0].startswith("position,token_id,token,loss_nats syn-10k")
    assert len(rows) == 1 + N
    query = {"job": job.pk, "figure": "loss-over-parameters"}
    assert client.get(f"{HERE[:-1]}.svg", query)["Content-Type"] == "image/svg+xml"
    assert client.get(f"{HERE[:-1]}.json").json()["job"] is None


@pytest.mark.parametrize(
    "query", [{"k": "7"}, {"at": "x"}, {"at": "99"}, {"under": "nobody"}, {"unit": "bytes"}, {"affinity": "no"}]
)
def test_impossible_values_are_400(client, run, ana, query):
    client.force_login(ana)
    page(client, 400, job=probe_of(run, ana).pk, **query)


@pytest.mark.parametrize("number", ["0", "999", "x", "9" * 30])
def test_an_unknown_probe_is_404(client, run, ana, number):
    client.force_login(ana)
    assert "There is no probe" in page(client, 404, job=number)


def test_a_job_that_is_no_probe_is_404(client, run, ana):
    client.force_login(ana)
    page(client, 404, job=Job.objects.create(name="demo", config={}).pk)


def test_others_see_an_answer_only_where_it_is_shared(client, run, ana):
    own, shared = probe_of(run, ana), probe_of(run, ana, is_private=False)
    page(client, 404, job=own.pk)
    html = page(client, job=shared.pk)
    assert "What the networks make of it" in html
    assert "Delete" not in html


def test_queries_do_not_grow_with_the_text(client, run, ana, django_assert_max_num_queries):
    client.force_login(ana)
    job = probe_of(run, ana)
    with django_assert_max_num_queries(15):
        page(client, job=job.pk, k=KS[0], under="syn-40k", unit="bits", affinity="absolute")


def test_every_token_of_the_vocabulary_is_shown(client, run, ana):
    client.force_login(ana)
    ids = list(range(len(VOCABULARY)))
    n = len(ids) - 1
    facts = {"token_ids": ids, "losses_nats": [[0.5] * n] * 4, "clustered_losses_nats": [0.5] * n, "scores": None}
    assert "too few for scores" in page(client, job=probe_of(run, ana, **facts).pk)


# Deleting.


def test_whoever_asked_can_delete_text_and_answer(client, run, ana):
    client.force_login(ana)
    job = probe_of(run, ana)
    assert f"{HERE}{job.pk}/delete/" in page(client)
    assert client.post(f"{HERE}{job.pk}/delete/").status_code == 302
    assert not Probe.objects.exists()
    assert not Job.objects.exists()


def test_nobody_else_can(client, run, ana):
    job = probe_of(run, ana, is_private=False)
    assert client.get(f"{HERE}{job.pk}/delete/").status_code == 405
    assert client.post(f"{HERE}{job.pk}/delete/").status_code == 302  # to sign in
    client.force_login(UserFactory())
    assert client.post(f"{HERE}{job.pk}/delete/").status_code == 403
    assert Probe.objects.exists()


def test_probes_go_with_their_run(client, run, ana):
    from clusters.services.runs import delete_run

    run.owner = ana
    run.save()
    probe_of(run, ana)
    delete_run(ana, run)
    assert not Job.objects.exists()

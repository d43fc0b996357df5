"""Suggested labels on pages: beside a cluster's label, for a whole clustering, and what a language model was asked."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from clusters.models import Label, LabelSuggestion, MachineAnswer
from clusters.queries.labels import names_of
from clusters.services.labels import Content, save_label
from compute.models import Job
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
HERE = "/runs/synthetic/k/3/clusters/0/"
ACT, LIST = f"{HERE}suggestions/", "/runs/synthetic/suggestions/"
ARRAYS = {
    "clustering/signed/k3": np.repeat([0, 1, 2], [20, 12, 8]).astype(np.int32),
    "clustering/signed/k6": np.repeat(np.arange(6), [10, 10, 6, 6, 4, 4]).astype(np.int32),
}


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path, arrays=ARRAYS)


def person(name, *roles):
    made = UserFactory(username=name)
    made.groups.set(Group.objects.filter(name__in=roles))
    return made


@pytest.fixture
def ana():
    return person("ana", "labeler")


@pytest.fixture
def source(run):
    ben = person("ben", "labeler")
    cluster = run.clusterings.get(affinity="signed", k=6).clusters.get(label=1)
    return save_label(ben, cluster, Content(name="Header <field> names"), version=0, submit=True)


def machine_label(run, **score):
    cluster = run.clusterings.get(affinity="signed", k=3).clusters.get(label=0)
    label = Label.objects.create(cluster=cluster, origin="machine", author_name="fake-8b", state="submitted",
                                 name="<i>dashes</i>", description="rule", updated_at=timezone.now())  # fmt: skip
    prompt = [{"role": "user", "content": "<script>alert(1)</script>"}]
    MachineAnswer.objects.create(label=label, lm="fake-8b", prompt=prompt, answer="<b>{}</b>", score=score)
    return label


def see(client, path, user=None, **query):
    if user is not None:
        client.force_login(user)
    response = client.get(path, query)
    assert response.status_code == 200
    return response.content.decode()


def post(client, path, **sent):
    return client.post(path, sent, follow=True).content.decode()


# The panel.


def test_the_panel_says_where_a_label_is_from_and_how_alike_the_clusters_are(client, run, ana, source):
    html = see(client, HERE, ana)
    assert "Suggested labels" in html
    assert re.search(r'Suggested from <a href="/runs/synthetic/k/6/clusters/1/">k = 6, cluster 1</a>, J 0.50', html)
    assert "Header &lt;field&gt; names" in html
    assert "shares 10 of 20 tokens here, of 10 there" in html
    assert "Use this" in html


def test_use_this_makes_a_draft_that_names_its_source(client, run, ana, source):
    client.force_login(ana)
    html = post(client, ACT, action="accept", affinity="signed", source=source.pk, version=1)
    assert "is your draft for cluster 0 now" in html
    assert 'value="Header &lt;field&gt; names"' in html
    assert "Suggested labels" not in html
    mine = Label.objects.get(author=ana)
    assert (mine.state, mine.revisions.get().source["label"]) == ("draft", source.pk)


def test_dismiss_hides_it(client, run, ana, source):
    client.force_login(ana)
    html = post(client, ACT, action="dismiss", affinity="signed", source=source.pk)
    assert "Dismissed" in html
    assert "Suggested labels" not in html
    assert LabelSuggestion.objects.get().decision == "dismissed"


def test_my_own_words_stay_when_i_have_begun_elsewhere(client, run, ana, source):
    client.force_login(ana)
    cluster = run.clusterings.get(affinity="signed", k=3).clusters.get(label=0)
    save_label(ana, cluster, Content(name="my own"), version=0)
    html = post(client, ACT, action="accept", affinity="signed", source=source.pk, version=1)
    assert "Nothing of it was overwritten" in html
    assert Label.objects.get(author=ana).name == "my own"


@pytest.mark.parametrize("roles", [None, ()])
def test_readers_are_offered_nothing(client, run, source, roles):
    html = see(client, HERE, person("reader") if roles is not None else None)
    assert "Suggested labels" not in html


@pytest.mark.parametrize(
    ("sent", "status"),
    [({"action": "copy"}, 400), ({"action": "accept", "source": "x"}, 400), ({"action": "accept", "source": "0"}, 404),
     ({"action": "accept", "source": "9" * 18}, 404), ({}, 400), ({"action": "ask", "affinity": "x"}, 400)],
)  # fmt: skip
def test_impossible_decisions(client, run, ana, sent, status):
    client.force_login(ana)
    assert client.post(ACT, sent).status_code == status


def test_deciding_is_for_those_who_sign_in_and_never_by_a_link(client, run, source):
    assert "/sign-in/" in client.post(ACT, {"action": "accept", "source": source.pk})["Location"]
    assert client.get(ACT).status_code == 405


def test_afterwards_people_are_sent_to_pages_of_this_site_alone(client, run, ana, source):
    client.force_login(ana)
    sent = {"action": "dismiss", "source": source.pk}
    assert client.post(ACT, sent | {"next": f"{LIST}?k=3"})["Location"] == f"{LIST}?k=3"
    for there in ("//evil.example/", "https://evil.example/", "javascript:alert(1)"):
        assert client.post(ACT, sent | {"next": there})["Location"].startswith(HERE)


def test_the_panel_costs_two_queries_for_labelers(run, ana, source, django_assert_max_num_queries, rf):
    from clusters.queries.access import may_label
    from clusters.queries.cluster_labels import labels_of_cluster
    from clusters.views.suggestions import suggestion_panel

    cluster = run.clusterings.get(affinity="signed", k=3).clusters.get(label=0)
    assert cluster.clustering.run.pk == run.pk
    request = rf.get(HERE)
    request.user = ana
    assert may_label(ana)  # asked by other parts of the page, too
    labels = labels_of_cluster(ana, cluster)
    with django_assert_max_num_queries(2):
        assert suggestion_panel(request, cluster, labels)["suggestion_list"]


# A machine's.


def test_a_machine_s_label_is_marked_as_one_for_everybody_and_names_nothing(client, run, ana):
    label = machine_label(run, n_right=14, n_asked=16, low=0.64, high=0.96)
    html = see(client, HERE)
    assert "a language model’s words" in html
    assert "told 14 of 16 held-out contexts right (64% to 96%; guessing half)" in html
    assert "&lt;i&gt;dashes&lt;/i&gt;" in html
    assert "Use this" not in html
    assert names_of(ana, [label.cluster_id]) == {}
    assert "Use this" in see(client, HERE, ana)


def test_its_prompt_and_answer_can_be_read_and_run_nothing(client, run):
    label = machine_label(run)
    html = see(client, f"/suggestions/{label.pk}/")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&lt;b&gt;{}&lt;/b&gt;" in html
    assert "too few members" in html


@pytest.mark.parametrize("number", [0, 10**40])
def test_what_is_no_machine_s_label_is_not_there(client, run, source, number):
    assert client.get(f"/suggestions/{number}/").status_code == 404
    assert client.get(f"/suggestions/{source.pk}/").status_code == 404


def test_a_machine_s_label_is_as_private_as_its_run(client, run, ana):
    label = machine_label(run)
    run.is_private = True
    run.save()
    client.force_login(ana)
    assert client.get(f"/suggestions/{label.pk}/").status_code == 404


def test_the_button_names_the_host_that_gets_the_text_and_never_the_key(client, run, ana, settings):
    settings.SUGGEST_URL, settings.SUGGEST_MODEL = "https://user:pw@lm.example.org/v1", "big"
    settings.SUGGEST_KEY = "sk-secret"
    html = see(client, HERE, ana)
    assert "Ask big at lm.example.org" in html
    assert "text of this corpus, to <b>lm.example.org</b>" in html
    assert "sk-secret" not in html
    assert "pw@" not in html
    html = post(client, ACT, action="ask", affinity="signed")
    job = Job.objects.get(kind="suggest")
    assert f"/jobs/{job.pk}" in html
    assert "QDG run" not in html
    assert "sk-secret" not in html + client.get(f"/jobs/{job.pk}.json").content.decode()


def test_without_an_endpoint_nothing_is_offered(client, run, ana, settings):
    settings.SUGGEST_URL = ""
    assert "Ask " not in see(client, HERE, ana).split("Suggested labels")[-1].split("</section>")[0][:200]
    assert "QW_SUGGEST_URL" in post(client, ACT, action="ask", affinity="signed")
    assert not Job.objects.exists()


def test_a_private_run_s_reader_is_told_who_may_ask(client, run, ana, settings):
    settings.SUGGEST_URL, settings.SUGGEST_MODEL = "https://lm.example.org/v1", "big"
    run.is_private, run.owner = True, person("owner")
    run.save()
    run.readers.add(ana)
    assert "only its owner can send its text to lm.example.org" in see(client, HERE, ana)
    assert client.post(ACT, {"action": "ask", "affinity": "signed"}).status_code == 403


def test_adjudicators_ask_about_several(client, run, settings):
    settings.SUGGEST_URL, settings.SUGGEST_MODEL = "https://lm.example.org/v1", "big"
    client.force_login(person("carla", "adjudicator"))
    assert "Ask big at lm.example.org" in see(client, LIST, k=3)
    client.post(f"{LIST}ask/", {"k": "3", "affinity": "signed", "n": "2"})
    assert Job.objects.get().config["clusters"] == [0, 1]
    for n in ("0", "51", "x", ""):
        assert client.post(f"{LIST}ask/", {"k": "3", "affinity": "signed", "n": n}).status_code == 400
    client.force_login(person("lab", "labeler"))
    assert "Ask big" not in see(client, LIST, k=3)
    assert client.post(f"{LIST}ask/", {"k": "3", "affinity": "signed", "n": "2"}).status_code == 403


# A whole clustering.


def test_a_whole_clustering_s_are_listed_with_twins(client, run, ana, source):
    html = see(client, LIST, ana, k=3)
    assert "1 cluster could take a label from elsewhere" in html
    told = client.get("/runs/synthetic/suggestions.json", {"k": 3}).json()["suggestions"]
    assert [(row["cluster"], row["name"], row["jaccard"], row["from_k"], row["from_cluster"]) for row in told] == [
        (0, "Header <field> names", 0.5, 6, 1)
    ]  # fmt: skip
    answer = client.get("/runs/synthetic/suggestions.csv", {"k": 3}).getvalue().decode()
    assert next(csv.DictReader(io.StringIO(answer)))["label"] == str(source.pk)


def test_they_are_taken_one_by_one_and_the_list_goes_on(client, run, ana, source):
    client.force_login(ana)
    html = post(client, ACT, action="accept", affinity="signed", source=source.pk, version=1, next=f"{LIST}?k=3")
    assert "is your draft" in html
    assert "No labels to carry over" in html


def test_a_long_list_goes_on_where_it_ended(client, run, ana, monkeypatch):
    monkeypatch.setattr("clusters.views.suggestions.A_PAGE", 2)
    ben = person("ben", "labeler")
    for cluster in run.clusterings.get(affinity="signed", k=6).clusters.all():
        save_label(ben, cluster, Content(name=f"rule {cluster.label}"), version=0, submit=True)
    client.force_login(ana)
    found, path = [], f"{LIST}?k=3"
    while path:
        html = see(client, path)
        found += re.findall(r'<span class="name">(rule \d)</span>', html)
        more = re.search(r'rel="next" href="([^"]+)"', html)
        path = more[1].replace("&amp;", "&") if more else ""
    assert sorted(found) == [f"rule {i}" for i in range(6)]


@pytest.mark.parametrize("after", ["x", "2.000000000-1-1", "0.5-1-1", "1" * 90])
def test_junk_places_are_refused(client, run, ana, after):
    client.force_login(ana)
    assert client.get(LIST, {"k": 3, "after": after}).status_code == 400


def test_the_list_takes_no_more_queries_for_more_labels(client, run, ana, source, django_assert_max_num_queries):
    client.force_login(ana)
    with django_assert_max_num_queries(15):
        see(client, LIST, k=3)
    ben = person("carl", "labeler")
    for cluster in run.clusterings.get(affinity="signed", k=6).clusters.all():
        save_label(ben, cluster, Content(name=f"rule {cluster.label}"), version=0, submit=True)
    with django_assert_max_num_queries(15):
        see(client, LIST, k=3)


@pytest.mark.parametrize("roles", [None, (), ("labeler",)])
def test_the_list_says_why_it_is_empty(run, roles):
    client = Client()
    html = see(client, LIST, person("p", *roles) if roles is not None else None)
    expected = {None: "Sign in to see", (): "takes the labeler role", ("labeler",): "Nothing is offered"}[roles]
    assert expected in html
    assert client.get("/runs/synthetic/suggestions.json").json()["suggestions"] == []

"""Labels by a language model: who may ask, what is sent, what is kept, and what happens when the answer is nonsense."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError

from clusters.models import AuditEvent, Cluster, Label, MachineAnswer, Tag
from clusters.queries.clusters import flat_indices
from clusters.queries.labels import names_of
from clusters.queries.suggestions import without_machine
from clusters.services import machine_job
from clusters.services import suggestions as services
from clusters.services.machine_chat import EndpointError
from clusters.services.machine_prompt import AnswerError
from compute.jobs import run as job_run
from compute.models import Job, LogLine
from tests.factories import UserFactory, make_run
from tests.fake_chat import fake_chat, raw, said

pytestmark = pytest.mark.django_db
KEY = "sk-very-secret"
NAMED = said('{"name": "Dashes <b>", "description": "A line of dashes.", "tags": ["numeric", "made-up"]}')
SIZES = np.repeat([0, 1, 2], [30, 7, 3]).astype(np.int32)


def no_report(n_done, n_total):
    pass


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path, arrays={"clustering/signed/k3": SIZES})


@pytest.fixture
def clustering(run):
    found = run.clusterings.get(affinity="signed", k=3)
    found.run = run
    return found


def person(name, *roles):
    made = UserFactory(username=name)
    made.groups.set(Group.objects.filter(name__in=roles))
    return made


@pytest.fixture
def ana():
    return person("ana", "labeler")


@pytest.fixture
def model(settings):
    """A server whose model answers in turn; the last answer again and again."""
    with fake_chat(NAMED) as server:
        settings.SUGGEST_URL, settings.SUGGEST_MODEL, settings.SUGGEST_KEY = server.url, "fake-8b", KEY
        yield server


def big(clustering):
    return clustering.clusters.get(label=0)


def truth(clustering, right=True):
    chosen = machine_job.chosen_contexts(clustering, big(clustering))
    return said(json.dumps({"fits": [i + 1 for i, one in enumerate(chosen.belongs) if one == right]}))


# Who may ask.


def test_it_is_off_unless_an_address_is_set(clustering, ana, settings):
    settings.SUGGEST_URL = ""
    assert machine_job.endpoint() == ""
    with pytest.raises(ValidationError, match="QW_SUGGEST_URL"):
        machine_job.start(ana, clustering, [big(clustering)])
    assert not Job.objects.exists()


def test_readers_may_not_ask(clustering, model):
    with pytest.raises(PermissionDenied, match="labelers"):
        machine_job.start(person("reader"), clustering, [big(clustering)])


def test_several_clusters_take_an_adjudicator(clustering, model, ana):
    clusters = list(clustering.clusters.all())
    with pytest.raises(PermissionDenied, match="adjudicators"):
        machine_job.start(ana, clustering, clusters)
    job = machine_job.start(person("carla", "adjudicator"), clustering, clusters)
    assert job.config["clusters"] == [cluster.label for cluster in clusters]


def test_text_of_a_private_run_is_sent_for_its_owner_alone(run, clustering, model, ana):
    run.is_private, run.owner = True, person("owner", "labeler")
    run.save()
    run.readers.add(ana)
    with pytest.raises(PermissionDenied, match="only its owner"):
        machine_job.start(ana, clustering, [big(clustering)])
    with pytest.raises(PermissionDenied, match="only its owner"):
        machine_job.start(UserFactory(username="root", is_superuser=True), clustering, [big(clustering)])
    assert machine_job.start(run.owner, clustering, [big(clustering)]).is_private


def test_a_run_that_was_made_private_meanwhile_is_not_sent(run, clustering, model, ana):
    job = machine_job.start(ana, clustering, [big(clustering)])
    run.is_private = True
    run.save()
    with pytest.raises(machine_job.NotAllowedError, match="made private meanwhile"):
        machine_job.work(job, no_report)
    assert not model.asked


def test_another_endpoint_than_the_one_agreed_to_gets_nothing(clustering, model, ana, settings):
    job = machine_job.start(ana, clustering, [big(clustering)])
    with fake_chat(NAMED) as other:
        settings.SUGGEST_URL = other.url
        with pytest.raises(machine_job.NotAllowedError, match="Ask again"):
            machine_job.work(job, no_report)
        assert not other.asked


def test_three_questions_at_a_time(clustering, model, ana):
    for _ in range(3):
        machine_job.start(ana, clustering, [big(clustering)])
    with pytest.raises(ValidationError, match="wait for an answer"):
        machine_job.start(ana, clustering, [big(clustering)])


# What is sent and kept.


def test_held_out_members_are_none_of_those_that_the_rule_is_made_of(clustering):
    chosen = machine_job.chosen_contexts(clustering, big(clustering))
    flat = flat_indices(clustering.run)
    own = set(flat[SIZES == 0].tolist())
    assert chosen == machine_job.chosen_contexts(clustering, big(clustering))
    assert len(chosen.shown) == 20
    assert len(chosen.asked) == 16
    assert sum(chosen.belongs) == 8
    assert [token in own for token in chosen.asked] == chosen.belongs
    assert not set(chosen.shown) & set(chosen.asked)
    assert set(chosen.shown) <= own


@pytest.mark.parametrize(("label", "n_shown", "n_asked"), [(1, 5, 4), (2, 2, 2)])
def test_small_clusters_hold_fewer_out(clustering, label, n_shown, n_asked):
    chosen = machine_job.chosen_contexts(clustering, clustering.clusters.get(label=label))
    assert (len(chosen.shown), len(chosen.asked)) == (n_shown, n_asked)


def test_prompt_answer_and_score_are_kept_with_a_label_that_is_the_machine_s(clustering, model, ana):
    model.answers.append(truth(clustering))
    job = machine_job.start(ana, clustering, [big(clustering)])
    machine_job.work(job, no_report)
    label = Label.objects.get()
    assert (label.origin, label.author, label.author_name, label.state) == ("machine", None, "fake-8b", "submitted")
    assert (label.name, label.description) == ("Dashes <b>", "A line of dashes.")
    assert [tag.slug for tag in label.tags.all()] == ["numeric"]
    assert label.revisions.get().action == "suggest"
    kept = label.machine_answer
    assert (kept.lm, kept.job, kept.prompt) == ("fake-8b", job, model.asked[0].body["messages"])
    assert "A line of dashes" in kept.answer
    assert (kept.score["n_right"], kept.score["n_asked"], kept.score["high"]) == (16, 16, 1.0)
    assert kept.score["prompt"] == model.asked[1].body["messages"]
    assert model.asked[0].body["messages"][1]["content"].count("<<<CONTEXT") == 20
    assert AuditEvent.objects.filter(action="label.suggest", actor=ana).exists()
    job.refresh_from_db()
    assert job.result == {"n_labels": 1, "failed": {}}


def test_a_rule_that_foretells_nothing_scores_nothing(clustering, model, ana):
    model.answers.append(truth(clustering, right=False))
    machine_job.work(machine_job.start(ana, clustering, [big(clustering)]), no_report)
    assert MachineAnswer.objects.get().score["n_right"] == 0


def test_it_never_names_a_cluster(clustering, model, ana):
    model.answers.append(truth(clustering))
    machine_job.work(machine_job.start(ana, clustering, [big(clustering)]), no_report)
    assert names_of(ana, [big(clustering).pk]) == {}


def test_doing_it_twice_asks_nothing_twice(clustering, model, ana):
    model.answers.append(truth(clustering))
    job = machine_job.start(ana, clustering, [big(clustering)])
    machine_job.work(job, no_report)
    machine_job.work(job, no_report)
    assert Label.objects.count() == 1
    assert len(model.asked) == 2


def test_somebody_takes_its_words_as_theirs(clustering, model, ana):
    model.answers.append(truth(clustering))
    machine_job.work(machine_job.start(ana, clustering, [big(clustering)]), no_report)
    source = Label.objects.get()
    services.accept(ana, big(clustering), source.pk, version=1)
    mine = Label.objects.get(author=ana)
    assert (mine.origin, mine.state, mine.name) == ("person", "draft", "Dashes <b>")
    assert mine.revisions.get().source == {"label": source.pk, "version": 1, "machine": "fake-8b"}
    assert Label.objects.get(pk=source.pk).origin == "machine"


def test_a_machine_s_label_is_offered_for_its_own_cluster_alone(clustering, model, ana):
    model.answers.append(truth(clustering))
    machine_job.work(machine_job.start(ana, clustering, [big(clustering)]), no_report)
    other = Cluster.objects.exclude(pk=big(clustering).pk).first()
    with pytest.raises(Exception, match="no such suggestion"):
        services.accept(ana, other, Label.objects.get().pk)


# Nonsense.


@pytest.mark.parametrize("answer", [said("I cannot help with that."), said("<html>"), said('{"name": 7}')])
def test_an_unusable_answer_fails_the_job_in_a_sentence(clustering, model, ana, answer):
    model.answers[:] = [answer]
    job = machine_job.start(ana, clustering, [big(clustering)])
    with pytest.raises(AnswerError, match="No usable answer came"):
        machine_job.work(job, no_report)
    assert not Label.objects.exists()


def test_one_unusable_answer_of_several_is_left_out_and_told(clustering, model):
    carla = person("carla", "adjudicator")
    model.answers[:] = [said("what?"), NAMED, said('{"fits": []}'), NAMED, said("hm")]
    job = machine_job.start(carla, clustering, list(clustering.clusters.order_by("label")))
    machine_job.work(job, no_report)
    job.refresh_from_db()
    assert (job.result["n_labels"], list(job.result["failed"])) == (2, ["0"])
    assert LogLine.objects.filter(job=job, level="warning", message__contains="cluster 0").exists()
    scores = {one.label.cluster.label: one.score for one in MachineAnswer.objects.all()}
    assert scores[1]["n_right"] == 2  # half of four: nothing was said to fit
    assert "holds no JSON object" in scores[2]["error"]


def test_an_endpoint_that_fails_ends_the_job_and_keeps_what_is_done(clustering, model, monkeypatch):
    monkeypatch.setattr("clusters.services.machine_job.time.sleep", lambda seconds: None)
    model.answers[:] = [NAMED, said('{"fits": [1]}'), raw(b"", 500)]
    job = machine_job.start(person("carla", "adjudicator"), clustering, list(clustering.clusters.order_by("label")))
    with pytest.raises(EndpointError, match=r"fails \(500\)"):
        machine_job.work(job, no_report)
    assert [label.cluster.label for label in Label.objects.all()] == [0]
    model.answers[:] = [NAMED]
    machine_job.work(job, no_report)
    assert sorted(label.cluster.label for label in Label.objects.all()) == [0, 1, 2]


def test_those_that_were_named_are_not_asked_about_with_many(clustering, model, ana):
    model.answers.append(truth(clustering))
    machine_job.work(machine_job.start(ana, clustering, [big(clustering)]), no_report)
    assert [cluster.label for cluster in without_machine(clustering, 2)] == [1, 2]


@pytest.mark.parametrize("text", ["key", "context"])
def test_neither_key_nor_text_stands_in_job_log_or_page(clustering, model, ana, text, client, caplog):
    model.answers.append(truth(clustering))
    job = machine_job.start(ana, clustering, [big(clustering)])
    machine_job.work(job, no_report)
    job.refresh_from_db()
    secret = KEY if text == "key" else "⟦"
    client.force_login(ana)
    page = client.get(f"/jobs/{job.pk}/").content.decode() + client.get(f"/jobs/{job.pk}.json").content.decode()
    lines = [*LogLine.objects.values_list("message", flat=True), caplog.text, json.dumps(job.config), page]
    assert not any(secret in line for line in lines)
    if text == "key":
        assert KEY not in client.get(f"/suggestions/{Label.objects.get().pk}/").content.decode()


def test_tags_offered_are_those_in_use(clustering, model, ana):
    from django.utils import timezone

    Tag.objects.filter(slug="numeric").update(retired_at=timezone.now())
    model.answers.append(truth(clustering))
    machine_job.work(machine_job.start(ana, clustering, [big(clustering)]), no_report)
    assert not Label.objects.get().tags.exists()
    assert not re.search(r"\bnumeric\b", model.asked[0].body["messages"][1]["content"].rsplit("tags that fit", 1)[1])


@pytest.mark.django_db(transaction=True)
def test_a_worker_does_it(clustering, model, ana):
    model.answers.append(truth(clustering))
    job = machine_job.start(ana, clustering, [big(clustering)])
    assert job_run.run_job(job.pk) is job_run.Outcome.DONE
    job.refresh_from_db()
    assert (job.state, job.error) == ("succeeded", "")
    assert Label.objects.get().origin == "machine"

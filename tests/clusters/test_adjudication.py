"""What waits for a decision, labels side by side, and what is agreed on."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied

from clusters.models import Label, LabelRevision
from clusters.queries import adjudication as reads
from clusters.services.adjudication import agree_on, agree_with
from clusters.services.labels import ConflictError, Content, withdraw_label
from clusters.services.queues import close_queue
from tests.factories import make_run
from tests.labeling import adjudicator, clusters_of, labelers, queue_of, seen_by, submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def eva():
    return adjudicator()


@pytest.fixture
def people():
    return labelers("ana", "ben", "carla")


def waiting(user, queue=None):
    return [one.cluster for one in reads.to_adjudicate(user, queue)]


def test_a_cluster_waits_once_every_label_is_in(run, eva, people):
    queue, cluster = queue_of(eva, run, people, labels_each=3), clusters_of(run)[0]
    for user in people[:2]:
        submit(user, cluster)
        assert waiting(eva, queue) == waiting(eva) == []
    submit(people[2], cluster)
    assert waiting(eva, queue) == waiting(eva) == [cluster]


def test_it_waits_no_more_once_agreed(run, eva, people):
    queue, cluster = queue_of(eva, run, people, labels_each=3), clusters_of(run)[0]
    labels = [submit(user, cluster) for user in people]
    agree_with(eva, cluster, labels[0], version=0)
    assert waiting(eva, queue) == waiting(eva) == []


def test_a_closed_queue_waits_for_nobody(run, eva, people):
    queue, cluster = queue_of(eva, run, people, labels_each=3), clusters_of(run)[0]
    submit(people[0], cluster)
    close_queue(eva, queue)
    assert waiting(eva, queue) == [cluster]


def test_what_two_people_labeled_outside_a_queue_waits_too(run, eva, people):
    first, second = clusters_of(run)[:2]
    for user in people[:2]:
        submit(user, first)
    submit(people[0], second)
    assert waiting(eva) == [first]


def test_those_that_people_disagree_on_most_come_first(run, eva, people):
    alike, unlike, half = clusters_of(run)[:3]
    for user, kind in zip(people, ("skill", "word", "mixture"), strict=True):
        submit(user, alike, "The same rule", tags=("lexical",))
        submit(
            user, unlike, f"{user.username}s", kind=kind, tags=(("lexical", "numeric", "factual")[people.index(user)],)
        )
        submit(user, half, "The same rule", kind="skill" if kind == "word" else "word", tags=("lexical",))
    found = reads.to_adjudicate(eva)
    assert [one.cluster for one in found] == [unlike, half, alike]
    assert [one.score for one in found] == [1.0, pytest.approx(2 / 9), 0.0]


def test_an_adjudicator_who_is_still_asked_does_not_see_it(run, eva, people):
    cluster = clusters_of(run)[0]
    labels = [submit(user, cluster, "Hidden words") for user in people]
    queue_of(eva, run, [eva], labels_each=1)
    assert waiting(eva) == []
    response = seen_by(eva).get(f"/labeling/adjudicate/{cluster.pk}/")
    assert response.status_code == 404
    assert "Hidden words" not in response.content.decode()
    assert labels


def test_labels_stand_side_by_side(run, eva, people):
    cluster = clusters_of(run)[0]
    submit(people[0], cluster, "Quote after a comma", description="A quote that follows a comma", tags=("lexical",))
    submit(people[1], cluster, "Comma <i>quote</i>", description="A quote that ends a line", kind="word", confidence=3)
    text = seen_by(eva).get(f"/labeling/adjudicate/{cluster.pk}/").content.decode()
    for words in ("Quote after a comma", "Comma &lt;i&gt;quote&lt;/i&gt;", "<mark>ends </mark>", "one word", "sure"):
        assert words in text
    assert text.count("Take as it is") == 2


def test_one_label_is_taken_as_it_is(run, eva, people):
    cluster = clusters_of(run)[0]
    member = cluster.memberships.first().token.flat_index
    mine = submit(people[0], cluster, "Mine", description="Words", tags=("lexical", "numeric"), misfits=(member,))
    submit(people[1], cluster, "Other")
    response = seen_by(eva).post(f"/labeling/adjudicate/{cluster.pk}/", {"take": str(mine.pk), "version": "0"})
    assert response.status_code == 302
    agreed = Label.objects.get(origin="agreed")
    assert (agreed.content, agreed.state, agreed.author) == (mine.content, "submitted", eva)
    source = LabelRevision.objects.get(label=agreed).source
    assert source == {"label": mine.pk, "version": mine.version, "author": "ana"}


def test_an_edited_label_is_agreed_on(run, eva, people):
    cluster = clusters_of(run)[0]
    for user in people:
        submit(user, cluster)
    sent = {"name": "Better", "description": "New words", "kind": "word", "confidence": "2", "tags": ["numeric"],
            "misfits": "", "version": "0"}  # fmt: skip
    response = seen_by(eva).post(f"/labeling/adjudicate/{cluster.pk}/", sent)
    assert response["Location"] == "/labeling/adjudicate/next/"
    agreed = Label.objects.get(origin="agreed")
    assert (agreed.name, agreed.kind, agreed.confidence, agreed.content["tags"]) == ("Better", "word", 2, ["numeric"])


def test_the_page_of_what_is_agreed_says_how_many_say_so(run, eva, people):
    cluster = clusters_of(run)[0]
    labels = [submit(user, cluster, kind=kind) for user, kind in zip(people, ("skill", "skill", "word"), strict=True)]
    agree_with(eva, cluster, labels[0], version=0)
    text = seen_by(eva).get(f"/labeling/adjudicate/{cluster.pk}/").content.decode()
    assert "agreed, 2 of 3 say skill" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "", "kind": ""}, "Give the rule a name"),
        ({"misfits": "x1"}, "Not a flat index: x1"),
        ({"misfits": "999999999"}, "Not members of this cluster"),
        ({"kind": "nonsense"}, "Select a valid choice"),
        ({"version": "x"}, "Write a whole number in digits"),
    ],
)
def test_what_cannot_be_agreed_on_is_refused_and_stays_in_the_form(run, eva, people, changes, said):
    cluster = clusters_of(run)[0]
    submit(people[0], cluster)
    sent = {"name": "Typed", "description": "Typed words", "kind": "skill", "version": "0", "misfits": ""} | changes
    response = seen_by(eva).post(f"/labeling/adjudicate/{cluster.pk}/", sent)
    assert response.status_code == 422
    assert said in response.content.decode()
    assert "Typed words" in response.content.decode()
    assert not Label.objects.filter(origin="agreed").exists()


def test_two_adjudicators_at_once_lose_no_word(run, eva, people):
    cluster, dora = clusters_of(run)[0], adjudicator("dora")
    submit(people[0], cluster)
    agree_on(dora, cluster, Content(name="Doras words", kind="skill"), version=0)
    sent = {"name": "Evas words", "kind": "skill", "version": "0", "misfits": ""}
    response = seen_by(eva).post(f"/labeling/adjudicate/{cluster.pk}/", sent)
    text = response.content.decode()
    assert response.status_code == 409
    assert "Doras words" in text
    assert "Evas words" in text
    assert Label.objects.get(origin="agreed").name == "Doras words"
    again = seen_by(eva).post(f"/labeling/adjudicate/{cluster.pk}/", sent | {"version": "1"})
    assert again.status_code == 302
    assert [one.content["name"] for one in Label.objects.get(origin="agreed").revisions.all()] == [
        "Evas words",
        "Doras words",
    ]


def test_what_is_agreed_on_can_be_withdrawn_and_decided_again(run, eva, people):
    queue, cluster = queue_of(eva, run, people, labels_each=3), clusters_of(run)[0]
    labels = [submit(user, cluster) for user in people]
    agreed = agree_with(eva, cluster, labels[0], version=0)
    client, ana = seen_by(eva), seen_by(people[0])
    gone = client.post(f"/labels/{agreed.pk}/", {"action": "withdraw", "version": "1"}, follow=True)
    assert gone.status_code == 200
    assert "Withdrawn" in gone.content.decode()
    assert ana.get(f"/labels/{agreed.pk}/").status_code == 404
    assert waiting(eva, queue) == [cluster]
    assert client.get(f"/labeling/queues/{queue.pk}.json").json()["queue"]["agreed"] == 0
    assert 'name="version" value="2"' in client.get(f"/labeling/adjudicate/{cluster.pk}/").content.decode()
    agree_with(eva, cluster, labels[1], version=2)
    assert waiting(eva, queue) == []
    assert ana.get(f"/labels/{agreed.pk}/").status_code == 200


def test_only_adjudicators_decide(run, eva, people):
    cluster = clusters_of(run)[0]
    label = submit(people[0], cluster)
    with pytest.raises(PermissionDenied):
        agree_with(people[0], cluster, label, version=0)
    client = seen_by(people[0])
    for path in ("/labeling/adjudicate/", f"/labeling/adjudicate/{cluster.pk}/", "/labeling/adjudicate/next/"):
        assert client.get(path).status_code == 403
        assert seen_by(None).get(path).status_code == 302
    assert (
        client.post(f"/labeling/adjudicate/{cluster.pk}/", {"take": str(label.pk), "version": "0"}).status_code == 403
    )


def test_a_stale_take_is_a_conflict(run, eva, people):
    cluster = clusters_of(run)[0]
    label = submit(people[0], cluster)
    agree_with(eva, cluster, label, version=0)
    with pytest.raises(ConflictError):
        agree_with(adjudicator("dora"), cluster, label, version=0)


def test_next_goes_through_the_list_and_round(run, eva, people):
    clusters = clusters_of(run)[:3]
    for cluster in clusters:
        for user in people[:2]:
            submit(user, cluster)
    order, seen, after = waiting(eva), [], ""
    for _ in range(4):
        address = seen_by(eva).get(f"/labeling/adjudicate/next/{after}")["Location"]
        seen.append(int(address.strip("/").split("/")[-1]))
        after = f"?after={seen[-1]}"
    assert seen == [one.pk for one in [*order, order[0]]]


def test_a_withdrawn_label_is_not_shown(run, eva, people):
    cluster = clusters_of(run)[0]
    label = submit(people[0], cluster, "Withdrawn words")
    submit(people[1], cluster, "Kept words")
    withdraw_label(people[0], label, version=label.version)
    text = seen_by(eva).get(f"/labeling/adjudicate/{cluster.pk}/").content.decode()
    assert "Withdrawn words" not in text
    assert "Kept words" in text


def test_clusters_of_runs_that_one_may_not_see_are_not_there(tmp_path, eva, people):
    run = make_run(tmp_path, owner=people[0], private=True)
    cluster = clusters_of(run)[0]
    submit(people[0], cluster)
    assert seen_by(eva).get(f"/labeling/adjudicate/{cluster.pk}/").status_code == 404


def test_the_list_and_its_twins(run, eva, people, django_assert_max_num_queries):
    for cluster in clusters_of(run):
        for user in people:
            submit(user, cluster)
    client = seen_by(eva)
    with django_assert_max_num_queries(15):
        assert "6 clusters wait for a decision" in client.get("/labeling/adjudicate/").content.decode()
    with django_assert_max_num_queries(15):
        client.get(f"/labeling/adjudicate/{clusters_of(run)[0].pk}/")
    assert len(client.get("/labeling/adjudicate.json").json()["clusters"]) == 6
    assert b"".join(client.get("/labeling/adjudicate.csv")).count(b"\n") == 7


def test_a_run_without_text_says_what_is_missing(tmp_path, eva, people, monkeypatch):
    run = make_run(tmp_path)
    cluster = clusters_of(run)[0]
    submit(people[0], cluster)
    monkeypatch.setattr("clusters.views.adjudication.has_text", lambda run: False)
    text = seen_by(eva).get(f"/labeling/adjudicate/{cluster.pk}/").content.decode()
    assert "came without its corpus" in text

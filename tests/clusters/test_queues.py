"""Sharing clusters out: who gets what, whose turn it is, what changes later."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from clusters.models import Assignment, AuditEvent, Queue
from clusters.queries import queues as reads
from clusters.services import queues as services
from clusters.services.labels import Content, save_label, withdraw_label
from clusters.services.people import LABELER
from clusters.services.runs import set_private
from tests.factories import make_run
from tests.labeling import adjudicator, clustering_of, clusters_of, labelers, person, queue_of, seen_by, submit

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


def turns(queue: Queue) -> dict[str, set[int]]:
    """Whom the queue asks for which clusters."""
    found: dict[str, set[int]] = {}
    for one in Assignment.objects.filter(item__queue=queue).select_related("person", "item"):
        found.setdefault(one.person.username, set()).add(one.item.cluster_id)
    return found


def test_a_queue_shares_its_clusters_out_and_is_recorded(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=2)
    assert {name: len(asked) for name, asked in turns(queue).items()} == {"ana": 4, "ben": 4, "carla": 4}
    assert [item.ordinal for item in queue.items.all()] == [1, 2, 3, 4, 5, 6]
    event = AuditEvent.objects.get(action="queue.make")
    assert (event.actor, event.detail["n_clusters"]) == (eva, 6)


def test_only_adjudicators_share_out(run, people):
    with pytest.raises(PermissionDenied):
        queue_of(people[0], run, people)


@pytest.mark.parametrize(
    ("plan", "field", "said"),
    [
        ({"labels_each": 4}, "people", "labeled by 4, but 3 people were chosen"),
        ({"people": ()}, "people", "nobody was chosen"),
        ({"people": (10**9,)}, "people", "Not a labeler"),
        ({"labels_each": 0}, "labels_each", "not 0"),
        ({"name": " \n "}, "name", "Give the queue a name"),
        ({"query": "x" * 501}, "query", "501 characters"),
        ({"guidelines": "x" * 10_001}, "guidelines", "10,001"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_with_a_sentence(run, eva, people, plan, field, said):
    with pytest.raises(ValidationError) as caught:
        queue_of(eva, run, people, **plan)
    assert said in caught.value.message_dict[field][0]
    assert not Queue.objects.exists()


def test_no_clusters_and_those_of_another_clustering_are_refused(run, eva, people):
    plan = services.Plan(name="Q", people=tuple(one.pk for one in people))
    other = clusters_of(run, 3)[0].pk
    for clusters, said in (([], "No cluster matches"), ([other], "not of this clustering")):
        with pytest.raises(ValidationError) as caught:
            services.make_queue(eva, clustering_of(run), clusters, plan)
        assert said in caught.value.message_dict["clusters"][0]


def test_who_may_not_see_a_private_run_is_not_asked(tmp_path, eva, people):
    run = make_run(tmp_path, owner=people[0], private=True)
    run.readers.add(people[1])
    assert [one.username for one in reads.labelers(run)] == ["ana", "ben"]
    with pytest.raises(ValidationError, match="carla"):
        queue_of(eva, run, people)


def test_labels_that_are_in_already_count_as_done(run, eva, people):
    submit(people[0], clusters_of(run)[0])
    queue = queue_of(eva, run, people, labels_each=3)
    [progress] = reads.progress_of(people[0], [queue])
    assert (progress.mine.n, progress.mine.n_done, progress.all.n_done) == (6, 1, 1)


def test_the_next_cluster_is_the_first_that_is_not_in_and_goes_round(run, eva, people):
    ana, (first, second, third, *rest) = people[0], clusters_of(run)
    queue = queue_of(eva, run, people, labels_each=3)
    assert reads.next_assignment(ana, queue).item.cluster == first
    submit(ana, first)
    assert reads.next_assignment(ana, queue).item.cluster == second
    assert reads.next_assignment(ana, queue, after=second.pk).item.cluster == third
    assert reads.next_assignment(ana, queue, after=rest[-1].pk).item.cluster == second
    for cluster in (second, third, *rest):
        submit(ana, cluster)
    assert reads.next_assignment(ana, queue) is None


def test_the_next_of_all_queues_is_of_the_oldest_open_one(run, eva, people):
    one, two = queue_of(eva, run, people, labels_each=3), queue_of(eva, run, people, labels_each=3)
    assert reads.next_assignment(people[0]).item.queue == one
    services.close_queue(eva, one)
    assert reads.next_assignment(people[0]).item.queue == two
    assert reads.next_assignment(people[0], one) is None


def test_a_draft_is_not_done_and_a_withdrawn_label_stays_done(run, eva, people):
    ana, cluster = people[0], clusters_of(run)[0]
    queue = queue_of(eva, run, people, labels_each=3)
    draft = save_label(ana, cluster, Content(name="Draft"), version=0)
    assert reads.progress_of(ana, [queue])[0].mine.n_done == 0
    label = save_label(ana, cluster, Content(name="In"), version=draft.version, submit=True)
    withdraw_label(ana, label, version=label.version)
    assert reads.progress_of(ana, [queue])[0].mine.n_done == 1


def test_clusters_with_every_label_in_wait_for_a_decision(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=3)
    for user in people:
        submit(user, clusters_of(run)[0])
    [progress] = reads.progress_of(eva, [queue])
    assert (progress.n_ready, progress.n_agreed, progress.n_to_adjudicate) == (1, 0, 1)


def test_somebody_new_gets_as_many_and_keeps_nobody_from_what_is_done(run, eva, people):
    ana, ben, carla = people
    queue = queue_of(eva, run, [ana, ben], labels_each=1)
    done = reads.next_assignment(ana, queue).item.cluster
    submit(ana, done)
    services.share_again(eva, queue, [ana.pk, ben.pk, carla.pk])
    found = turns(queue)
    assert {name: len(asked) for name, asked in found.items()} == {"ana": 2, "ben": 2, "carla": 2}
    assert done.pk in found["ana"]


def test_what_somebody_has_begun_stays_theirs(run, eva, people):
    ana, ben, carla = people
    queue = queue_of(eva, run, [ana, ben], labels_each=1)
    begun = set(turns(queue)["ana"])
    for cluster in clusters_of(run):
        if cluster.pk in begun:
            save_label(ana, cluster, Content(name="Begun"), version=0)
    services.share_again(eva, queue, [ana.pk, ben.pk, carla.pk])
    assert turns(queue)["ana"] == begun


def test_whoever_leaves_gives_what_is_not_done_to_others(run, eva, people):
    ana, ben, carla = people
    queue = queue_of(eva, run, people, labels_each=2)
    done = reads.next_assignment(ana, queue).item.cluster
    submit(ana, done)
    services.share_again(eva, queue, [ben.pk, carla.pk])
    found = turns(queue)
    assert found["ana"] == {done.pk}
    for cluster in clusters_of(run):
        assert sum(cluster.pk in asked for asked in found.values()) == 2


def test_places_that_an_account_left_empty_are_filled(run, eva, people):
    queue = queue_of(eva, run, people[:2], labels_each=2)
    people[1].delete()
    services.share_again(eva, queue, [people[0].pk, people[2].pk])
    assert {name: len(asked) for name, asked in turns(queue).items()} == {"ana": 6, "carla": 6}


def test_sharing_again_needs_enough_people(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=2)
    with pytest.raises(ValidationError, match="1 person was chosen"):
        services.share_again(eva, queue, [people[0].pk])
    assert len(turns(queue)) == 3


def test_a_queue_is_deleted_only_while_nothing_is_in(run, eva, people):
    queue = queue_of(eva, run, people)
    submit(people[0], reads.next_assignment(people[0], queue).item.cluster)
    with pytest.raises(ValidationError, match="1 label is in"):
        services.delete_queue(eva, queue)
    empty = queue_of(eva, run, people[1:], labels_each=1)
    services.delete_queue(eva, empty)
    assert list(Queue.objects.all()) == [queue]


# ── pages ──


def test_the_page_says_what_waits_for_me_and_how_far_all_are(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=3, guidelines="Name the rule.")
    submit(people[0], clusters_of(run)[0])
    text = seen_by(people[0]).get("/labeling/").content.decode()
    assert "5 clusters wait for your label" in text
    assert "First pass" in text
    page = seen_by(people[0]).get(queue.get_absolute_url()).content.decode()
    assert "Name the rule." in page
    assert "Share out again" not in page
    assert "Share out again" in seen_by(eva).get(queue.get_absolute_url()).content.decode()


def test_readers_and_guests_are_told_what_labeling_is_and_see_no_queue(run, eva, people):
    queue = queue_of(eva, run, people)
    for user in (None, person("reader")):
        client = seen_by(user)
        response = client.get("/labeling/")
        assert response.status_code == 200
        assert "First pass" not in response.content.decode()
    assert seen_by(person("other")).get(queue.get_absolute_url()).status_code == 404
    assert seen_by(None).get(queue.get_absolute_url()).status_code == 302


def test_queues_of_a_run_that_one_may_not_see_are_not_there(tmp_path, eva, people):
    run = make_run(tmp_path, owner=eva, private=True)
    run.readers.set(people[:2])
    queue = queue_of(eva, run, people[:2])
    carla = seen_by(people[2])
    assert "First pass" not in carla.get("/labeling/").content.decode()
    for path in (queue.get_absolute_url(), f"/labeling/next/?queue={queue.pk}", f"/labeling/queues/{queue.pk}.json"):
        assert carla.get(path).status_code == 404


def test_label_the_next_goes_to_the_cluster_and_at_the_end_says_so(run, eva, people):
    ana = people[0]
    queue = queue_of(eva, run, people, labels_each=3)
    client, clusters = seen_by(ana), clusters_of(run)
    response = client.get(f"/labeling/next/?queue={queue.pk}")
    assert response["Location"] == f"/runs/synthetic/k/6/clusters/{clusters[0].label}/?queue={queue.pk}#label"
    for cluster in clusters:
        submit(ana, cluster)
    text = client.get(f"/labeling/next/?queue={queue.pk}").content.decode()
    assert "are all in" in text
    assert "6 of 6 done" in text


@pytest.mark.parametrize("query", ["queue=x", "queue=" + "9" * 40, "after=-1"])
def test_what_is_no_number_is_refused(run, people, query):
    assert seen_by(people[0]).get(f"/labeling/next/?{query}").status_code == 400


@pytest.mark.parametrize("number", ["0", "999999", "9" * 40, "x", "1%00"])
def test_what_is_no_queue_is_not_there(run, eva, number):
    assert seen_by(eva).get(f"/labeling/queues/{number}/").status_code == 404


def test_an_adjudicator_makes_a_queue_from_the_lists_filter(run, eva, people):
    client = seen_by(eva)
    address = "/labeling/queues/new/?run=synthetic&k=6&least=5&sort=rank&view=table&after=x"
    text = client.get(address).content.decode()
    sent = {"name": "Large", "at_most": "2", "labels_each": "2", "is_blind": "on",
            "people": [str(one.pk) for one in people], "guidelines": "Read five."}  # fmt: skip
    assert "ana" in text
    response = client.post(address, sent)
    queue = Queue.objects.get()
    assert response["Location"] == queue.get_absolute_url()
    wanted = [one for one in reversed(clusters_of(run)) if one.size >= 5][:2]
    assert [item.cluster for item in queue.items.all()] == wanted
    assert (queue.is_blind, queue.guidelines, queue.query) == (True, "Read five.", "least=5&sort=rank")


def test_a_queue_that_was_refused_keeps_what_was_typed(run, eva, people):
    sent = {"name": "Typed", "at_most": "3", "labels_each": "3", "people": [str(people[0].pk)], "guidelines": "Mine"}
    response = seen_by(eva).post("/labeling/queues/new/?run=synthetic&k=6", sent)
    text = response.content.decode()
    assert response.status_code == 422
    assert "labeled by 3, but 1 person was chosen" in text
    assert 'value="Typed"' in text
    assert "Mine" in text


def test_labelers_may_not_share_out_change_or_delete(run, eva, people):
    queue = queue_of(eva, run, people)
    client = seen_by(people[0])
    assert client.get("/labeling/queues/new/").status_code == 403
    for act in ("share", "describe", "close", "delete"):
        sent = {"name": "Mine", "people": [str(one.pk) for one in people]}
        assert client.post(f"/labeling/queues/{queue.pk}/{act}/", sent).status_code == 403
    queue.refresh_from_db()
    assert (queue.name, queue.closed_at) == ("First pass", None)


def test_a_queue_is_described_shared_closed_opened_and_deleted_on_its_page(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=1)
    client, path = seen_by(eva), queue.get_absolute_url()
    client.post(f"{path}describe/", {"name": "Renamed", "guidelines": "New"})
    client.post(f"{path}share/", {"people": [str(people[0].pk)]})
    queue.refresh_from_db()
    assert (queue.name, queue.guidelines, list(turns(queue))) == ("Renamed", "New", ["ana"])
    client.post(f"{path}close/")
    assert Queue.objects.get().closed_at
    client.post(f"{path}close/", {"open": "yes"})
    assert not Queue.objects.get().closed_at
    assert client.post(f"{path}delete/")["Location"] == "/labeling/"
    assert not Queue.objects.exists()


def test_a_change_that_was_refused_says_why(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=2)
    response = seen_by(eva).post(f"{queue.get_absolute_url()}share/", {"people": [str(people[0].pk)]})
    assert response.status_code == 422
    assert "1 person was chosen" in response.content.decode()


def test_the_panel_says_how_far_i_am_and_what_comes_next(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=3, guidelines="Name <b>the rule</b>.")
    first, second, *_ = clusters_of(run)
    submit(people[1], first)
    text = seen_by(people[0]).get(f"/runs/synthetic/k/6/clusters/{first.label}/?queue={queue.pk}").content.decode()
    assert "0 of 6 done" in text
    assert "One other labeled it; you see theirs once yours is in." in text
    assert "Name &lt;b&gt;the rule&lt;/b&gt;." in text
    assert f'clusters/{second.label}/?queue={queue.pk}#label"' in text


def test_the_panel_is_not_there_for_who_has_no_queue(run, eva, people, django_assert_max_num_queries):
    queue_of(eva, run, people[:2], labels_each=1)
    cluster = clusters_of(run)[0]
    for user in (None, people[2]):
        text = seen_by(user).get(f"/runs/synthetic/k/6/clusters/{cluster.label}/").content.decode()
        assert 'id="h-queue"' not in text


def test_the_panel_names_no_queue_of_a_run_that_one_may_see_no_more(run, tmp_path, eva, people):
    hidden = make_run(tmp_path / "hidden", seed=1, owner=eva, name="hidden")
    queue_of(eva, hidden, people, name="Secretive work")
    path = f"/runs/synthetic/k/6/clusters/{clusters_of(run)[0].label}/"
    assert "Secretive work" in seen_by(people[0]).get(path).content.decode()
    set_private(eva, hidden, True)
    assert "Secretive work" not in seen_by(people[0]).get(path).content.decode()


def test_pages_ask_no_more_of_the_database_for_more_clusters(run, eva, people, django_assert_max_num_queries):
    queue = queue_of(eva, run, people, labels_each=3)
    for _ in range(4):
        queue_of(eva, run, people, labels_each=2)
    for user in people:
        for cluster in clusters_of(run)[:3]:
            submit(user, cluster)
    for path in ("/labeling/", queue.get_absolute_url()):
        client = seen_by(eva)
        with django_assert_max_num_queries(15):
            assert client.get(path).status_code == 200


def test_the_twins_hold_what_the_pages_show(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=3)
    submit(people[0], clusters_of(run)[0])
    [one] = seen_by(eva).get("/labeling.json").json()["queues"]
    assert (one["name"], one["labels"], one["labels_in"], one["clusters"]) == ("First pass", 18, 1, 6)
    payload = seen_by(eva).get(f"/labeling/queues/{queue.pk}.json").json()
    assert payload["people"][0] == {"name": "ana", "labels": 6, "labels_in": 1}
    assert payload["clusters"][0]["in"] == 1
    csv = b"".join(seen_by(eva).get(f"/labeling/queues/{queue.pk}.csv")).decode().splitlines()
    assert len(csv) == 7


def test_somebody_whose_role_was_taken_is_asked_no_more(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=3)
    people[0].groups.clear()
    ana = type(people[0]).objects.get(pk=people[0].pk)
    assert reads.next_assignment(ana, queue) is None
    assert person("new", LABELER) in reads.labelers(run)

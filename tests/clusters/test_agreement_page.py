"""How far people agree, who may see it, and that others' labels stay hidden until one's own is in."""

from __future__ import annotations

import pytest

from clusters.charts.label_agreement import agreement_chart, finding
from clusters.models import Queue
from clusters.queries.agreement import Scope, disagreements, measures, said_in
from clusters.services.labels import Content, save_label, withdraw_label
from compute.numerics.label_agreement import Alpha
from tests.factories import make_run
from tests.labeling import adjudicator, clustering_of, clusters_of, labelers, person, queue_of, seen_by, submit

pytestmark = pytest.mark.django_db
SECRET = "Zanzibar"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def eva():
    return adjudicator()


@pytest.fixture
def people():
    return labelers("ana", "ben", "carla")


def whole(run, people, kinds=("skill", "skill", "word")):
    """Everybody's label of every cluster, in."""
    for cluster in clusters_of(run):
        for user, kind in zip(people, kinds, strict=True):
            submit(user, cluster, kind=kind, tags=("lexical",), confidence=2)


def value_of(found, key):
    return next(one.found for one in found if one.key == key)


# ── what is measured ──


def test_labels_of_the_queues_people_are_compared_and_no_others(run, eva, people):
    queue = queue_of(eva, run, people[:2], labels_each=2)
    whole(run, people)
    assert {one.person for one in said_in(eva, Scope(queue.clustering, queue))} == {"ana", "ben"}
    assert {one.person for one in said_in(eva, Scope(queue.clustering))} == {"ana", "ben", "carla"}


def test_what_counts_is_what_was_first_submitted(run, eva, people):
    """Ana drafts, submits, then follows Ben: her second text is no independent agreement."""
    ana, cluster = people[0], clusters_of(run)[0]
    draft = save_label(ana, cluster, Content(name="Draft"), version=0)
    label = save_label(ana, cluster, Content(name="First", kind="word"), version=draft.version, submit=True)
    save_label(ana, cluster, Content(name="As Ben", kind="skill"), version=label.version)
    scope = Scope(clustering_of(run))
    [first], [now] = said_in(eva, scope), said_in(eva, scope, "now")
    assert (first.name, first.kind) == ("First", "word")
    assert (now.name, now.kind) == ("As Ben", "skill")


def test_a_label_withdrawn_and_in_again_keeps_its_first_text(run, eva, people):
    ana, cluster = people[0], clusters_of(run)[0]
    label = submit(ana, cluster, "First")
    label = withdraw_label(ana, label, version=label.version)
    scope = Scope(clustering_of(run))
    assert said_in(eva, scope) == []
    save_label(ana, cluster, Content(name="Second", kind="skill"), version=label.version, submit=True)
    assert [one.name for one in said_in(eva, scope)] == ["First"]


def test_an_imported_label_counts_as_it_came_in(run, eva, people):
    cluster = clusters_of(run)[0]
    save_label(people[0], cluster, Content(name="Imported", kind="skill"), version=0, submit=True, action="import")
    assert [one.name for one in said_in(eva, Scope(clustering_of(run)))] == ["Imported"]


def test_measures_by_hand(run, eva, people):
    """Six clusters, two people: same kind on four, different on two; the same tags always; no word shared."""
    for i, cluster in enumerate(clusters_of(run)):
        truth = ("skill", "word")[i % 2]
        submit(people[0], cluster, "alpha beta", kind=truth, tags=(("lexical", "numeric")[i % 2],))
        other = truth if i < 4 else ("word", "skill")[i % 2]
        submit(people[1], cluster, "gamma", kind=other, tags=(("lexical", "numeric")[i % 2],))
    said = said_in(eva, Scope(clustering_of(run)))
    found = measures(said, {one.pk: one.size for one in clusters_of(run)}, [])
    # 12 values, 6 of either kind; D_o = 2·2/12, D_e = 2·6·6/(12·11)
    assert value_of(found, "kind").alpha == pytest.approx(1 - (4 / 12) / (72 / 132))
    assert value_of(found, "tags").alpha == 1.0
    assert value_of(found, "words").mean == 0.0
    assert value_of(found, "coherence").reason == "no variation"
    assert value_of(found, "confidence").reason == "no pairs"
    assert value_of(found, "misfits").reason == "no variation"


def test_misfits_count_member_by_member(run, eva, people):
    clusters = clusters_of(run)
    for cluster in clusters:
        members = [one.token.flat_index for one in cluster.memberships.select_related("token")]
        submit(people[0], cluster, misfits=(members[0],))
        submit(people[1], cluster, misfits=(members[0],))
    said = said_in(eva, Scope(clustering_of(run)))
    found = value_of(measures(said, {one.pk: one.size for one in clusters}, []), "misfits")
    assert (found.alpha, found.n_units) == (1.0, sum(one.size for one in clusters))


def test_a_cluster_that_one_person_labeled_is_no_disagreement(run, eva, people):
    first, second = clusters_of(run)[:2]
    submit(people[0], first)
    submit(people[0], second, kind="skill")
    submit(people[1], second, kind="word")
    said = said_in(eva, Scope(clustering_of(run)))
    found = disagreements(said, {one.pk: one for one in clusters_of(run)})
    assert [(one.cluster, one.kind) for one in found] == [(second, 1.0)]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Alpha(0.9, 0.85, 0.95, 9, 18), "agree reliably: α = 0.90"),
        (Alpha(0.7, 0.4, 0.9, 9, 18), "more than by chance, and may reach 0.8"),
        (Alpha(0.4, 0.1, 0.6, 9, 18), "more than by chance, but less than 0.8"),
        (Alpha(0.1, -0.2, 0.4, 9, 18), "cannot be told from chance"),
        (Alpha(-0.4, -0.6, -0.1, 9, 18), "disagree more than by chance"),
        (Alpha(0.5, None, None, 3, 6), "too little is in to say how sure"),
    ],
)
def test_the_finding_says_no_more_than_the_interval_allows(found, words):
    assert words in finding([("kind", found)])


def test_the_chart_counts_what_is_surely_above_chance():
    nothing = Alpha(None, None, None, 0, 0, "no pairs")
    assert agreement_chart([("kind", nothing)]) is None
    assert finding([("kind", nothing)]) == ""
    rows = [("kind", Alpha(0.9, 0.8, 1.0, 9, 18)), ("tags", Alpha(0.1, -0.1, 0.3, 9, 18)), ("misfits", nothing)]
    chart = agreement_chart(rows)
    assert chart["title"] == "1 of 2 measures is above chance with the whole interval"
    assert len(chart["table"]["rows"]) == 3
    assert agreement_chart(rows[1:])["title"].startswith("None of 1")
    assert agreement_chart(rows[:1])["title"].startswith("1 of 1")


# ── the page ──


def test_the_page_says_what_is_undefined_in_words(run, eva, people):
    whole(run, people, kinds=("skill", "skill", "skill"))
    response = seen_by(eva).get("/labeling/agreement/?run=synthetic&k=6")
    text = response.content.decode()
    assert response.status_code == 200
    assert "everybody said the same of every cluster" in text
    assert "nan" not in text.lower().replace("finance", "")


def test_nothing_in_yet_is_said_in_a_sentence(run, eva):
    text = seen_by(eva).get("/labeling/agreement/?run=synthetic&k=6").content.decode()
    assert "Nobody shares a cluster with somebody else yet" in text
    assert "No label is in." in text


def test_the_page_and_its_twins(run, eva, people, django_assert_max_num_queries):
    queue = queue_of(eva, run, people, labels_each=3)
    whole(run, people)
    client = seen_by(eva)
    with django_assert_max_num_queries(15):
        text = client.get(f"/labeling/agreement/?queue={queue.pk}").content.decode()
    assert "18 labels by 3 people of 6 clusters" in text
    assert "ana and ben" in text
    payload = client.get(f"/labeling/agreement.json?queue={queue.pk}").json()
    assert [one["measure"] for one in payload["measures"]][:3] == ["kind", "coherence", "confidence"]
    assert payload["pairs"][0]["same_kind"] == 1.0
    assert len(payload["disagreements"]) == 6
    lines = b"".join(client.get(f"/labeling/agreement.csv?queue={queue.pk}")).decode().splitlines()
    assert lines[0].startswith("run,affinity,k,cluster")
    assert len(lines) == 7
    assert client.get(f"/labeling/agreement.svg?queue={queue.pk}&figure=agreement").status_code == 200


@pytest.mark.parametrize("query", ["queue=x", "of=demo", "of=synthetic/sideways/6", "run=synthetic&k=x", "labels=best"])
def test_what_names_no_labels_is_refused(run, eva, query):
    assert seen_by(eva).get(f"/labeling/agreement/?{query}").status_code == 400


@pytest.mark.parametrize("query", ["queue=999", "run=nobody&k=6", "run=synthetic&k=7"])
def test_what_is_not_there_is_not_found(run, eva, query):
    assert seen_by(eva).get(f"/labeling/agreement/?{query}").status_code == 404


# ── who may see it ──


def test_a_labeler_sees_agreement_once_their_part_is_in(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=3)
    client, addresses = seen_by(people[0]), [f"queue={queue.pk}", "run=synthetic&k=6"]
    for cluster in clusters_of(run):
        for address in addresses:
            for path in ("/labeling/agreement/", "/labeling/agreement.json", "/labeling/agreement.csv"):
                response = client.get(f"{path}?{address}")
                assert response.status_code == 404
                assert "still to come in" in response.content.decode()
        submit(people[0], cluster)
    assert [client.get(f"/labeling/agreement/?{one}").status_code for one in addresses] == [200, 200]


def test_others_do_not_see_it(run, eva, people):
    queue = queue_of(eva, run, people[:2], labels_each=2)
    whole(run, people)
    assert seen_by(people[2]).get(f"/labeling/agreement/?queue={queue.pk}").status_code == 404
    assert seen_by(person("reader")).get("/labeling/agreement/?run=synthetic&k=6").status_code == 404
    assert seen_by(None).get(f"/labeling/agreement/?queue={queue.pk}").status_code == 302
    assert seen_by(None).get(f"/labeling/agreement.json?queue={queue.pk}").status_code == 404
    embedded = seen_by(eva).get(f"/labeling/agreement/?queue={queue.pk}&embed=true&figure=agreement")
    assert embedded.status_code == 404


# ── blindness ──


def hidden_in(run, cluster, labels) -> list[str]:
    """Every address that might tell of the labels."""
    at, api = f"/runs/{run.slug}/k/6/clusters", f"/api/v1/runs/{run.slug}/clusterings/signed/6/clusters"
    number = Queue.objects.get().pk
    return [
        f"{at}/{cluster.label}/", f"{at}/{cluster.label}.json", f"{at}/", f"{at}/?view=table", f"{at}.json",
        f"{at}.csv", "/labels/", "/labels.json", "/labels.csv", *(f"/labels/{one.pk}/" for one in labels),
        *(f"/labels/{one.pk}.json" for one in labels), *(f"/api/v1/labels/{one.pk}/" for one in labels),
        *(f"/api/v1/labels/{one.pk}/revisions/" for one in labels),
        "/labeling/", f"/labeling/queues/{number}/", f"/labeling/queues/{number}.json",
        "/labeling.json", "/api/v1/labels/?limit=100", f"{api}/?limit=100", f"{api}/{cluster.label}/",
        f"/api/v1/queues/{number}/", f"/api/v1/queues/{number}/clusters/",
        f"/runs/{run.slug}/", f"/runs/{run.slug}/suggestions/", f"/runs/{run.slug}/k/3/clusters/0/",
        f"/api/v1/runs/{run.slug}/exports/labels.csv", f"/api/v1/runs/{run.slug}/exports/labels.jsonl",
        f"/runs/{run.slug}/exports/labels.csv", "/collections/",
    ]  # fmt: skip


def tells(user, address: str) -> bool:
    response = seen_by(user).get(address)
    assert response.status_code in (200, 302, 404), address
    return SECRET in response.getvalue().decode()


def test_others_labels_are_hidden_everywhere_until_mine_is_in(run, eva, people):
    ana, ben, carla = people
    queue_of(eva, run, [ana, ben], labels_each=2)
    cluster = clusters_of(run)[0]
    label = submit(ben, cluster, SECRET, description=f"{SECRET} again")
    content = Content(name=f"{SECRET} agreed", kind="skill")
    agreed = save_label(eva, cluster, content, version=0, submit=True, origin="agreed")
    addresses = hidden_in(run, cluster, [label, agreed])
    assert [one for one in addresses if tells(ana, one)] == []
    told = [one for one in addresses if tells(carla, one)]
    assert {"/labels/", "/labels.json", f"/runs/synthetic/k/6/clusters/{cluster.label}/"} <= set(told)
    mine = submit(ana, cluster, "")  # without a name, so that lists still show the other's
    assert {one for one in addresses if tells(ana, one)} >= set(told)
    withdraw_label(ana, mine, version=mine.version)
    assert tells(ana, "/labels/")


def test_an_open_queue_and_a_closed_one_hide_nothing(run, eva, people):
    ana, ben, _ = people
    queue = queue_of(eva, run, [ana, ben], labels_each=2, is_blind=False)
    submit(ben, clusters_of(run)[0], SECRET)
    assert tells(ana, "/labels/")
    Queue.objects.update(is_blind=True)
    assert not tells(ana, "/labels/")
    seen_by(eva).post(f"{queue.get_absolute_url()}close/")
    assert tells(ana, "/labels/")

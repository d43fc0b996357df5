"""What is read of labels and notes reads the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.test import Client

from clusters.models import Assignment, Label, Queue, QueueItem
from clusters.queries.cluster_labels import HOLDINGS, labels_of_cluster, narrowed, next_unlabeled
from clusters.queries.label_list import ORDERS, label_page, matching_labels
from clusters.queries.tags import tags_with_uses
from clusters.services.labels import Content, save_label
from clusters.services.notes import save_note
from clusters.values.labels import LabelFilter
from tests.databases import Site
from tests.factories import UserFactory, make_run


@pytest.fixture
def clusters(site: Site, tmp_path: Path) -> list:
    """The clusters of one clustering by rank, the first labeled by ana, ben and cleo, the second asked of ana."""
    clustering = make_run(tmp_path / "bundle").clusterings.get(k=6, affinity="signed")
    found = list(clustering.clusters.order_by("rank"))
    for name, role in (("ana", "labeler"), ("ben", "labeler"), ("cleo", "adjudicator")):
        user = UserFactory(username=name)
        user.groups.add(Group.objects.get(name=role))
        origin = Label.Origin.AGREED if role == "adjudicator" else Label.Origin.PERSON
        content = Content(f"Name by {name}", "a rule", "skill", 2, ("lexical", "unclear"))
        save_label(user, found[0], content, version=0, submit=True, origin=origin)
        save_label(user, found[1], Content(f"second by {name}"), version=0, submit=name != "ana")
        save_note(user, clustering.run, 7, text=f"note by {name}", is_bookmarked=True, version=0)
    queue = Queue.objects.create(name="q", clustering=clustering)
    item = QueueItem.objects.create(queue=queue, cluster=found[1], ordinal=1)
    Assignment.objects.create(item=item, person=Label.objects.filter(author__username="ana").first().author)
    return found


def test_labels_read_the_same(clusters: list) -> None:
    ana = Label.objects.filter(author__username="ana").first().author
    first, second = (labels_of_cluster(ana, cluster) for cluster in clusters[:2])
    assert (first.naming.name, first.is_blind, len(first.others)) == ("Name by cleo", False, 1)
    assert [tag.slug for tag in first.tags[first.own.pk]] == ["lexical", "unclear"]
    assert (second.is_blind, second.others, second.own.name, len(second.vocabulary)) == (True, [], "second by ana", 8)
    ben = Label.objects.filter(author__username="ben").first().author
    assert labels_of_cluster(ben, clusters[1]).naming.name == "second by cleo"
    assert labels_of_cluster(AnonymousUser(), clusters[1]).naming is None
    assert next_unlabeled(ana, clusters[0]).rank == 3
    assert {tag.slug: tag.n_labels for tag in tags_with_uses(ana)}["lexical"] == 3
    ranks = {
        holding: [
            one.rank for one in narrowed(clusters[0].clustering.clusters.all(), ana, holding, "").order_by("rank")
        ]
        for holding in HOLDINGS
    }
    assert ranks["labeled"] == ranks["agreed"] == [1]
    assert ranks["not-by-me"] == ranks["unlabeled"] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("sort", ORDERS)
def test_every_order_goes_through_all_labels_once(clusters: list, sort: str) -> None:
    seen, place = [], None
    ben = Label.objects.filter(author__username="ben").first().author
    while True:
        found, place = label_page(matching_labels(ben, LabelFilter()), sort, place, 1)
        seen += [label.pk for label in found]
        if place is None:
            break
    assert sorted(seen) == sorted(Label.objects.filter(state="submitted").values_list("pk", flat=True))


def test_pages_answer(clusters: list) -> None:
    client = Client()
    client.force_login(Label.objects.filter(author__username="ana").first().author)
    label = Label.objects.filter(author__username="ana").first()
    for path in (
        f"/runs/synthetic/k/6/clusters/{clusters[0].label}/", "/runs/synthetic/k/6/clusters/?sort=label&tag=lexical",
        "/labels/?text=NAME&tag=lexical&kind=skill", "/labels.csv", f"/labels/{label.pk}/", "/labeling/tags/",
        f"/labels/?k={10**17}", f"/labels/{10**17}/?before=1", "/notes/?text=NOTE&mine=yes",
        "/api/v1/labels/?ordering=name", "/api/v1/notes/", "/api/v1/tags/",
    ):  # fmt: skip
        response = client.get(path)
        assert response.status_code == (404 if path.startswith(f"/labels/{10**17}") else 200), path
        assert b"".join(response.streaming_content) if response.streaming else response.content

"""Two people, one label: one is written, the other is shown what the first wrote, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from clusters.models import Cluster, Label, LabelRevision
from clusters.services.labels import Content, save_label
from tests.api.seeds import bearer, make_key
from tests.databases import Site
from tests.factories import make_run

SAID = {"kind": "", "confidence": "", "description": "", "tags": "", "action": "submit"}


@pytest.fixture
def cluster(site: Site) -> Cluster:
    run = make_run(site.data / "bundles")
    return Cluster.objects.get(clustering__run=run, clustering__affinity="signed", clustering__k=6, label=0)


def adjudicator(name: str) -> User:
    user = User.objects.create_user(name)
    user.groups.set(Group.objects.filter(name__in=("labeler", "adjudicator")))
    return user


def test_of_two_who_change_one_version_one_is_shown_the_others_words(cluster: Cluster, measured: Any) -> None:
    ana, ben = adjudicator("ana"), adjudicator("ben")
    label = save_label(ana, cluster, Content("first"), version=0, submit=True, origin=Label.Origin.AGREED)
    keys = {user.username: bearer(make_key(user, "read", "label")) for user in (ana, ben)}
    place = f"/api/v1/labels/{label.pk}/"

    def patch(who: str, name: str) -> Any:
        sent = {"name": name}
        headers = keys[who] | {"If-Match": '"1"'}
        return Client().patch(place, sent, content_type="application/json", headers=headers)

    answers = [patch("ana", "the words of ana"), patch("ben", "the words of ben")]
    assert [one.status_code for one in answers] == [200, 412]
    assert answers[1].json()["error"]["current"]["name"] == "the words of ana"
    label.refresh_from_db()
    assert (label.name, label.version) == ("the words of ana", 2)
    again = Client().patch(
        place, {"name": "both words"}, content_type="application/json", headers=keys["ben"] | {"If-Match": '"2"'}
    )
    assert again.status_code == 200
    kept = [one.content["name"] for one in LabelRevision.objects.filter(label=label).order_by("version")]
    assert kept == ["first", "the words of ana", "both words"]
    measured(13, "two scripts change one version", statuses="200 and 412", words_in_history=len(kept))


def test_on_the_page_the_second_sees_both_texts(cluster: Cluster, measured: Any) -> None:
    user = adjudicator("ana")
    save_label(user, cluster, Content("first words"), version=0, submit=True)
    tabs = [Client(), Client()]
    for tab in tabs:
        tab.force_login(user)
    place = f"/runs/synthetic/k/6/clusters/{cluster.label}/"
    statuses = [
        tab.post(place, SAID | {"version": "1", "name": name})
        for tab, name in zip(tabs, ("second words", "other words"), strict=True)
    ]
    assert [one.status_code for one in statuses] == [302, 409]
    page = statuses[1].content.decode()
    assert "second " in page
    assert "other words" in page
    assert Label.objects.get().name == "second words"
    measured(13, "two pages change one version", statuses="302 and 409", revisions=LabelRevision.objects.count())

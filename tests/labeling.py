"""People, queues and labels for tests of labeling."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client

from clusters.models import Cluster, Clustering, Label, Queue, Run
from clusters.services.labels import Content, save_label
from clusters.services.people import ADJUDICATOR, LABELER
from clusters.services.queues import Plan, make_queue


def person(name: str, *roles: str) -> User:
    """Somebody with these roles."""
    user = User.objects.create_user(name)
    user.groups.set(Group.objects.filter(name__in=roles))
    return user


def labelers(*names: str) -> list[User]:
    return [person(name, LABELER) for name in names]


def adjudicator(name: str = "eva") -> User:
    return person(name, ADJUDICATOR)


def clustering_of(run: Run, k: int = 6) -> Clustering:
    return run.clusterings.get(affinity="signed", k=k)


def clusters_of(run: Run, k: int = 6) -> list[Cluster]:
    return list(clustering_of(run, k).clusters.order_by("rank"))


def queue_of(maker: User, run: Run, asked: list[User], **plan: Any) -> Queue:
    """A queue of all clusters at k = 6, by rank."""
    named = {"name": "First pass", "people": tuple(one.pk for one in asked)} | plan
    return make_queue(maker, clustering_of(run), [one.pk for one in clusters_of(run)], Plan(**named))


def submit(user: User, cluster: Cluster, name: str = "A rule", **content: Any) -> Label:
    """The person's label of the cluster, in."""
    said = {"kind": "skill"} | content
    return save_label(user, cluster, Content(name=name, **said), version=0, submit=True)


def seen_by(user: User | None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client

"""The rows refuse what would make a page lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import IntegrityError, transaction

from clusters.models import Cluster, Membership, Run, Token
from tests.factories import UserFactory, make_run


@pytest.mark.django_db
def test_a_token_is_not_twice_in_a_cluster(tmp_path: Path) -> None:
    make_run(tmp_path)
    membership = Membership.objects.first()
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(cluster=membership.cluster, token=membership.token)


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["label", "rank"])
def test_no_two_clusters_of_a_clustering_share_label_or_rank(field: str, tmp_path: Path) -> None:
    make_run(tmp_path)
    first, second = Cluster.objects.filter(clustering__k=3, clustering__affinity="signed")[:2]
    with pytest.raises(IntegrityError), transaction.atomic():
        Cluster.objects.filter(pk=second.pk).update(**{field: getattr(first, field)})


@pytest.mark.django_db
def test_no_two_tokens_of_a_run_share_a_flat_index(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    first, second = run.tokens.all()[:2]
    with pytest.raises(IntegrityError), transaction.atomic():
        Token.objects.filter(pk=second.pk).update(flat_index=first.flat_index)


@pytest.mark.django_db
def test_a_run_outlives_its_owner(tmp_path: Path) -> None:
    owner = UserFactory()
    run = make_run(tmp_path, owner=owner)
    owner.delete()
    assert Run.objects.get(pk=run.pk).owner is None


@pytest.mark.django_db
def test_runs_come_newest_first(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, seed=seed) for seed in range(2)]
    assert list(Run.objects.all()) == runs[::-1]


@pytest.mark.django_db
def test_rows_say_what_they_are(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert str(run.checkpoint) == "syn-800k/step1000"
    assert str(run.clusterings.first()) == "synthetic k=3 absolute"
    assert str(run.run_checkpoints.first()) == "losses/syn-10k/step1000"
    assert run.get_absolute_url() == "/runs/synthetic/"

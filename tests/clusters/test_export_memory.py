"""A table of labels holds one block of them at a time, and leaves nothing for the garbage collector."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from clusters.models import Cluster, Label, LabelRevision
from clusters.queries import exports
from clusters.services.labels import Content, save_label
from tests.factories import UserFactory, make_run


@pytest.mark.django_db
def test_labels_and_their_revisions_go_with_their_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "LABELS_AT_ONCE", 2)
    run = make_run(tmp_path)
    person: Any = UserFactory(is_superuser=True)
    clusters = Cluster.objects.filter(clustering__run=run).order_by("pk")[:5]
    for cluster in clusters:
        save_label(person, cluster, Content(name="a", tags=("lexical",)), version=0)
    table = exports.labels_table(person, run)
    gc.collect()
    before = {id(one) for one in _rows()}
    gc.disable()
    try:
        n_rows = [len(block[0]) for block in table.blocks()]
        del table
        left = [one for one in _rows() if id(one) not in before]
    finally:
        gc.enable()
    assert n_rows == [2, 2, 1]
    assert left == []


def _rows() -> list[Label | LabelRevision]:
    return [
        one for one in gc.get_objects() if type(one) in (Label, LabelRevision)
    ]  # asking a lazy object for its class wakes it

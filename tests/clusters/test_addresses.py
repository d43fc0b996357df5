"""Addresses of clusters that pages name by the dozen."""

from __future__ import annotations

import pytest
from django.urls import get_script_prefix, set_script_prefix

from clusters.views.addresses import cluster_address, clusters_address


@pytest.fixture
def below():
    """The site below a folder of its host."""
    before = get_script_prefix()
    set_script_prefix("/quanta/")
    yield
    set_script_prefix(before)


def test_the_affinity_stands_where_it_is_not_the_usual_one():
    assert cluster_address("demo", 10, 3, "signed") == "/runs/demo/k/10/clusters/3/"
    assert cluster_address("demo", 10, 3, "absolute") == "/runs/demo/k/10/clusters/3/?affinity=absolute"
    assert clusters_address("demo", 10, "signed") == "/runs/demo/k/10/clusters/"


def test_an_address_that_was_worked_out_elsewhere_is_not_taken(below):
    assert cluster_address("demo", 10, 3, "signed") == "/quanta/runs/demo/k/10/clusters/3/"
    set_script_prefix("/")
    assert cluster_address("demo", 10, 3, "signed") == "/runs/demo/k/10/clusters/3/"

"""The dimension of a run's gradients and curves on the page on scaling."""

from __future__ import annotations

import html

import numpy as np
import pytest

from clusters.charts.dimensions import dimensions_chart
from clusters.queries import dimensions as queries
from clusters.values.clouds import Cloud
from compute.numerics.dimension import dimension_of_points
from tests.factories import make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tmp_path, settings):
    settings.DERIVED_DIR = tmp_path / "derived"
    return make_run(tmp_path)


def test_every_cloud_of_a_run_is_counted_and_kept(run, monkeypatch):
    first = queries.dimensions(run)
    assert {cloud.name for cloud in first} <= {"gradients", "curves over size", "curves over training"}
    assert "curves over size" in [cloud.name for cloud in first]
    monkeypatch.setattr(queries, "_counted", lambda run: pytest.fail("it was kept"))
    assert queries.dimensions(run) == first


def test_a_cloud_has_the_dimension_of_its_points():
    points = np.random.default_rng(0).random((300, 2)) @ np.random.default_rng(1).random((2, 9))
    cloud = queries._cloud("flat", "bits", 300, lambda: dimension_of_points(points))
    assert cloud.dimension == pytest.approx(2, abs=0.35)
    assert cloud.low < cloud.dimension < cloud.high


def test_points_that_lie_on_one_another_are_said_to(run):
    cloud = queries._cloud("one", "bits", 30, lambda: dimension_of_points(np.zeros((30, 2))))
    assert cloud.dimension is None
    chart = dimensions_chart([cloud], number=9)
    assert chart["title"] == "No dimension could be counted"
    assert "lie on one another" in chart["reading"]


def test_the_figure_names_every_dimension_with_its_interval():
    cloud = Cloud("gradients", "chord", 100, 6.9, 6.5, 7.2, (0.5, 1.0), (1.0, 9.9))
    chart = dimensions_chart([cloud], number=9)
    assert chart["title"] == "Neighbours grow as in so many dimensions: gradients 6.9"
    assert "gradients 6.5 to 7.2" in chart["reading"]


def test_the_page_brings_it_when_it_is_scrolled_to(client, run):
    text = client.get("/runs/synthetic/scaling/").content.decode()
    assert "How many dimensions?" in text
    later = client.get("/runs/synthetic/scaling.html", {"figure": "dimensions"})
    assert later.status_code == 200
    assert "<figure" in html.unescape(later.content.decode())

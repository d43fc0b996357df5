"""The overview's figures: one law within one family, titles that are true of any run."""

from __future__ import annotations

import numpy as np
import pytest

from clusters.charts.overview import density_chart, scaling_chart
from clusters.queries import runs as queries
from clusters.values.facts import LOSS_EDGES, FinalCheckpoint
from compute.numerics.loss_summary import LOG_EDGES, loss_summary
from tests.factories import make_run


def final(lm: str, size: int, loss: float) -> FinalCheckpoint:
    return FinalCheckpoint(lm, "step9", size, loss, 0.1, f"losses/{lm}/step9", False)


def test_a_law_is_fitted_within_one_family():
    finals = [final(f"kin-{n}k", 1000 * n, 8.0 * n**-0.5) for n in (1, 10, 100)] + [final("other-5k", 5_000, 1.0)]
    finals.sort(key=lambda one: one.n_non_embedding)
    chart = scaling_chart(finals, number=1)
    assert "Exponent 0.500" in chart["reading"]
    assert "Fitted within kin; one network of another family is left out." in chart["reading"]
    assert {series["name"] for series in chart["series"]} >= {"other families, not fitted"}


def test_a_law_over_several_families_says_so():
    assert "The networks belong to two families" in scaling_chart(
        [final("gpt2", 100, 3.0), final("TinyStories-33M", 1000, 2.0)], number=1
    )["reading"]  # fmt: skip


@pytest.mark.parametrize(
    ("mono", "poly", "mixed", "title"),
    [
        (1, 2, 97, "97% of the falls are neither one step nor gradual"),
        (10, 0, 20, "33% of the falls go in one step"),
        (0, 10, 20, "33% of the falls go gradually"),
        (10, 10, 20, "As many losses fall in one step as gradually"),
        (30, 10, 20, "3.0 times as many losses fall in one step as gradually"),
        (0, 0, 0, "No loss falls by a bit or more"),
    ],
)
def test_the_title_of_the_classes_is_true_of_any_run(mono, poly, mixed, title):
    density = {"counts": [[0, 3], [1, 0]], "monogenicity": [-1, 1], "n_eff": [1, 6],
               "classes": {"flat": 5, "monogenic": mono, "polygenic": poly, "mixed": mixed}}  # fmt: skip
    assert density_chart(density, 7, number=4)["title"] == title


@pytest.mark.django_db
def test_losses_are_counted_from_the_bundle_s_own_bins_as_from_its_columns(tmp_path):
    plain = make_run(tmp_path / "plain", seed=3)
    columns = [queries.array_of(plain, entry["column"]) for entry in plain.manifest["checkpoints"]]
    logs = np.array([loss_summary(np.asarray(column)).log_counts for column in columns])
    arrays = {"losses/log_histogram": logs, "losses/log_histogram_edges": LOG_EDGES}
    run = make_run(tmp_path / "counted", seed=3, arrays=arrays, name="counted")
    finals = queries.final_checkpoints(run)
    assert queries._counted(run).keys() >= {one.column for one in finals}
    for one, other in zip(queries.with_histograms(run, finals), queries.with_histograms(plain, finals), strict=True):
        assert one.histogram == other.histogram
        assert len(one.histogram) == len(LOSS_EDGES) - 1

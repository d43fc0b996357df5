"""The page on losses: densities of the bundle's own histograms, a slider in the address, sentences where parts miss."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clusters.charts.losses import Look, end_of, integrand_by_size
from clusters.models import Run, RunCheckpoint
from clusters.queries import losses as queries
from clusters.stored.arrays import array_of
from clusters.stored.derived import forget_derived, has_derived
from clusters.stored.recent import Recent
from clusters.values.distributions import FINE_EDGES, Binning, Distribution, Histogram
from clusters.views import losses
from tests.factories import NETWORKS, make_run

pytestmark = pytest.mark.django_db
PATH = "/runs/synthetic/losses/"
LARGEST = NETWORKS[-1][0]
LN2 = np.log(2)
BINNING = Binning.fine(FINE_EDGES)
COUNTED = ("density-sizes", "integrand-sizes", "density-step", "integrand-step")


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def page(client, path=PATH, status=200, **query):
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode() if not response.streaming else b"".join(response.streaming_content).decode()


def twin(client, **query):
    return json.loads(page(client, "/runs/synthetic/losses.json", **query))


def frames(client, **query):
    return json.loads(page(client, "/runs/synthetic/losses/frames.json", **query))["frames"]


def table(client, figure, **query):
    rows = list(csv.reader(io.StringIO(page(client, "/runs/synthetic/losses.csv", figure=figure, **query))))
    return rows[0], np.array(rows[1:], float)


def final_columns(run):
    entries = [entry for entry in run.manifest["checkpoints"] if entry["is_final"]]
    return [np.asarray(array_of(run, entry["column"])) for entry in entries]


def test_every_checkpoint_is_in_the_twins(client, run):
    entries = run.manifest["checkpoints"]
    assert [one["revision"] for one in twin(client)["checkpoints"]] == [entry["revision"] for entry in entries]
    assert len(page(client, "/runs/synthetic/losses.csv").splitlines()) == len(entries) + 1


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_the_table_of_densities_has_every_bin_and_an_area_of_one(client, run, unit):
    head, rows = table(client, "density-sizes", unit=unit)
    assert len(rows) == 1000
    assert rows[-1, 1] == pytest.approx(18 * (1 if unit == "bits" else LN2))
    assert head[:2] == [f"from, {unit}", f"to, {unit}"]
    areas = rows[:, 2:].T @ (rows[:, 1] - rows[:, 0])
    assert areas == pytest.approx(np.ones(len(NETWORKS)))


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_the_table_of_the_integrand_has_3000_bins_whose_area_is_the_mean(client, run, unit):
    head, rows = table(client, "integrand-sizes", unit=unit)
    assert len(rows) == len(table(client, "integrand-step", unit=unit)[1]) == 3000
    assert rows[-1, 1] == pytest.approx(30 * (1 if unit == "bits" else LN2))
    areas = (rows[:, 2:].T @ (rows[:, 1] - rows[:, 0])) * (LN2 if unit == "bits" else 1)
    means = [np.mean(column[column <= 30 * LN2], dtype=np.float64) for column in final_columns(run)]
    assert areas == pytest.approx(means, abs=0.005 * LN2)
    assert len(head) == 2 + len(NETWORKS)


def test_density_over_training_is_counted_in_3000_bins_up_to_18_bits(client, run):
    _, rows = table(client, "density-step", unit="bits")
    column = final_columns(run)[-1]
    counts = np.histogram(column, np.linspace(0, 18, 3001) * LN2)[0]
    assert rows[:, 2] == pytest.approx(counts / counts.sum() / 0.006)


def test_the_page_names_the_paper_s_first_bin(client, run):
    html = page(client, unit="bits")
    assert "<dt>under 0.018 bits</dt>" in html
    assert "over 18 bits" in html
    assert "older kind" not in html


def test_a_bundle_of_an_older_kind_is_drawn_in_its_own_bins_and_says_so(client, tmp_path):
    run = make_run(tmp_path, older=True)
    html = page(client)
    assert html.count("of an older kind") == 3  # p(L) over training and L·p(L) twice
    edges = array_of(run, "losses/histogram_edges")
    assert {len(table(client, figure)[1]) for figure in COUNTED} == {len(edges) - 1}
    assert twin(client)["bins"]["L p(L)"]["last_nats"] == edges[-1]
    for stated, column in zip(twin(client)["checkpoints"][:3], final_columns(run)[:3], strict=True):
        inside = np.count_nonzero(column <= edges[-1])
        assert stated["share in first bin"] == pytest.approx(np.count_nonzero(column < edges[1]) / inside)
    assert frames(client)[0]["marks"].keys() == {"density-step", "integrand-step", "mean-steps"}


def test_shares_and_losses_out_of_range_are_counted_from_the_columns(client, run):
    for stated, entry in zip(twin(client)["checkpoints"], run.manifest["checkpoints"], strict=True):
        losses = np.asarray(array_of(run, entry["column"]))
        assert stated["out of range"] == np.count_nonzero(losses > 18 * LN2)
        inside = np.count_nonzero(losses <= 18 * LN2)
        assert stated["share in first bin"] == pytest.approx(np.count_nonzero(losses < 0.018 * LN2) / inside)
        assert stated["share under threshold"] == pytest.approx(np.mean(losses < 0.1))


def test_persistence_is_that_of_the_curves_and_worked_out_once(client, run):
    forget_derived(run.bundle_sha256)
    assert 'id="fig-persistence"' in page(client)  # a place for it, filled when it is seen
    curves = np.asarray(array_of(run, "curves/losses")) < queries.LEARNED_NATS
    rows = {
        row[0]: row for row in next(f for f in twin(client)["figures"] if f["slug"] == "persistence")["table"]["rows"]
    }
    assert has_derived(run, "losses/persistence-0.3")
    first = curves[:, 0]
    lm = NETWORKS[0][0]
    assert rows[lm][2:4] == [first.sum(), (first & curves.all(axis=1)).sum()]
    assert "stays learned" in page(client, "/runs/synthetic/losses.html", figure="persistence")


def test_a_figure_comes_later_as_a_fragment(client, run):
    html = page(client, "/runs/synthetic/losses.html", figure="persistence")
    assert "<html" not in html
    assert "stay learned" in html


def test_the_checkpoint_under_the_slider_is_in_the_address(client, run):
    html = page(client, lm=LARGEST, step="32")
    assert '<option value="32" selected>' in html
    assert re.search(r'type="range"[^>]* value="1"', html)
    assert '<dd data-value="step">32</dd>' in html
    assert '<option value="1000" selected>' in page(client)  # the last one where none is named


def test_frames_hold_what_the_page_would_draw(client, run):
    for place, (frame, step) in enumerate(zip(frames(client), ("0", "32", "1000"), strict=True)):
        html = page(client, **dict(part.split("=") for part in frame["href"].split("?")[1].split("&")))
        assert f"step={step}" in frame["href"]
        for slug, marks in frame["marks"].items():
            figure = html.split(f'id="fig-{slug}"')[1].split("</figure>")[0]
            for name, value in marks.items():
                assert f'{name}="{value}"' in figure, (place, slug)
        for name, text in frame["values"].items():
            assert f'data-value="{name}">{text}<' in html


@pytest.mark.parametrize("step", ["0", "32"])
def test_frames_hold_the_page_s_lines_on_a_logarithmic_axis_too(client, run, step):
    figure = page(client, step=step, y="log").split('id="fig-density-step"')[1].split("</figure>")[0]
    frame = next(one for one in frames(client, y="log") if one["step"] == step)
    assert f'd="{frame["marks"]["density-step"]["d"]}"' in figure


def test_frames_follow_unit_and_axis(client, run):
    nats, bits, logs = frames(client), frames(client, unit="bits"), frames(client, y="log")
    assert "bits" in bits[0]["values"]["mean"]
    assert logs[2]["marks"]["density-step"] != nats[2]["marks"]["density-step"]
    assert "y=log" in logs[0]["href"]


@pytest.mark.parametrize("path", [PATH, "/runs/synthetic/losses/frames.json"])
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"step": "7"}, f"{LARGEST} was measured at 0, 32, 1000"),
        ({"step": "-1"}, "was measured at 0, 32, 1000"),
        ({"step": "9" * 40}, "was measured at"),
        ({"lm": "nobody"}, f"choose one of {LARGEST}"),
        ({"unit": "tokens"}, "choose one of nats, bits"),
        ({"y": "cubic"}, "choose one of even, log"),
    ],
)
def test_values_that_cannot_be_are_refused_with_those_that_can(client, run, path, query, words):
    assert words in page(client, path, 400, **query).replace("&#x27;", "'")


def test_a_run_of_single_steps_says_how_others_would_come(client, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.factories.STEPS", (1000,))
    make_run(tmp_path)
    html = page(client)
    assert "looked at one step of each network" in html
    assert 'id="fig-near-zero-sizes"' in html
    assert "nothing to play" in page(client, "/runs/synthetic/losses/frames.json", 404)


def test_one_size_leaves_what_one_size_can_show(client, tmp_path):
    make_run(tmp_path, networks=NETWORKS[-1:], curves=False)
    html = page(client)
    assert "measured one size of network" in html
    assert 'id="fig-density-sizes"' in html
    assert "curves over two sizes or more" in html


def test_a_bundle_without_histograms_keeps_means_and_shares(client, run, monkeypatch):
    monkeypatch.setattr(queries, "_histograms", lambda run: (None, np.empty((0, 0))))
    monkeypatch.setattr(losses, "_frames", Recent(1))
    html = page(client)
    assert "holds no histograms" in html
    assert 'id="fig-mean-steps"' in html
    assert "density-step" not in html
    assert [set(frame["marks"]) for frame in frames(client)] == [{"mean-steps"}] * 3


def test_a_run_without_losses_says_so(client, run):
    RunCheckpoint.objects.all().delete()
    assert "This run came without losses" in page(client)


def test_a_run_whose_bundle_was_moved_is_named(client, tmp_path):
    run = make_run(tmp_path, seed=98)
    Run.objects.filter(pk=run.pk).update(bundle_path="/nowhere/at/all")
    assert "cannot be read" in page(client, status=404)


def test_the_page_takes_few_reads_however_many_checkpoints(client, tmp_path, monkeypatch):
    make_run(tmp_path)
    page(client)
    with CaptureQueriesContext(connection) as few:
        page(client)
    monkeypatch.setattr("tests.factories.STEPS", (*range(60), 1000))
    make_run(tmp_path / "many", name="many", seed=1)
    with CaptureQueriesContext(connection) as many:
        page(client, "/runs/many/losses/")
    assert len(few) == len(many) <= 15


def test_no_column_of_losses_is_opened_for_a_page(client, run, monkeypatch):
    opened = []
    monkeypatch.setattr(queries, "array_of", lambda run, name: opened.append(name) or array_of(run, name))
    page(client)
    frames(client)
    assert set(opened) == {"losses/fine_histogram", "losses/fine_histogram_edges"}


def test_an_embedded_figure_stands_alone(client, run):
    html = page(client, embed="true", figure="integrand-sizes")
    assert "What is this?" not in html
    assert 'id="fig-integrand-sizes"' in html


@pytest.mark.parametrize("figure", ["near-zero-sizes", "near-zero-steps"])
def test_shares_near_zero_are_shares_of_one_in_every_twin(client, run, figure):
    found = next(one for one in twin(client)["figures"] if one["slug"] == figure)
    rows = list(csv.reader(io.StringIO(page(client, "/runs/synthetic/losses.csv", figure=figure))))[1:]
    stated = {one["share under threshold"] for one in twin(client)["checkpoints"]}
    assert {float(share) for name, _, share in rows if name != "under 0.012 nats"} <= stated
    assert [point[1] for one in found["series"] for point in one["points"]] == [float(row[2]) for row in rows]
    assert all(
        name.endswith("%") and 100 * value == pytest.approx(float(name[:-1])) for value, name in found["y"]["ticks"]
    )


def test_peaks_that_come_in_no_order_of_size_are_not_told_by_their_ends():
    def at(loss, size):
        row = np.zeros(15_000, np.int64)
        row[int(loss / 0.002)] = 1000
        return Distribution(
            "kin", "main", None, size, True, False, loss, 0.0, n_predictions=1000, binning=BINNING, row=row
        )

    def reading(*bits):
        shown = [at(loss, 10**i) for i, loss in enumerate(bits, 3)]
        return integrand_by_size(shown, Look(unit="bits"), number=1)["reading"]

    assert reading(9, 7, 5).startswith("Peaks at 8.8 bits to 4.9 bits from the smallest to the largest network")
    assert (
        "Peaks lie from 4.9 bits (10 k) to 8.8 bits (1 k), in no order of size; the largest network’s at 6.9 bits"
        in (reading(9, 5, 7))
    )


def test_figures_are_numbered_as_they_are_read(client, tmp_path):
    make_run(tmp_path, networks=NETWORKS[-1:], curves=False)
    assert [one["number"] for one in twin(client)["figures"]] == list(range(1, len(twin(client)["figures"]) + 1))
    assert re.findall(r"<i>Fig\. (\d)</i>", page(client)) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("means", "title"),
    [
        ((1.05, 2.0, 4.0, 6.05), "Mean loss rises from 1.05 nats to 6.05 nats"),
        ((2.0, 1.5, 2.5, 2.0), "Mean loss is 2.00 nats at both ends"),
        ((1.05, 1.0, 6.0, 1.02), "Mean loss falls from 1.05 nats to 1.02 nats"),
    ],
)
def test_the_title_of_the_means_is_true_of_any_run(client, run, means, title):
    for (lm, _), mean in zip(NETWORKS, means, strict=True):
        run.run_checkpoints.filter(checkpoint__lm=lm, is_final=True).update(mean_loss_nats=mean)
    assert title in page(client)


def test_a_range_ends_where_it_says():
    histogram = Histogram(BINNING.by_size, np.zeros(15_000, np.int64))
    assert end_of(histogram, Look()) == "12.477 nats"
    assert end_of(histogram, Look(unit="bits")) == "18 bits"


def test_how_high_lines_reach_is_worked_out_once_a_bundle(client, run, monkeypatch):
    monkeypatch.setattr(queries, "_heights", Recent(1))
    first = client.get(f"/runs/{run.slug}/losses.json").json()["figures"]
    monkeypatch.setattr(Distribution, "heights", property(lambda one: one.known_heights))  # nothing is worked out anew
    found = queries.distributions(run)
    assert all(one.heights.integrand == one.integrand.top > 0 for one in found)
    assert all(one.heights.density == one.by_step.by_decade.density.max() > 0 for one in found)
    assert client.get(f"/runs/{run.slug}/losses.json").json()["figures"] == first

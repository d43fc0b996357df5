"""The page of an experiment on sparse parity: what it says, what its address may ask, its twins, and who sees it."""

from __future__ import annotations

import csv
import io
import json
import math
import re

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clusters.charts.numbers import compact
from clusters.models import Experiment
from clusters.queries import parity as queries
from clusters.values.parity import NOUNS, Window
from compute.models import Job
from compute.numerics.scaling import fit_power_law
from tests.factories import UserFactory
from tests.parity import FIRST_SAMPLES, LN2, World, frequencies, learned_at, make_parity

pytestmark = pytest.mark.django_db
SAMPLES = (None, 1000, 4000, 16_000, 64_000)
PATH = "/labs/parity/made-up/"
LATER = re.compile(r'hx-get="([^"]+figure=[^"]+)"')


@pytest.fixture
def swept(tmp_path) -> Experiment:
    """Widths and samples at one α."""
    return make_parity(tmp_path, World(samples=SAMPLES))


@pytest.fixture
def several(tmp_path) -> Experiment:
    """Two α, two seeds."""
    return make_parity(tmp_path, World(alphas=(0.3, 0.6), widths=(8, 32), samples=(None, 3000, 30_000), seeds=(0, 1)))


def page(client, path=PATH, status=200, **query):
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode() if not response.streaming else b"".join(response.streaming_content).decode()


def told(client, **query):
    return json.loads(page(client, "/labs/parity/made-up.json", **query))


def figure(found, slug):
    return next(chart for chart in found["figures"] if chart["slug"] == slug)


# ── what it shows ──


def test_the_heading_says_how_many_tasks_are_learned(client, swept):
    html = page(client)
    assert "<h1>22 of 40 tasks are learned; the loss over all of them falls as a power</h1>" in html
    for letter, noun in (("N", "parameters"), ("S", "steps"), ("D", "samples")):
        assert f"<dt>α<sub>{letter}</sub>, over {noun}</dt>" in html


def test_every_figure_is_there_and_numbered_as_it_is_read(client, swept):
    found = told(client)["figures"]
    assert [chart["number"] for chart in found] == list(range(1, len(found) + 1))
    assert [chart["slug"] for chart in found] == [
        "tasks", "sum", "loss-n", "loss-s", "loss-d", "heat", "convergence", "learned-n", "learned-s", "learned-d",
        "stopping", "overfitting", "grokking",
    ]  # fmt: skip


def test_what_comes_later_can_be_fetched(client, several):
    places = [place.replace("&amp;", "&") for place in LATER.findall(page(client))]
    assert len(places) == 11
    for place in places:
        assert "<figure" in page(client, place)


def test_laws_are_those_of_the_experiment(client, swept):
    laws = told(client)["laws"]
    for name in ("N", "S", "D"):
        own = swept.found["fits"][name][0]
        assert laws[name]["exponent"] == pytest.approx(own["exponent"])
        assert laws[name]["window"] == [own["first"], own["last"]]


def test_a_window_of_ones_own_is_fitted_again(client, swept):
    law = told(client, n_from="500", n_to="3,000")["laws"]["N"]
    inside = [(x, y) for x, y, _ in law["points"] if 500 <= x <= 3000]
    assert law["window"] == [500, 3000]
    assert law["exponent"] == pytest.approx(fit_power_law(*zip(*inside, strict=True)).alpha)
    assert law["n_points"] == len(inside) == 3
    assert law["finite_k"] > law["theory"]  # 40 tasks run out


@pytest.mark.parametrize(("query", "name"), [({"n_from": "500"}, "N"), ({"s_to": "200"}, "S"), ({"d_to": "5000"}, "D")])
def test_the_caption_names_the_points_that_were_fitted_and_not_the_window_typed(client, swept, query, name):
    found = told(client, **query)
    law, window = found["laws"][name], Window(*found["laws"][name]["window"])
    inside = [x for x, *_ in law["points"] if window.holds(x)]
    assert (law["first"], law["last"]) == (inside[0], inside[-1])
    said = f"{compact(inside[0])} to {compact(inside[-1])} {NOUNS[name]}."
    assert said in figure(found, f"loss-{name.lower()}")["reading"]


def test_a_window_with_one_point_draws_none_and_says_why(client, swept):
    html = page(client, n_from="500", n_to="600", heat="S")
    assert "No line is drawn: this fit needs at least 2 points" in html
    assert f'<a href="{PATH}?heat=S#laws">What the experiment itself fitted</a>' in html


def test_the_sum_is_that_of_the_tasks(client, swept):
    rows = figure(told(client), "sum")["table"]["rows"]
    assert max(abs(mean - total) for _, mean, total in rows) < 1e-5


def test_tasks_are_those_of_the_chosen_network(client, swept):
    chart = figure(told(client, network="0"), "tasks")
    last = chart["table"]["rows"][-1]
    losses = queries.task_losses(swept, queries.sweep(swept).networks[0])
    assert last[1] == pytest.approx(float(losses[-1, 0]))
    assert "1 of 40 tasks is learned" in chart["title"]


def test_bits_are_nats_by_ln_2(client, swept):
    nats, bits = (figure(told(client, unit=unit), "loss-n")["table"]["rows"][0][1] for unit in ("nats", "bits"))
    assert bits == pytest.approx(nats / LN2)


def test_learned_tasks_grow_with_samples_as_the_theory_has_it(client, swept):
    rows = figure(told(client), "learned-d")["table"]["rows"]
    assert [n for _, n, _ in rows] == [int((d / FIRST_SAMPLES) ** (1 / 1.4)) for d in (1000, 4000, 16_000, 64_000)]


def test_tasks_are_learned_when_they_fall(client, swept):
    rows = figure(told(client), "convergence")["table"]["rows"]
    steps = np.array(queries.steps_of(swept))
    for rank, frequency, step in rows[:5]:
        assert frequency == pytest.approx(frequencies(0.4, 40)[rank - 1])
        assert learned_at(0.4, 40)[rank - 1] < step <= 3 * learned_at(0.4, 40)[rank - 1]
        assert step in steps


def test_how_often_a_task_is_seen_until_it_is_learned(client, swept):
    reading = figure(told(client), "convergence")["reading"]
    assert "a task had been seen 30 k times in the median, 20 k to 50 k" in reading


def test_of_several_alphas_one_is_shown_and_all_are_compared(client, several):
    html = page(client, alpha="0.6")
    assert 'aria-current="true">α = 0.6</a>' in html
    assert told(client, alpha="0.6")["laws"]["N"]["theory"] == 0.6
    chart = figure(told(client), "exponents-s")
    assert [row[0] for row in chart["table"]["rows"]] == [0.3, 0.6]
    assert [row[4] for row in chart["table"]["rows"]] == pytest.approx([0.3 / 1.3, 0.6 / 1.6])
    assert [row[6] for row in chart["table"]["rows"]] == [0.3070, 0.4221]
    assert "Diamonds: Michaud et al. 2023, Figure 10" in html
    assert "Diamonds" not in page(client, paper="off")


def test_the_usual_alpha_is_the_paper_s(client, tmp_path):
    make_parity(tmp_path, World(alphas=(0.2, 0.4), widths=(8, 32)))
    assert told(client)["alpha"] == 0.4


def test_the_heat_map_can_stand_against_every_resource(client, swept):
    for resource, n_columns in (("N", 5), ("D", 4)):
        chart = figure(told(client, heat=resource), "heat")
        assert len(chart["table"]["head"]) == 1 + n_columns
    assert "training steps" in figure(told(client, heat="S"), "heat")["description"]


def test_a_network_that_diverged_is_counted_and_in_no_law(client, tmp_path):
    make_parity(tmp_path, World(widths=(4, 8, 16, 32), diverged=(3,)))
    html = page(client)
    assert "1 diverged" in html
    assert {x for x, _, _ in told(client)["laws"]["N"]["points"]} == {254, 506, 1010}
    assert page(client, network="3")


# ── what is missing ──


def test_one_width_has_no_law_over_parameters_and_says_what_would_give_one(client, tmp_path):
    make_parity(tmp_path, World(widths=(16,)))
    html = page(client)
    assert "Networks of one width were trained on ever new batches; a law over parameters needs two." in html
    assert "start “Sparse parity, two cores”; at the paper’s scale, on a GPU: “The paper’s parameter scaling" in html
    assert "Every network of this experiment saw each batch once" in html
    assert "This experiment was done at α = 0.4 alone." in html
    assert told(client)["laws"]["N"] is None


def test_an_experiment_on_samples_alone_is_shown_without_the_rest(client, tmp_path):
    make_parity(tmp_path, World(widths=(32,), samples=(1000, 10_000)))
    html = page(client)
    assert "No network saw new batches all the time; a law over steps needs one." in html
    assert {chart["slug"] for chart in told(client)["figures"]} >= {"loss-d", "stopping", "overfitting", "heat"}


def test_where_nothing_is_learned_every_figure_still_says_so(client, tmp_path):
    make_parity(tmp_path, World(steps=(0, 5, 10), widths=(8, 16)))
    assert "<h1>None of 40 tasks is learned</h1>" in page(client)
    titles = {chart["slug"]: chart["title"] for chart in told(client)["figures"]}
    assert titles["tasks"] == "No task is learned within 10 steps"
    assert titles["heat"] == "No task of 40 is learned with any number of parameters"
    assert titles["convergence"] == "No task is learned, so none is learned first"


# ── what an address may ask ──


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"network": "99"}, 404, "This experiment has no network “99”"),
        ({"network": "-1"}, 404, "It trained 9, numbered from 0 to 8"),
        ({"finite": "x"}, 404, "This experiment has no network “x”"),
        ({"finite": "0"}, 400, "that network saw every batch once"),
        ({"alpha": "0.7"}, 400, "this experiment was done at 0.4"),
        ({"n_from": "900", "n_to": "100"}, 400, "the first must be the smaller one"),
        ({"n_from": "1,5"}, 400, "give a number from 0 to"),
        ({"s_from": "1,5", "s_to": "2,5"}, 400, "give a number from 0 to"),
        ({"s_from": "soon"}, 400, "give a number from 0 to"),
        ({"d_to": "nan"}, 400, "give a number from 0 to"),
        ({"heat": "X"}, 400, "choose one of N, S, D"),
        ({"unit": "bananas"}, 400, "choose one of nats, bits"),
        ({"paper": "maybe"}, 400, "choose one of on, off"),
    ],
)
def test_what_the_experiment_does_not_have_is_refused_in_a_sentence(client, swept, query, status, words):
    assert words in page(client, status=status, **query)
    assert words in json.loads(page(client, "/labs/parity/made-up.json", status=status, **query))["error"]["message"]


def test_a_network_of_another_alpha_is_no_network_of_this_one(client, several):
    html = page(client, status=404, network="0", alpha="0.6")
    assert "Network 0 was trained at α = 0.3, not at 0.6" in html
    assert f'href="{PATH}"' in html
    assert told(client, network="0")["alpha"] == 0.3


# ── twins, access, cost ──


def test_the_table_holds_a_row_a_network(client, swept):
    rows = list(csv.reader(io.StringIO(page(client, "/labs/parity/made-up.csv"))))
    assert rows[0][:3] == ["network", "alpha", "width"]
    assert len(rows) == 1 + len(swept.found["runs"])
    assert [int(row[9]) for row in rows[1:]] == [one["n_learned"] for one in swept.found["runs"]]


@pytest.mark.parametrize("slug", ["tasks", "loss-s", "heat", "overfitting"])
def test_a_figure_is_a_drawing_of_its_own_and_a_table(client, swept, slug):
    assert page(client, "/labs/parity/made-up.svg", figure=slug).startswith("<?xml")
    assert len(page(client, "/labs/parity/made-up.csv", figure=slug).splitlines()) > 2


def test_no_figure_of_that_name(client, swept):
    assert "This page has no figure “nonsense”" in page(
        client, "/labs/parity/made-up.svg", status=404, figure="nonsense"
    )
    assert "Its figures: tasks, " in page(client, "/labs/parity/made-up.csv", status=404, figure="nonsense")


def test_a_private_experiment_is_its_owner_s_alone(client, tmp_path):
    owner, other = UserFactory(), UserFactory()
    make_parity(tmp_path, World(widths=(8, 16)), owner=owner, is_private=True)
    for person in (None, other):
        client.logout() if person is None else client.force_login(person)
        for place in (PATH, "/labs/parity/made-up.json", "/labs/parity/made-up.svg", PATH + "?embed=true&figure=sum"):
            page(client, place, status=404)
    client.force_login(owner)
    assert 'status square warn">private' in page(client)
    page(client, PATH + "?embed=true&figure=sum", status=404)  # a frame knows nobody


def test_an_experiment_of_another_lab_has_no_page_here(client, swept):
    Experiment.objects.update(kind="addition")
    page(client, status=404)


def test_an_unfinished_experiment_shows_how_far_it_is(client, swept):
    job = Job.objects.create(name="made-up", kind="parity", config={}, state=Job.State.QUEUED)
    Experiment.objects.update(bundle_sha256="", found={}, job=job)
    html = page(client)
    assert "Its figures appear here as soon as its last part is computed" in html
    assert 'id="experiment-progress"' in html
    assert told(client) == {"experiment": "made-up", "found": None}


def test_a_failed_experiment_promises_nothing_and_leads_to_other_settings(client, swept):
    job = Job.objects.create(name="made-up", kind="parity", config={}, state=Job.State.FAILED, error="It diverged.")
    Experiment.objects.update(bundle_sha256="", found={}, job=job)
    html = page(client)
    assert "It diverged." in html
    assert "Its figures appear here" not in html
    assert 'href="/labs/parity/?like=made-up#own">Start one like it' in html
    assert "start one like it with others" in html


def test_the_page_asks_few_questions_of_the_database(client, several):
    client.force_login(UserFactory())
    page(client)
    with CaptureQueriesContext(connection) as asked:
        page(client)
    assert len(asked) <= 8


def test_no_number_is_missing_where_json_has_none(client, several):
    text = page(client, "/labs/parity/made-up.json")
    assert "NaN" not in text
    assert all(math.isfinite(x) for x, _, _ in told(client)["laws"]["D"]["points"])

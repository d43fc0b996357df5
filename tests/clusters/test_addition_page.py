"""The pages of grokking: what they say whichever way an experiment went, how one is started, and who sees it."""

from __future__ import annotations

import csv
import io
import json
import math
import re

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clusters.charts.addition import times_title
from clusters.forms.addition import AdditionForm
from clusters.models import Experiment
from clusters.queries import addition as queries
from clusters.values.addition import half_way
from compute.labs.addition import PRESETS, AdditionConfig
from compute.models import Job
from tests.addition import GUESS, HUMP, Trained, make_addition
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
PATH, LAB = "/labs/grokking/made-up/", "/labs/grokking/"
SWEPT = [Trained(fraction, decay, seed, t_train=50 + 10 * seed, t_test=t)
         for fraction, decay, t in ((0.3, 0.3, None), (0.3, 1.0, 1500), (0.6, 0.3, 800), (0.6, 1.0, 200))
         for seed in (0, 1)]  # fmt: skip


@pytest.fixture
def swept(tmp_path):
    """Two fractions, two decays, two seeds; the fewest pairs with the least decay never generalise."""
    return make_addition(tmp_path, SWEPT)


@pytest.fixture
def runner(client):
    """Somebody signed in who may start experiments."""
    person = UserFactory()
    person.user_permissions.add(Permission.objects.get(codename="add_job"))
    client.force_login(person)
    return person


def page(client, path=PATH, status=200, **query):
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode() if not response.streaming else b"".join(response.streaming_content).decode()


def told(client, **query):
    return json.loads(page(client, "/labs/grokking/made-up.json", **query))


def figure(found, slug):
    return next(chart for chart in found["figures"] if chart["slug"] == slug)


# ── what it says ──


def test_the_heading_says_how_many_generalise_and_how_late(client, swept):
    html = page(client)
    gap = max(one.gap("loss") for one in queries.sweep(swept).networks if one.gap("loss"))
    assert f"<h1>6 of 8 networks generalise, up to {gap:.0f} times as late as they fit</h1>" in html
    assert "has next to nothing left to gain and weight decay still pulls" in html


def test_nothing_grokked_is_said_as_it_is(client, tmp_path):
    make_addition(tmp_path, [Trained(0.2, seed=0, t_test=None), Trained(0.2, seed=1, t_test=None)])
    html = page(client)
    assert "<h1>None of 2 networks generalises</h1>" in html
    assert "Nothing grokked here" in html
    assert "No network generalised, so no delay is known." in html
    assert {one["slug"] for one in told(client)["figures"]}.isdisjoint({"gap-fraction", "gap-decay", "fractions"})


def test_generalising_at_once_is_no_grokking(client, tmp_path):
    make_addition(tmp_path, [Trained(0.9, t_train=100, t_test=110)])
    html = page(client)
    assert "<h1>The network generalises, hardly later than it fits</h1>" in html
    assert "fitting and understanding are one step" in html
    assert "One share of the pairs was tried." in html


@pytest.mark.parametrize(
    ("t_train", "t_test", "title"),
    [
        (60, 600, "Fitted by step 62, generalised by step 606: 9.8 times as late"),
        (100, 110, "Fitted by step 103, generalised by step 114: hardly later"),
        (110, 100, "Generalised by step 103, no later than fitted"),
        (None, 100, "Generalised by step 103, no later than fitted"),
        (60, None, "Fitted by step 62, not generalised by step 2,000"),
        (None, None, "Not even the pairs shown are fitted within 2,000 steps"),
    ],
)
def test_the_figure_s_title_says_when(tmp_path, t_train, t_test, title):
    made = make_addition(tmp_path, [Trained(0.5, t_train=t_train, t_test=t_test)])
    (network,) = queries.sweep(made).networks
    said = times_title(network, "loss")
    assert re.sub(r"\d[\d,]*(\.\d)?", "#", said) == re.sub(r"\d[\d,]*(\.\d)?", "#", title)
    for step in (network.t_train, network.t_test):
        assert step is None or f"{step:,}" in said or "no later" in said


def test_a_rise_of_the_test_loss_before_its_fall_is_told(client, swept):
    said = figure(told(client, network="2", unit="bits"), "loss")["reading"]
    assert f"rises to {HUMP:.1f} bits" in said
    assert f"above the {GUESS:.1f} of a guess" in said


def test_the_network_with_the_longest_delay_is_shown_unless_one_is_named(client, swept):
    known = queries.sweep(swept)
    longest = max(known.networks, key=lambda one: one.gap("loss") or 0)
    assert told(client)["network"] == longest.index
    assert told(client, network="0")["network"] == 0


def test_by_accuracy_other_steps_count(client, swept):
    loss, accuracy = (figure(told(client, network="2", by=by), "loss")["title"] for by in ("loss", "accuracy"))
    assert loss != accuracy
    one = queries.sweep(swept).networks[2]
    assert f"{one.t_test_accuracy:,}" in accuracy


def test_nats_and_bits_are_the_same_losses(client, swept):
    nats, bits = (figure(told(client, unit=unit), "loss")["series"][2]["points"] for unit in ("nats", "bits"))
    assert [y for _, y in nats] == pytest.approx([y * math.log(2) for _, y in bits])


def test_medians_of_gaps_are_drawn_and_every_network_is_a_point(client, swept):
    series = figure(told(client), "gap-fraction")["series"]
    known = queries.sweep(swept)
    one_decay = next(one for one in series if one["name"] == "decay 1")
    cells = [known.cell(fraction, 1.0) for fraction in known.fractions]
    expected = [[cell.fraction, sum(one.gap("loss") for one in cell.networks) / 2] for cell in cells]
    assert one_decay["points"] == [pytest.approx(point) for point in expected]
    dots = sum(len(one["points"]) for one in series if one["kind"] == "points")
    assert dots == 6
    assert "2 of 8 networks have none" in figure(told(client), "gap-fraction")["reading"]


def test_titles_of_delays_say_which_way_they_go(client, swept):
    found = told(client)
    assert figure(found, "gap-fraction")["title"].startswith("Fewer pairs, longer delay: ")
    assert figure(found, "gap-decay")["title"].startswith("Less decay, longer delay: ")
    enough = figure(found, "fractions")["title"]
    assert enough == "All 2 shares of the pairs are enough, sooner the more pairs are shown"
    assert figure(told(client, network="0"), "fractions")["title"] == "1 of 2 shares of the pairs are enough"


def test_half_way_is_between_the_first_and_the_last_value():
    assert half_way([0, 1, 2, 3], [0.1, 0.2, 0.8, 0.9]) == 2
    assert half_way([0, 1, 2], [0.9, 0.3, 0.1]) == 1
    assert half_way([0, 1], [0.5, 0.5]) is None


# ── the page ──


def test_every_figure_is_there_and_numbered_as_it_is_read(client, swept):
    found = told(client)["figures"]
    slugs = ["loss", "accuracy", "periodicity", "norm", "spectrum", "gap-fraction", "gap-decay", "fractions"]
    assert [chart["slug"] for chart in found] == slugs
    assert [chart["number"] for chart in found] == list(range(1, 9))
    for slug in slugs:
        assert "<svg" in page(client, "/labs/grokking/made-up.svg", figure=slug)


def test_the_table_has_every_network(client, swept):
    head, *rows = csv.reader(io.StringIO(page(client, "/labs/grokking/made-up.csv")))
    assert len(rows) == 8
    assert [row[head.index("generalised at")] for row in rows[:2]] == ["", ""]
    assert float(rows[2][head.index("gap")]) == pytest.approx(swept.found["networks"][2]["gap"])


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ({"network": "8"}, 404, "It trained 8, numbered from 0 to 7"),
        ({"network": "x"}, 404, "no network “x”"),
        ({"by": "taste"}, 400, "choose one of loss, accuracy"),
        ({"unit": "bit"}, 400, "unit is"),
    ],
)
def test_what_an_experiment_does_not_have_is_said(client, swept, query, status, sentence):
    assert sentence in page(client, status=status, **query)


def test_a_private_experiment_is_its_owner_s(client, tmp_path):
    owner = UserFactory()
    make_addition(tmp_path, SWEPT[:1], owner=owner, is_private=True)
    page(client, status=404)
    assert "made-up" not in page(client, LAB)
    client.force_login(owner)
    assert "private" in page(client)


def test_an_unfinished_experiment_says_so(client):
    job = Job.objects.create(kind="addition", name="waits", config={})
    Experiment.objects.create(slug="waits", name="waits", kind="addition", config={"modulus": 7}, job=job)
    html = page(client, "/labs/grokking/waits/")
    assert "Its figures appear here" in html
    assert json.loads(page(client, "/labs/grokking/waits.json")) == {"experiment": "waits", "found": None}


def test_a_failed_experiment_leads_to_another_like_it(client):
    sentence = "Training diverged: at step 4 the loss is no number any more."
    config = AdditionConfig(name="wild", learning_rate=50.0).to_json()
    job = Job.objects.create(kind="addition", name="wild", config=config, state="failed", error=sentence)
    Experiment.objects.create(slug="wild", name="wild", kind="addition", config=config, job=job)
    html = page(client, "/labs/grokking/wild/")
    assert sentence in html
    assert "It stopped before its results were whole." in html
    assert 'href="/labs/grokking/?like=wild#own"' in html


def test_queries_do_not_grow_with_networks(client, tmp_path):
    make_addition(tmp_path, SWEPT[:2], name="few")
    make_addition(tmp_path, SWEPT * 4, name="many")
    counts = []
    for name in ("few", "many"):
        with CaptureQueriesContext(connection) as captured:
            page(client, f"/labs/grokking/{name}/")
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 15


# ── starting one ──


def test_the_lab_lists_presets_and_experiments(client, swept):
    html = page(client, LAB)
    assert 'href="/labs/grokking/made-up/"' in html
    assert all(preset.title in html for preset in PRESETS)
    found = json.loads(page(client, "/labs/grokking.json"))
    assert [one["experiment"] for one in found["experiments"]] == ["made-up"]
    assert AdditionConfig.from_json(found["presets"][0]["config"]) == PRESETS[0].config


def test_one_click_starts_a_preset(client, runner):
    answer = client.post(LAB, {"kind": "addition", "preset": "two-core"})
    made = Experiment.objects.get()
    assert answer.headers["Location"] == made.get_absolute_url() == f"/labs/grokking/{made.slug}/"
    assert (made.kind, made.owner, made.job.state) == ("addition", runner, "queued")
    assert "Job" in page(client, made.get_absolute_url())


def test_own_settings_are_started_as_they_were_typed(client, runner):
    values = AdditionForm.initial_of(PRESETS[0].config) | {
        "name": "mine",
        "modulus": "13",
        "fractions": "0.4 0.8",
        "n_seeds": "1",
    }
    assert client.post(LAB, values).status_code == 302
    config = Experiment.objects.get().config
    assert (config["modulus"], config["fractions"], config["name"]) == (13, [0.4, 0.8], "mine")


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("fractions", "0.5, 1.2", "Fractions of the pairs names 1.2; a fraction of the pairs lies between 0 and 1"),
        ("fractions", "half", "“half” is no number. Write them like 0.3, 0.5."),
        ("fractions", "", "This field is required"),
        ("fractions", "0.0001", "leaves none to train on"),
        ("modulus", "2", "Modulus p is 2; it must be at least 3"),
        ("learning_rate", "-1", "Learning rate is -1; it must be above 0"),
        ("weight_decays", "0.1 0.1", "Weight decays names 0.1 twice"),
        ("activation", "tanh", "Select a valid choice"),
        ("n_seeds", "101", "Seeds is 101"),
    ],
)
def test_what_cannot_be_trained_is_said_beside_its_field(field, value, sentence):
    form = AdditionForm(AdditionForm.initial_of(PRESETS[0].config) | {"name": "mine", field: value})
    assert not form.is_valid()
    assert sentence in " ".join(form.errors[field])


def test_a_refused_form_starts_nothing_and_keeps_what_was_typed(client, runner):
    answer = client.post(LAB, AdditionForm.initial_of(PRESETS[0].config) | {"name": "mine", "steps": "0"})
    html = answer.content.decode()
    assert answer.status_code == 422
    assert "Steps at most is 0; it must be at least 1" in html
    assert 'value="mine"' in html
    assert not Experiment.objects.exists()


def test_the_form_begins_with_a_preset_an_earlier_experiment_or_the_address(client, runner, swept):
    assert 'value="113"' in page(client, LAB, like="large")
    assert 'value="31"' in page(client, LAB, like="made-up")
    assert 'value="0.25"' in page(client, LAB, fractions="0.25")
    page(client, LAB, status=404, like="nowhere")


def test_guests_and_readers_start_nothing(client, swept):
    assert "Sign in" in page(client, LAB)
    values = AdditionForm.initial_of(PRESETS[0].config) | {"name": "mine"}
    assert client.post(LAB, values).headers["Location"].startswith("/sign-in/")
    client.force_login(UserFactory())
    assert client.post(LAB, values).status_code == 403
    assert Experiment.objects.count() == 1

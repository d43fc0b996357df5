"""Pages of QDG's bias: what they say, what their addresses may ask, their twins, what is started, and who sees it."""

from __future__ import annotations

import csv
import io
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clusters.charts import qdg_bias as figures
from clusters.charts.numbers import fixed
from clusters.charts.qdg_bias_parity import _means_reading
from clusters.charts.rank_choices import draws_text
from clusters.models import Experiment
from clusters.queries.rank_frequency import toy_slopes
from clusters.values.facts import ToySlopes
from clusters.values.qdg_bias import ParityQdg, read_backwards
from compute.labs import LABS
from compute.models import Job
from compute.numerics.ranks import envelope, fit_envelope
from tests.api.seeds import SCOPES, bearer, make_key
from tests.factories import UserFactory, make_run
from tests.qdg_bias import PARITY, TOY, make_experiment

pytestmark = pytest.mark.django_db
LAB = "/labs/qdg-bias/"
TOY_PATH, PARITY_PATH = f"{LAB}tiny-toy", f"{LAB}tiny-parity"


@pytest.fixture
def toy() -> Experiment:
    return make_experiment("toy-qdg")


@pytest.fixture
def parity() -> Experiment:
    return make_experiment("parity-qdg")


@pytest.fixture
def runner(client) -> Any:
    person = UserFactory()
    person.groups.add(Group.objects.get(name="runner"))
    client.force_login(person)
    return person


def page(client, path, status=200, **query):
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode() if not response.streaming else b"".join(response.streaming_content).decode()


def told(client, path, **query):
    return json.loads(page(client, f"{path}.json", **query))


# ── the lab ──


def test_the_lab_answers_before_anything_was_computed(client):
    html = page(client, LAB)
    assert 'id="fig-slopes"' in html
    assert "24 draws of 11 exponents" in html
    assert "No experiment yet" in html


def test_a_slope_is_read_backwards_and_kept_in_the_address(client):
    found = read_backwards(toy_slopes(), -1.24)
    html = page(client, LAB, slope="−1.24")
    assert f"<dd>{fixed(found.inverse.truth)}</dd>" in html
    assert f"95% {fixed(found.inverse.low)} to {fixed(found.inverse.high)}" in html
    assert told(client, LAB[:-1], slope="-1.24")["readout"]["inverse"]["truth"] == found.inverse.truth


@pytest.mark.parametrize(
    ("slope", "sentence"),
    [
        ("steep", "is no number; write one such as −1.24"),
        ("nan", "is no number"),
        ("1e400", "is no number"),
        ("-1e9", "is out of reach; write one from −100 to 0"),
        ("5", "clusters grow smaller with rank; write a falling one: −1.24"),
    ],
)
def test_what_is_no_falling_slope_is_refused_with_a_sentence(client, toy, slope, sentence):
    for path in (LAB, f"{TOY_PATH}/"):
        assert sentence in page(client, path, status=400, slope=slope)
        said = json.loads(page(client, f"{path[:-1]}.json", status=400, slope=slope))
        assert sentence in said["error"]["message"]


@pytest.mark.parametrize(
    ("slope", "truth", "interval", "alpha"),
    [
        ("-0.5", "below 0.6", "below 0.6", "below −0.4, below all that the theory knows: its α is above 0"),
        ("-5", "above 1.6", "above 1.6", "above 0.6"),
    ],
)
def test_a_slope_beyond_what_was_tried_gives_the_side_alone(client, slope, truth, interval, alpha):
    html = page(client, LAB, slope=slope)
    assert f"<dd>{truth}</dd>" in html
    assert f"95% {interval}; as 1 + α, α would be {alpha}</dd>" in html
    assert "beyond them the line is a guess. No line assumed, no exponent that was tried gives draws like it." in html


def test_an_interval_that_leaves_what_was_tried_is_open_there(client):
    slope, toy = toy_slopes().means[-1], toy_slopes()
    found = read_backwards(toy, slope).inverse
    assert found.low < toy.exponents[-1] < found.high
    html = page(client, LAB, slope=slope)
    assert f"95% {fixed(found.low)} or more; as 1 + α, α would be {fixed(found.low - 1)} or more</dd>" in html
    assert "beyond them the line is a guess" in html


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "no exponent that was tried gives draws like it"),
        ((0.6, 1.6), "every exponent that was tried may give draws like it"),
        ((0.8, 1.1), "draws like it come of exponents of 0.80 to 1.10"),
        ((0.6, 1.1), "draws like it come of exponents of 1.10 or less"),
    ],
)
def test_what_single_draws_say_is_a_sentence(found, words):
    assert draws_text(toy_slopes(), found) == words


def test_the_lab_s_twins(client, toy):
    assert [one["experiment"] for one in told(client, LAB[:-1])["experiments"]] == ["tiny-toy"]
    assert page(client, f"{LAB[:-1]}.csv").splitlines()[1].startswith("tiny-toy,")
    assert "<svg" in page(client, f"{LAB[:-1]}.svg", figure="slopes")


def test_a_preset_is_started_by_one_click(client, runner):
    response = client.post(LAB, {"kind": "parity-qdg", "preset": "two-core"})
    made = Experiment.objects.get()
    assert response["Location"] == made.get_absolute_url()
    assert (made.kind, made.preset, made.config["n_tasks"]) == ("parity-qdg", "two-core", 64)
    assert "Its figures appear here" in page(client, made.get_absolute_url())
    assert told(client, made.get_absolute_url().rstrip("/"))["found"] is None


def form_of(client, kind):
    html = client.get(LAB, {"kind": kind, "like": ""}).context["forms"]
    return next(one["form"] for one in html if one["kind"] == kind).initial


def test_settings_of_one_s_own_are_started(client, runner):
    given = form_of(client, "toy-qdg") | {"name": "mine", "exponents": "0.9, 1.1", "kind": "toy-qdg"}
    assert client.post(LAB, given).status_code == 302
    assert Experiment.objects.get().config["exponents"] == [0.9, 1.1]


@pytest.mark.parametrize(
    ("kind", "field", "value", "sentence"),
    [
        ("toy-qdg", "exponents", "0, 1", "True exponents α is 0; it must be above 0"),
        ("toy-qdg", "exponents", "one", "“one” is no number"),
        ("toy-qdg", "ks", "20, 5000", "5000 clusters are asked for"),
        ("toy-qdg", "n_subtasks", "0", "Subtasks is 0; it must be at least 1"),
        ("parity-qdg", "alpha", "0", "α is 0; it must be above 0"),
        ("parity-qdg", "n_tasks", "5000", "bits have only 1,140 subsets of 3"),
        ("parity-qdg", "ks", "2, 9000", "9,000 clusters are asked for"),
        ("parity-qdg", "ks", "2.5", "“2.5” is no whole number"),
        ("parity-qdg", "ks", "1" + "0" * 400, "is no whole number"),
    ],
)
def test_what_cannot_be_computed_is_said_beside_its_field(client, runner, kind, field, value, sentence):
    given = form_of(client, kind) | {"name": "mine", "kind": kind, field: value}
    response = client.post(LAB, given)
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not Job.objects.exists()


def test_both_forms_have_ids_of_their_own(client, runner):
    ids = re.findall(r"\bid=\"([^\"]+)\"", client.get(LAB).content.decode())
    assert len(ids) == len(set(ids))


def test_guests_are_asked_to_sign_in_and_strange_kinds_refused(client, runner):
    assert client.post(LAB, {"kind": "weather", "name": "x"}).status_code == 400
    client.logout()
    assert "/sign-in/" in client.post(LAB, {"kind": "toy-qdg", "name": "x"})["Location"]


def test_an_earlier_experiment_fills_the_form(client, runner, toy):
    forms = client.get(LAB, {"kind": "toy-qdg", "like": "tiny-toy"}).context["forms"]
    assert forms[0]["form"].initial["ks"] == "10, 20, 30"
    assert forms[0]["is_open"]


@pytest.mark.parametrize(
    ("kind", "config", "sentence"),
    [
        ("toy-qdg", {"exponents": [0]}, "exponents is 0; it must be above 0"),
        ("parity-qdg", {"n_tasks": 5000}, "20 bits have only 1,140 subsets of 3"),
        ("parity-qdg", {"ks": [2, 9000]}, "9,000 clusters are asked for"),
    ],
)
def test_the_api_says_the_same_sentences(client, kind, config, sentence):
    person = UserFactory()
    person.groups.add(Group.objects.get(name="runner"))
    response = client.post(
        "/api/v1/experiments/", {"kind": kind, "config": config}, content_type="application/json",
        headers=bearer(make_key(person, *SCOPES)),
    )  # fmt: skip
    assert response.status_code == 400
    assert sentence in response.content.decode()


# ── toy worlds ──


def test_the_toy_page_says_what_was_measured(client, toy):
    html, at_one = page(client, f"{TOY_PATH}/"), toy.found["worlds"][1]
    assert (at_one["exponent"], at_one["noise"]) == (1.0, 1.0)
    assert f"<h1>QDG measures {fixed(at_one['mean'])} where the truth is −1.00</h1>" in html
    assert html.count('<tr><td class="num">60</td>') == 4


def test_every_toy_figure_is_numbered_and_has_its_twins(client, toy):
    found = told(client, TOY_PATH)["figures"]
    assert [one["slug"] for one in found] == ["slopes", "world-0", "world-1", "grid", "agreement", "world-2", "world-3"]
    assert [one["number"] for one in found] == list(range(1, 8))
    for one in found:
        assert "<svg" in page(client, f"{TOY_PATH}.svg", figure=one["slug"])
        assert page(client, f"{TOY_PATH}.csv", figure=one["slug"]).count("\n") > 1
    assert "fig-world-3" in page(client, f"{TOY_PATH}.html", figure="world-3")


def test_the_draw_that_is_shown_is_chosen_in_the_address(client, toy):
    def slope(draw):
        title = told(client, TOY_PATH, draw=draw)["figures"][1]["title"]
        return title.rpartition(" ")[2]

    assert [slope(1), slope(2)] == [fixed(one) for one in toy.found["worlds"][0]["slopes"]]
    assert "draws count from 1 to 2" in page(client, f"{TOY_PATH}/", status=400, draw="3")
    page(client, f"{TOY_PATH}/", status=400, draw="first")


def test_the_toy_s_table_has_every_draw(client, toy):
    rows = list(csv.DictReader(io.StringIO(page(client, f"{TOY_PATH}.csv"))))
    assert len(rows) == len(TOY.cells) * TOY.n_seeds
    assert float(rows[3]["slope"]) == pytest.approx(toy.found["worlds"][1]["slopes"][1])


def test_a_toy_of_one_draw_says_what_it_lacks(client, toy):
    found = toy.found | {
        "worlds": [one | {"sd": None, "low": None, "high": None, "slopes": one["slopes"][:1]}
                   for one in toy.found["worlds"]],
        "calibration": None,
    }  # fmt: skip
    Experiment.objects.update(found=found, config=toy.config | {"n_seeds": 1})
    assert "two draws of each are needed" in page(client, f"{TOY_PATH}/", slope="-1")
    assert told(client, TOY_PATH, slope="-1")["readout"] is None


@pytest.mark.parametrize(
    ("slopes", "title"),
    [
        ([[-0.8, -0.82], [-1.0, -1.02], [-1.2, -1.18]], "follows the true exponent one for one"),
        ([[-0.9, -0.92], [-1.0, -1.02], [-1.1, -1.08]], "but by only 0.4"),
        ([[-0.6, -0.62], [-1.0, -1.02], [-1.4, -1.38]], "steeper, but by 1.9"),
        ([[-1.2, -1.18], [-1.0, -1.02], [-0.8, -0.82]], "Steeper truths measure flatter"),
        ([[-1.2, -0.8], [-0.7, -1.3], [-1.1, -0.9]], "does not tell the true exponent"),
    ],
)
def test_the_title_says_what_the_slopes_do(slopes, title):
    chart = figures.slopes_chart(ToySlopes([0.8, 1.0, 1.2], slopes, toy_slopes().setting), None, number=1)
    assert title in chart["title"]


# ── gradients of a parity network ──


def test_the_parity_page_sets_the_slopes_side_by_side(client, parity):
    html = page(client, f"{PARITY_PATH}/")
    assert f"<h1>QDG measures {fixed(parity.found['fits']['signed']['slope'])} where the tasks’" in html
    for name in ("true", "signed", "absolute"):
        assert f'<td class="num">{fixed(parity.found["fits"][name]["slope"])}</td>' in html
    assert f"{parity.found['n_present']} of 8 tasks passed with a loss below 0.1 nats" in html


@pytest.mark.parametrize("counts", [[60, 20, 10, 6, 4], [30, 24, 20, 18, 16]])
def test_samples_are_said_to_be_steeper_than_what_is_asked_only_where_they_are(client, parity, monkeypatch, counts):
    monkeypatch.setattr(ParityQdg, "true_sizes", counts)
    found = told(client, PARITY_PATH, first="1", last="5")
    is_steeper = found["fits"]["tasks"]["slope"] < PARITY.known_slope
    assert is_steeper is (counts[0] == 60)
    html = page(client, f"{PARITY_PATH}/", first="1", last="5")
    assert ("fall more steeply than their frequencies" in html) is is_steeper


def test_every_parity_figure_is_numbered_and_has_its_twins(client, parity):
    found = told(client, PARITY_PATH)["figures"]
    assert [(one["slug"], one["number"]) for one in found] == [
        ("ranks", 1), ("task-means", 3), ("agreement", 4), ("cosines", 5)
    ]  # fmt: skip
    for one in found:
        assert "<svg" in page(client, f"{PARITY_PATH}.svg", figure=one["slug"])
        assert page(client, f"{PARITY_PATH}.csv", figure=one["slug"]).count("\n") > 1


def test_affinity_and_ranks_are_chosen_in_the_address(client, parity):
    found = told(client, PARITY_PATH, affinity="absolute", first="2", last="5")
    assert found["window"] == [2, 5]
    signed = told(client, PARITY_PATH, first="2", last="5")
    assert found["fits"] == signed["fits"]
    slopes = [fixed(found["fits"][one]["slope"]) for one in ("absolute", "signed")]
    titles = [one["figures"][0]["title"] for one in (found, signed)]
    assert [slope in title for slope, title in zip(slopes, titles, strict=True)] == [True, True]
    assert "choose one of signed, absolute" in page(client, f"{PARITY_PATH}/", status=400, affinity="both")


def test_the_fit_is_that_of_the_sizes(client, parity):
    told_of = told(client, PARITY_PATH, first="1", last="4")
    rows = list(csv.DictReader(io.StringIO(page(client, f"{PARITY_PATH}.csv", figure="ranks"))))
    by_k = {
        name: [int(row["samples"]) for row in rows if row["line"] == name] for name in {row["line"] for row in rows}
    }
    assert sum(by_k.pop("tasks")) == PARITY.n_samples
    assert told_of["fits"]["signed"]["slope"] == pytest.approx(fit_envelope(envelope(by_k.values()), 1, 4).slope)


@pytest.mark.parametrize(("first", "last"), [("5", "4"), ("1", "2"), ("0", "5"), ("1", "900"), ("x", "5")])
def test_ranks_that_cannot_be_fitted_are_said_to_be_none(client, parity, first, last):
    assert "cannot be fitted" in page(client, f"{PARITY_PATH}/", first=first, last=last)


def test_the_matrix_is_a_picture_that_browsers_keep(client, parity):
    response = client.get(f"{PARITY_PATH}/matrix-dark.png")
    assert response["Content-Type"] == "image/png"
    assert response.content.startswith(b"\x89PNG")
    assert response.content != client.get(f"{PARITY_PATH}/matrix-light.png").content
    again = client.get(f"{PARITY_PATH}/matrix-dark.png", headers={"if-none-match": response["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"{PARITY_PATH}/matrix-pink.png").status_code == 400


def test_the_table_has_every_task_that_passed(client, parity):
    rows = list(csv.DictReader(io.StringIO(page(client, f"{PARITY_PATH}.csv"))))
    assert len(rows) == parity.found["n_present"]
    assert sum(int(row["samples"]) for row in rows) == PARITY.n_samples
    assert float(rows[0]["asked"]) > float(rows[-1]["asked"])


def test_a_network_that_learned_little_says_so(client, parity):
    fits = dict.fromkeys(("true", "signed", "absolute"))
    Experiment.objects.update(found=parity.found | {"last_rank": 2, "fits": fits, "within": None})
    html = page(client, f"{PARITY_PATH}/")
    assert "too few ranks for a slope" in html
    assert "All samples against all" in html


# ── both ──


def test_private_ones_are_their_owner_s(client, parity):
    owner = UserFactory()
    Experiment.objects.update(is_private=True, owner=owner)
    for path in (f"{PARITY_PATH}/", f"{PARITY_PATH}.json", f"{PARITY_PATH}/matrix-light.png"):
        assert client.get(path).status_code == 404
    client.force_login(owner)
    assert client.get(f"{PARITY_PATH}/matrix-light.png").status_code == 200


def test_few_queries_whatever_there_is(client, toy, parity):
    for path in (LAB, f"{TOY_PATH}/", f"{PARITY_PATH}/"):
        with CaptureQueriesContext(
            connection,
        ) as found:
            page(client, path)
        assert len(found) <= 6


def test_the_rank_frequency_page_is_corrected_by_an_experiment_that_is_named(client, toy, tmp_path):
    make_run(tmp_path)
    path = "/runs/synthetic/rank-frequency"
    html = page(client, f"{path}/")
    assert "correct by “tiny-toy”" in html
    assert told(client, path)["toy"]["exponents"] == toy_slopes().exponents
    assert told(client, path, toy="tiny-toy")["toy"]["exponents"] == [0.8, 1.0, 1.6]
    assert "correct by the table that comes with the site" in page(client, f"{path}/", toy="tiny-toy")
    page(client, f"{path}/", status=404, toy="nothing")


@pytest.mark.parametrize(("counts", "said"), [([90, 3], "One has fewer than five"), ([90, 4, 3], "2 have fewer")])
def test_tasks_of_few_samples_are_counted_in_words_that_agree(counts, said):
    known = SimpleNamespace(present=list(range(len(counts))), counts=counts)
    assert said in _means_reading(known, len(counts))


def test_an_experiment_leads_to_one_like_it_and_to_the_paper_s_scale(client, parity):
    one = Experiment.objects.get()
    html = page(client, one.get_absolute_url())
    assert f'href="{LAB}?kind=parity-qdg&amp;like={one.slug}#own-parity-qdg">Start one like it' in html
    larger = [preset for preset in LABS["parity-qdg"].presets if preset.needs_gpu]
    assert larger
    for preset in larger:
        assert f'href="{LAB}?kind=parity-qdg&amp;like={preset.key}#own-parity-qdg">{preset.title}</a>' in html

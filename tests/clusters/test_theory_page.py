"""The theory's page: numbers of the closed forms, every knob in the address, a sentence for what means nothing."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.template.loader import render_to_string

from clusters.charts import theory as figures
from clusters.charts import theory_bend as bends
from clusters.forms.theory import theory_query
from clusters.views.theory import FIGURES
from compute.numerics import quantization as model
from compute.numerics.knobs import KNOBS, Knobs

pytestmark = pytest.mark.django_db
WORLDS = [
    "", "n_quanta=500", "n_quanta=1", "n_quanta=2", "n_quanta=3&case=removed", "case=removed", "case=lowered&gain=20",
    "case=lowered&n_quanta=40", "alpha=0.001", "alpha=10", "alpha=10&n_quanta=7", "a=0.5&b=0.6", "a=0.5&b=3&n_quanta=9",
    "n_parameters=0&n_samples=0&n_steps=0", "n_parameters=1e30", "n_samples=1e30&n_steps=1e30&n_parameters=1e30",
    "n_quanta=1e12&resolution=1e12", "resolution=1", "window_first=900&window_last=1000", "measured=19", "b=1e6",
    "capacity=1e-5", "tau=1e30", "first_steps=1e-9", "n_quanta=500&measured=0.4934",
]  # fmt: skip


def words(response) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def test_the_bare_page_shows_the_theory(client, django_assert_max_num_queries):
    with django_assert_max_num_queries(15):
        response = client.get("/theory/")
    assert response.status_code == 200
    text = words(response)
    assert "If knowledge comes in quanta, how does loss fall?" in text
    for value in ("0.677996", "0.805011", "0.314220", "0.320481", "0.127331", "0.127586", "0.285714"):
        assert value in text, value
    assert response["Vary"]
    html = response.content.decode()
    assert "style=" not in html
    for slug in FIGURES:
        assert f'id="fig-{slug}"' in html


def test_json_has_the_closed_forms(client):
    found = client.get("/theory.json?n_quanta=500").json()
    assert found["zeta"] == pytest.approx(2.89749219, abs=1e-7)
    assert found["measured_exponents"]["parameters"] == pytest.approx(0.4934, abs=1e-4)
    over = dict(zip(found["over_n"]["n"], found["over_n"]["loss"], strict=True))
    assert over[1] == pytest.approx(0.65487396, abs=1e-6)
    assert over[500] == 0
    assert [figure["slug"] for figure in found["figures"]] == list(FIGURES)


def test_other_twins(client):
    lines = client.get("/theory.csv").getvalue().decode().splitlines()
    assert lines[0] == "n,use,loss,loss_integral,loss_midpoint,local_exponent"
    assert float(lines[1].split(",")[2]) == pytest.approx(0.677996, abs=1e-6)
    assert client.get("/theory.svg?figure=bend").content.count(b"<svg") == 1
    assert client.get("/theory.html?figure=window&alpha=0.2").status_code == 200
    assert client.get("/theory/?embed=true&figure=use").status_code == 200
    assert client.get("/theory.svg?figure=none").status_code == 404


@pytest.mark.parametrize("query", WORLDS)
def test_every_world_can_be_drawn(client, query):
    response = client.get(f"/theory/?{query}", headers={"HX-Request": "true"})
    assert response.status_code == 200
    text = words(response)
    for wrong in ("nan", "inf ", "None", "{{"):
        assert wrong not in text
    titles = re.findall(r"<h3><i>Fig\. \d</i>([^<]+)</h3>", response.content.decode())
    assert len(titles) == len(FIGURES)


def test_a_fragment_holds_what_follows_and_nothing_else(client):
    html = client.get("/theory/?alpha=0.2&tau=15000&first_steps=", headers={"HX-Request": "true"}).content.decode()
    assert "<form" not in html
    assert '<div id="results" data-permalink="/theory/?alpha=0.2">' in html
    back = client.get("/theory/?alpha=0.2", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<form" in back.content.decode()


@pytest.mark.parametrize("suffix", ["/", ".json", ".csv"])
def test_knobs_at_their_bounds_together_are_answered(client, suffix):
    """More quanta than a whole number of the machine holds."""
    query = {"n_parameters": "1e30", "n_samples": "1e30", "n_steps": "1e30", "tau": "1e-9"}
    assert client.get(f"/theory{suffix}", query).status_code == 200


def test_a_figure_that_is_none_is_answered_with_those_there_are(client):
    response = client.get("/theory.svg?figure=foo")
    assert response.status_code == 404
    assert "Its figures: use, " in response.content.decode()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("alpha=0", "α is 0; it must be above 0 and at most 10. Shown instead: 0.4."),
        ("alpha=abc", "α is 'abc', which is no number; write one such as 0.4. Shown instead: 0.4."),
        ("n_quanta=0", "or inf for infinitely many. Shown instead: infinitely many."),
        ("n_quanta=40&window_last=41", "only K = 40 quanta; end it by 39. Shown instead: 39."),
        ("case=x", "choose one of constant, removed, lowered. Shown instead: constant."),
        ("alpha=inf", "α is infinite"),
        ("a=2&b=1", "so b must be above a. Shown instead: 1."),
        ("first_steps=-1", "T is -1; it must be above 0 and at most 1e+30. Shown instead: τ ζ / B."),
    ],
)
def test_what_means_nothing_is_said_beside_what_is_shown_instead(client, query, sentence):
    response = client.get(f"/theory/?{query}")
    assert response.status_code == 400
    assert sentence in words(response)
    assert 'aria-invalid="true"' in response.content.decode() or "case" in query
    refused = client.get(f"/theory.json?{query}")
    assert refused.status_code == 400
    assert sentence.split(" Shown")[0] in refused.json()["error"]["message"]


def test_what_was_typed_stays_in_its_field_and_nothing_of_it_is_markup(client):
    html = client.get("/theory/", {"alpha": '"><script>x</script>'}).content.decode()
    assert "<script>x" not in html
    assert 'value="&quot;&gt;&lt;script&gt;x&lt;/script&gt;"' in html


def test_a_permalink_holds_only_what_is_not_as_usual(rf):
    asked = theory_query(rf.get("/theory/", {"alpha": "0.4", "n_quanta": "500", "b": "1", "case": "constant"}).GET)
    assert asked.permalink == "n_quanta=500"
    again = theory_query(rf.get(f"/theory/?{asked.permalink}").GET)
    assert again.knobs == asked.knobs


def test_every_knob_has_a_field(client):
    html = client.get("/theory/").content.decode()
    for knob in KNOBS:
        assert f'name="{knob.name}"' in html
        assert f'<label for="k-{knob.name}">' in html


def test_the_way_back_and_its_rival(client):
    text = words(client.get("/theory/?n_quanta=500&measured=0.4934"))
    assert "A measured 0.4934 over this window means α = 0.4000" in text
    assert "0.4934 would be data on a manifold of 4/α = 8.1 dimensions" in text
    text = words(client.get("/theory/?n_quanta=500&measured=0.05"))
    assert "No α behind 0.05: with K = 500 and n from 1 to 50 the model shows exponents from" in text


def test_formulas_are_mathml_that_names_no_script(client):
    html = client.get("/theory/").content.decode()
    assert html.count("<math") > 15
    assert html.count("<math") == html.count("</math>")
    assert "katex" not in html.lower()
    html = render_to_string("theory/_derivations.html")
    for word in ("p", "L", "n", "D", "S", "α"):
        assert f"<mi>{word}</mi>" in html


# ── figures ──


def test_the_loss_figure_draws_the_exact_curve_and_both_approximations():
    chart = figures.loss_chart(Knobs(), number=1)
    lines = {one["name"]: one["points"] for one in chart["series"]}
    assert set(lines) == {"exact", "integral", "midpoint"}
    for name, form in (("exact", "exact"), ("integral", "integral"), ("midpoint", "midpoint")):
        x, y = lines[name][7]
        assert y == pytest.approx(float(model.loss(Knobs(), x, form)))
    assert chart["title"] == "Ten quanta leave 31% of what there is to learn"


def test_errors_are_said_with_the_n_from_which_they_are_small():
    chart = figures.error_chart(Knobs(), number=1)
    assert chart["title"] == "Within 1%: the integral from n = 23, the midpoint from n = 1"


def test_a_resource_that_is_enough_or_too_little_is_said():
    few, all_of = Knobs(n_parameters=10.0), Knobs(n_quanta=9, n_parameters=1e9)
    assert figures.resource_chart(few, "parameters", number=1)["title"] == "N = 10 is too little for the first quantum"
    assert figures.resource_chart(all_of, "parameters", number=1)["title"] == "N = 1 B is enough for all 9 quanta"
    poor = Knobs(n_parameters=0.0, n_samples=0.0)
    assert "but N and D allow no quantum" in figures.resource_chart(poor, "steps", number=1)["reading"]
    rich = Knobs(n_quanta=9, n_parameters=1e9, n_samples=1e9, n_steps=1e9)
    assert figures.resource_chart(rich, "steps", number=1)["reading"].endswith("there are no more quanta.")
    usual = figures.resource_chart(Knobs(), "samples", number=1)
    assert usual["title"] == "Over data the exponent is 0.281 at D = 5 M, and the theory’s 0.286"


def test_an_exponent_above_a_floor_is_not_compared_with_that_of_the_whole_loss():
    title = figures.resource_chart(Knobs(alpha=0.8, n_quanta=500, a=0.5), "parameters", number=1)["title"]
    assert (
        title == "Over parameters the whole loss falls with 0.025 at N = 300 k; above its floor the theory says 0.800"
    )


def test_what_is_measured_of_an_endless_world_names_what_an_observer_sees(client):
    assert "over n = 1–50, of the first 500 quanta alone" in client.get("/theory/").content.decode()
    assert "quanta alone" not in client.get("/theory/?n_quanta=500").content.decode()


def test_the_bend_says_what_one_would_measure():
    knobs = Knobs(n_quanta=500)
    chart = bends.bend_chart(knobs, model.measured_exponents(knobs), number=1)
    assert chart["title"] == "Over n = 1 to 50 one would measure 0.493 where α is 0.4"
    assert chart["window"] == [1, 50]
    names = [one["name"] for one in chart["series"]]
    assert names == ["without end", "K = 500", "fit"]
    endless = bends.bend_chart(Knobs(), model.measured_exponents(Knobs()), number=1)
    assert [one["name"] for one in endless["series"]] == ["the whole loss", "seen at resolution 500", "fit"]
    assert endless["title"] == "Over n = 1 to 50 of the first 500 one would measure 0.493 where α is 0.4"


def test_a_bend_that_cannot_be_measured_says_why():
    below = Knobs(case="lowered", gain=50.0)
    title = bends.bend_chart(below, model.measured_exponents(below), number=1)["title"]
    assert title == "No exponent can be measured over n = 1 to 50: the loss that is seen falls below 0"
    few = Knobs(n_quanta=1, window=None)
    title = bends.bend_chart(few, model.measured_exponents(few), number=1)["title"]
    assert title == "Of a single quantum no exponent can be measured: a fit needs two n with a loss to fit"


@pytest.mark.parametrize(
    ("query", "reading"),
    [
        ("n_quanta=1", "A fit needs two n with a loss to fit, which a single quantum cannot give."),
        ("n_quanta=2", "A fit needs two n with a loss to fit, which 2 quanta cannot give."),
        (
            "resolution=1",
            "Infinitely many quanta, of which an observer sees the first alone: what is seen ends at n = 1",
        ),
    ],
)
def test_a_world_without_a_window_says_so(client, query, reading):
    text = words(client.get(f"/theory/?{query}"))
    assert "There is no window to measure an exponent over" in text
    assert reading in text
    assert "n = 1 to 1" not in text
    assert "the first 1 apart" not in text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("n_quanta=51&window_first=50", "leaves no two n with a loss to fit; start it by 49. Shown instead: 1."),
        ("resolution=50&window_last=50", "At n = R = 50 no loss is left, and 0 has no logarithm"),
    ],
)
def test_a_window_without_a_loss_is_refused(client, query, sentence):
    response = client.get(f"/theory/?{query}")
    assert (response.status_code, sentence in words(response)) == (400, True)
    assert client.get(f"/theory.json?{query}").status_code == 400


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            "first_steps=&tau=7&batch_size=7&alpha=1",
            '<dl class="stats" data-first_steps="1.645" data-window_last="50">',
        ),
        ("n_quanta=20&first_steps=9", '<dl class="stats" data-window_last="19">'),
        ("n_quanta=1&first_steps=9", '<dl class="stats">'),
    ],
)
def test_what_is_worked_out_for_an_empty_field_is_there_for_its_slider(client, query, told):
    assert told in client.get(f"/theory/?{query}").content.decode()


def test_a_single_quantum_leaves_nothing_to_miss_and_no_curve():
    one = Knobs(n_quanta=1, window=None, n_parameters=1e9)
    errors, slopes = figures.error_chart(one, number=1), figures.slopes_chart(one, number=1)
    assert errors["title"] == "No loss is left that an approximation could miss"
    assert errors["reading"].startswith("Once the first quantum is learned no loss is left")
    assert slopes["title"] == "With a single quantum there is no slope"
    assert slopes["reading"].endswith("No curve is drawn: where no loss is left nothing falls.")
    enough = figures.resource_chart(one, "parameters", number=1)["title"]
    assert enough == "N = 1 B is enough for the only quantum"
    two = figures.slopes_chart(Knobs(n_quanta=2, window=None), number=1)
    assert two["reading"].endswith("the curves rise beyond the figure.")


def test_tau_of_steps_and_of_data_may_differ(client):
    assert "τ is not the same for steps and for data" in words(client.get("/theory/"))


def test_the_window_s_figure_holds_the_paper_s_parity_networks_where_they_belong():
    for knobs, there in (
        (Knobs(n_quanta=500), True),
        (Knobs(n_quanta=400), False),
        (Knobs(n_quanta=500, a=0.5), False),
    ):
        chart = bends.window_chart(knobs, model.measured_exponents(knobs), number=1)
        marks = [one for one in chart["series"] if one["name"] == "the paper’s parity networks"]
        assert bool(marks) is there
    assert "too steep" in bends.window_chart(Knobs(), model.measured_exponents(Knobs()), number=1)["title"]
    flat = Knobs(case="lowered")
    assert "too flat" in bends.window_chart(flat, model.measured_exponents(flat), number=1)["title"]


def test_who_still_types_gets_the_sentence_and_no_error(client):
    response = client.get("/theory/?alpha=-", headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert '<p class="say" data-field="alpha">α is &#x27;-&#x27;, which is no number' in response.content.decode()

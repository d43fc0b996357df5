"""The lab for curves of one's own: what is read of a pasted curve, and the sentence where it is none."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import urlencode

import numpy as np
import pytest

from clusters.forms.curve_paste import LONGEST_QUERY, CurveQuery, lab_href
from clusters.queries import curve_paste
from clusters.stored.recent import Recent
from clusters.values.curve_examples import BREAK, PAPER_TOKENS, made_up_examples, paper_examples
from clusters.views.curve_paste import curve_paste_urls
from tests.factories import NETWORKS, make_run

pytestmark = pytest.mark.django_db
PATH = "/labs/curves/"
FALLING = "1e6 4\n1e7 3\n1e8 2.2\n1e9 1.7"


@pytest.fixture(autouse=True)
def nothing_read_yet(monkeypatch):
    monkeypatch.setattr(curve_paste, "_recent", Recent(64))


def page(client, status: int = 200, **query: str) -> str:
    response = client.get(PATH, query)
    assert response.status_code == status, response.content[:300]
    return html.unescape(response.content.decode())


def twin(client, **query: str) -> dict:
    response = client.get("/labs/curves.json", query)
    assert response.status_code == 200, response.content[:300]
    return response.json()


def titles(text: str) -> list[str]:
    return re.findall(r"<h3><i>Fig\. \d+</i>(.*?)</h3>", text)


def test_an_empty_page_says_what_belongs_here_and_offers_examples(client):
    text = page(client)
    assert "No curve yet" in text
    assert text.count('class="chip') == len(PAPER_TOKENS) + len(made_up_examples())
    assert "<figure" not in text


@pytest.mark.parametrize("example", paper_examples(), ids=lambda one: one.name)
def test_the_paper_s_tokens_have_the_paper_s_classes(client, example):
    told = twin(client, text=example.text, sizes="paper", unit="bits")
    expected = "monogenic" if example.name in ("Sir(sa)", "Marshall", "V(TB)") else "polygenic"
    assert told["scores"]["curve_class"] == expected
    assert told["x"][0] == 18_915_328


def test_the_page_shows_shape_laws_and_both_readings(client):
    text = page(client, text=FALLING)
    assert len(titles(text)) >= 3
    for words in ("Its shape", "Its law", "One exponent, two readings", "dimension d̂ = 4 / α", "needs 7 points"):
        assert words in text
    assert "/theory/?alpha=0.125" in text


def test_the_manifold_is_read_with_its_interval(client):
    told = twin(client, text=FALLING)
    alpha, d = told["power_law"], told["manifold_dimension"]
    assert d["value"] == pytest.approx(4 / alpha["alpha"])
    assert (d["low"], d["high"]) == pytest.approx((4 / alpha["high"], 4 / alpha["low"]))


OVER_DATA = "\n".join(f"{x:.6g} {4 * x ** (-1 / 3):.9g}" for x in np.geomspace(1e3, 1e6, 8))


@pytest.mark.parametrize("over", ["samples", "steps"])
def test_over_data_the_exponent_stands_for_another_alpha(client, over):
    text = page(client, text=OVER_DATA, over=over)
    for words in ("1.500", "expected over parameters, α", "/theory/?alpha=0.5", f"nothing in an exponent over {over}"):
        assert words in text
    assert "dimension d̂" not in text
    assert "1.333" not in text
    told = twin(client, text=OVER_DATA, over=over)
    assert told["quanta"]["alpha"] == pytest.approx(0.5)
    assert told["manifold_dimension"] is None


def test_a_scale_that_nobody_named_is_read_as_parameters_and_says_so(client):
    text = page(client, text=OVER_DATA, over="scale")
    assert text.count("if this is over parameters") == 3
    assert "1.333" in text


def test_an_exponent_that_no_alpha_gives_is_said(client):
    steep = "\n".join(f"1e{i} {10 ** (-1.5 * i):.6g}" for i in range(1, 6))
    assert "no α gives 1.5" in page(client, text=steep, over="samples")


def test_the_number_of_breaks_is_chosen_by_the_held_out_points(client):
    example = made_up_examples()[-1]
    told = twin(client, text=example.text, over="steps")
    assert told["laws"]["best"] == "break-1"
    [law] = [one for one in told["laws"]["laws"] if one["name"] == "break-1"]
    assert law["parameters"]["d1"] == pytest.approx(BREAK.breaks[0].at, rel=0.02)
    assert [one["name"] for one in told["laws"]["laws"]] == ["power", "offset", "break-1", "break-2", "break-3"]
    held = {one["name"]: one["held_out_rms"] for one in told["laws"]["laws"]}
    assert held["break-1"] < held["power"]
    assert "One break foretells the held-out points best" in page(client, text=example.text, over="steps")


def test_bits_are_the_same_curve_as_nats(client):
    nats = twin(client, text="1e6 2\n1e7 1\n1e8 0.5")
    bits = twin(client, text="\n".join(f"1e{6 + i} {y / np.log(2)}" for i, y in enumerate((2, 1, 0.5))), unit="bits")
    assert bits["loss_nats"] == pytest.approx(nats["loss_nats"])
    assert bits["power_law"]["alpha"] == pytest.approx(nats["power_law"]["alpha"])


@pytest.mark.parametrize(
    ("name", "words"),
    [("double descent", "to a peak at 10 M, and falls again"), ("inverse scaling", "rises with scale")],
)
def test_curves_that_do_not_fall_are_called_so(client, name, words):
    [example] = [one for one in made_up_examples() if one.name == name]
    assert words in titles(page(client, text=example.text))[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1 2\n3 x", "Line 2 says “x”, which is no number"),
        ("1,2\n3,", "Line 2 has no loss: a gap"),
        ("1 2", "There is one point; a curve needs two or more"),
        ("1 2\n2 -1", "Line 2 has the loss −1"),
        ("0 2\n2 1", "Line 1 has the scale 0"),
        ("<script>alert(1)</script>", "Line 1 says “<script>alert(1)</script>”, which is no number"),
    ],
)
def test_what_is_no_curve_is_said_on_page_and_twin(client, text, sentence):
    assert sentence in page(client, status=400, text=text)
    response = client.get("/labs/curves.json", {"text": text})
    assert response.status_code == 400
    assert sentence in json.loads(response.content)["error"]["message"]


def test_a_curve_that_never_falls_is_not_said_to_be_a_line(client):
    def reading(losses: str) -> str:
        points = "\n".join(f"1e{i},{loss}" for i, loss in enumerate(losses.split(), 5))
        return next(one for one in twin(client, text=points)["figures"] if one["slug"] == "shape")["reading"]

    assert reading("2 2 2 2 2").startswith("A step and a line leave about as much unexplained: M = 0.00")
    assert reading("1 2 3 4 5") == "No split of the scale has a lower loss after it, so M is −1."
    assert reading("9 7 5 3 1").startswith("The line leaves less unexplained: M = −")


def test_hostile_text_stays_text(client):
    answer = client.get(PATH, {"text": "</textarea><script>alert(1)</script>", "name": "<b>x</b>"}).content.decode()
    assert "<script>alert" not in answer
    assert "<b>x</b>" not in answer


def test_a_zero_loss_is_scored_and_its_laws_are_refused_in_a_sentence(client):
    text = page(client, text="1e6 3\n1e7 1\n1e8 0")
    assert "The loss at 1e+08 is 0: laws are fitted to logarithms" in text
    assert "Its shape" in text
    assert "two readings" not in text


def test_two_points_have_no_shape_and_no_choice_of_law(client):
    text = page(client, text="1e6 3\n1e8 1")
    assert "Scores need 3 different scales" in text
    assert "Two scales always lie on a power law" in text


def test_points_of_one_scale_are_told_of(client):
    assert "1 of 4 points share their scale" in page(client, text="1e6 3\n1e6 3.2\n1e7 2\n1e8 1")


def test_an_address_that_no_server_takes_says_where_to_go(client):
    text = "\n".join(f"{1000 + i}.25 1.{i:05}" for i in range(480))
    assert len(urlencode({"text": text})) > LONGEST_QUERY
    assert "Write fewer digits or fewer points" in page(client, status=400, text=text)


def test_a_choice_that_is_not_offered_is_refused(client):
    for name in ("unit", "over", "sizes"):
        response = client.get(PATH, {"text": FALLING, name: "elephants"})
        assert response.status_code == 400
        assert b"choose one of" in response.content


def test_figures_and_the_table_leave_the_page(client):
    for slug in ("shape", "laws", "residuals", "held-out"):
        query = {"text": FALLING, "figure": slug}
        assert client.get("/labs/curves.svg", query).status_code == 200, slug
    rows = b"".join(client.get("/labs/curves.csv", {"text": FALLING})).decode()
    assert rows.splitlines()[1].startswith("1000000")


def test_the_same_numbers_are_fitted_once(client, monkeypatch):
    read = []
    own = curve_paste.read_curve
    monkeypatch.setattr(curve_paste, "read_curve", lambda *curve: read.append(curve) or own(*curve))
    page(client, text=FALLING)
    page(client, text=FALLING, name="again", over="steps")
    assert len(read) == 1


def test_the_page_reads_no_row(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        page(client, text=FALLING)


def test_an_address_holds_what_differs_from_the_usual():
    assert CurveQuery(text="1 2").query == "text=1+2"
    assert "unit=bits" in CurveQuery(text="1 2", unit="bits").href
    assert {one.name for one in curve_paste_urls} == {"curve-paste", "curve-paste-twin"}


def test_a_curve_of_the_site_leads_here():
    href = lab_href([(0, 5.0), (10, 2.0), (100, float("nan")), (1000, 1.0)], over="steps", name="a")
    assert href == f"{PATH}?text=10+2%0A1000+1&over=steps&name=a"
    assert lab_href([(10, 2.0)], over="steps", name="a") == ""


def test_tokens_clusters_and_scaling_open_their_curves_here(client, tmp_path):
    make_run(tmp_path)
    for path in ("tokens/0/", "scaling/"):
        text = html.unescape(client.get(f"/runs/synthetic/{path}").content.decode())
        [href, *_] = re.findall(rf'href="({PATH}\?[^"]+)"', text)
        told = client.get(href.replace("/curves/?", "/curves.json?")).json()
        assert told["x"] == [float(n) for _, n in NETWORKS]


STEEP = (
    "1e29,1\n1.001e29,1e-3\n1.002e29,1e-6",
    "100000 3.6\n100001 3.7\n100002 3.9\n100003 4",
    "1e6 5\n1.1e6 4\n1.2e6 1\n1.3e6 1e-7",
)


@pytest.mark.parametrize("text", STEEP)
def test_steep_curves_have_an_exponent_and_their_lines_near_the_points(client, text):
    assert "One exponent, two readings" in page(client, text=text)
    told = twin(client, text=text)
    assert told["power_law"]["amplitude"] is None
    assert abs(told["power_law"]["alpha"]) > 50
    [chart] = [one for one in told["figures"] if one["slug"] == "laws"]
    [line] = [one for one in chart["series"] if one["name"] == "power law"]
    assert len(line["points"]) >= len(told["x"])
    assert max(y for _, y, *_ in line["points"]) <= 1000 * max(told["loss_nats"])


def test_a_steep_rise_is_foretold_in_powers_of_ten(client):
    assert "the laws expect 3.8·10²⁰ or more nats" in page(client, text=STEEP[1])

"""Scores and laws of numbers that are sent."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compute.numerics.bnsl import Break, BrokenPowerLaw
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
SIZES = "18915328,85056000,302311424,805736448,1208602624,2517652480,6444163072"
MARSHALL = "10.547,9.842,9.873,0.221,0.072,0.034,0.211"


def get(client, noun: str, status: int = 200, **query: str) -> dict:
    response = client.get(f"/api/v1/{noun}/", query)
    assert response.status_code == status, response.content[:300]
    return response.json()


def message(client, noun: str, status: int, **query: str) -> str:
    return get(client, noun, status, **query)["error"]["message"]


def test_a_curve_is_scored_for_anybody(client):
    told = get(client, "curve-scores", x=SIZES, y=MARSHALL, unit="bits")
    assert told["curve_class"] == "monogenic"
    assert told["monogenicity"] == pytest.approx(0.973, abs=0.001)
    assert told["n_eff"] == pytest.approx(1.187, abs=0.002)
    assert told["paper_monogenic_at"] == 3
    assert told == get(client, "curve-scores", text=MARSHALL.replace(",", " "), sizes="paper", unit="bits")


def test_a_law_with_a_break_comes_back(client):
    law = BrokenPowerLaw(0.5, math.log(4), 0.1, (Break(at=1e3, change=0.4, width=0.5),))
    x = np.geomspace(1, 1e6, 40)
    told = get(client, "fits", x=",".join(map(str, x)), y=",".join(map(str, law.predict(x))))
    assert told["best"] == "break-1"
    [found] = [one for one in told["laws"] if one["name"] == "break-1"]
    assert found["parameters"]["d1"] == pytest.approx(1e3, rel=0.01)
    assert found["parameters"]["c1"] == pytest.approx(0.4, rel=0.01)
    assert told["n_held_out"] == 8


def test_a_key_or_a_person_may_send_longer_curves(client):
    body = {"x": [1e6, 1e7, 1e8], "y": [4, 3, 2.5]}
    assert client.post("/api/v1/fits/", body, content_type="application/json").status_code in (401, 403)
    client.force_login(UserFactory())
    response = client.post("/api/v1/fits/", body, content_type="application/json")
    assert response.status_code == 200
    told = response.json()
    assert told["power_law"]["alpha"] == pytest.approx(
        get(client, "fits", x="1e6,1e7,1e8", y="4,3,2.5")["power_law"]["alpha"]
    )
    assert told["manifold_dimension"]["value"] == pytest.approx(4 / told["power_law"]["alpha"])


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({}, 400, "Give x and y"),
        ({"x": "1,2"}, 400, "Give x and y"),
        ({"x": "1,2", "y": "2,1", "text": "1 2"}, 400, "Both text and x or y"),
        ({"x": "1,2", "y": "2,a"}, 422, "Point 2 says “a”, which is no number"),
        ({"x": "1,2", "y": "2,"}, 422, "Point 2 has no loss: a gap"),
        ({"x": "1,2", "y": "2"}, 422, "2 scales and 1 losses"),
        ({"x": "1,2", "y": "2,0"}, 422, "The loss at 2 is 0: laws are fitted to logarithms"),
        ({"x": "0,2", "y": "2,1"}, 422, "Point 1 has the scale 0"),
        ({"x": "1", "y": "2"}, 422, "There is one point"),
        ({"text": "3 2 1", "sizes": "elephants"}, 400, "elephants"),
        ({"x": "1,2", "y": "2,1", "degree": "3"}, 400, "No such parameter: degree"),
    ],
)
def test_what_is_no_curve_is_answered_with_the_same_sentences(client, query, status, words):
    assert words in message(client, "fits", status, **query)


def test_scores_need_three_scales(client):
    assert "Scores need 3 different scales" in message(client, "curve-scores", 422, x="1,2", y="2,1")


def test_a_null_is_a_gap(client):
    client.force_login(UserFactory())
    body = {"x": [1, 2, 3], "y": [3, None, 1]}
    response = client.post("/api/v1/curve-scores/", body, content_type="application/json")
    assert response.status_code == 422
    assert "Point 2 has no loss: a gap" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (["1_0", 5, 3], '"1_0" is no number; write it in digits, such as 0.25.'),
        (["١٠", 5, 3], '"١٠" is no number'),
        ([True, 5, 3], "true is no number"),
    ],
)
@pytest.mark.parametrize("noun", ["fits", "curve-scores"])
def test_what_pasted_text_refuses_is_refused_in_lists_too(client, noun, y, words):
    client.force_login(UserFactory())
    response = client.post(f"/api/v1/{noun}/", {"x": [1, 2, 3], "y": y}, content_type="application/json")
    assert response.status_code == 400
    assert words in response.json()["error"]["message"]
    if y[0] is not True:
        assert "which is no number" in message(client, noun, 422, x="1,2,3", y=",".join(map(str, y)))


def test_fields_may_be_chosen(client):
    assert set(get(client, "fits", x="1,10,100", y="4,3,2", fields="best,n_points")) == {"best", "n_points"}


def test_what_the_scales_are_decides_what_theories_read(client):
    x = [10.0**i for i in range(3, 9)]
    curve = {"x": x, "y": [4 * one ** (-1 / 3) for one in x]}
    typed = {name: ",".join(map(repr, values)) for name, values in curve.items()}
    over_samples = get(client, "fits", over="samples", **typed)
    assert over_samples["quanta"]["alpha"] == pytest.approx(0.5)
    assert over_samples["manifold_dimension"] is None
    client.force_login(UserFactory())
    sent = client.post("/api/v1/fits/", curve | {"over": "samples"}, content_type="application/json")
    assert sent.json()["quanta"] == over_samples["quanta"]
    over_size = get(client, "fits", **typed)
    assert over_size["quanta"]["alpha"] == pytest.approx(1 / 3)
    assert over_size["manifold_dimension"]["value"] == pytest.approx(12)
    get(client, "fits", 400, over="epochs", **typed)
    get(client, "curve-scores", 400, over="samples", **typed)

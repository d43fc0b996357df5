"""`python -m compute theory`: the same numbers and the same refusals as everywhere."""

from __future__ import annotations

import json

import pytest

from compute.cli import main


def said(capsys, *arguments: str) -> str:
    assert main(["theory", *arguments]) == 0
    return capsys.readouterr().out


def test_the_table_of_the_infinite_universe(capsys):
    found = json.loads(said(capsys, "--alpha", "0.083", "--n", "1,10,100,1000", "--json"))
    assert found["zeta"] == pytest.approx(12.631418582, abs=1e-9)
    assert found["over_n"]["loss"] == pytest.approx([0.92083233, 0.78468679, 0.65056371, 0.53759072], abs=1e-8)
    assert found["over_n"]["loss_integral"] == pytest.approx([0.95382737, 0.78789761, 0.65083332, 0.53761302], abs=1e-8)
    assert found["exponents"]["data"] == pytest.approx(0.076639, abs=1e-6)
    assert found["over_parameters"] is None


def test_a_finite_universe_in_words(capsys):
    text = said(capsys, "--n-quanta", "500", "--measured", "0.4934", "--N", "1e5")
    assert "measured over n = 1 to 50: parameters 0.4934, data 0.3524" in text
    assert "true alpha behind 0.4934: 0.400" in text
    assert "limited by samples" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["n", "use", "loss", "loss_integral", "loss_midpoint", "local_exponent"] in lines
    assert ["100000", "14"] in [line[:2] for line in lines]


def test_what_cannot_be_measured_or_led_back_has_its_reason(capsys):
    text = said(capsys, "--measured", "0.3", "--resolution", "20")
    assert "no alpha behind 0.3: with K = 20 and n from 1 to 19 the model shows exponents from" in text
    text = said(capsys, "--measured", "0.3", "--n-quanta", "2")
    assert "no exponent can be measured: a fit needs two n with a loss to fit, which 2 quanta cannot give" in text
    assert "no alpha behind 0.3: a fit needs two n with a loss to fit, which 2 quanta cannot give" in text


def test_json_has_null_for_what_is_no_number(capsys):
    found = json.loads(said(capsys, "--n", "0", "--json"))
    assert found["over_n"]["loss_integral"] == [None]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--alpha", "-1"], "α is -1; it must be above 0 and at most 10."),
        (["--n-quanta", "0"], "K is 0; it must be at least 1"),
        (["--n-quanta", "500", "--n", "501"], "n is 501, but there are only K = 500 quanta; ask for n from 0 to 500."),
        (["--alpha", "inf"], "α is infinite"),
        (["--resolution", "50", "--window-last", "50"], "At n = R = 50 no loss is left"),
        (["--n", "1e31"], "n is 1e+31; it must be at least 0 and at most 1e+30."),
        (["--tau", "many"], "τ is 'many', which is no number; write one such as 15000."),
    ],
)
def test_what_means_nothing_ends_with_a_sentence_and_status_2(capsys, arguments, sentence):
    assert main(["theory", *arguments]) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert sentence in heard.err

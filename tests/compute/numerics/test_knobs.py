"""Knobs read from texts: what is understood, and the sentence about everything that is not."""

from __future__ import annotations

import pytest

from compute.errors import ConfigError
from compute.numerics.knobs import BY_NAME, KNOBS, MOST_VALUES, KnobError, Knobs, read_knobs, read_some, read_values


def test_nothing_typed_is_the_usual():
    assert read_knobs({}) == Knobs()
    assert read_knobs({knob.name: "" for knob in KNOBS} | {"case": "", "unknown": "x"}) == Knobs()


def test_numbers_are_read_as_people_write_them():
    read = read_knobs({"alpha": " 0.083 ", "n_quanta": "1e6", "tau": "1_000", "measured": ".3", "case": "removed"})
    assert (read.alpha, read.n_quanta, read.tau, read.measured, read.case) == (0.083, 10**6, 1000.0, 0.3, "removed")


@pytest.mark.parametrize("text", ["inf", "∞", "infinite", "Infinity", ""])
def test_infinitely_many_quanta(text):
    assert read_knobs({"n_quanta": text}).n_quanta is None


@pytest.mark.parametrize(
    ("texts", "name", "sentence"),
    [
        ({"alpha": "0"}, "alpha", "α is 0; it must be above 0 and at most 10."),
        ({"alpha": "−1"}, "alpha", "α is -1; it must be above 0 and at most 10."),
        ({"alpha": "inf"}, "alpha", "α is infinite; it must be above 0 and at most 10."),
        ({"alpha": "nan"}, "alpha", "α is 'nan', which is no number; write one such as 0.4."),
        ({"alpha": "abc"}, "alpha", "α is 'abc', which is no number; write one such as 0.4."),
        ({"alpha": "0,4"}, "alpha", "α is '0,4', which is no number; write one such as 0.4."),
        ({"n_quanta": "0"}, "n_quanta", "K is 0; it must be at least 1 and at most 1e+12, or inf for infinitely many."),
        ({"n_quanta": "-5"}, "n_quanta", "K is -5; it must be at least 1"),
        ({"n_quanta": "2.5"}, "n_quanta", "K is 2.5; it counts quanta and must be whole."),
        ({"n_quanta": "1e13"}, "n_quanta", "at most 1e+12"),
        ({"capacity": "0"}, "capacity", "C is 0; it must be above 0 and at most 1e+30."),
        ({"alpha": "1e-300"}, "alpha", "α is 1e-300, too near to 0 to compute with; it must be at least 1e-09."),
        ({"batch_size": "1e-300"}, "batch_size", "B is 1e-300, too near to 0"),
        ({"tau": "-1"}, "tau", "τ is -1; it must be above 0"),
        ({"batch_size": "0"}, "batch_size", "B is 0; it must be above 0"),
        ({"first_steps": "0"}, "first_steps", "T is 0; it must be above 0"),
        ({"n_parameters": "-1"}, "n_parameters", "N is -1; it must be at least 0"),
        ({"gain": "1"}, "gain", "C of case 2 is 1; it must be above 1"),
        ({"case": "third"}, "case", "case is 'third'; choose one of constant, removed, lowered."),
        ({"a": "1", "b": "0.5"}, "b", "b is 0.5 and a is 1; learning must lower the loss, so b must be above a."),
        ({"window_first": "9", "window_last": "3"}, "window_last", "n = 9 to 3; its end must lie above its start."),
        ({"n_quanta": "40", "window_last": "41"}, "window_last", "reaches n = 41, but there are only K = 40 quanta"),
        ({"n_quanta": "40", "window_first": "60"}, "window_first",
         "The fit starts at n = 60, but there are only K = 40 quanta; start it by 38."),
        ({"n_quanta": "51", "window_first": "50"}, "window_first",
         "From n = 50 on K = 51 leaves no two n with a loss to fit; start it by 49."),
        ({"resolution": "50", "window_last": "50"}, "window_last",
         "At n = R = 50 no loss is left, and 0 has no logarithm; end the fit by n = 49."),
        ({"resolution": "50", "n_quanta": "70", "window_last": "60"}, "window_last",
         "The fit reaches n = 60, but an observer tells apart only R = 50 quanta; end it by 49."),
        ({"resolution": "1", "window_last": "9"}, "window_last", "two n with a loss to fit; R = 1 leaves 0."),
        ({"n_quanta": "40", "window_last": "40"}, "window_last", "no loss is left, and 0 has no logarithm; end"),
        ({"window_last": "5000"}, "window_last", "last n of the fit is 5000; it must be at least 2 and at most 1000."),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_in_a_sentence(texts, name, sentence):
    with pytest.raises(KnobError) as refused:
        read_knobs(texts)
    assert sentence in refused.value.problems[name]
    assert sentence in str(refused.value)
    assert list(refused.value.problems) == [name]
    assert isinstance(refused.value, ConfigError)


def test_every_wrong_knob_has_its_own_sentence_and_the_others_are_kept():
    read, problems = read_some({"alpha": "-1", "tau": "x", "capacity": "10"})
    assert set(problems) == {"alpha", "tau"}
    assert (read.alpha, read.tau, read.capacity) == (0.4, 15_000.0, 10.0)


@pytest.mark.parametrize(
    ("texts", "window"),
    [
        ({}, (1, 50)), ({"n_quanta": "500"}, (1, 50)), ({"n_quanta": "20"}, (1, 19)), ({"n_quanta": "2"}, None),
        ({"n_quanta": "1"}, None), ({"window_first": "80"}, (80, 81)), ({"n_quanta": "40", "a": "0.1",
         "window_last": "40"}, (1, 40)), ({"window_first": "3", "window_last": "7"}, (3, 7)),
        ({"resolution": "20"}, (1, 19)), ({"resolution": "2"}, None), ({"n_quanta": "51", "a": "0.1",
         "window_first": "50"}, (50, 51)),
    ],
)  # fmt: skip
def test_the_window_fits_the_world(texts, window):
    assert read_knobs(texts).window == window


def test_an_observer_sees_at_most_what_there_is():
    assert Knobs(n_quanta=40).n_seen == 40
    assert Knobs(n_quanta=4000, resolution=500).n_seen == 500
    assert Knobs(resolution=70).seen.n_quanta == 70


def test_the_usual_knobs_are_those_of_the_table():
    said = Knobs().as_dict()
    assert set(said) == {*BY_NAME, "case"}
    assert all(said[name] == knob.default for name, knob in BY_NAME.items() if name != "window_last")


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("501", "n", "n is 501, but there are only K = 500 quanta; ask for n from 0 to 500."),
        ("1,x", "n", "n is 'x', which is no number; write numbers such as 1,10,100."),
        ("-1", "N", "N is -1; it must be at least 0 and at most 1e+30."),
        ("inf", "D", "D is infinite; it must be at least 0 and at most 1e+30."),
        ("1e31", "n", "n is 1e+31; it must be at least 0 and at most 1e+30."),
        (",".join(["1"] * (MOST_VALUES + 1)), "S", "S lists 1,001 numbers; at most 1,000 are answered at once."),
    ],
)
def test_lists_of_numbers_are_read_or_refused(text, name, sentence):
    with pytest.raises(KnobError) as refused:
        read_values(text, name, Knobs(n_quanta=500))
    assert sentence == refused.value.problems[name]
    assert read_values("0, 500,", "n", Knobs(n_quanta=500)) == [0.0, 500.0]

"""Pasted curves: every way to write them, and a sentence for everything that is none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from compute.cli import REFUSED, main
from compute.curve_text import LADDERS, curve_from_numbers, curve_from_text
from compute.errors import FitError
from compute.numerics.fits import LN2, read_curve

SINGH = (11.616, 12.540, 12.500, 11.297, 0.422, 0.223, 0.056)  # bits, at the paper's seven sizes


@pytest.mark.parametrize(
    "text",
    [
        "1e3,4.5\n2e3,4\n4e3,3.5",
        "steps,loss\n1000,4.5\n2000,4\n4000,3.5\n",
        "# a run\n\n4000\t3.5\r\n1000\t4.5\r\n2000\t4.0\r\n",
        "1000; 4.5\n2000; 4\n4000; 3.5;",
        "  1000   4.5\n2.0E+3 4.\n4000 3.5",
        '"1000","4.5"\n"2000","4"\n"4000","3.5"',
        "1000 4.5\n2000 4\n4000 3.5\ufeff".replace("\ufeff", ""),
    ],
)
def test_a_curve_may_be_written_in_many_ways(text):
    points = curve_from_text(text)
    assert points.x == (1000.0, 2000.0, 4000.0)
    assert points.y == (4.5, 4.0, 3.5)


@pytest.mark.parametrize("text", ["\n".join(map(str, SINGH)), " ".join(map(str, SINGH)), ",".join(map(str, SINGH))])
def test_a_column_of_losses_belongs_to_the_sizes_chosen(text):
    points = curve_from_text(text, ladder="paper")
    assert points.y == SINGH
    assert points.x == tuple(float(n) for _, n in LADDERS["paper"].sizes)
    assert (points.x[0], points.x[-1]) == (18_915_328, 6_444_163_072)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "nothing to read yet"),
        ("\n  \n# only a remark", "nothing to read yet"),
        ("1,2\n3,abc", "Line 2 says “abc”, which is no number"),
        ("size,loss\n1,2\n" + "x" * 90 + ",3", "Line 3 says “x{40}…”"),
        ("1,2\n3,1_0", "Line 2 says “1_0”"),
        ("1,2\n3,inf", "Line 2 says “inf”, which is no number"),
        ("1,2\n3,\n4,1", "Line 2 has no loss: a gap"),
        ("1,2\n,3\n4,1", "Line 2 has no scale: a gap"),
        ("1,2\n3,nan", "Line 2 has no loss: a gap"),
        ("1,2\n0,3", "Line 2 has the scale 0; scales must be above 0"),
        ("1,2\n-5,3", "Line 2 has the scale −5"),
        ("1,2\n5,−3", "Line 2 has the loss −3; a loss lies at 0 or above"),
        ("1,2\n1e999,3", "Line 2 has the scale inf"),
        ("1,2\n1e200,3", "Line 2 has the scale 1e\\+200, which is none that anybody measures"),
        ("1,2\n3,1e300", "Line 2 has the loss 1e\\+300"),
        ("5,2", "one point; a curve needs two or more"),
        ("5,2\n5,3", "All 2 points have the scale 5"),
        ("3\n2", "Line 1 holds one number, “3”"),
        ("hello\nworld", "Line 2 says “world”, which is no number"),
        ("18,915,328 4.2\n85,056,000 3.7", "Line 1 holds 3 cells; a line is a scale and a loss"),
        ("\n".join(f"{i + 1},1" for i in range(501)), "There are 501 points; 500 at most"),
    ],
)
def test_what_is_no_curve_is_answered_with_a_sentence(text, sentence):
    with pytest.raises(FitError, match=sentence):
        curve_from_text(text)


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_number():
    assert curve_from_text("\ufeff1,3\n10,2").x == (1.0, 10.0)


def test_losses_that_do_not_fill_the_sizes_are_counted():
    with pytest.raises(FitError, match="There is 1 loss, but of the paper’s seven sizes there are 7"):
        curve_from_text("3.5", ladder="paper")
    with pytest.raises(FitError, match="no sizes called 'nobody'"):
        curve_from_text("3.5", ladder="nobody")


def test_a_gap_in_a_column_of_losses_has_a_line():
    with pytest.raises(FitError, match="Line 3 has no loss"):
        curve_from_text("3\n2\n-\n1\n1\n1\n1", ladder="paper")


def test_lists_of_numbers_are_checked_alike():
    with pytest.raises(FitError, match="Point 2 has no loss: a gap"):
        curve_from_numbers([1, 2], [3.0, None])
    with pytest.raises(FitError, match="Point 1 has the scale 0"):
        curve_from_numbers([0, 2], [3, 1])
    with pytest.raises(FitError, match="2 scales and 1 losses"):
        curve_from_numbers([1, 2], [3])


def test_a_published_token_reads_as_published():
    points = curve_from_text(" ".join(map(str, SINGH)), ladder="paper")
    shape = read_curve(points.x, [y * LN2 for y in points.y]).shape
    assert shape.curve_class == "monogenic"
    assert shape.monogenicity == pytest.approx(0.968, abs=0.001)
    assert shape.n_eff == pytest.approx(1.30, abs=0.01)
    assert shape.paper_monogenic_at == 4


def test_a_power_law_comes_back_with_its_manifold():
    x = np.geomspace(1e6, 1e10, 20)
    reading = read_curve(x, 10 * x**-0.083)
    assert reading.power.alpha == pytest.approx(0.083, rel=1e-9)
    manifold = reading.theories().manifold
    assert manifold.value == pytest.approx(48.2, abs=0.05)
    assert manifold.low == pytest.approx(manifold.high, rel=1e-6)


def test_a_rising_curve_has_no_manifold_and_says_that_it_rises():
    reading = read_curve([1, 10, 100, 1000], [1.0, 2.0, 3.0, 4.0])
    assert reading.theories().manifold is None
    assert reading.theories().quanta is None
    assert reading.shape.rises
    assert not reading.shape.has_peak


def test_a_zero_loss_is_scored_but_has_no_law():
    reading = read_curve([1, 10, 100], [3.0, 0.0, 0.0])
    assert reading.laws is None
    assert "The loss at 10 is 0" in reading.no_laws
    assert reading.shape.split == 1


def test_two_points_have_a_law_but_no_scores():
    reading = read_curve([1, 10], [3.0, 1.0])
    assert reading.shape is None
    assert "3 different scales or more; here are 2" in reading.no_shape
    assert reading.power.alpha == pytest.approx(np.log10(3))


def test_points_of_one_scale_are_scored_as_their_mean():
    reading = read_curve([10, 1, 10, 100], [2.0, 4.0, 4.0, 1.0])
    assert reading.x == (1.0, 10.0, 100.0)
    assert reading.loss_nats == (4.0, 3.0, 1.0)
    assert reading.note.startswith("1 of 4 points")


def test_every_number_is_json(capsys):
    reading = read_curve([1, 10, 100], [3.0, 2.0, 1.5])
    assert json.loads(json.dumps(reading.to_json(), allow_nan=False))["laws"]["best"] is None


# the command line


def test_the_command_prints_what_is_known(tmp_path, capsys):
    file = tmp_path / "curve.csv"
    file.write_text("\n".join(f"{n},{y}" for (_, n), y in zip(LADDERS["paper"].sizes, SINGH, strict=True)))
    assert main(["fit", str(file), "--unit", "bits"]) == 0
    said = capsys.readouterr().out
    assert "monogenic: M 0.97, effective steps 1.30" in said
    assert "two breaks    needs 10 points" in said


def test_the_command_writes_json_of_a_column(tmp_path, capsys):
    file = tmp_path / "losses.txt"
    file.write_text(" ".join(map(str, SINGH)))
    assert main(["fit", str(file), "--sizes", "paper", "--unit", "bits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["curve_class"] == "monogenic"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fit"], "Give a file of scale and loss"),
        (["fit", "--x", "1,2", "--y", "3,-1"], "Point 2 has the loss −1"),
        (["fit", "nowhere.csv"], "nowhere.csv cannot be read as text"),
        (["dimension", "nowhere.npy"], "nowhere.npy cannot be read as points"),
    ],
)
def test_the_command_refuses_with_the_same_sentences(arguments, sentence, capsys):
    assert main(arguments) == REFUSED
    assert sentence in capsys.readouterr().err


def test_the_command_prints_a_dimension(tmp_path, capsys):
    points = np.random.default_rng(0).random((3000, 1)) * np.ones((1, 5))
    np.save(tmp_path / "points.npy", points)
    assert main(["dimension", str(tmp_path / "points.npy"), "--sample", "500"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(("dimension 0.9", "dimension 1.0"))
    assert "500 of 3,000 points" in said


def test_a_first_line_with_decimal_commas_is_no_head():
    with pytest.raises(FitError, match="Line 1 says “1,5”, which is no number"):
        curve_from_text("1,5;3,2\n2;2.8\n3;2")


@pytest.mark.parametrize(("text", "what"), [("1{0} 2\n10 1", "scale"), ("10 2{0}\n20 1", "loss")])
def test_a_number_too_long_for_any_machine_is_one_that_nobody_measures(text, what):
    with pytest.raises(FitError, match=f"has the {what} inf, which is none that anybody measures"):
        curve_from_text(text.format("0" * 5000))


def test_cosines_are_of_every_pair(tmp_path, capsys):
    np.save(tmp_path / "points.npy", np.ones((40, 3)))
    assert main(["dimension", str(tmp_path / "points.npy"), "--cosines"]) == REFUSED
    assert "holds a table of 40 × 3; cosines are of every pair" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ("parameters", "quanta: α 0.3333 (0.3333 to 0.3333), use falls as rank to the −1.333\nmanifold: dimension"),
        ("steps", "quanta: α 0.5000 (0.5 to 0.5), use falls as rank to the −1.500\nManifold theory’s law is one of"),
    ],
)
def test_the_command_reads_an_exponent_over_what_the_scales_are(over, said, tmp_path, capsys):
    x = np.geomspace(1e3, 1e6, 8)
    (tmp_path / "curve.txt").write_text("\n".join(f"{a} {4 * a ** (-1 / 3)}" for a in x))
    assert main(["fit", str(tmp_path / "curve.txt"), "--over", over]) == 0
    assert said in capsys.readouterr().out

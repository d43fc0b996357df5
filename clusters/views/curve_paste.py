"""A curve of one's own, pasted or typed: scores, class, laws, and what two theories read in its exponent."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern

from clusters.charts import curve_paste as figures
from clusters.charts import scaling
from clusters.charts import token as scores
from clusters.charts.chart import Chart
from clusters.charts.numbers import compact, count, fixed
from clusters.forms.curve_paste import LONGEST_QUERY, OVER, CurveQuery, curve_query
from clusters.htmx import render_page
from clusters.queries.curve_paste import is_read, reading_of
from clusters.services.rates import FITS_OFTEN, fit_wait, fitter
from clusters.values.curve_examples import Example, made_up_examples, paper_examples
from clusters.values.laws import Fitted, Point, Window
from clusters.values.readings import Scores, Unit
from clusters.views import twins
from clusters.views.law_tables import law_rows, summary
from clusters.views.throttling import too_many
from compute.curve_text import LADDERS, MOST_POINTS, Points
from compute.numerics.fits import CurveReading, Shape, fitted_places
from compute.numerics.manifold import Dimension
from compute.numerics.theories import Over, Quanta

Maker = Callable[[], Chart | None]
UNITS: tuple[Unit, ...] = ("nats", "bits")
LETTERS: dict[Over, str] = {"parameters": "N", "samples": "D", "steps": "S", "scale": ""}  # of an exponent


def show(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """The curve of the address; a sentence where its text is none."""
    asked = curve_query(request.GET)
    problem = "" if asked.is_empty else _too_long(request) or asked.problem
    if twin and problem:
        raise BadRequest(problem)
    points = None if problem or asked.is_empty else asked.points
    if points and not is_read(points, asked.unit) and (seconds := fit_wait(fitter(request))):
        return too_many(request, seconds, FITS_OFTEN)
    reading = reading_of(points, asked.unit) if points else None
    makers = _makers(asked, points, reading) if points and reading else {}
    if twin:
        figure = request.GET.get("figure")
        drawn = twins.drawn(makers, figure)
        return twins.answer(
            twin, name="curve", head=(OVER[asked.over], f"loss, {asked.unit}"), charts=drawn, figure=figure,
            rows=zip(points.x, points.y, strict=True) if points else [],
            payload=_payload(asked, reading, drawn) if twin == "json" else None,
        )  # fmt: skip
    ctx = {
        "here": "labs", "asked": asked, "problem": problem, "most": MOST_POINTS, "longest": LONGEST_QUERY,
        "paper_examples": [_example(asked, one) for one in paper_examples()],
        "made_up_examples": [_example(asked, one) for one in made_up_examples()],
        "ladders": [(key, ladder.name) for key, ladder in LADDERS.items()], "overs": OVER, "units": UNITS,
        "result": _result(asked, points, reading, makers) if points and reading else None,
        **twins.links_context(request, "json", "csv"),
    }  # fmt: skip
    return render_page(request, "labs/curves.html", ctx, status=400 if problem else 200)


def _too_long(request: HttpRequest) -> str:
    n = len(request.META.get("QUERY_STRING", ""))
    if n <= LONGEST_QUERY:
        return ""
    return (
        f"This curve takes {n / 1000:.1f} kB of its address, which holds {LONGEST_QUERY / 1000:.0f}. Write fewer "
        "digits or fewer points, or send it to the API (/api/v1/fits/) or the command line (python -m compute fit)."
    )


def _example(asked: CurveQuery, example: Example) -> dict[str, Any]:
    own = CurveQuery(
        text=example.text, ladder=example.ladder, unit="bits" if example.unit == "bits" else "nats",
        over=example.over, name=example.name,
    )  # fmt: skip
    return {"text": example.name, "href": own.href, "is_on": asked.query == own.query}


def _makers(asked: CurveQuery, points: Points, reading: CurveReading) -> dict[str, Maker]:
    """What makes each figure, by slug and numbered as it is read."""
    over = OVER[asked.over]
    makers: dict[str, Callable[..., Chart | None]] = {}
    if reading.shape:
        makers["shape"] = partial(figures.shape_chart, reading, over=over, unit=asked.unit)
    found = _fitted(asked, points, reading)
    if found:
        who = asked.name or "this curve"
        makers["laws"] = partial(
            scaling.laws_chart, found, over=asked.over, slug="laws", unit=asked.unit, who=who, what="loss"
        )
        makers["residuals"] = partial(scaling.residual_chart, found, over=asked.over, slug="residuals")
        if found.judged:
            makers["held-out"] = partial(figures.held_out_chart, found.comparison)
    return {slug: partial(make, number=i) for i, (slug, make) in enumerate(makers.items(), 1)}


def _fitted(asked: CurveQuery, points: Points, reading: CurveReading) -> Fitted | None:
    """The laws as the page on scaling shows them; a point is called by its network, step or scale."""
    if reading.laws is None:
        return None
    factor = math.log(2) if asked.unit == "bits" else 1.0
    own = tuple(
        Point(points.x[i], points.y[i] * factor, _name(asked, i, points.x[i])) for i in fitted_places(points.x).tolist()
    )
    return Fitted(own, Window(own[0].x, own[-1].x), reading.laws)


def _name(asked: CurveQuery, place: int, x: float) -> str:
    if asked.ladder:
        return LADDERS[asked.ladder].sizes[place][0]
    return f"step {count(x)}" if asked.over == "steps" else compact(x)


def _result(asked: CurveQuery, points: Points, reading: CurveReading, makers: dict[str, Maker]) -> dict[str, Any]:
    """All that is shown of a curve that could be read."""
    found = _fitted(asked, points, reading)
    laws = None
    if found:
        laws = {"summary": summary(found, asked.unit, ""), "rows": law_rows(found, asked.unit),
                "next": compact(found.next_x)}  # fmt: skip
    return {
        "n": len(points.x), "reading": reading, "laws": laws,
        "charts": {slug.replace("-", "_"): make() for slug, make in makers.items()},
        "note": reading.note, "rival": _rival(reading, asked.over),
        **_scores(asked, reading),
    }  # fmt: skip


def _scores(asked: CurveQuery, reading: CurveReading) -> dict[str, Any]:
    """The class, its rule, the paper's rules and the table of scores, in the words of a token's page."""
    shape = reading.shape
    if shape is None:
        return {"shape": None}
    own = Scores(shape.monogenicity, shape.n_eff, shape.amplitude_bits, shape.linearity, shape.breakthroughness,
                 shape.curve_class)  # fmt: skip
    over_size = asked.over == "parameters"
    return {
        "shape": shape, "class_shape": scores.CLASS_SHAPES[shape.curve_class],
        "class_rule": scores.class_sentence(own),
        "class_meaning": scores.CLASS_MEANINGS[shape.curve_class].replace("the token", "it"),
        "paper_rule": scores.paper_sentence(
            shape.paper_monogenic_at, shape.is_paper_polygenic, shape.slope_nats, shape.r_squared,
            [round(x) for x in reading.x],
        ) if over_size else "",
        "score_rows": scores.score_rows(
            own, n_sizes=len(reading.x), slope=shape.slope_nats if over_size else None, r_squared=shape.r_squared
        ),
        "other_shapes": _other_shapes(shape, reading),
    }  # fmt: skip


def _other_shapes(shape: Shape, reading: CurveReading) -> list[dict[str, str]]:
    """Whether it rises, and whether it rises and falls again."""
    at = f", at {compact(reading.x[shape.peak_at])}" if shape.peak_at >= 0 else ""
    return [
        {"name": "net rise", "value": fixed(shape.rise_bits), "said": "It rises with scale: inverse scaling."
         if shape.rises else "It does not rise with scale by a bit or more."},
        {"name": "highest peak", "value": fixed(shape.peak_bits), "said": f"It rises and falls again{at}: a double "
         "descent has this shape." if shape.has_peak else "No rise of a bit or more is followed by such a fall."},
    ]  # fmt: skip


def _rival(reading: CurveReading, over: Over) -> dict[str, Any] | None:
    """What the exponent means to two theories."""
    power = reading.power
    if power is None:
        return None
    found = reading.theories(over)
    return {
        "letter": LETTERS[over], "exponent": fixed(power.alpha, 3), "interval": _interval(power.low, power.high, 3),
        "falls": power.alpha > 0, "why_no_quanta": found.no_quanta, "why_no_manifold": found.no_manifold,
        "quanta": found.quanta and _quanta(found.quanta, over),
        "manifold": found.manifold and _manifold(found.manifold),
        "of_unknown": "if this is over parameters" if over == "scale" else "",
    }  # fmt: skip


def _quanta(found: Quanta, over: Over) -> dict[str, str]:
    """The exponent of use, and the exponent that follows from it over the other kind of resource."""
    name, value, low, high = "expected over parameters, α", found.alpha, found.low, found.high
    if over in ("parameters", "scale"):
        name = "expected over data, α / (1 + α)"
        value, low, high = _over_data(value), _over_data(low), _over_data(high)
    return {
        "alpha": f"{found.alpha:.4g}", "use": fixed(1 + found.alpha, 3),
        "use_interval": _interval(1 + found.low, 1 + found.high, 3),
        "other": name, "other_value": fixed(value, 3), "other_interval": _interval(low, high, 3),
    }  # fmt: skip


def _over_data(alpha: float) -> float:
    """The exponent over data where that over parameters is α; the ends of an interval may lie at 0 and below."""
    return alpha / (1 + alpha) if -1 < alpha < math.inf else math.nan


def _manifold(found: Dimension) -> dict[str, str]:
    return {"dimension": fixed(found.value, 1), "interval": _interval(found.low, found.high, 1)}


def _interval(low: float, high: float, digits: int) -> str:
    if math.isnan(low) and math.isnan(high):
        return "no interval from two points"
    if math.isinf(high) or math.isnan(high):
        return f"{fixed(low, digits)} or more"
    return f"{fixed(low, digits)} to {fixed(high, digits)}"


def _payload(asked: CurveQuery, reading: CurveReading | None, drawn: list[Chart]) -> dict[str, Any]:
    about = {"name": asked.name, "over": asked.over, "unit": asked.unit}
    return about | (reading.to_json(asked.over) if reading else {"x": [], "loss_nats": []}) | {"figures": drawn}


curve_paste_urls: list[URLPattern] = [*twins.page("labs/curves", show, "curve-paste")]

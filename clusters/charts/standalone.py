"""A chart as an SVG file of its own: the stylesheet's classes written out as colours of the light theme."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from clusters.charts.chart import SIZES, Chart
from clusters.charts.draw import Mark, draw

STYLESHEET = Path(__file__).resolve().parents[2] / "static" / "css" / "look.css"
MARGIN, HEAD = 16, 34
SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
_TOKEN = re.compile(r"--([a-z0-9-]+):\s*(?:light-dark\((#[0-9a-f]{3,8}),[^)]*\)|(transparent))")
_STYLES = {  # class → attributes; {name} is a colour of the stylesheet
    "grid": {"stroke": "{line}"}, "axis": {"stroke": "{line-2}"}, "gap": {"stroke": "{paper}", "stroke-width": "3"},
    "series": {"stroke-width": "1.25"}, "thick": {"stroke-width": "2.5"},
    "faint": {"stroke": "{c1}", "opacity": ".17"},
    "mean": {"stroke": "{c1}", "stroke-width": "2.5"}, "env": {"stroke": "{ink}", "stroke-width": "2.25"},
    "fitl": {"stroke": "{accent}", "stroke-width": "2.25"}, "dash": {"stroke-width": "1.5", "stroke-dasharray": "6 4"},
    "refl": {"stroke": "{ink-3}", "stroke-width": "1.25", "stroke-dasharray": "2 4"},
    "under": {"stroke": "{paper}", "stroke-width": "4", "opacity": ".75"},
    "thr": {"stroke": "{ink-2}", "stroke-dasharray": "4 3"}, "edge": {"stroke": "{accent}"},
    "window": {"fill": "{accent}", "opacity": ".07"}, "band": {"opacity": ".13"}, "solid": {"stroke": "none"},
    "dot": {"stroke": "{paper}", "stroke-width": "1"}, "whisker": {"stroke-width": "1.25", "opacity": ".5"},
    "cells": {"shape-rendering": "crispEdges", "stroke": "none"},
    "tt": {"fill": "{ink-2}"}, "strong": {"fill": "{ink}", "font-weight": "600"}, "e": {"text-anchor": "end"},
    "m": {"text-anchor": "middle"},
    "halo": {"paint-order": "stroke", "stroke": "{paper}", "stroke-width": "4", "stroke-linejoin": "round"},
    "fink": {"fill": "{ink}"}, "fink3": {"fill": "{ink-3}"}, "fact": {"fill": "{accent}"}, "fline": {"fill": "{line}"},
    "sact": {"stroke": "{accent}"}, "sink": {"stroke": "{ink}"},
}  # fmt: skip
_FAMILY = re.compile(r"([sfb])((?:c|v|h)\d|d-?\d)")


def standalone_svg(chart: Chart) -> bytes:
    """The wide drawing with its title, on paper, as a file's bytes."""
    drawing = draw(chart, SIZES[chart["size"]][0])
    width, height = drawing.width + 2 * MARGIN, drawing.height + HEAD + MARGIN
    svg = ElementTree.Element("svg", {
        "xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width} {height}", "width": str(width),
        "height": str(height), "font-family": SANS, "font-size": "12", "fill": "none", "role": "img",
    })  # fmt: skip
    ElementTree.SubElement(svg, "title").text = chart["title"]
    ElementTree.SubElement(svg, "desc").text = chart["description"]
    ElementTree.SubElement(svg, "rect", {"width": "100%", "height": "100%", "fill": _colours()["paper"]})
    head = ElementTree.SubElement(
        svg, "text", {"x": str(MARGIN), "y": "22", "fill": _colours()["ink"], "font-weight": "600", "font-size": "13"}
    )
    head.text = chart["title"]
    group = ElementTree.SubElement(svg, "g", {"transform": f"translate({MARGIN} {HEAD})"})
    for mark in drawing.marks:
        _write(group, mark)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(svg, encoding="utf-8")


def _write(group: ElementTree.Element, mark: Mark) -> None:
    names = {"line": ("x1", "y1", "x2", "y2"), "text": ("x", "y"), "circle": ("cx", "cy", "r"), "path": ("d",)}
    tag = "path" if mark["tag"] == "links" else mark["tag"]
    attributes = {name: str(mark[name]) for name in names[tag]}
    attributes |= _attributes(tag, mark["css"])
    if mark.get("width"):
        attributes["stroke-width"] = str(mark["width"])
    element = ElementTree.SubElement(group, tag, attributes)
    if tag == "text":
        element.text = mark["text"]
        if mark["sup"]:
            ElementTree.SubElement(element, "tspan", {"dy": "-4", "font-size": "10"}).text = mark["sup"]


def _attributes(tag: str, css: str) -> dict[str, str]:
    colours = _colours()
    found = {"fill": colours["ink-3"]} if tag == "text" else {}
    for name in css.split():
        family = _FAMILY.fullmatch(name)
        if family:
            colour = "accent" if tag == "text" and name == "fc1" else family[2]
            found["stroke" if family[1] == "s" else "fill"] = colours[colour]
        for key, value in _STYLES.get(name, {}).items():
            found[key] = value.format_map(colours)
    return found


@cache
def _colours() -> dict[str, str]:
    """The light value of every colour that the stylesheet names."""
    text = STYLESHEET.read_text(encoding="utf-8")
    return {name: light or other for name, light, other in _TOKEN.findall(text)}

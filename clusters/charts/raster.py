"""Pictures made of pixels: one byte each, plain for the canvas to colour, or in the stylesheet's colours."""

from __future__ import annotations

import re
from functools import cache
from io import BytesIO
from typing import Literal

import numpy as np
from PIL import Image

from clusters.charts.standalone import STYLESHEET

Ramp = Literal["diverging", "density"]
RAMPS: dict[Ramp, tuple[str, ...]] = {
    "diverging": ("d-3", "d-2", "d-1", "d0", "d1", "d2", "d3"),
    "density": tuple(f"h{i}" for i in range(8)),
}
GROUND = "paper"
_TOKEN = re.compile(r"--([a-z0-9-]+):\s*light-dark\((#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\)")


def grey_png(codes: np.ndarray) -> bytes:
    """One byte a pixel, as it is."""
    return _png(Image.fromarray(codes))


def coloured_png(codes: np.ndarray, positions: np.ndarray, ramp: Ramp, theme: str) -> bytes:
    """Codes in the ramp's colours: `positions` is each code's place on it, from 0 to 1, or NaN for the ground."""
    image = Image.fromarray(codes).convert("P")
    image.putpalette(np.asarray(palette(positions, ramp, theme), np.uint8).tobytes())
    return _png(image)


def palette(positions: np.ndarray, ramp: Ramp, theme: str) -> np.ndarray:
    """Red, green and blue of each code, uint8 (256, 3)."""
    stops = np.array([_colour(name, theme) for name in RAMPS[ramp]], float)
    at = np.linspace(0, 1, len(stops))
    known = np.nan_to_num(positions)
    mixed = np.stack([np.interp(known, at, stops[:, channel]) for channel in range(3)], axis=1)
    mixed[np.isnan(positions)] = _colour(GROUND, theme)
    return np.asarray(np.rint(mixed), np.uint8)


def _png(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _colour(name: str, theme: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(_colours()[name][theme == "dark"][1:]))


@cache
def _colours() -> dict[str, tuple[str, str]]:
    """The light and the dark value of every colour that the stylesheet names."""
    return {name: (light, dark) for name, light, dark in _TOKEN.findall(STYLESHEET.read_text(encoding="utf-8"))}

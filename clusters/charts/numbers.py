"""Numbers as people read them: grouped, rounded to what they mean, with a true minus sign."""

from __future__ import annotations

import math

from clusters.charts.geometry import LARGEST, UNITS, minus, power_text

NOTHING = "–"


def count(value: float | None) -> str:
    return NOTHING if value is None else minus(f"{value:,.0f}")


def fixed(value: float | None, digits: int = 2) -> str:
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:,.{digits}f}"
    return minus(text.lstrip("-") if not text.strip("-0.,") else text)


def percent(value: float | None) -> str:
    """A share of 1: 33%, 0.4%, under 0.1%, over 99.9%; 0% and 100% are said of nothing and all alone."""
    if value is None or not math.isfinite(value):
        return NOTHING
    share = 100 * value
    if 0 < share < 0.1:
        return "under 0.1%"
    if 99.9 < share < 100:
        return "over 99.9%"
    if -0.1 < share < 0:
        return minus("over -0.1%")
    return minus(f"{share:.1f}%") if 0 < share < 2 or 98 < share < 100 else minus(f"{share:.0f}%")


def compact(value: float | None) -> str:
    """Three digits and a unit: 9.87 k, 793 k, 3.16 M, 1 T; a power of ten beyond."""
    if value is None:
        return NOTHING
    if LARGEST <= abs(value) < math.inf:
        return power_text(value)
    for unit, name in UNITS:
        if abs(value) >= unit * 0.9995:
            return minus(f"{value / unit:.3g}") + " " + name
    return minus(f"{value:.3g}")


def plain(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return minus(f"{value:,}")
    if not math.isfinite(value):
        return NOTHING
    return minus(f"{value:,.4g}") if abs(value) < 1e4 else minus(f"{value:,.0f}")


def short_hash(value: str) -> str:
    """The ends of a hash, enough to compare by eye."""
    return f"{value[:4]}…{value[-4:]}" if len(value) > 12 else value


def bytes_text(value: int | None) -> str:
    """Disk space in decimal units."""
    if value is None:
        return NOTHING
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value} bytes"

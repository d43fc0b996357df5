"""Numbers as people write them."""

from __future__ import annotations

from django import forms


def whole_numbers(text: str) -> tuple[int, ...]:
    """Rising whole numbers out of "10, 20, 50"."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    bad = next((part for part in parts if not (part.isascii() and part.isdecimal() and len(part) < 7)), None)
    if bad is not None:
        raise forms.ValidationError(f"“{bad[:20]}” is no whole number. Write them like 10, 20, 50.")
    return tuple(sorted({int(part) for part in parts}))


def between(value: int, least: int, most: int, unit: str = "") -> int:
    if not least <= value <= most:
        raise forms.ValidationError(f"This must lie between {least:,} and {most:,}{' ' + unit if unit else ''}.")
    return value


def lines(text: str, *, most: int) -> list[str]:
    """What stands on each line, without empty ones."""
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if len(found) > most:
        raise forms.ValidationError(f"These are {len(found):,} lines; at most {most:,} are taken.")
    return found

"""Numbers as people write them."""

from __future__ import annotations

from typing import Any

from django import forms

from clusters.parameters import integer, real_number

BOUNDS: dict[str, Any] = {
    "required": "Write a number.",
    "min_value": "Write a number from %(limit_value)s on.",
    "max_value": "Write a number up to %(limit_value)s.",
}


class WholeField(forms.IntegerField):
    """A whole number in the digits 0 to 9."""

    default_error_messages = BOUNDS | {"invalid": "Write a whole number in digits, such as 1500."}

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        number = integer(str(value))
        if number is None:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return number


class NumberField(forms.FloatField):
    """A number in the digits 0 to 9, with a decimal point."""

    default_error_messages = BOUNDS | {"invalid": "Write a number in digits, with a decimal point: 0.25."}

    def to_python(self, value: Any) -> float | None:  # type: ignore[override]
        if value in self.empty_values:
            return None
        number = real_number(str(value))
        if number is None:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return number


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

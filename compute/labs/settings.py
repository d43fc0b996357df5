"""What an experiment is asked to do: flat settings that say in a sentence what is wrong with them."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from compute.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
MOST_LISTED = 5_000  # values of one setting
MOST_GROUPED = 1e15  # whole numbers beyond are too long to read
MOST_WHOLE = 2**63  # what every database holds
_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}


@dataclass(frozen=True, kw_only=True)
class LabConfig:
    """Base of every lab's settings: fields are numbers, words, or tuples of them; a subclass checks their ranges.

    Raises
    ------
    ConfigError
        A name that no folder may have, or whatever the subclass refuses.
    """

    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"name {self.name[:90]!r} may hold letters, digits, '.', '_' and '-' only, at most 80.")
        for field in dataclasses.fields(self):
            for value in self._values(field.name):
                _check_whole(field.name, value)

    def to_json(self) -> dict[str, Any]:
        """JSON-safe form; `from_json` gives the same object back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Settings from plain values: ConfigError names an unknown one, a missing one, or one of the wrong kind."""
        hints = typing.get_type_hints(cls)
        if unknown := sorted(set(data) - set(hints)):
            raise ConfigError(f"There is no setting {unknown[0][:80]!r}; there are {', '.join(hints)}.")
        needed = [field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING]
        if missing := [name for name in needed if name not in data]:
            raise ConfigError(f"The setting {missing[0]!r} is missing.")
        return cls(**{name: _read(name, value, hints[name]) for name, value in data.items()})

    def typed(self, name: str) -> str:
        """A list as one types it, every number exactly: "0.001, 3, 1234567"."""
        return ", ".join(str(value).removesuffix(".0") for value in self._values(name))

    def at_least(self, name: str, least: float, most: float = math.inf) -> None:
        """Refuse a setting, or any value of a list, outside [least, most]."""
        for value in self._values(name):
            if not least <= value <= most:
                raise ConfigError(f"{name} is {_number(value)}; {_between('at least', least, most)}.")

    def above(self, name: str, bound: float, most: float = math.inf) -> None:
        """Refuse a setting, or any value of a list, that is not above the bound."""
        for value in self._values(name):
            if not bound < value <= most:
                raise ConfigError(f"{name} is {_number(value)}; {_between('above', bound, most)}.")

    def distinct(self, name: str) -> None:
        """Refuse a list that is empty or names a value twice."""
        values = getattr(self, name)
        if not values:
            raise ConfigError(f"{name} is empty; name at least one value.")
        if len(set(values)) < len(values):
            twice = next(value for value in values if values.count(value) > 1)
            raise ConfigError(f"{name} names {twice} twice; once is enough.")

    def _values(self, name: str) -> list[float]:
        value = getattr(self, name)
        values = value if isinstance(value, tuple) else (value,)
        return [one for one in values if one is not None]


def _between(word: str, least: float, most: float) -> str:
    return f"it must be {word} {_number(least)}" + (f" and at most {_number(most)}" if most < math.inf else "")


def _number(value: float) -> str:
    """Whole numbers in groups of three; others as they are."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < MOST_GROUPED else f"{value:g}"


def _read(name: str, value: Any, hint: Any) -> Any:
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name} is {_quoted(value)}; give a list.")
        if len(value) > MOST_LISTED:
            raise ConfigError(f"{name} lists {len(value):,} values; at most {MOST_LISTED:,} are taken.")
        return tuple(_read(name, one, typing.get_args(hint)[0]) for one in value)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (kind,) = (one for one in typing.get_args(hint) if one is not type(None))
        return None if value is None else _read(name, value, kind)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    _check_whole(name, value)
    if hint is float and is_number and math.isfinite(value):
        return float(value)
    if hint is int and is_number and value == int(value if math.isfinite(value) else 0):
        return int(value)
    if hint in (str, bool) and isinstance(value, hint):
        return value
    raise ConfigError(f"{name} is {_quoted(value)}; it must be {_WORDS[hint]}.")


def _check_whole(name: str, value: Any) -> None:
    if isinstance(value, int) and abs(value) > MOST_WHOLE:
        raise ConfigError(f"{name} is {_quoted(value)[:20]}…; no whole number here is as large as that.")


def _quoted(value: Any) -> str:
    return repr(value)[:80]

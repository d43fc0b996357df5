"""Fields that DRF lacks."""

from __future__ import annotations

import json
from typing import Any

from rest_framework import serializers

from clusters.parameters import integer, real_number

BOUNDS = {
    "min_value": "The least it may be is {min_value}.",
    "max_value": "The most it may be is {max_value}.",
}


class Whole(serializers.IntegerField):
    """A whole number: JSON's own, or digits in an address; neither true nor "1_0"."""

    default_error_messages = BOUNDS | {"invalid": "{shown} is no whole number; write it in digits, such as 1500."}

    def to_internal_value(self, data: Any) -> int:
        value: object = integer(data) if isinstance(data, str) else data
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value % 1 == 0:
            return int(value)
        return self.fail("invalid", shown=_shown(data))


class Number(serializers.FloatField):
    """A number: JSON's own, or digits in an address; neither true nor "1_0"."""

    default_error_messages = BOUNDS | {"invalid": "{shown} is no number; write it in digits, such as 0.25."}

    def to_internal_value(self, data: Any) -> float:
        value: object = real_number(data) if isinstance(data, str) else data
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        return self.fail("invalid", shown=_shown(data))


def _shown(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False)[:40]


class Numbers(serializers.Field):
    """Arrays of numbers, given as they are: JSON gets lists (null for what is no number), `.npy` the array itself."""

    def __init__(self, *, n_axes: int = 1, is_integer: bool = False, **kwargs: Any) -> None:
        self.n_axes, self.is_integer = n_axes, is_integer
        super().__init__(**{"read_only": True, **kwargs})

    def to_representation(self, value: Any) -> Any:
        return value

    def to_internal_value(self, data: Any) -> Any:
        raise NotImplementedError("Arrays are only read.")

"""Fields that DRF lacks."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class Numbers(serializers.Field):
    """Arrays of numbers, given as they are: JSON gets lists (null for what is no number), `.npy` the array itself."""

    def __init__(self, *, n_axes: int = 1, is_integer: bool = False, **kwargs: Any) -> None:
        self.n_axes, self.is_integer = n_axes, is_integer
        super().__init__(**{"read_only": True, **kwargs})

    def to_representation(self, value: Any) -> Any:
        return value

    def to_internal_value(self, data: Any) -> Any:
        raise NotImplementedError("Arrays are only read.")

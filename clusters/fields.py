"""Fields of our own."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from django.db import models
from django.db.models.fields.json import KeyTransform


class ManifestField(models.JSONField):
    """JSON that never changes once written: a quarter of a megabyte is parsed once and not for every page.

    What comes out is a new dict whose values are shared: replace them, never change them.
    """

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if isinstance(value, str) and not isinstance(expression, KeyTransform):
            return dict(_parsed(value))
        return super().from_db_value(value, expression, connection)


@lru_cache(maxsize=32)
def _parsed(text: str) -> dict[str, Any]:
    return json.loads(text)

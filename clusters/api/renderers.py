"""Writing answers: JSON whose numbers are numbers, and arrays as NumPy's own files."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rest_framework.renderers import BaseRenderer, JSONRenderer

NPY = "application/x-npy"


class FiniteJSONRenderer(JSONRenderer):
    """Numbers that are none become null; arrays become lists."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if data is None:
            return b""
        text = json.dumps(_plain(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)
        return text.encode("utf-8", "replace")


class NpyRenderer(BaseRenderer):
    """The answer's one array (the view's `npy` names its field) as a `.npy` file; errors stay JSON."""

    media_type = NPY
    format = "npy"
    charset = None
    render_style = "binary"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        context: Mapping[str, Any] = renderer_context or {}
        response, view = context.get("response"), context["view"]
        if data is None:
            return b""
        if response is not None and (response.status_code >= 400 or view.request.method == "OPTIONS"):
            response["Content-Type"] = "application/json"
            return FiniteJSONRenderer().render(data)
        file = io.BytesIO()
        np.save(file, _array(data[view.npy]), allow_pickle=False)
        return file.getvalue()


def _plain(value: Any) -> Any:
    """The same with None where there is no number, and NumPy's numbers as Python's; arrays are not walked through."""
    if isinstance(value, (str, int)) or value is None:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value.tolist() if np.isfinite(value).all() else _plain(value.tolist())
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    return [_plain(item) for item in value] if isinstance(value, Sequence) else value


def _array(values: Any) -> np.ndarray:
    """The values as numbers; None, which JSON has where there is no number, becomes NaN."""
    array = np.asarray(values)
    return array.astype(np.float64) if array.dtype == object else array

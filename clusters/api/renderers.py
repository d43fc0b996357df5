"""Writing answers: JSON whose numbers are numbers, and arrays as NumPy's own files."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from rest_framework.renderers import BaseRenderer, JSONRenderer

from clusters.views.twins import finite

NPY = "application/x-npy"


class FiniteJSONRenderer(JSONRenderer):
    """Numbers that are none become null; arrays become lists."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if data is None:
            return b""
        text = json.dumps(finite(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)
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


def _array(values: Any) -> np.ndarray:
    """The values as numbers; None, which JSON has where there is no number, becomes NaN."""
    array = np.asarray(values)
    return array.astype(np.float64) if array.dtype == object else array

"""What to say where an address names something that isn't there."""

from __future__ import annotations

from django.http import Http404


class Missing(Http404):
    """404 that says what is missing (the page's heading) and what there is instead (the line under it)."""

    def __init__(self, sentence: str, advice: str) -> None:
        super().__init__(sentence)
        self.advice = advice

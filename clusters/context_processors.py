"""What every page's template knows."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from clusters.queries.people import Preferences, preferences_of

THEMES = ("auto", "light", "dark")


def site(request: HttpRequest) -> dict[str, Any]:
    """A cookie's theme is this browser's own; without one the person's holds."""
    liked = preferences(request)
    theme = request.COOKIES.get("theme", liked.theme)
    return {"theme": theme if theme in THEMES else "auto", "liked": liked}


def preferences(request: HttpRequest) -> Preferences:
    """Of whoever asks, read once a request."""
    person = getattr(request, "user", None)
    if person is None:
        return Preferences()
    kept = getattr(request, "_preferences", None)
    if kept is None or kept[0] != person.pk:
        kept = person.pk, preferences_of(person)
        request._preferences = kept  # type: ignore[attr-defined]
    return kept[1]

"""Django's system checks of what settings cannot refuse; `manage.py check` says them, and so does every start."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register


@register()
def unknown_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Variables of ours that nothing reads."""
    return [
        Warning(
            f"{name} is set, but no such setting exists.",
            hint=f"Do you mean {nearest}?" if nearest else "docs/deploy.md lists them all; remove it.",
            id="quantaweb.W001",
        )
        for name, nearest in settings.UNKNOWN_VARIABLES
    ]

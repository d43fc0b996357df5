"""Signing in with an account elsewhere, where that is set up."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse


def sign_in_ways() -> list[dict[str, str]]:
    """The providers that may let people in: the name on the button and the address that its form is sent to."""
    return [way | {"href": _address(way)} for way in settings.SIGN_IN_WAYS]


def _address(way: dict[str, str]) -> str:
    args = [way["id"]] if way["provider"] == "openid_connect" else []
    return reverse(f"{way['provider']}_login", args=args)

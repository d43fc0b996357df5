"""Paths that people may name: within the folders that the operator allowed, checked before any file is touched."""

from __future__ import annotations

import os
from pathlib import Path

from django import forms
from django.conf import settings

MAX_PATH = 1000


def allowed_path(text: str, *, what: str = "path") -> Path:
    """The real place of a file or folder that somebody named.

    Raises
    ------
    ValidationError
        If it is no whole path, leads out of the allowed folders by ".." or a link, lies in this site's own data
        folder, or is not there.
    """
    path = _inside_as_written(text.strip(), what)
    try:
        real = Path(os.path.realpath(path))
        is_there = real.exists()
    except (OSError, ValueError):
        is_there = False
        real = path
    if not any(real.is_relative_to(os.path.realpath(root)) for root in settings.ALLOWED_ROOTS):
        raise forms.ValidationError(f"{_short(text)} leads out of the allowed folders through a link.")
    if real.is_relative_to(settings.DATA_DIR):
        raise forms.ValidationError(f"{_short(text)} lies in this site’s own data folder, which nobody may name.")
    if not is_there:
        raise forms.ValidationError(f"There is no {_short(text)} on the server.")
    return real


def _inside_as_written(text: str, what: str) -> Path:
    """The path, if nothing of its text is suspicious; no file is looked at."""
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text) or len(text) > MAX_PATH:
        raise forms.ValidationError(f"This is no {what}: it holds control characters or is too long.")
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts:
        raise forms.ValidationError(f"Write the whole {what}, from / on and without “..”.")
    roots = [Path(root) for root in settings.ALLOWED_ROOTS]
    if not roots:
        raise forms.ValidationError("The operator of this site has allowed no folder, so no path can be named.")
    if not any(path.is_relative_to(root) for root in roots):
        listed = ", ".join(map(str, roots))
        raise forms.ValidationError(f"{_short(text)} lies in none of the allowed folders: {listed}.")
    return path


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"…{text[-119:]}"

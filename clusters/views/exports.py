"""Files of a run: streamed, or written by a worker."""

from __future__ import annotations

from django.urls import URLPattern

export_urls: list[URLPattern] = []

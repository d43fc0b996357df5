"""The vocabulary that labels are tagged with."""

from __future__ import annotations

from django.urls import URLPattern

tag_urls: list[URLPattern] = []

"""How far labelers agree."""

from __future__ import annotations

from django.urls import URLPattern

agreement_urls: list[URLPattern] = []

"""How one person likes the site, and their keys for scripts."""

from __future__ import annotations

from django.urls import URLPattern

profile_urls: list[URLPattern] = []

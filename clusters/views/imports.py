"""Bringing bundles, published clusters and labels."""

from __future__ import annotations

from django.urls import URLPattern

import_urls: list[URLPattern] = []

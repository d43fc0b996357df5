"""Labels of one cluster side by side, and what is agreed on."""

from __future__ import annotations

from django.urls import URLPattern

adjudication_urls: list[URLPattern] = []

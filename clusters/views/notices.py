"""What a person is told."""

from __future__ import annotations

from django.urls import URLPattern

notice_urls: list[URLPattern] = []

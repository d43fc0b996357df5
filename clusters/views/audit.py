"""What people did."""

from __future__ import annotations

from django.urls import URLPattern

audit_urls: list[URLPattern] = []

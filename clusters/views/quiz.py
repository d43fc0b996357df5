"""The intruder test: can people tell a cluster from others?"""

from __future__ import annotations

from django.urls import URLPattern

quiz_urls: list[URLPattern] = []

"""Two clusterings side by side: of one run, or of two."""

from django.urls import URLPattern

compare_urls: list[URLPattern] = []

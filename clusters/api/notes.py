"""Notes and bookmarks at tokens."""

from django.urls import URLPattern

urls: list[URLPattern] = []

"""Two-dimensional maps of tokens: by gradient, and by the shape of their loss curves."""

from django.urls import URLPattern

map_urls: list[URLPattern] = []

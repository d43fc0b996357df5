"""Work on the server: start, watch, cancel."""

from django.urls import URLPattern

urls: list[URLPattern] = []

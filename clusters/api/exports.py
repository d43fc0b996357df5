"""Files of a run."""

from django.urls import URLPattern

urls: list[URLPattern] = []

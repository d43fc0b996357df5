"""How far labelers agree."""

from django.urls import URLPattern

urls: list[URLPattern] = []

"""Labels and their history."""

from django.urls import URLPattern

urls: list[URLPattern] = []

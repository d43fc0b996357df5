"""Any prediction of a corpus: found by filter, read with context and curves."""

from django.urls import URLPattern

urls: list[URLPattern] = []

"""Suites of networks, corpora and checkpoints."""

from django.urls import URLPattern

urls: list[URLPattern] = []

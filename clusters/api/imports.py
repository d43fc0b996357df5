"""Bringing bundles, published clusters and labels."""

from django.urls import URLPattern

urls: list[URLPattern] = []

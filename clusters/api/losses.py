"""Histograms of losses, and mean losses over size and steps."""

from django.urls import URLPattern

urls: list[URLPattern] = []

"""Clusterings of a run, their clusters and rank-frequency curves."""

from django.urls import URLPattern

urls: list[URLPattern] = []

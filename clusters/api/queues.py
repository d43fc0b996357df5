"""Queues of clusters to label."""

from django.urls import URLPattern

urls: list[URLPattern] = []

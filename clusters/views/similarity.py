"""The matrix of similarities, ordered by cluster, zoomable to single pairs."""

from django.urls import URLPattern

similarity_urls: list[URLPattern] = []

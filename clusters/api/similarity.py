"""Similarities of clustered tokens: pairs, neighbours, blocks."""

from django.urls import URLPattern

urls: list[URLPattern] = []

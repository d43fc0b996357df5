"""Mean loss over parameters and steps, and the laws fitted to it."""

from django.urls import URLPattern

scaling_urls: list[URLPattern] = []

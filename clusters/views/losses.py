"""How losses are distributed, by network and by step."""

from django.urls import URLPattern

losses_urls: list[URLPattern] = []

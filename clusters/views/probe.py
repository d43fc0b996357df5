"""Text that somebody pastes: its losses, and the clusters that its tokens' gradients fall nearest to."""

from django.urls import URLPattern

probe_urls: list[URLPattern] = []

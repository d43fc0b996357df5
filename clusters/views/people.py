"""Who has an account, with which roles; invitations."""

from __future__ import annotations

from django.urls import URLPattern

people_urls: list[URLPattern] = []

"""The site, as a map."""

from django.urls import URLPattern

app_name = "clusters"
urlpatterns: list[URLPattern] = []

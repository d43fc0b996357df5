"""The vocabulary of labels."""

from django.urls import URLPattern

urls: list[URLPattern] = []

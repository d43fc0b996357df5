"""The intruder test."""

from django.urls import URLPattern

urls: list[URLPattern] = []

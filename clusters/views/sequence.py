"""The Q Sequence: are frequent quanta learned first?"""

from django.urls import URLPattern

sequence_urls: list[URLPattern] = []

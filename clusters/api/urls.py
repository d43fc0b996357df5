"""The API, as a map: every resource's module ends with its addresses."""

from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView

from clusters.api import (
    agreement,
    clusterings,
    clusters,
    collections,
    docs,
    experiments,
    exponents,
    exports,
    fits,
    imports,
    jobs,
    labels,
    losses,
    notes,
    queues,
    quiz,
    runs,
    similarity,
    suggestions,
    suites,
    tags,
    theory,
    tokens,
)
from clusters.api.handlers import nowhere

v1: list[URLPattern] = [
    *runs.urls,
    *suites.urls,
    *clusterings.urls,
    *clusters.urls,
    *tokens.urls,
    *similarity.urls,
    *losses.urls,
    *labels.urls,
    *tags.urls,
    *notes.urls,
    *queues.urls,
    *agreement.urls,
    *quiz.urls,
    *suggestions.urls,
    *collections.urls,
    *jobs.urls,
    *experiments.urls,
    *exports.urls,
    *imports.urls,
    *fits.urls,
    *theory.urls,
    *exponents.urls,
]

app_name = "api"
urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/", include(v1)),
    path("docs/", include(docs.urls)),
    path("schema/", SpectacularJSONAPIView.as_view(), name="schema"),
    re_path("^(?P<path>.*)$", nowhere, name="nowhere"),
]

"""What the top bar needs to know about a run."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse

from clusters.queries import runs

register = template.Library()


@register.simple_tag(takes_context=True)
def run_links(context: dict[str, Any]) -> list[dict[str, str]]:
    """The pages of the context's run, as far as they exist."""
    run, k = context["run"], _k(context)
    pages = [
        ("overview", "Overview", "clusters:run", (run.slug,)),
        ("clusters", "Clusters", "clusters:clusters", (run.slug, k)),
        ("rank-frequency", "Rank–frequency", "clusters:rank-frequency", (run.slug,)),
        ("tokens", "Tokens", "clusters:tokens", (run.slug,)),
    ]
    links = [{"key": key, "text": text, "href": _address(name, args)} for key, text, name, args in pages]
    return [link for link in links if link["href"]]


@register.simple_tag(takes_context=True)
def search_target(context: dict[str, Any]) -> str:
    """Where the search box sends: the run's cluster list."""
    return _address("clusters:clusters", (context["run"].slug, _k(context)))


def _k(context: dict[str, Any]) -> int | None:
    given = context.get("k")
    return given if isinstance(given, int) else runs.default_k(context["run"])


def _address(name: str, args: tuple[object, ...]) -> str:
    if None in args:
        return ""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""

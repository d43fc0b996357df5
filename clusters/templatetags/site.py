"""What the top bar needs to know about a run."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse

from clusters.queries import runs

register = template.Library()


PAGES = (  # of a run, in the groups that the bar shows
    (("overview", "Overview", "run"),),
    (
        ("clusters", "Clusters", "clusters"),
        ("rank-frequency", "Rank–frequency", "rank-frequency"),
        ("similarity", "Similarity", "similarity"),
        ("sequence", "Sequence", "sequence"),
        ("compare", "Compare", "compare"),
    ),
    (
        ("tokens", "Tokens", "tokens"),
        ("search", "Search", "search"),
        ("map", "Map", "map"),
        ("probe", "Probe", "probe"),
    ),
    (("losses", "Losses", "losses"), ("scaling", "Scaling", "scaling"), ("dynamics", "Dynamics", "dynamics")),
)
TOUR = (
    ("overview", "run", "A run in one page",
     "Tokens that a network predicts well were clustered by their gradients. Here: how losses fall with size, how "
     "cluster sizes fall with rank, and how everything was made."),
    ("clusters", "clusters", "Clusters are candidate quanta",
     "Read three contexts of a cluster and ask what skill they share. Open one for its learning curves, its "
     "neighbours and every context."),
    ("tokens", "tokens", "Every prediction can be questioned",
     "Find tokens that are learned at once, or gradually, or never, among all predictions of the corpus, and see "
     "which clusters they belong to."),
)  # fmt: skip


@register.simple_tag(takes_context=True)
def run_links(context: dict[str, Any]) -> list[list[dict[str, str]]]:
    """The pages of the context's run, in groups, as far as they exist."""
    run, k = context["run"], _k(context)
    groups = [
        [
            {
                "key": key,
                "text": text,
                "href": _address(f"clusters:{name}", (run.slug, k) if name == "clusters" else (run.slug,)),
            }
            for key, text, name in group
        ]
        for group in PAGES
    ]
    there = ([link for link in group if link["href"]] for group in groups)
    return [group for group in there if group]


@register.simple_tag(takes_context=True)
def tour(context: dict[str, Any]) -> dict[str, Any] | None:
    """The step of the first visit's tour that this page is, until somebody has seen or closed it."""
    request: Any = context.get("request")
    run: Any = context.get("run")
    place = next((i for i, step in enumerate(TOUR) if step[0] == context.get("here")), None)
    if request is None or place is None or not getattr(run, "slug", "") or "tour" in request.COOKIES:
        return None
    if request.GET.get("tour") != str(place + 1) and place:
        return None  # later steps only for those who come from the one before
    _, _, title, text = TOUR[place]
    following = ""
    if place + 1 < len(TOUR):
        name, k = TOUR[place + 1][1], _k(context)
        path = _address(f"clusters:{name}", (run.slug, k) if name == "clusters" else (run.slug,))
        following = f"{path}?tour={place + 2}" if path else ""
    return {"number": place + 1, "n": len(TOUR), "title": title, "text": text, "next": following}


@register.simple_tag(takes_context=True)
def search_target(context: dict[str, Any]) -> str:
    """Where the search box sends."""
    return _address("clusters:search", (context["run"].slug,))


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

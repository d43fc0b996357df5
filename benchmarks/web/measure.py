"""One page after the other: a few requests to warm up, then some that are timed."""

from __future__ import annotations

import html
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.web.draws import Draws
from benchmarks.web.goals import DENSITY, MOST_QUERIES, PAGE, Goal
from benchmarks.web.pages import Page
from benchmarks.web.site import Answer, Server

WARM_UP = 3
_TAG = re.compile(r"<[a-z][^>]*>", re.DOTALL)
_ATTRIBUTE = re.compile(r"""([a-z-]+)="([^"]*)\"""")
_LATER = ("intersect", "revealed", "load")
_DATA = ("data-positions", "data-colours")


@dataclass(frozen=True)
class Measured:
    """Server time of one page or part, in seconds."""

    name: str
    goal: Goal
    seconds: list[float]
    cpu_seconds: list[float]
    n_queries: int  # at most
    n_bytes: int  # median
    failures: list[str]  # "404 /runs/…"

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else float("nan")

    @property
    def cpu_median(self) -> float:
        return statistics.median(self.cpu_seconds) if self.cpu_seconds else float("nan")

    @property
    def p95(self) -> float:
        ordered = sorted(self.seconds)
        return ordered[max(0, -(-95 * len(ordered) // 100) - 1)] if ordered else float("nan")

    @property
    def is_good(self) -> bool:
        return not self.failures and self.n_queries <= MOST_QUERIES and self.goal.is_met(self.median, self.p95)

    def as_json(self) -> dict[str, Any]:
        found = {"median": self.median, "p95": self.p95, "cpu_median": self.cpu_median, "is_good": self.is_good}
        return asdict(self) | {name: None if value != value else value for name, value in found.items()}


def measure_page(server: Server, draws: Draws, page: Page, n_requests: int) -> list[Measured]:
    """The page, and whatever it fetches later."""
    asked: dict[str, list[tuple[str, Answer]]] = {page.name: []}
    for turn in range(WARM_UP + n_requests):
        try:
            address = draws.address(page.address)
        except LookupError as error:
            return [Measured(page.name, page.goal, [], [], 0, 0, [str(error)])]
        answer = server.get(address)
        if turn >= WARM_UP:
            asked[page.name].append((address, answer))
        for name, later in fetched_later(answer.body.decode("utf-8", "replace")) if answer.status == 200 else ():
            own = asked.setdefault(f"{page.name} › {name}", [])
            found = server.get(later)
            if turn >= WARM_UP:
                own.append((later, found))
    return [_measured(name, _goal(page, name), answers) for name, answers in asked.items() if answers]


def _goal(page: Page, name: str) -> Goal:
    if name == page.name:
        return page.goal
    return DENSITY if name.endswith("density") else PAGE


def _measured(name: str, goal: Goal, answers: list[tuple[str, Answer]]) -> Measured:
    good = [answer for _, answer in answers if answer.status == 200]
    return Measured(
        name=name,
        goal=goal,
        seconds=[answer.seconds for answer in good],
        cpu_seconds=[answer.cpu_seconds for answer in good],
        n_queries=max((answer.n_queries for answer in good), default=0),
        n_bytes=round(statistics.median([len(answer.body) for answer in good])) if good else 0,
        failures=[f"{answer.status} {address}" for address, answer in answers if answer.status != 200],
    )


def fetched_later(page: str) -> Iterator[tuple[str, str]]:
    """Name and address of what a page asks for once it is shown or scrolled; the list's next page only once."""
    seen: set[str] = set()
    for tag in _TAG.findall(page):
        attributes = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(tag)}
        addresses = [(name, attributes[name]) for name in _DATA if name in attributes]
        if any(word in attributes.get("hx-trigger", "") for word in _LATER):
            addresses.append(("next", attributes.get("hx-get", "")))
        if tag.startswith("<img") and attributes.get("src", "").startswith("/runs/"):
            addresses.append(("image", attributes["src"]))
        for kind, address in addresses:
            name = _name_of(kind, address)
            if address.startswith("/") and name not in seen:
                seen.add(name)
                yield name, address.partition("#")[0]


def _name_of(kind: str, address: str) -> str:
    figure = parse_qs(urlsplit(address).query).get("figure")
    return figure[0] if figure else kind.removeprefix("data-")


def measure_all(
    server: Server, draws: Draws, pages: tuple[Page, ...], n_requests: int, say: Callable[[Measured], None]
) -> list[Measured]:
    found = []
    for page in pages:
        for one in measure_page(server, draws, page, n_requests):
            say(one)
            found.append(one)
    return found

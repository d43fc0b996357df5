"""The address of a search: what is looked for, where and how, and how far the list has been read."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.display import NEWLINE, TAB
from clusters.parameters import chosen, selected_token, whole_number
from clusters.values.searching import MODES, MOST_CHARS, NotSearchableError, Question

DEFAULT_PLACE = "corpus"


@dataclass(frozen=True)
class Asked:
    """What an address asks for."""

    q: str
    place: str
    mode: str
    ignores_case: bool
    is_whole: bool
    affinity: str
    k: int | None
    usual_k: int | None
    after: tuple[int, int] | None = None
    token: int | None = None

    @property
    def question(self) -> Question:
        """What is looked for; refused with a sentence where nothing could be."""
        if len(self.q) > MOST_CHARS:
            raise NotSearchableError(f"This is {len(self.q):,} characters long; at most {MOST_CHARS} are looked for.")
        if "\0" in self.q:
            raise NotSearchableError(r"This holds the character NUL, which no text does; leave it out.")
        text = self.q.replace(NEWLINE, "\n").replace(TAB, "\t") if self._is_raw else self.q
        return Question(text, self.mode, self.place, self.ignores_case and self._has_case, self.is_whole)

    @property
    def _is_raw(self) -> bool:
        return self.mode == "exact" and self.place == "corpus"

    @property
    def _has_case(self) -> bool:
        return self.mode in ("exact", "regex")

    def at(self, place: str) -> Asked:
        """The same words elsewhere; what cannot be asked there is asked in the usual way."""
        mode = self.mode if self.mode in MODES[place] else MODES[place][0]
        return replace(self, place=place, mode=mode, after=None)

    def parts(self) -> list[tuple[str, str]]:
        """Names and values of the address, without what goes without saying."""
        pairs = [
            ("q", self.q),
            ("in", self.place if self.place != DEFAULT_PLACE else ""),
            ("mode", self.mode if self.mode != MODES[self.place][0] else ""),
            ("case", "off" if self.ignores_case else ""),
            ("whole", "yes" if self.is_whole else ""),
            ("affinity", self.affinity if self.affinity != "signed" else ""),
            ("k", str(self.k) if self.k is not None and self.k != self.usual_k else ""),
            ("after", cursor_text(self.after) if self.after else ""),
            ("token", "" if self.token is None else str(self.token)),
        ]
        return [(name, value) for name, value in pairs if value]

    def query(self) -> str:
        return urlencode(self.parts())


def asked_of(query: QueryDict, *, ks: Mapping[str, Sequence[int]], usual_k: int | None) -> Asked:
    """Read an address; what a run cannot be asked is refused with what it can."""
    place = chosen(query, "in", tuple(MODES), DEFAULT_PLACE)
    affinity = chosen(query, "affinity", tuple(ks), next(iter(ks))) if ks else "signed"
    return Asked(
        q=query.get("q", ""),
        place=place,
        mode=chosen(query, "mode", MODES[place], MODES[place][0]),
        ignores_case=chosen(query, "case", ("on", "off"), "on") == "off",
        is_whole=chosen(query, "whole", ("yes", "no"), "no") == "yes",
        affinity=affinity,
        k=_k(query, ks.get(affinity, ()), usual_k),
        usual_k=usual_k,
        after=_cursor(query),
        token=selected_token(query),
    )


def cursor_text(place: tuple[int, int]) -> str:
    return base64.urlsafe_b64encode(f"{place[0]} {place[1]}".encode()).decode().rstrip("=")


def _k(query: QueryDict, there: Sequence[int], usual: int | None) -> int | None:
    text = query.get("k", "")
    if not text:
        return usual if usual in there else next(iter(there), None)
    k = whole_number(text)
    if k not in there:
        raise BadRequest(f"k is {text[:20]!r}; choose one of {', '.join(map(str, there)) or 'none'}.")
    return k


def _cursor(query: QueryDict) -> tuple[int, int] | None:
    text = query.get("after", "")
    if not text:
        return None
    try:
        first, last = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)).decode("ascii").split(" ")
        place = whole_number(first), whole_number(last)
    except (ValueError, binascii.Error):
        place = None, None
    if place[0] is None or place[1] is None:
        raise BadRequest(f"after is {text[:40]!r}; follow the link to the next page, or leave it out for the first.")
    return place[0], place[1]

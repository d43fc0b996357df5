"""Regular expressions in time linear in the text (RE2): none of them can hang."""

from __future__ import annotations

import time

import re2

from clusters.values.searching import NotSearchableError, Question

MEMORY = 2 << 20
MATCHES_BETWEEN_LOOKS = 64  # at the clock
MOST_INSTRUCTIONS = 10_000
MOST_WORK = 200_000_000  # instructions times bytes of the longest piece that is searched at once


def expression(question: Question, *, longest: int) -> re2._Regexp:
    """The compiled expression, or exact text in either case; refused where it is wrong, too large or finds nothing."""
    options = re2.Options()
    options.max_mem, options.log_errors, options.never_capture = MEMORY, False, True
    options.case_sensitive, options.literal = not question.ignores_case, question.mode == "exact"
    try:
        found = re2.compile(question.text, options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise NotSearchableError(
            f"This is no regular expression of RE2: {reason}. Correct it, or look for exact text."
        ) from error
    finally:
        re2.purge()  # compiled expressions of everybody would fill the memory
    if found.programsize > min(MOST_INSTRUCTIONS, max(500, MOST_WORK // max(longest, 1))):
        raise NotSearchableError("This regular expression is too large; use fewer or shorter repetitions.")
    if found.search(b"") is not None:
        raise finds_nothing()
    return found


def spans(
    found: re2._Regexp, piece: memoryview | bytes, most: int, deadline: float
) -> tuple[list[tuple[int, int]], bool]:
    """At most so many matches in one piece of text, from the left, none over another; whether time was enough."""
    places: list[tuple[int, int]] = []
    for match in found.finditer(piece):
        begin, end = match.span()
        if begin == end:
            raise finds_nothing()
        places.append((begin, end))
        if len(places) >= most:
            break
        if not len(places) % MATCHES_BETWEEN_LOOKS and time.monotonic() > deadline:
            return [], False
    return places, True


def finds_nothing() -> NotSearchableError:
    """What is said of an expression that matches where nothing is."""
    return NotSearchableError(
        "This regular expression matches the empty text, which is everywhere; make some part of it necessary, "
        "as + instead of * does."
    )

"""What threads of one process share of earlier results."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from clusters.stored.recent import Recent


def test_a_result_is_made_once_and_the_oldest_asked_for_goes_first() -> None:
    made: list[str] = []
    recent: Recent[str] = Recent(2)

    def ask(key: str) -> str:
        return recent.get(key, lambda: made.append(key) or key.upper())

    assert [ask(key) for key in "abacba"] == list("ABACBA")
    assert "".join(made) == "abcba"  # b had gone when it was asked for again, and then a


def test_an_error_is_not_kept() -> None:
    recent: Recent[int] = Recent(2)
    with pytest.raises(OSError, match="gone"):
        recent.get("a", _gone)
    assert recent.get("a", lambda: 1) == 1


def test_threads_that_push_each_other_s_results_out_all_get_their_own() -> None:
    recent: Recent[int] = Recent(1)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda i: recent.get(i % 5, lambda: i % 5), range(4000)))
    assert found == [i % 5 for i in range(4000)]


def _gone() -> int:
    raise OSError("gone")

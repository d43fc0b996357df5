"""Any state of a page is its address: Back, forward, reload and a new tab bring the same."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.e2e.pages import TALL, words

pytestmark = pytest.mark.django_db(transaction=True)
STATES = {
    "clusters": (
        "?",
        "k/20/clusters/?affinity=absolute&sort=coherence&view=table&least=2",
        "k/70/clusters/?after=c2l6ZS8xMg",
        "k/6/clusters/?answer=cat&text=the",
        "k/6/clusters/2/?reach=200&breaks=off&page=2&unit=bits",
        "k/20/clusters/3/?members=answer&affinity=absolute",
        "compare/?a=signed-20&b=absolute-70",
    ),
    "ranks": (
        "rank-frequency/?set=1&affinity=both&first=2&last=30",
        "rank-frequency/?set=1&affinity=absolute&k=20&reference=theory",
        "sequence/?k=20&over=steps%3Asyn-800k&threshold=1.5&least=3&unit=bits&sort=learned",
        "similarity/?k=20&show=affinity&first=2&last=5",
        "scaling/?smallest=30000&unit=bits",
        "losses/?step=32&y=log&unit=bits",
    ),
    "tokens": (
        "tokens/?m_min=0.2&n_max=2.5&class=monogenic&sort=steps&plane=lb",
        "tokens/?answer=cat&band=0.1&unit=bits",
        "tokens/40/?reach=snippet&unit=bits",
        "documents/3/?against=syn-10k%2Fstep1000&mark=class&breaks=off",
        "map/?by=curve&colour=class&area=-1,-1,1,-1,1,1,-1,1&page=2",
        "map/?colour=loss&k=20&affinity=absolute",
    ),
}


@pytest.mark.parametrize("group", STATES)
def test_back_forward_reload_and_a_new_tab_bring_the_same(visit, large_run, group):
    visited = visit(height=TALL, is_calm=True)
    page = visited.page
    other: Page = visited.listen(page.context.new_page())
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    said: list[str] = []
    paths = [f"{visited.server}/runs/synthetic/{state.rstrip('?')}" for state in STATES[group]]
    for path in paths:
        page.goto(path)
        said.append(words(page))
        page.reload()
        assert words(page) == said[-1], f"reload of {path}"
        other.goto(page.url)
        assert words(other) == said[-1], f"new tab of {path}"
        visited.check()
    assert refused == []
    assert len(set(said)) == len(said)
    for path, expected in zip(reversed(paths[:-1]), reversed(said[:-1]), strict=True):
        page.go_back()
        assert words(page) == expected, f"Back to {path}"
    for path, expected in zip(paths[1:], said[1:], strict=True):
        page.go_forward()
        assert words(page) == expected, f"forward to {path}"

"""What scripts draw on canvases is drawn, in the colours of either theme."""

from __future__ import annotations

import pytest

from tests.e2e.pages import settled

pytestmark = pytest.mark.django_db(transaction=True)
# Colours of a canvas: how many differ, and the commonest but for what is left clear.
COLOURS = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  const counts = new Map();
  for (let i = 0; i < data.length; i += 4 * 7) {
    if (data[i + 3] < 128) continue;
    const colour = `${data[i]},${data[i + 1]},${data[i + 2]}`;
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  return Object.fromEntries([...counts].sort((a, b) => b[1] - a[1]).slice(0, 40));
}"""


@pytest.mark.parametrize("path", ["similarity/", "map/", "map/?by=curve&colour=loss"])
def test_canvases_are_drawn_in_the_colours_of_either_theme(visit, run, path):
    visited = visit(theme="light", is_calm=True)
    page = settled(visited.open(f"/runs/synthetic/{path}"))
    canvas = page.locator("canvas")
    canvas.scroll_into_view_if_needed()
    page.wait_for_function(f"() => Object.keys(({COLOURS})(document.querySelector('canvas'))).length > 4")
    light = canvas.evaluate(COLOURS)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        f"light => Object.keys(({COLOURS})(document.querySelector('canvas'))).filter((c) => !(c in light)).length > 2",
        arg=light,
    )
    page.emulate_media(color_scheme="light")
    page.wait_for_function(
        f"light => Object.keys(light).every((c) => c in ({COLOURS})(document.querySelector('canvas')))",
        arg=dict(list(light.items())[:3]),
    )

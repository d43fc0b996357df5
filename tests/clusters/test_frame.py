"""What every page shares: figures alone and in frames, what they are, the tour, one selected token."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.template.loader import render_to_string

from clusters.charts.chart import Help, linear_axis, make_chart, make_series
from clusters.models import Run
from clusters.parameters import selected_token
from tests.factories import make_run

pytestmark = pytest.mark.django_db
PATH = "/runs/synthetic/rank-frequency/"
EMBED = {"embed": "true", "figure": "rank-frequency"}


@pytest.fixture
def run(tmp_path) -> Run:
    return make_run(tmp_path)


def test_a_figure_alone_may_stand_in_other_sites_frames(client, run):
    response = client.get(PATH, EMBED)
    assert response.status_code == 200
    assert "frame-ancestors *" in response["Content-Security-Policy"]
    assert "script-src" not in response["Content-Security-Policy"].replace("script-src 'self'", "")
    assert "X-Frame-Options" not in response


def test_the_page_itself_may_not(client, run):
    response = client.get(PATH)
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
    assert response["X-Frame-Options"] == "DENY"


def test_a_framed_figure_is_the_figure_with_a_way_to_its_page(client, run):
    text = client.get(PATH, EMBED | {"first": "1", "last": "4"}).content.decode()
    assert text.count("<figure") == 1
    assert "<nav" not in text
    assert 'href="http://testserver/runs/synthetic/rank-frequency/?first=1&amp;last=4"' in text


def test_a_framed_figure_knows_nobody(client, tmp_path):
    ana = User.objects.create_user("ana")
    make_run(tmp_path, name="secret", owner=ana, private=True)
    client.force_login(ana)
    assert client.get("/runs/secret/rank-frequency/").status_code == 200
    assert client.get("/runs/secret/rank-frequency/", EMBED).status_code == 404


def test_a_framed_figure_sets_no_cookie_and_varies_by_none(client, run):
    response = client.get(PATH, EMBED)
    assert not response.cookies
    assert "Cookie" not in response.get("Vary", "")


def test_an_unknown_figure_is_answered_with_those_there_are(client, run):
    response = client.get(PATH, {"embed": "true", "figure": "nonsense"})
    assert response.status_code == 404
    assert "rank-frequency" in response.content.decode()


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        (PATH, {"figure": "nonsense"}, 404),
        ("/runs/nobody/rank-frequency/", {}, 404),
        ("/runs/synthetic/map/", {"figure": "map", "by": "height"}, 400),
    ],
)
def test_what_went_wrong_in_a_frame_is_told_there_and_sets_no_cookie(client, run, path, query, status):
    response = client.get(path, EMBED | query)
    assert response.status_code == status
    assert not response.cookies
    assert "Cookie" not in response.get("Vary", "")
    assert "frame-ancestors *" in response["Content-Security-Policy"]
    assert "X-Frame-Options" not in response
    text = response.content.decode()
    assert "<nav" not in text
    assert "<form" not in text


def test_a_figure_comes_later_as_a_fragment(client, run):
    response = client.get("/runs/synthetic/rank-frequency.html", {"figure": "rank-frequency"})
    text = response.content.decode()
    assert text.strip().startswith("<figure")
    assert "/runs/synthetic/rank-frequency.svg?figure=rank-frequency" in text
    assert response["X-Frame-Options"] == "DENY"


def test_every_figure_offers_a_snippet_for_other_sites(client, run):
    text = client.get(PATH).content.decode()
    assert "&lt;iframe src=&quot;http://testserver/runs/synthetic/rank-frequency/?" in text or (
        '&lt;iframe src="http://testserver/runs/synthetic/rank-frequency/?' in text
    )


def test_a_figure_says_what_it_is():
    axis = linear_axis([0, 1], "x")
    help_text = Help(what="Where <it> falls.", formula="y = x²", source="Figure 3")
    chart = make_chart(
        slug="a", number=1, title="A", x=axis, y=axis, series=[make_series("line", [[0, 1]])], help=help_text
    )
    text = render_to_string("charts/alone.html", {"chart": chart})
    for words in ("What is this?", "Where &lt;it&gt; falls.", "y = x²", "Figure 3"):
        assert words in text


def test_a_point_that_shows_a_token_names_it():
    axis = linear_axis([0, 1], "x")
    points = make_series("points", [[0, 1, "first", None, 0], [1, 0, "second", "/there/", 42], [1, 1]])
    text = render_to_string(
        "charts/alone.html", {"chart": make_chart(slug="a", number=1, title="A", x=axis, y=axis, series=[points])}
    )
    assert text.count("data-token") == 2
    assert '<a href="/there/" data-token="42">' in text
    assert 'data-token="0"' in text


@pytest.mark.parametrize(
    ("text", "token"), [("token=17", 17), ("token=", None), ("", None), ("token=-1", None), ("token=x", None)]
)
def test_the_selected_token_is_a_flat_index_or_none(text, token):
    assert selected_token(QueryDict(text)) == token


def test_the_first_visit_is_led_through_three_pages(client, run):
    steps, path = [], "/runs/synthetic/"
    while path:
        text = client.get(path).content.decode()
        assert "First visit" in text
        steps.append(path)
        marker = 'class="btn primary" href="'
        aside = text[text.index('class="tour"') : text.index("</aside>", text.index('class="tour"'))]
        path = aside.split(marker)[1].split('"')[0] if marker in aside else ""
    assert steps == ["/runs/synthetic/", "/runs/synthetic/k/6/clusters/?tour=2", "/runs/synthetic/tokens/?tour=3"]


def test_a_tour_that_was_closed_stays_closed(client, run):
    response = client.post("/preferences/tour/", {"next": "/runs/synthetic/"})
    assert response["Location"] == "/runs/synthetic/"
    assert "First visit" not in client.get("/runs/synthetic/").content.decode()


def test_closing_the_tour_leads_to_no_other_site(client, run):
    assert client.post("/preferences/tour/", {"next": "https://elsewhere.example/"})["Location"] == "/"


def test_a_run_s_pages_stand_in_one_bar_with_the_current_one_marked(client, run):
    text = client.get(PATH).content.decode()
    bar = text[text.index('class="pages"') : text.index("</nav>", text.index('class="pages"'))]
    assert 'aria-current="page">Rank–frequency' in bar
    assert "/runs/synthetic/tokens/" in bar


def test_a_run_whose_files_are_wrong_says_so_on_every_page(client, run):
    Run.objects.filter(pk=run.pk).update(damage="losses/a.npy was altered.")
    for path in ("/runs/synthetic/", PATH, "/runs/synthetic/tokens/"):
        assert "losses/a.npy was altered." in client.get(path).content.decode()


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/labs/parity/nobody-made-it/", '<a href="/labs/">Laboratory</a>'),
        ("/labs/nonsense/", '<a href="/labs/">Laboratory</a>'),
        ("/runs/nobody-made-it/", '<a href="/">Runs</a>'),
    ],
)
def test_a_page_that_is_not_there_leads_back_to_its_part_of_the_site(client, path, place):
    response = client.get(path)
    assert response.status_code == 404
    assert f"<li>{place}</li>" in response.content.decode()

"""The site, as a map: page(…) makes a page's route and those of its .json, .csv and .svg twins."""

from django.urls import URLPattern, path

from clusters.views import accounts, manage, preferences, rank_frequency, runs
from clusters.views.twins import page

app_name = "clusters"
urlpatterns: list[URLPattern] = [
    *page("", runs.index, "runs", twin_route="runs"),
    *page("runs/<slug:slug>", runs.overview, "run"),
    *page("runs/<slug:slug>/rank-frequency", rank_frequency.show, "rank-frequency"),
    path("preferences/theme/", preferences.theme, name="theme"),
    path("runs/<slug:slug>/manage/", manage.manage, name="run-manage"),
    path("sign-in/", accounts.sign_in, name="sign-in"),
    path("sign-in/<str:token>/", accounts.sign_in_link, name="sign-in-link"),
    path("sign-out/", accounts.sign_out, name="sign-out"),
    path("password/", accounts.password, name="password"),
]

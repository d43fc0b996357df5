"""The site, as a map: page(…) makes a page's route and those of its .json, .csv and .svg twins."""

from django.urls import URLPattern, path

from clusters.views import accounts, clusters, documents, manage, preferences, rank_frequency, runs, tokens
from clusters.views.corpora import corpus_urls
from clusters.views.jobs import job_urls
from clusters.views.twins import page

app_name = "clusters"
urlpatterns: list[URLPattern] = [
    *page("", runs.index, "runs", twin_route="runs"),
    *job_urls,  # before the runs: /runs/new/ is no run
    *corpus_urls,
    *page("runs/<slug:slug>", runs.overview, "run"),
    *page("runs/<slug:slug>/rank-frequency", rank_frequency.show, "rank-frequency"),
    *page("runs/<slug:slug>/k/<str:k>/clusters", clusters.index, "clusters"),
    *page("runs/<slug:slug>/k/<str:k>/clusters/<str:label>", clusters.show, "cluster"),
    *page("runs/<slug:slug>/tokens", tokens.index, "tokens"),
    *page("runs/<slug:slug>/tokens/<str:index>", tokens.show, "token"),
    *page("runs/<slug:slug>/documents/<str:number>", documents.show, "document"),
    path("preferences/theme/", preferences.theme, name="theme"),
    path("runs/<slug:slug>/manage/", manage.manage, name="run-manage"),
    path("sign-in/", accounts.sign_in, name="sign-in"),
    path("sign-in/<str:token>/", accounts.sign_in_link, name="sign-in-link"),
    path("sign-out/", accounts.sign_out, name="sign-out"),
    path("password/", accounts.password, name="password"),
]

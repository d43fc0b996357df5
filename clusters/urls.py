"""The site, as a map: page(…) makes a page's route and those of its .json, .csv and .svg twins."""

from django.urls import URLPattern, path

from clusters.views import accounts, manage, preferences, runs
from clusters.views.addition import addition_urls
from clusters.views.adjudication import adjudication_urls
from clusters.views.agreement import agreement_urls
from clusters.views.audit import audit_urls
from clusters.views.clusters import cluster_urls
from clusters.views.collections import collection_urls
from clusters.views.compare import compare_urls
from clusters.views.corpora import corpus_urls
from clusters.views.curve_paste import curve_paste_urls
from clusters.views.documents import document_urls
from clusters.views.dynamics import dynamics_urls
from clusters.views.exponents import exponent_urls
from clusters.views.exports import export_urls
from clusters.views.finder import finder_urls
from clusters.views.health import health_urls
from clusters.views.imports import import_urls
from clusters.views.jobs import job_urls
from clusters.views.labeling import labeling_urls
from clusters.views.labels import label_urls
from clusters.views.labs import lab_urls
from clusters.views.losses import losses_urls
from clusters.views.maps import map_urls
from clusters.views.notes import note_urls
from clusters.views.notices import notice_urls
from clusters.views.parity_lab import parity_lab_urls
from clusters.views.people import people_urls
from clusters.views.probe import probe_urls
from clusters.views.profile import profile_urls
from clusters.views.qdg_bias import qdg_bias_urls
from clusters.views.quiz import quiz_urls
from clusters.views.rank_frequency import rank_frequency_urls
from clusters.views.scaling import scaling_urls
from clusters.views.search import search_urls
from clusters.views.sequence import sequence_urls
from clusters.views.similarity import similarity_urls
from clusters.views.suggestions import suggestion_urls
from clusters.views.tags import tag_urls
from clusters.views.theory import theory_urls
from clusters.views.tokens import token_urls
from clusters.views.twins import page

app_name = "clusters"
urlpatterns: list[URLPattern] = [
    *health_urls,
    *page("", runs.index, "runs", twin_route="runs"),
    *job_urls,  # before the runs: /runs/new/ is no run
    *corpus_urls,
    *page("runs/<slug:slug>", runs.overview, "run"),
    *rank_frequency_urls,
    *cluster_urls,
    *similarity_urls,
    *finder_urls,
    *search_urls,
    *token_urls,
    *document_urls,
    *losses_urls,
    *scaling_urls,
    *dynamics_urls,
    *sequence_urls,
    *map_urls,
    *compare_urls,
    *probe_urls,
    *label_urls,
    *tag_urls,
    *note_urls,
    *labeling_urls,
    *adjudication_urls,
    *agreement_urls,
    *quiz_urls,
    *suggestion_urls,
    *collection_urls,
    *export_urls,
    *import_urls,
    *lab_urls,
    *curve_paste_urls,
    *parity_lab_urls,
    *addition_urls,
    *qdg_bias_urls,
    *profile_urls,
    *people_urls,
    *audit_urls,
    *theory_urls,
    *exponent_urls,
    *notice_urls,
    path("preferences/theme/", preferences.theme, name="theme"),
    path("preferences/tour/", preferences.end_tour, name="tour"),
    path("runs/<slug:slug>/manage/", manage.manage, name="run-manage"),
    path("sign-in/", accounts.sign_in, name="sign-in"),
    path("sign-in/<str:token>/", accounts.sign_in_link, name="sign-in-link"),
    path("sign-out/", accounts.sign_out, name="sign-out"),
    path("password/", accounts.password, name="password"),
]

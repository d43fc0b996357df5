"""The texts that runs may read: the list, one of them, and how a new one comes in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from clusters.charts.numbers import bytes_text, count, short_hash
from clusters.forms.corpus import CORPUS_FORMS, CorpusForm, HubCorpusForm, suffix_of
from clusters.htmx import render_page
from clusters.models import RegisteredCorpus
from clusters.parameters import chosen, whole_number
from clusters.queries.corpora import may_remove, open_jobs_on, sees_source, visible_corpora
from clusters.services import corpora as services
from clusters.uploads import refusal_of
from clusters.views import twins
from clusters.views.errors import NotFound
from compute.errors import ComputeError, CorpusError

HEAD = ("corpus", "name", "kind", "source", "field", "subset", "split", "documents", "bytes", "sha256",
        "by", "added", "private")  # fmt: skip
KINDS = (
    ("upload", "A file of yours", "Sent from your computer and kept here."),
    ("hub", "A data set of the Hub", "Fetched by the worker when a run needs it."),
    ("path", "A path on the server", "For text too large to send."),
)


def get_corpus(request: HttpRequest, number: str) -> RegisteredCorpus:
    key = whole_number(number)
    corpus = visible_corpora(request.user).filter(pk=key).first() if key is not None else None
    if corpus is None:
        raise NotFound(
            f"There is no corpus {number[:20]}",
            advice="It may have been removed, or be someone's own. The list shows those that you can see.",
            href=reverse("clusters:corpora"),
            text="All corpora",
        )
    return corpus


@require_safe
@never_cache
def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    corpora = list(visible_corpora(request.user))
    if twin:
        table = [_row(request, corpus) for corpus in corpora]
        payload = {"corpora": [dict(zip(HEAD, row, strict=True)) for row in table]}
        return twins.answer(twin, name="corpora", payload=payload, head=HEAD, rows=table)
    ctx = {
        "here": "corpora",
        "rows": [{"corpus": corpus, "where": where(request, corpus)} for corpus in corpora],
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "corpora/list.html", ctx)


@require_safe
@never_cache
def show(request: HttpRequest, number: str, twin: str | None = None) -> HttpResponseBase:
    corpus = get_corpus(request, number)
    if twin:
        row = _row(request, corpus)
        payload = {"corpus": dict(zip(HEAD, row, strict=True))}
        return twins.answer(twin, name=f"corpus-{corpus.pk}", payload=payload, head=HEAD, rows=[row])
    removable = may_remove(request.user, corpus)
    ctx = {
        "here": "corpora",
        "corpus": corpus,
        "facts": _facts(request, corpus),
        "may_remove": removable,
        "open_job": open_jobs_on(corpus).order_by("pk").first() if removable else None,
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "corpora/show.html", ctx)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new(request: HttpRequest) -> HttpResponse:
    """A corpus, filled in and registered; `?kind=` says how it comes."""
    person = request.user
    if not isinstance(person, User) or not person.has_perm("compute.add_job"):
        raise PermissionDenied("Registering a corpus needs the runner role. An administrator can add you to it.")
    kind = chosen(request.GET, "kind", list(CORPUS_FORMS), "upload")
    data, files = request.POST or None, request.FILES or None  # what came is read here, and may be refused
    options: dict[str, Any] = {"owner": person} | ({"refusal": refusal_of(request)} if kind == "upload" else {})
    form = CORPUS_FORMS[kind](data, files, **options)
    if request.method == "POST" and form.is_valid():
        try:
            corpus = _register(form, person)
        except CorpusError as error:
            form.add_error("file", str(error))
        except ComputeError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"“{corpus.name}” is registered.")
            return redirect(corpus)
    ctx = {
        "here": "corpora",
        "kind": kind,
        "kinds": [{"key": key, "text": text, "note": note} for key, text, note in KINDS],
        "form": form,
        "limit": settings.UPLOAD_BYTES,
    }
    return render(request, "corpora/new.html", ctx, status=422 if form.is_bound else 200)


def _register(form: CorpusForm, person: User) -> RegisteredCorpus:
    values = form.cleaned_data
    common = {name: values[name] for name in ("name", "text_field", "is_private")}
    if form.kind == RegisteredCorpus.Kind.UPLOAD:
        return services.add_upload(person, values["file"], suffix=suffix_of(values["file"].name), **common)
    if isinstance(form, HubCorpusForm):
        hub = {name: values[name] for name in ("subset", "split")}
        return services.add_named(person, form.kind, source=form.source, **common, **hub)
    return services.add_named(person, form.kind, source=str(values["path"]), **common)


@require_POST
def remove(request: HttpRequest, number: str) -> HttpResponse:
    if not request.user.is_authenticated:
        return redirect_to_login(reverse("clusters:corpus", args=[number]))  # this address itself cannot be opened
    corpus = get_corpus(request, number)
    try:
        services.remove_corpus(request.user, corpus)
    except services.CorpusInUseError as error:
        messages.warning(request, str(error))
        return redirect(corpus)
    messages.success(request, f"“{corpus.name}” is removed. Runs that read it keep what they have.")
    return redirect("clusters:corpora")


def where(request: HttpRequest, corpus: RegisteredCorpus) -> str:
    """Where the text comes from, as far as this person may know."""
    if corpus.kind == RegisteredCorpus.Kind.UPLOAD:
        return corpus.file_name
    return corpus.source.removeprefix("hub:") if sees_source(request.user, corpus) else ""


def _facts(request: HttpRequest, corpus: RegisteredCorpus) -> list[dict[str, str]]:
    is_hub = corpus.kind == RegisteredCorpus.Kind.HUB
    rows = [
        ("kind", corpus.get_kind_display()),
        ("file" if corpus.kind == RegisteredCorpus.Kind.UPLOAD else "from", where(request, corpus)),
        ("subset", corpus.subset),
        ("split", corpus.split if is_hub else ""),
        ("field", corpus.text_field),
        ("documents", "" if corpus.n_documents is None else count(corpus.n_documents)),
        ("text", "" if corpus.n_bytes is None else bytes_text(corpus.n_bytes)),
        ("sha256", short_hash(corpus.sha256)),
        ("added", f"{corpus.created_at:%-d %b %Y, %H:%M} UTC"),
        ("by", corpus.owner.get_username() if corpus.owner else ""),
        ("seen by", "its owner and administrators" if corpus.is_private else "everyone"),
    ]
    return [{"name": name, "value": value} for name, value in rows if value]


def _row(request: HttpRequest, corpus: RegisteredCorpus) -> list[Any]:
    return [
        corpus.pk, corpus.name, corpus.kind, where(request, corpus), corpus.text_field, corpus.subset, corpus.split,
        corpus.n_documents, corpus.n_bytes, corpus.sha256, corpus.owner.get_username() if corpus.owner else "",
        corpus.created_at.isoformat(), corpus.is_private,
    ]  # fmt: skip


corpus_urls: list[URLPattern] = [
    path("corpora/new/", new, name="corpus-new"),
    *twins.page("corpora", index, "corpora"),
    *twins.page("corpora/<str:number>", show, "corpus"),
    path("corpora/<str:number>/remove/", remove, name="corpus-remove"),
]

"""Collections of clusters, tokens and filters, and what is said below them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from clusters.forms.collections import CollectionForm, KeepForm, sentences
from clusters.models import Cluster, Collection, CollectionItem, Run
from clusters.parameters import page_number, whole_number
from clusters.queries import collections as reads
from clusters.queries.access import User, visible_runs
from clusters.queries.missing import Missing
from clusters.services import collections as services
from clusters.views.collection_cards import HEAD as ITEM_HEAD
from clusters.views.collection_cards import cards, facts
from clusters.views.twins import answer, links_context, page

HEAD = ("collection", "name", "owner", "access", "n_items", "n_comments", "updated_at")


def add_panel(
    request: HttpRequest, run: Run, cluster: Cluster | None = None, token: int | None = None
) -> dict[str, Any]:
    """What "collections/_add.html" shows: where this cluster or token can be kept. Nothing for who is not signed in."""
    if not request.user.is_authenticated:
        return {}
    held: dict[str, Any] = {"cluster": cluster} if cluster else {"run": run, "flat_index": token}
    choices = reads.choices_for(request.user, **held)
    return {
        "collections_choices": choices, "collections_n": sum(one.has_it for one in choices),  # type: ignore[attr-defined]
        "collections_cluster": cluster.pk if cluster else "", "collections_token": token,
        "collections_next": request.get_full_path(), "collections_what": "cluster" if cluster else "token",
    }  # fmt: skip


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """The person's own collections, and those that others show to everyone; a POST makes one."""
    form = CollectionForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        if not request.user.is_authenticated:
            return redirect_to_login(reverse("clusters:collections"))
        made = _saved(form, lambda fields: services.create_collection(request.user, **fields))
        if made is not None:
            messages.success(
                request, f"“{made.name}” is made. Keep clusters, tokens and filters in it from their pages."
            )
            return redirect(made)
    own = list(reads.own_collections(request.user)[: reads.MOST_LISTED])
    public = list(reads.public_collections(request.user)[: reads.MOST_LISTED])
    if twin:
        rows = [_row(one) for one in (*own, *public)]
        payload = {"collections": [dict(zip(HEAD, row, strict=True)) for row in rows]}
        return answer(twin, name="collections", payload=payload, head=HEAD, rows=rows)
    ctx = {
        "here": "collections", "own": own, "public": public, "form": form, "accesses": Collection.Access.choices,
        **links_context(request, "json", "csv"),
    }  # fmt: skip
    return render(request, "collections/list.html", ctx, status=422 if form.errors else 200)


@never_cache
@require_safe
def show(request: HttpRequest, secret: str, twin: str | None = None) -> HttpResponseBase:
    """What a collection holds, as far as this person may see it."""
    return _page(request, reads.collection_at(request.user, secret), twin)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def change(request: HttpRequest, secret: str) -> HttpResponseBase:
    """Name, description and who may see it."""
    collection = _own(request, secret)
    form = CollectionForm(request.POST if request.method == "POST" else None, initial=_fields(collection))

    def save(fields: dict[str, Any]) -> Collection:
        version = form.cleaned_data["version"] or 0
        return services.change_collection(request.user, collection, version=version, **fields)

    try:
        if request.method == "POST" and _saved(form, save) is not None:
            messages.success(request, "Saved.")
            return redirect(collection)
    except services.StaleError as error:
        form.add_error(None, str(error))
    ctx = {
        "here": "collections", "collection": collection, "form": form, "accesses": Collection.Access.choices,
        "version": collection.version,
    }  # fmt: skip
    return render(request, "collections/change.html", ctx, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def delete(request: HttpRequest, secret: str) -> HttpResponseBase:
    """Ask, then delete."""
    collection = _own(request, secret)
    if request.method == "POST":
        services.delete_collection(request.user, collection)
        messages.success(request, f"“{collection.name}” is deleted. What it held stays where it is.")
        return redirect("clusters:collections")
    ctx = {
        "here": "collections", "collection": collection, "n_items": collection.items.count(),
        "n_comments": collection.comments.count(),
    }  # fmt: skip
    return render(request, "collections/delete.html", ctx)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def keep(request: HttpRequest) -> HttpResponseBase:
    """Keep a page of a run (`?path=`), or what a panel sends: a cluster, a token."""
    if request.method != "POST":
        return _ask_where(request, KeepForm(), request.GET.get("path", ""))
    form = KeepForm(request.POST)
    try:
        if form.is_valid():
            said = _keep(request, form.cleaned_data)
            messages.success(request, said)
            return HttpResponseRedirect(_next(request))
    except ValidationError as error:
        form.add_error(None, " ".join(error.messages))
    return _ask_where(request, form, request.POST.get("path", ""))


@require_POST
def note(request: HttpRequest, secret: str, number: str) -> HttpResponse:
    item = _item(request, secret, number)
    try:
        services.note_item(request.user, item, request.POST.get("note", ""))
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    return HttpResponseRedirect(f"{item.collection.get_absolute_url()}#item-{item.pk}")


@require_POST
def remove(request: HttpRequest, secret: str, number: str) -> HttpResponse:
    item = _item(request, secret, number)
    services.remove_item(request.user, item)
    messages.success(request, "It is no longer in this collection.")
    return redirect(item.collection)


@require_POST
def comment(request: HttpRequest, secret: str) -> HttpResponseBase:
    collection = reads.collection_at(request.user, secret)
    if not request.user.is_authenticated:
        return redirect_to_login(collection.get_absolute_url())
    text = request.POST.get("text", "")
    try:
        said = services.add_comment(request.user, collection, text)
    except ValidationError as error:
        return _page(request, collection, None, comment_text=text, comment_problem=" ".join(error.messages))
    return HttpResponseRedirect(f"{collection.get_absolute_url()}#comment-{said.pk}")


@require_POST
def uncomment(request: HttpRequest, secret: str, number: str) -> HttpResponse:
    collection = reads.collection_at(request.user, secret)
    found = collection.comments.filter(pk=whole_number(number) or 0).first()
    if found is None:
        raise Missing("There is no such comment", "It was deleted already.")
    services.delete_comment(request.user, found)
    messages.success(request, "The comment is deleted.")
    return HttpResponseRedirect(f"{collection.get_absolute_url()}#comments")


def _page(
    request: HttpRequest, collection: Collection, twin: str | None, *, comment_text: str = "", comment_problem: str = ""
) -> HttpResponseBase:
    number = page_number(request.GET)
    held = reads.holding(request.user, collection, number)
    if twin:
        rows = facts(held)
        payload = {
            **dict(zip(HEAD[:4], _row(collection)[:4], strict=True)), "description": collection.description,
            "version": collection.version, "n_items": held.n_visible, "n_hidden": held.n_hidden,
            "page": number, "n_pages": held.n_pages, "items": [dict(zip(ITEM_HEAD, row, strict=True)) for row in rows],
        }  # fmt: skip
        return answer(twin, name=f"collection-{collection.pk}", payload=payload, head=ITEM_HEAD, rows=rows)
    may_change = reads.may_change(request.user, collection)
    ctx = {
        "here": "collections", "collection": collection, "holding": held, "may_change": may_change,
        "page_at": number,
        "comment_text": comment_text, "comment_problem": comment_problem,
        "comments": [
            {"comment": one, "may_delete": reads.may_delete_comment(request.user, one)}
            for one in reads.comments_of(collection)
        ],
        "address": request.build_absolute_uri(collection.get_absolute_url()),
        **cards(held), **links_context(request, "json", "csv"),
    }  # fmt: skip
    return render(request, "collections/show.html", ctx, status=422 if comment_problem else 200)


def _row(collection: Collection) -> list[Any]:
    counts = [getattr(collection, name, None) for name in ("n_items", "n_comments")]
    owner, at = collection.owner.get_username(), collection.updated_at.isoformat()
    return [collection.secret, collection.name, owner, collection.access, *counts, at]


def _saved(form: CollectionForm, save: Any) -> Collection | None:
    """What the form's words were saved as; None, with the problems on the form, where they cannot be."""
    if not form.is_valid():
        return None
    try:
        saved: Collection = save({name: form.cleaned_data[name] for name in ("name", "description", "access")})
    except ValidationError as error:
        form.add_error(None, " ".join(error.messages))
        return None
    return saved


def _fields(collection: Collection) -> dict[str, str]:
    return {"name": collection.name, "description": collection.description, "access": collection.access}


def _own(request: HttpRequest, secret: str) -> Collection:
    """The collection, for those who may change it; for others its changes are not there."""
    collection = reads.collection_at(request.user, secret)
    if not reads.may_change(request.user, collection):
        raise Missing("There is nothing of yours here", "Only its owner may change a collection.")
    return collection


def _item(request: HttpRequest, secret: str, number: str) -> CollectionItem:
    item = _own(request, secret).items.select_related("collection").filter(pk=whole_number(number) or 0).first()
    if item is None:
        raise Missing("There is no such item", "It was removed from the collection already.")
    return item


def _ask_where(request: HttpRequest, form: KeepForm, address: str) -> HttpResponse:
    """The form that asks where to keep; for a filter it says which."""
    conditions: list[tuple[str, str]] = []
    problem, what = sentences(form), ""
    try:
        run, address = services.page_of_run(request.user, address) if address else (None, "")
        what, conditions = reads.described(address) if run else ("", [])
    except ValidationError as error:
        problem, run, address = " ".join(error.messages), None, ""
    ctx = {
        "here": "collections", "problem": problem, "path": address, "kept_run": run, "what": what,
        "conditions": conditions, "sent": request.POST, "choices": reads.own_collections(request.user),
    }  # fmt: skip
    return render(request, "collections/keep.html", ctx, status=422 if problem else 200)


def _keep(request: HttpRequest, sent: dict[str, Any]) -> str:
    """Keep or remove what was sent; what to say of it. No collection is made for what cannot be kept."""
    user = request.user
    if sent["remove"]:
        collection = _own(request, sent["remove"])
        of_token = {"run__slug": sent["run"], "flat_index": sent["token"]}
        held = {"cluster_id": sent["cluster"]} if sent["cluster"] else of_token
        for item in collection.items.select_related("collection").filter(**held):
            services.remove_item(user, item)
        return f"No longer in “{collection.name}”."
    is_new = sent["new"] and (sent["path"] or not sent["collection"])
    with transaction.atomic():
        collection = services.create_collection(user, sent["new"]) if is_new else _own(request, sent["collection"])
        _add(user, collection, sent)
    return f"Kept in “{collection.name}”."


def _add(user: User, collection: Collection, sent: dict[str, Any]) -> None:
    if sent["path"]:
        services.keep_filter(user, collection, sent["path"], sent["note"])
        return
    runs = visible_runs(user)
    if sent["cluster"] is not None:
        cluster = Cluster.objects.filter(pk=sent["cluster"], clustering__run__in=runs).first()
        if cluster is None:
            raise ValidationError("There is no such cluster.")
        services.keep_cluster(user, collection, cluster, sent["note"])
        return
    run = runs.filter(slug=sent["run"]).first()
    if run is None or sent["token"] is None:
        raise ValidationError("There is nothing to keep: name a cluster, a token or a page.")
    services.keep_token(user, collection, run, sent["token"], sent["note"])


def _next(request: HttpRequest) -> str:
    """Where the person came from, on this site; their collections otherwise."""
    there = (request.POST.get("next") or request.POST.get("path", "")).strip()
    safe = url_has_allowed_host_and_scheme(there, {request.get_host()}, require_https=request.is_secure())
    return there if safe and there.startswith("/") else reverse("clusters:collections")


collection_urls: list[URLPattern] = [
    *page("collections", index, "collections"),
    path("collections/keep/", keep, name="collection-keep"),
    *page("collections/<str:secret>", show, "collection"),
    path("collections/<str:secret>/change/", change, name="collection-change"),
    path("collections/<str:secret>/delete/", delete, name="collection-delete"),
    path("collections/<str:secret>/comments/", comment, name="collection-comment"),
    path("collections/<str:secret>/comments/<str:number>/delete/", uncomment, name="collection-uncomment"),
    path("collections/<str:secret>/items/<str:number>/note/", note, name="collection-note"),
    path("collections/<str:secret>/items/<str:number>/remove/", remove, name="collection-remove"),
]

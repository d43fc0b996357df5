"""Writing collections: make, change, delete; keep and remove items; comment."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import QueryDict
from django.urls import Resolver404, resolve
from django.utils import timezone

from clusters.display import clean_lines, one_line
from clusters.models import Cluster, Collection, CollectionItem, Comment, Run
from clusters.models.labels import MAX_TEXT
from clusters.queries.access import User, visible_runs
from clusters.queries.collections import may_change, may_delete_comment
from clusters.services.audit import record
from clusters.services.locks import lock_person, lock_row
from clusters.stored.arrays import bundle_of

MAX_NAME, MAX_NOTE, MAX_PATH = 120, 500, 2000
MOST_COLLECTIONS, MOST_ITEMS, MOST_COMMENTS = 200, 2000, 2000
NOT_KEPT = ("tour", "embed", "part", "figure")  # of an address: what says how it came, not what it shows
NO_VIEWS = ("exports",)  # pages of a run that show nothing of it
Kind = CollectionItem.Kind


class StaleError(Exception):
    """The collection is not at the version that the write would replace; `current` is what it is now."""

    def __init__(self, current: Collection) -> None:
        super().__init__(
            f"This collection was changed meanwhile: it is at version {current.version}. Nothing was overwritten; look "
            "at what it says now, and save again."
        )
        self.current = current


def create_collection(
    user: User, name: str, *, description: str = "", access: str = Collection.Access.PRIVATE
) -> Collection:
    """Make an empty collection; only its owner sees it unless `access` says otherwise."""
    _must_be_somebody(user, "keep collections")
    fields = _checked(name=name, description=description, access=access)
    assert user.pk is not None  # noqa: S101  (somebody has a key)
    with transaction.atomic():
        lock_person(user)
        if Collection.objects.filter(owner_id=user.pk).count() >= MOST_COLLECTIONS:
            raise ValidationError(
                f"You have {MOST_COLLECTIONS} collections, as many as one person may; delete one first."
            )
        collection = Collection.objects.create(owner_id=user.pk, secret=secrets.token_urlsafe(16), **fields)
        record(user, "collection.create", f"collection {collection.pk}", access=collection.access)
    return collection


def change_collection(user: User, collection: Collection, *, version: int, **changes: str) -> Collection:
    """Change name, description or access; StaleError where it is at another version."""
    _must_change(user, collection)
    fields = _checked(**changes)
    with transaction.atomic():
        n = Collection.objects.filter(pk=collection.pk, version=version).update(
            **fields, version=version + 1, updated_at=timezone.now()
        )
        collection.refresh_from_db()
        if not n:
            raise StaleError(collection)
        record(user, "collection.change", f"collection {collection.pk}", **dict.fromkeys(fields, True))
    return collection


def delete_collection(user: User, collection: Collection, *, version: int | None = None) -> None:
    """Delete it with its items and comments; what it held stays where it is."""
    _must_change(user, collection)
    with transaction.atomic():
        pk, n_items, n_comments = collection.pk, collection.items.count(), collection.comments.count()
        if version is not None and not Collection.objects.filter(pk=pk, version=version).exists():
            collection.refresh_from_db()
            raise StaleError(collection)
        record(user, "collection.delete", f"collection {pk}", name=collection.name, items=n_items, comments=n_comments)
        collection.delete()


def keep_cluster(user: User, collection: Collection, cluster: Cluster, note: str = "") -> CollectionItem:
    run = cluster.clustering.run
    return _kept(user, collection, run, note, kind=Kind.CLUSTER, cluster=cluster)


def keep_token(user: User, collection: Collection, run: Run, flat_index: int, note: str = "") -> CollectionItem:
    n = bundle_of(run).manifest["corpus"]["n_predictions"]
    if not 0 <= flat_index < n:
        raise ValidationError(f"“{run.name}” has no token {flat_index}; its flat indices run from 0 to {n - 1}.")
    return _kept(user, collection, run, note, kind=Kind.TOKEN, flat_index=flat_index)


def keep_filter(user: User, collection: Collection, path: str, note: str = "") -> CollectionItem:
    run, checked = page_of_run(user, path)
    return _kept(user, collection, run, note, kind=Kind.FILTER, path=checked)


def page_of_run(user: User, path: str) -> tuple[Run, str]:
    """The run whose page an address of this site is, and the address as it is kept; ValidationError otherwise."""
    refusal = ValidationError("This is no page of a run: give its address from “/runs/” on, with its query.")
    parts = urlsplit(path) if path.startswith("/runs/") and len(path) <= MAX_PATH else None
    if parts is None or parts.scheme or parts.netloc or any(ord(one) < 32 or one in "\\#" for one in path):
        raise refusal
    try:
        match, twin = resolve(parts.path), resolve(f"{parts.path.rstrip('/')}.json")
    except Resolver404:
        raise refusal from None
    name, slug = match.url_name or "", match.kwargs.get("slug")
    if match.namespace != "clusters" or not slug or twin.url_name != f"{name}-twin" or name in NO_VIEWS:
        raise refusal
    run = visible_runs(user).filter(slug=slug).first()
    if run is None:
        raise ValidationError(f"There is no run “{str(slug)[:80]}”.")
    query = QueryDict(parts.query, mutable=True)
    for dropped in NOT_KEPT:
        query.pop(dropped, None)
    return run, f"{parts.path}?{query.urlencode()}" if query else parts.path


def note_item(user: User, item: CollectionItem, note: str) -> CollectionItem:
    """Say something about an item."""
    _must_change(user, item.collection)
    item.note = _note(note)
    with transaction.atomic():
        item.save(update_fields=["note"])
        _touched(item.collection)
        record(user, "collection.note", f"collection {item.collection_id}", item=item.pk)
    return item


def remove_item(user: User, item: CollectionItem) -> None:
    _must_change(user, item.collection)
    with transaction.atomic():
        record(user, "collection.remove", f"collection {item.collection_id}", item=item.pk, kind=item.kind)
        _touched(item.collection)
        item.delete()


def add_comment(user: User, collection: Collection, text: str) -> Comment:
    """Say something below a collection that the person may see; plain text, whose lines are kept."""
    _must_be_somebody(user, "comment")
    said = clean_lines(text)
    if not said:
        raise ValidationError({"text": "The comment is empty."})
    if len(said) > MAX_TEXT:
        raise ValidationError({"text": f"The comment is {len(said):,} characters long; at most {MAX_TEXT:,} fit."})
    with transaction.atomic():
        lock_row(collection)
        if collection.comments.count() >= MOST_COMMENTS:
            raise ValidationError({"text": f"A collection takes {MOST_COMMENTS:,} comments; this one is full."})
        comment = Comment.objects.create(
            collection=collection, author_id=user.pk, author_name=user.get_username(), text=said
        )
        record(user, "collection.comment", f"collection {collection.pk}", comment=comment.pk)
    return comment


def delete_comment(user: User, comment: Comment) -> None:
    """Its author may, and the collection's owner."""
    if not may_delete_comment(user, comment):
        raise PermissionDenied("Only its author or the collection’s owner may delete a comment.")
    with transaction.atomic():
        record(user, "collection.uncomment", f"collection {comment.collection_id}", comment=comment.pk)
        comment.delete()


def _kept(user: User, collection: Collection, run: Run, note: str, **what: Any) -> CollectionItem:
    """The item, new or as it was there already; the note replaces an earlier one where it says something."""
    _must_change(user, collection)
    if not visible_runs(user).filter(pk=run.pk).exists():
        raise ValidationError("There is no such run.")
    said = _note(note)
    same = collection.items.filter(run=run, **what).first()
    if same is not None:
        return note_item(user, same, said) if said and said != same.note else same
    try:
        with transaction.atomic():
            lock_row(collection)
            if collection.items.count() >= MOST_ITEMS:
                raise ValidationError(f"A collection holds {MOST_ITEMS:,} items; this one is full. Begin another.")
            item = CollectionItem.objects.create(collection=collection, run=run, note=said, added_by_id=user.pk, **what)
            _touched(collection)
            record(user, "collection.add", f"collection {collection.pk}", item=item.pk, kind=item.kind)
    except IntegrityError:  # somebody kept it at the same moment
        return collection.items.get(run=run, **what)
    return item


def _touched(collection: Collection) -> None:
    """What it holds is part of what it is: its version tells that it changed."""
    Collection.objects.filter(pk=collection.pk).update(version=F("version") + 1, updated_at=timezone.now())


def _checked(**fields: str) -> dict[str, str]:
    """The fields, cleaned; ValidationError by field where they cannot be kept."""
    problems: dict[str, str] = {}
    if "name" in fields:
        fields["name"] = one_line(fields["name"])
        if not fields["name"]:
            problems["name"] = "Give the collection a name."
        elif len(fields["name"]) > MAX_NAME:
            problems["name"] = f"The name is {len(fields['name'])} characters long; at most {MAX_NAME} fit."
    if "description" in fields:
        fields["description"] = clean_lines(fields["description"])
        if (n := len(fields["description"])) > MAX_TEXT:
            problems["description"] = f"The description is {n:,} characters long; at most {MAX_TEXT:,} fit."
    if fields.get("access", Collection.Access.PRIVATE) not in Collection.Access.values:
        problems["access"] = f"The access must be one of {', '.join(Collection.Access.values)}."
    if problems:
        raise ValidationError(problems)
    return fields


def _note(text: str) -> str:
    note = one_line(text)
    if len(note) > MAX_NOTE:
        raise ValidationError({"note": f"The note is {len(note)} characters long; at most {MAX_NOTE} fit."})
    return note


def _must_be_somebody(user: User, what: str) -> None:
    if not (user.is_authenticated and user.is_active):
        raise PermissionDenied(f"Sign in to {what}.")


def _must_change(user: User, collection: Collection) -> None:
    _must_be_somebody(user, "keep collections")
    if not may_change(user, collection):
        raise PermissionDenied("Only its owner may change a collection.")

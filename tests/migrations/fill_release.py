"""Rows of every kind, written by whatever release of the code this is run in: `make_release.py` runs it.

It uses what every release since the first has (runs, jobs) and, where the release has them, labels and people; every
model that is still without rows then gets some, made up from its fields.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
from pathlib import Path
from typing import Any

import django

MOMENT = datetime.datetime(2026, 11, 1, 12, 30, tzinfo=datetime.UTC)
OWN_APPS = ("auth", "clusters", "compute")
HOSTILE = "été 日本 <b>&amp;</b> \u202e'\" ; DROP TABLE clusters_run"


def fill() -> None:
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Group

    person = get_user_model().objects
    ada = person.create_superuser("ada", "ada@example.org", "a password of 2026")
    ben = person.create_user("ben")
    ben.groups.set(Group.objects.all())
    _runs(Path(settings.BUNDLE_DIR), ada)
    _jobs(ben)
    with contextlib.suppress(ImportError):
        _labels(ada, ben)
    made: dict[type, list[Any]] = {}
    for model in _models():
        _rows_of(model, made)
    empty = [model.__name__ for model in _models() if not model.objects.exists()]
    assert not empty, empty


def _runs(folder: Path, owner: Any) -> None:
    """A run with everything, and one of published labels alone where the release knows such."""
    from tests.factories import make_run

    make_run(folder, name="Everything", owner=owner)
    try:
        from clusters.ingest import ingest
        from compute.published import build_bundle
        from tests.published_files import CONTEXTS, LABELS, write
    except ImportError:
        return
    files = folder.parent
    bundle = build_bundle(write(files / "l.json", LABELS), write(files / "c.json", CONTEXTS), folder)
    ingest(bundle, owner=owner, name="Published", private=True)


def _jobs(person: Any) -> None:
    from clusters.models import Run
    from tests.jobs.states import STATES, job_in

    for state in STATES:
        job_in(state, person, name=f"a {state} job")
    Run.objects.filter(name="Everything").update(job=job_in("succeeded", person, name="made the run"))


def _labels(*people: Any) -> None:
    """Drafts, submitted and agreed labels, each with what was said before."""
    from clusters.models import Cluster, Label, Run
    from clusters.services.labels import Content, save_label
    from clusters.services.notes import save_note

    run = Run.objects.get(name="Everything")
    clusters = Cluster.objects.filter(clustering__run=run, clustering__affinity="signed", clustering__k=6)
    first, second = clusters.order_by("rank")[:2]
    for person in people:
        name = f"commas, says {person.username}"
        save_label(person, first, Content(name, HOSTILE, "skill", 2, ("lexical",)), version=0, submit=True)
        save_label(person, second, Content(f"draft of {person.username}"), version=0, submit=False)
        save_label(person, first, Content(f"{name}, again", HOSTILE, "word", 3, ()), version=1, submit=True)
        save_note(person, run, 7, text=f"note of {person.username}", is_bookmarked=True, version=0)
    agreed = Content("commas, as agreed", "a rule", "skill", 3, ("lexical", "syntactic"))
    save_label(people[0], first, agreed, version=0, submit=True, origin=Label.Origin.AGREED)


# ── rows made up from fields ──


def _models() -> list[Any]:
    from django.apps import apps

    return [model for app in OWN_APPS for model in apps.get_app_config(app).get_models(include_auto_created=True)]


def _rows_of(model: Any, made: dict[type, list[Any]]) -> list[Any]:
    """The rows of a model; where there are none, one is made for every choice of its choice fields."""
    if model not in made:
        made[model] = list(model.objects.order_by("pk")[:50])
        if not made[model]:
            fields = [field for field in model._meta.concrete_fields if not field.auto_created]
            n_rows = max([1, *(len(field.choices or ()) for field in fields)])
            made[model] = [row for n in range(n_rows) if (row := _row(model, fields, n, made))]
    return made[model]


def _row(model: Any, fields: list[Any], n: int, made: dict[type, list[Any]]) -> Any:
    """A new row; none where one of that kind may be there once only."""
    from django.db import IntegrityError, transaction

    values = {field.name: _value(field, n, made) for field in fields}
    with contextlib.suppress(IntegrityError), transaction.atomic():
        row = model(**values)
        row.save(force_insert=True)
        return row
    return None


def _value(field: Any, n: int, made: dict[type, list[Any]]) -> Any:
    if field.is_relation:
        rows = _rows_of(field.related_model, made)
        return rows[n % len(rows)]
    if field.choices:
        return field.choices[n % len(field.choices)][0]
    return _plain_value(field, n)


def _plain_value(field: Any, n: int) -> Any:
    kind = field.get_internal_type()
    if kind in ("CharField", "TextField", "SlugField", "EmailField"):
        text = f"{field.name}-{n}" if kind in ("SlugField", "EmailField") or field.unique else f"{field.name} {HOSTILE}"
        return text[: field.max_length]
    if kind == "DateTimeField":
        return MOMENT + datetime.timedelta(days=n)
    if kind == "BooleanField":
        return n % 2 == 0
    if kind == "JSONField":
        return field.get_default() if field.has_default() else [n, n + 1, n + 2, n + 3, n + 4]
    if kind == "BinaryField":
        return bytes(range(256))
    if kind == "FloatField":
        return n + 0.125
    return n + 3  # whole numbers of any size


def describe() -> dict[str, Any]:
    """The release's tables as its code knows them: {table: {column: may it hold null}}."""
    return {
        model._meta.db_table: {field.column: field.null for field in model._meta.concrete_fields} for model in _models()
    }


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantaweb.settings")
    django.setup()
    if sys.argv[1:] == ["describe"]:
        import json

        print(json.dumps(describe(), indent=1, sort_keys=True))
    else:
        fill()

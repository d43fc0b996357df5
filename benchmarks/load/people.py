"""Rows that the crowd needs, made inside the site's own database: python -m benchmarks.load.people FILE"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import django


def make(n_people: int) -> dict[str, Any]:
    """Make people with a session, a key and labels; what the crowd has to know of them, and of the run."""
    from clusters.models import Affinity, Cluster, LabelRevision, Membership, Run, Token

    run = Run.objects.get()
    k = run.clusterings.filter(affinity=Affinity.SIGNED).order_by("-k").values_list("k", flat=True)[0]
    clusters = list(Cluster.objects.filter(clustering__run=run, clustering__k=k, clustering__affinity="signed"))
    people = [_person(number, clusters[number::n_people]) for number in range(n_people)]
    return {
        "run": run.slug,
        "k": k,
        "clusters": [cluster.label for cluster in clusters],
        "tokens": list(Token.objects.filter(run=run).values_list("flat_index", flat=True)[:2000]),
        "n_predictions": run.corpus.n_predictions,
        "n_documents": run.corpus.n_documents,
        "n_memberships": Membership.objects.count(),
        "n_revisions": LabelRevision.objects.count(),
        "people": people,
    }


def _person(number: int, clusters: list[Any]) -> dict[str, Any]:
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model

    from clusters.services.keys import make_key
    from clusters.services.labels import Content, save_label
    from clusters.services.people import give_roles

    person = get_user_model().objects.create_user(f"person{number}")
    give_roles(person, ["labeler"])
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.create()
    _, key = make_key(person, name="load", scopes=["read", "label"])
    labels = [
        save_label(person, cluster, Content(name="before", kind="skill"), version=0, submit=True).pk
        for cluster in clusters
    ]
    return {"session": session.session_key, "key": key, "labels": labels}


def lost(written: list[list[Any]], n_before: int) -> dict[str, Any]:
    """Compare what was answered with 200, as [label, version, name], with what the database holds."""
    from clusters.models import LabelRevision

    kept = {
        (label, version): content["name"]
        for label, version, content in LabelRevision.objects.values_list("label_id", "version", "content")
    }
    missing = [one for one in written if kept.get((one[0], one[1])) != one[2]]
    return {"written": len(written), "revisions": LabelRevision.objects.count() - n_before, "lost": len(missing)}


if __name__ == "__main__":
    django.setup()
    file = Path(sys.argv[1])
    if len(sys.argv) > 2:
        facts, written = json.loads(file.read_text()), json.loads(Path(sys.argv[2]).read_text())
        print(json.dumps(lost(written, facts["n_revisions"])))
    else:
        file.write_text(json.dumps(make(20)))

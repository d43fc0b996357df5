"""Work that people have done on a run, so that the pages of labeling, collections and people have something to show."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile

from clusters.models import Run
from clusters.services import collections, exports, imports, invitations, keys, notices, quiz
from clusters.services.labels import Content, save_label
from clusters.services.notes import save_note
from clusters.services.queues import Plan, make_queue
from tests.e2e.people import offer_tags, person

HOSTILE = '<script>alert("a name")</script> \u202e'


def worked_on(run: Run) -> tuple[User, dict[str, str]]:
    """An administrator, and the addresses of pages by name, of a run that three people have worked on."""
    offer_tags()
    root, bea, cem = person("root", is_admin=True), person("bea", "labeler"), person("cem", "labeler")
    clustering = run.clusterings.get(k=6, affinity="signed")
    clusters = list(clustering.clusters.order_by("rank"))
    plan = Plan(name="first round", guidelines=HOSTILE, people=(bea.pk, cem.pk, root.pk), labels_each=2)
    queue = make_queue(root, clustering, [one.pk for one in clusters[:4]], plan)
    for who in (bea, cem, root):
        for cluster in clusters[:2]:
            said = Content(
                name=f"{who.username} {HOSTILE}", description="its rule " * 9, kind="skill", tags=("lexical",)
            )
            label = save_label(who, cluster, said, version=0, submit=True)
    save_label(root, clusters[0], Content(name="agreed on", kind="skill"), version=0, submit=True, origin="agreed")
    save_label(bea, run.clusterings.get(k=3, affinity="signed").clusters.get(rank=1), said, version=0, submit=True)
    question = quiz.ask(root, clustering)
    quiz.answer(bea, quiz.ask(bea, clustering), 1)
    kept = collections.create_collection(root, "a collection", description=HOSTILE, access="link")
    collections.keep_cluster(root, kept, clusters[0], HOSTILE)
    collections.keep_token(root, kept, run, 7)
    collections.keep_filter(root, kept, f"/runs/{run.slug}/tokens/?class=monogenic")
    collections.add_comment(root, kept, HOSTILE)
    save_note(root, run, 7, text=HOSTILE, is_bookmarked=True, version=0)
    keys.make_key(root, name="notebook", scopes=["read"])
    invitations.invite(root, email="dora@example.org", roles=["labeler"])
    notices.tell(root, HOSTILE, href="/jobs/")
    exports.start_export(root, run, "clusters", "csv")
    file = SimpleUploadedFile(
        "labels.jsonl", b'{"run": "synthetic", "affinity": "signed", "k": 6, "cluster": 5, "name": "x"}\n'
    )
    brought, _ = imports.start_labels(root, file=file, asked={})
    place = f"/runs/{run.slug}/k/6/clusters/{{}}/"
    return root, {
        "profile": "/profile/", "people": "/people/", "audit": "/audit/", "notices": "/notices/",
        "labels": "/labels/", "label": f"/labels/{label.pk}/", "notes": "/notes/", "tags": "/labeling/tags/",
        "labeling": "/labeling/", "queue": f"/labeling/queues/{queue.pk}/",
        "new queue": "/labeling/queues/new/?of=synthetic/signed/6", "adjudicate": "/labeling/adjudicate/",
        "decide": f"/labeling/adjudicate/{clusters[1].pk}/", "agreement": f"/labeling/agreement/?queue={queue.pk}",
        "quiz": "/labeling/quiz/?run=synthetic&k=6", "question": f"/labeling/quiz/{question.pk}/",
        "quiz results": "/labeling/quiz/results/?run=synthetic&k=6",
        "suggestions": f"/runs/{run.slug}/suggestions/?k=6",
        "collections": "/collections/", "collection": f"/collections/{kept.secret}/",
        "collection change": f"/collections/{kept.secret}/change/",
        "keep": f"/collections/keep/?path=/runs/{run.slug}/tokens/%3Fclass=monogenic",
        "exports": f"/runs/{run.slug}/exports/", "imports": "/imports/", "import labels": "/imports/?kind=labels",
        "import published": "/imports/?kind=published", "dry run": f"/imports/{brought.pk}/",
        "labeled cluster": place.format(clusters[0].label), "cluster to label": place.format(clusters[4].label),
        "token": f"/runs/{run.slug}/tokens/7/", "jobs": "/jobs/", "manage": f"/runs/{run.slug}/manage/",
    }  # fmt: skip

"""What the previous release's code does all day, for `test_expand.py`, which runs it on tables of now."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django

PAGES = (
    "/", "/jobs/", "/labels/", "/labeling/", "/collections/", "/people/", "/audit/", "/imports/", "/profile/",
    "/runs/everything/", "/runs/everything/k/6/clusters/", "/runs/everything/tokens/",
)  # fmt: skip


def walk() -> None:
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    from clusters.models import Cluster, Label
    from clusters.services.labels import Content, save_label
    from compute.jobs import queue
    from compute.jobs.run import run_next_shard
    from compute.suites import demo_config
    from tests.factories import make_run

    settings.ALLOWED_HOSTS = ["testserver"]
    ada = User.objects.get(username="ada")
    page = Client()
    page.force_login(ada)
    for path in PAGES:
        status = page.get(path).status_code
        assert status == 200, (path, status)
        print(path)
    label = Label.objects.filter(author=ada, origin="person", state="submitted")[0]
    save_label(ada, label.cluster, Content("by old code"), version=label.version, submit=True)
    run = make_run(Path(settings.BUNDLE_DIR), seed=5, name="read in by old code")
    cluster = Cluster.objects.filter(clustering__run=run)[0]
    save_label(ada, cluster, Content("new, by old code"), version=0, submit=True)
    job = queue.enqueue(demo_config(), ada)
    run_next_shard(None, worker="old:1")
    queue.cancel(job, ada)
    print("done")


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantaweb.settings")
    django.setup()
    walk()

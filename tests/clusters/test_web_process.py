"""The process that serves pages stays light: no page brings in what computes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from django.contrib.auth.models import User

from compute.jobs import queue
from compute.suites import demo_config
from tests.databases import ROOT, Site, postgres_template, site, sqlite_template  # noqa: F401  (fixtures)
from tests.factories import make_run
from tests.postgres import postgres  # noqa: F401  (a fixture)

HEAVY = ("torch", "transformers", "tokenizers", "sklearn", "pyarrow", "datasets", "huggingface_hub")
HEAVY += ("umap", "numba", "pynndescent")
SERVE = """
import json, sys
import quantaweb.wsgi
from django.contrib.auth import get_user_model
from django.test import Client

client = Client(headers={"host": "localhost"})
client.force_login(get_user_model().objects.get())
found = {}
for path in sys.argv[1:]:
    response = client.get(path)
    response.getvalue()
    found[path] = response.status_code
print(json.dumps([found, sorted(sys.modules)]))
"""
PAGES = (
    "/", "/runs.csv", "/runs/new/", "/runs/new/?suite=pythia-v0",
    "/runs/new/?suite=hub", "/runs/new/?suite=folders", "/corpora/", "/corpora.json", "/corpora/new/",
    "/corpora/new/?kind=hub", "/corpora/new/?kind=path", "/jobs/", "/password/", "/runs/synthetic/",
    "/runs/synthetic.json", "/runs/synthetic/manage/", "/runs/synthetic/rank-frequency/",
    "/runs/synthetic/rank-frequency.json", "/runs/synthetic/k/6/clusters/", "/runs/synthetic/k/6/clusters.csv",
    "/runs/synthetic/k/6/clusters/0/", "/runs/synthetic/k/6/clusters/0.json", "/runs/synthetic/tokens/",
    "/runs/synthetic/tokens/3/", "/runs/synthetic/tokens/3.json", "/runs/synthetic/documents/0/",
    "/runs/synthetic/documents/0.csv", "/runs/synthetic/probe/",
)  # fmt: skip


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_no_page_imports_torch(site: Site, tmp_path: Any) -> None:  # noqa: F811
    admin = User.objects.create_superuser("admin")
    make_run(tmp_path, owner=admin)
    job = queue.enqueue(demo_config(), admin)
    command = [sys.executable, "-c", SERVE, *PAGES, f"/jobs/{job.pk}/", f"/jobs/{job.pk}.json"]
    done = subprocess.run(command, env=site.environment, cwd=ROOT, check=True, capture_output=True, timeout=120)
    found, modules = json.loads(done.stdout.splitlines()[-1])
    assert {path: status for path, status in found.items() if status != 200} == {}
    assert not set(HEAVY) & set(modules)

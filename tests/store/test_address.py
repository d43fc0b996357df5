"""Where the store may be, and what its settings may not do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from compute.errors import ConfigError
from compute.store.address import store_address

ROOT = Path(__file__).resolve().parents[2]


def test_without_an_address_there_is_no_store():
    assert store_address("") is None


def test_a_bucket_and_a_folder():
    bucket = store_address("s3://lab/quanta/web/", endpoint="https://s3.example.org", key="k", secret="s")
    assert (bucket.bucket, bucket.prefix) == ("lab", "quanta/web")
    assert str(store_address("file:///mnt/quanta")) == "file:///mnt/quanta"


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("ftp://host/x", {}, "write s3://"),
        ("s3://UPPER", {}, "write s3://"),
        ("s3://key:secret@lab/x", {}, "more than a place"),
        ("s3://lab/../x", {}, "prefix may hold"),
        ("file://host/x", {}, "whole path"),
        ("file:///", {}, "whole path"),
        ("file:///a/../../etc", {}, "whole path"),
        ("s3://lab", {"key": "k"}, "one is set"),
        ("s3://lab", {"endpoint": "http://10.0.0.7:9000"}, "in the clear"),
        ("s3://lab", {"endpoint": "https://k:s@host"}, "https address"),
        ("s3://lab", {"endpoint": "host:9000"}, "https address"),
    ],
)
def test_other_addresses_are_refused_with_a_sentence(url, more, said):
    with pytest.raises(ConfigError, match=said):
        store_address(url, **more)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "http://localhost:9000", "http://[::1]:9000"])
def test_this_host_may_be_spoken_to_in_the_clear(endpoint):
    assert store_address("s3://lab", endpoint=endpoint).endpoint == endpoint
    assert store_address("s3://lab", endpoint="http://minio:9000", is_insecure=True) is not None


PAGE = """
import sys
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.test import Client
assert settings.STORE is not None
for path in ("/", "/jobs/", "/livez"):
    assert Client().get(path, HTTP_HOST="localhost").status_code == 200, path
print(sorted({"s3fs", "fsspec", "aiobotocore", "botocore", "torch"} & set(sys.modules)))
"""


def test_the_web_process_loads_no_library_of_the_store(tmp_path):
    own = {"DJANGO_SETTINGS_MODULE": "quantaweb.settings", "QW_DATA_DIR": str(tmp_path), "QW_STORE_URL": "s3://lab/x"}
    done = subprocess.run(
        [sys.executable, "-c", PAGE], env={**os.environ, **own}, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr

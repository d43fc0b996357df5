"""Labels brought from a file in a real browser: looked at first, written when they were seen."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from clusters.models import Label
from clusters.services.labels import Content, save_label
from tests.e2e.people import forgive, offer_tags, person, signed_in_as

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def data_elsewhere(settings, tmp_path) -> None:
    settings.DATA_DIR = tmp_path / "data"


@pytest.mark.parametrize("javascript", [True, False])
def test_a_dry_run_shows_what_labels_would_change_before_any_is_written(visit, run, javascript):
    offer_tags()
    bea = person("bea", "labeler")
    clusters = run.clusterings.get(k=6, affinity="signed").clusters
    save_label(bea, clusters.get(label=1), Content(name="as it was"), version=0, submit=True)
    place = {"run": "synthetic", "affinity": "signed", "k": 6}
    lines = [
        place | {"label": 0, "name": "brought", "tags": ["lexical"], "state": "submitted"},
        place | {"label": 1, "name": "as it becomes", "state": "submitted"},
        place | {"label": 99, "name": "of no cluster", "state": "submitted"},
    ]
    file = "\n".join(json.dumps(line | {"cluster": line["label"]}) for line in lines)
    page = signed_in_as(visit(javascript=javascript), bea).open("/imports/?kind=labels")
    page.locator("input[type=file]").set_input_files(
        {"name": "labels.jsonl", "mimeType": "application/jsonl", "buffer": file.encode()}
    )
    page.get_by_role("button", name="Send and see what would change").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("2 labels would be written")
    expect(page.locator(".stats")).to_contain_text("refused")
    expect(page.locator("table.steps")).to_contain_text("as it was")
    expect(page.locator("table.steps")).to_contain_text("as it becomes")
    assert Label.objects.get().name == "as it was"
    page.get_by_role("button", name="Write 2 labels").click()
    expect(page.locator("main")).to_contain_text("2")
    assert set(Label.objects.values_list("name", flat=True)) == {"brought", "as it becomes"}


def test_a_file_that_is_none_is_refused_with_a_sentence(visit, run):
    opened = signed_in_as(visit(javascript=False), person("bea", "labeler"))
    page = opened.open("/imports/?kind=labels")
    page.locator("input[type=file]").set_input_files(
        {"name": "labels.jsonl", "mimeType": "application/jsonl", "buffer": b"\x00\xff not labels"}
    )
    page.get_by_role("button", name="Send and see what would change").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    assert not Label.objects.exists()
    forgive(opened, 422)

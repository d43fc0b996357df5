"""Labels in a real browser: written with the keyboard alone, kept, contested, restored, shared out, agreed on."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse
from playwright.sync_api import Locator, Page, expect

from clusters.models import Cluster, Label
from clusters.services.labels import Content, save_label
from tests.e2e.people import forgive, offer_tags, person, signed_in_as
from tests.e2e.visits import Visit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def tags(live_server) -> None:
    offer_tags()


@pytest.fixture
def cluster(run) -> Cluster:
    return cluster_at(run, 1)


def cluster_at(run, rank: int, k: int = 6) -> Cluster:
    return run.clusterings.get(k=k, affinity="signed").clusters.get(rank=rank)


def path_of(cluster: Cluster) -> str:
    clustering = cluster.clustering
    return f"/runs/{clustering.run.slug}/k/{clustering.k}/clusters/{cluster.label}/"


def name_field(page: Page) -> Locator:
    return page.get_by_label("What do the answers have in common?")


def tag(page: Page, name: str) -> Locator:
    return page.locator("#label").get_by_label(re.compile(f"^{name}"))


def test_a_cluster_is_labeled_with_the_keyboard_alone_and_a_reload_keeps_it(visit, run, cluster):
    opened = signed_in_as(visit(), person("bea", "labeler"))
    page = opened.open(path_of(cluster))
    page.keyboard.press("1")
    page.keyboard.press("3")
    page.keyboard.press("l")
    expect(name_field(page)).to_be_focused()
    page.keyboard.type("numbers count up by 1")
    expect(page.locator("[data-saved]")).to_have_text("not saved")
    page.keyboard.press("Control+Enter")
    page.wait_for_url(lambda url: path_of(cluster) not in url)
    expect(page.locator(".messages, [role=status]").first).to_contain_text("Label saved")
    label = Label.objects.get(cluster=cluster)
    assert (label.name, label.state, label.tags.count()) == ("numbers count up by 1", "submitted", 2)
    page = opened.open(path_of(cluster))
    expect(name_field(page)).to_have_value("numbers count up by 1")
    assert page.locator("#label input[name=tag]:checked").count() == 2
    page.reload()
    expect(name_field(page)).to_have_value("numbers count up by 1")
    expect(page.locator("[data-saved]")).to_contain_text("saved")


def test_what_was_typed_survives_leaving_the_page(visit, run, cluster):
    opened = signed_in_as(visit(), person("bea", "labeler"))
    page, asked = opened.page.context.new_page(), []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.goto(opened.server + path_of(cluster))
    name_field(page).click()
    page.keyboard.type("half a thought")
    page.goto(f"{opened.server}/runs/synthetic/")
    assert asked == ["beforeunload"]
    page.goto(opened.server + path_of(cluster))
    expect(name_field(page)).to_have_value("half a thought")
    expect(page.get_by_text("is back in the form")).to_be_visible()


def test_two_tabs_at_once_lose_no_word(visit, run, cluster):
    opened = signed_in_as(visit(), person("bea", "labeler"))
    first = opened.open(path_of(cluster))
    second = opened.listen(opened.page.context.new_page())
    second.goto(opened.server + path_of(cluster))
    name_field(first).fill("what the first tab says")
    first.get_by_role("button", name="Submit", exact=True).click()
    expect(first.locator("[data-saved]")).to_contain_text("saved")
    name_field(second).fill("what the second tab says")
    second.get_by_role("button", name="Submit", exact=True).click()
    both = second.locator(".conflict")
    expect(both).to_contain_text("what the first tab says")
    expect(both).to_contain_text("what the second tab says")
    expect(name_field(second)).to_have_value("what the second tab says")
    forgive(opened, 409)
    second.locator("#label").get_by_role("button", name=re.compile("^(Save|Submit)$")).click()
    expect(second.locator(".conflict")).to_have_count(0)
    said = Label.objects.get(cluster=cluster)
    assert said.name == "what the second tab says"
    assert [one.content["name"] for one in said.revisions.order_by("version")] == [
        "what the first tab says", "what the second tab says"
    ]  # fmt: skip


def test_the_history_shows_what_changed_and_restores_it(visit, run, cluster):
    bea = person("bea", "labeler")
    label = save_label(bea, cluster, Content(name="an old name", description="the rule"), version=0, submit=True)
    save_label(bea, cluster, Content(name="a new name", description="the rule"), version=1)
    page = signed_in_as(visit(), bea).open(path_of(cluster))
    page.locator("#label").get_by_role("link", name="History").click()
    expect(page.locator(".versions > li")).to_have_count(2)
    expect(page.locator("#v2 ins")).to_contain_text("new")
    expect(page.locator("#v2 del")).to_contain_text("old")
    page.get_by_role("button", name="Restore version 1").click()
    expect(page.locator(".versions > li")).to_have_count(3)
    expect(page.get_by_role("heading", level=1)).to_have_text("an old name")
    label.refresh_from_db()
    assert (label.name, label.version) == ("an old name", 3)


def test_a_queue_is_made_worked_through_blindly_and_agreed_on(visit, run):
    dora, bea, cem = person("dora", "labeler", "adjudicator"), person("bea", "labeler"), person("cem", "labeler")
    page = signed_in_as(visit(), dora).open("/labeling/")
    page.get_by_role("link", name="New queue").first.click()
    page.get_by_label("Clustering").select_option("synthetic/signed/6")
    page.wait_for_url("**of=synthetic*")
    page.get_by_label("Name").fill("first round")
    page.get_by_label("At most", exact=True).fill("2")
    page.get_by_label("People for each cluster").fill("2")
    for one in ("bea", "cem"):
        page.get_by_label(one, exact=True).check()
    page.get_by_role("button", name="Share out").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("first round")

    beas, cems = signed_in_as(visit(), bea), signed_in_as(visit(), cem)
    places = work_through(beas, "bea says so")
    assert len(places) == 2
    page = cems.open("/labeling/next/")
    expect(page.locator("#label")).to_contain_text("you see what others say of this cluster once your label is in")
    expect(page.locator("#queue")).to_contain_text("One other labeled it")
    assert "bea says so" not in page.content()
    for address in ("/labels/", "/labels.json", "/labels.csv"):
        assert "bea says so" not in cems.page.request.get(cems.server + address).text()
    assert work_through(cems, "cem says so") == places
    page = cems.open(places[0])
    expect(page.locator("#label")).to_contain_text("bea says so")

    page = signed_in_as(visit(), dora).open("/labeling/adjudicate/")
    page.locator("main table a").first.click()
    page.get_by_role("link", name="Open the cluster").wait_for()
    page.wait_for_load_state()
    expect(page.locator(".side-by-side")).to_contain_text("bea says so")
    expect(page.locator(".side-by-side")).to_contain_text("cem says so")
    page.keyboard.press("2")
    expect(page.locator("body")).to_contain_text("Agreed on cluster")
    agreed = Label.objects.get(origin="agreed")
    assert agreed.name in ("bea says so", "cem says so")


def work_through(visited: Visit, name: str) -> list[str]:
    """Label all that a person's queues ask for, with the keyboard; the addresses of the clusters."""
    page, places = visited.open("/labeling/next/"), []
    while "/clusters/" in page.url:
        here = page.url
        places.append(here.removeprefix(visited.server).partition("#")[0])
        page.keyboard.press("1")
        page.keyboard.press("l")
        page.keyboard.type(name)
        page.keyboard.press("Control+Enter")
        page.wait_for_url(lambda url, here=here: url.partition("#")[0] != here.partition("#")[0])
        assert len(places) < 9, places
    return places


def test_a_cluster_is_labeled_and_a_queue_finished_without_javascript(visit, run):
    dora, bea = person("dora", "labeler", "adjudicator"), person("bea", "labeler")
    page = signed_in_as(visit(javascript=False), dora).open("/labeling/queues/new/?of=synthetic/signed/6")
    page.get_by_label("Name").fill("plain round")
    page.get_by_label("At most", exact=True).fill("2")
    page.get_by_label("People for each cluster").fill("1")
    page.get_by_label("bea", exact=True).check()
    page.get_by_role("button", name="Share out").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("plain round")
    opened = signed_in_as(visit(javascript=False), bea)
    page = opened.open("/labeling/next/")
    for turn in range(2):
        name_field(page).fill(f"said plainly {turn}")
        tag(page, "lexical").check()
        page.get_by_role("button", name="Save and next").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert "/clusters/" not in page.url
    assert Label.objects.filter(author=bea, state="submitted", tags__slug="lexical").count() == 2


def test_the_intruder_is_looked_for_with_the_keyboard(visit, run):
    page = signed_in_as(visit(), person("bea", "labeler")).open("/labeling/quiz/?run=synthetic&k=3")
    page.get_by_role("button", name="First question").click()
    expect(page.locator("ol.quiz > li")).to_have_count(5)
    page.wait_for_load_state()  # keys are heard from then on
    page.keyboard.press("2")
    expect(page.locator(".verdict")).to_contain_text("is the intruder")
    expect(page.locator("ol.quiz .is-intruder")).to_have_count(1)
    page.locator(".verdict").get_by_role("link", name="Results").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("The intruder was found in")


def test_a_label_of_another_k_is_suggested_and_taken_as_a_draft(visit, run):
    bea, cem = person("bea", "labeler"), person("cem", "labeler")
    source = cluster_at(run, 1, k=3)
    save_label(cem, source, Content(name="from the coarser k", description="its rule"), version=0, submit=True)
    page = signed_in_as(visit(), bea).open(reverse("clusters:suggestions", args=["synthetic"]) + "?k=6")
    page.locator("table.carry th a").first.click()
    panel = page.locator("[data-suggestions]")
    expect(panel).to_contain_text("from the coarser k")
    expect(panel).to_contain_text(re.compile(r"k = 3.*J 0\.\d+"))
    assert not Label.objects.filter(author=bea).exists()
    panel.get_by_role("button", name=re.compile("Use this")).first.click()
    expect(name_field(page)).to_have_value("from the coarser k")
    taken = Label.objects.get(author=bea)
    assert (taken.name, taken.state) == ("from the coarser k", "draft")
    assert taken.revisions.get().source

"""Labels on pages: the panel, conflicts, histories, lists, and the list of clusters by label."""

from __future__ import annotations

import json
import re

import pytest
from django.contrib.auth.models import Group

from clusters.models import Assignment, Label, Queue, QueueItem
from clusters.services.labels import Content, restore_revision, save_label, withdraw_label
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db


def person(name, role="labeler"):
    user = UserFactory(username=name)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def cluster(run):
    return run.clusterings.get(k=6, affinity="signed").clusters.get(rank=2)


@pytest.fixture
def ana(db):
    return person("ana")


@pytest.fixture
def ben(db):
    return person("ben")


@pytest.fixture
def as_ana(client, ana):
    client.force_login(ana)
    return client


def address(cluster):
    return f"/runs/synthetic/k/6/clusters/{cluster.label}/"


def html(client, path, status=200, **query):
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode()


def members(cluster):
    return list(cluster.memberships.order_by("token__flat_index").values_list("token__flat_index", flat=True))


# ── the panel ──


def test_readers_see_labels_and_how_to_come_to_write_them(client, cluster, ana):
    assert "Nobody has labeled this cluster yet." in html(client, address(cluster))
    save_label(ana, cluster, Content("second word", "after the hyphen"), version=0, submit=True)
    text = html(client, address(cluster))
    assert "<h1>second word</h1>" in text
    assert f"<b>Cluster {cluster.label}</b> of 6" in text
    assert "after the hyphen" in text
    assert "Sign in</a> to label it" in text
    assert "data-label-form" not in text
    client.force_login(person("dan", None))
    assert "ask an administrator for the role “labeler”" in html(client, address(cluster))


def test_a_label_is_written_on_the_page_and_comes_back_in_the_form(as_ana, cluster):
    misfit = members(cluster)[0]
    sent = {"version": 0, "name": "a <b>name</b>", "description": "rule", "kind": "skill", "confidence": "2",
            "tag": ["lexical", "unclear"], "misfit": [misfit], "action": "submit"}  # fmt: skip
    response = as_ana.post(address(cluster), sent)
    assert (response.status_code, response["Location"]) == (302, address(cluster) + "#label")
    label = Label.objects.get()
    assert (label.content, label.state, label.misfits) == (label.revisions.get().content, "submitted", [misfit])
    text = html(as_ana, address(cluster))
    assert "Label saved." in text
    assert 'value="a &lt;b&gt;name&lt;/b&gt;"' in text
    assert re.search(r'name="tag" value="lexical" checked', text)
    assert re.search(r'name="kind" value="skill" checked', text)
    assert re.search(rf'name="misfit" value="{misfit}" checked', text)
    assert '<input type="hidden" name="version" value="1">' in text


def test_a_draft_is_said_to_be_one_and_is_nobody_else_s(as_ana, cluster, ben):
    as_ana.post(address(cluster), {"version": 0, "name": "half an idea", "action": "draft"})
    assert "draft, saved" in html(as_ana, address(cluster))
    as_ana.force_login(ben)
    assert "half an idea" not in html(as_ana, address(cluster))
    assert html(as_ana, f"/labels/{Label.objects.get().pk}/", status=404)


def test_misfits_on_other_pages_of_the_contexts_stay_marked(as_ana, cluster, ana):
    save_label(ana, cluster, Content("a", misfits=tuple(members(cluster))), version=0)
    text = html(as_ana, address(cluster), page="99")
    assert text.count('name="misfit"') == len(members(cluster))
    assert text.count("checked") >= len(members(cluster))


def test_save_and_next_goes_to_the_next_rank_without_a_label_of_mine(as_ana, cluster, ana):
    by_rank = {one.rank: one for one in cluster.clustering.clusters.all()}
    save_label(ana, by_rank[3], Content("done"), version=0)
    response = as_ana.post(address(cluster), {"version": 0, "kind": "mixture", "action": "next"})
    assert response["Location"] == address(by_rank[4]) + "#label"


def test_save_and_next_in_a_queue_goes_on_in_the_queue(as_ana, cluster, ana):
    queue = Queue.objects.create(name="q", clustering=cluster.clustering)
    item = QueueItem.objects.create(queue=queue, cluster=cluster, ordinal=1)
    task = Assignment.objects.create(item=item, person=ana)
    response = as_ana.post(address(cluster), {"version": 0, "name": "a", "action": "next"})
    assert response["Location"] == f"/labeling/next/?after={cluster.pk}"
    task.refresh_from_db()
    assert task.done_at is not None


def test_who_labeled_all_comes_back_to_the_list(as_ana, cluster, ana):
    for one in cluster.clustering.clusters.exclude(pk=cluster.pk):
        save_label(ana, one, Content("a"), version=0)
    response = as_ana.post(address(cluster), {"version": 0, "name": "a", "action": "next"}, follow=True)
    assert response.request["PATH_INFO"] == "/runs/synthetic/k/6/clusters/"
    assert "You have labeled every cluster of this list." in response.content.decode()


def test_what_cannot_be_saved_comes_back_with_all_that_was_typed(as_ana, cluster):
    sent = {"version": 0, "name": "n" * 300, "description": "a rule\nof two lines", "tag": ["lexical"],
            "misfit": [members(cluster)[0]], "kind": "word"}  # fmt: skip
    response = as_ana.post(address(cluster), sent)
    text = response.content.decode()
    assert response.status_code == 422
    assert "The name is 300 characters long; at most 200 fit." in text
    assert f'value="{"n" * 300}"' in text
    assert "a rule\nof two lines</textarea>" in text
    assert 'name="tag" value="lexical" checked' in text
    assert "not saved" in text
    assert not Label.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("misfit", "9" * 41, "is no token"), ("misfit", "x", "is no token"), ("misfit", "999999", "Not members"),
        ("description", "d" * 1_000_000, "1,000,000 characters"), ("tag", "nonsense", "No such tag"),
        ("kind", "thing", "must be one of"), ("confidence", "7", "confidence must be"),
        ("confidence", "x", "confidence must be"),
    ],
)  # fmt: skip
def test_impossible_values_are_answered_in_sentences(as_ana, cluster, field, value, said):
    response = as_ana.post(address(cluster), {"version": 0, "name": "a", field: value})
    assert response.status_code == 422
    assert said in response.content.decode()


def test_nul_and_halves_of_characters_are_kept_as_pictures(as_ana, cluster):
    body = f"version=0&name=a%00b%ED%A0%80&action=submit&description={'%00' * 10}"
    response = as_ana.post(address(cluster), body, content_type="application/x-www-form-urlencoded")
    assert response.status_code == 302
    assert Label.objects.get().name.startswith("a␀b\ufffd")


@pytest.mark.parametrize("version", ["", "x", "9" * 41, "-1"])
def test_a_form_without_its_version_is_refused(as_ana, cluster, version):
    assert as_ana.post(address(cluster), {"name": "a", "version": version}).status_code == 400


def test_who_is_signed_out_meanwhile_keeps_the_text(client, cluster):
    response = client.post(address(cluster), {"version": 0, "name": "long thought"})
    text = response.content.decode()
    assert response.status_code == 403
    assert "You are signed out" in text
    assert 'value="long thought"' in text


def test_readers_may_not_write(client, cluster):
    client.force_login(person("dan", None))
    assert client.post(address(cluster), {"version": 0, "name": "a"}).status_code == 403
    assert not Label.objects.exists()


def test_two_texts_are_shown_side_by_side_and_the_form_can_be_saved_again(as_ana, cluster, ana):
    save_label(ana, cluster, Content("second word of a header", tags=("lexical",)), version=0, submit=True)
    sent = {"version": 0, "name": "second part of a header", "action": "submit"}
    response = as_ana.post(address(cluster), sent)
    text = response.content.decode()
    assert response.status_code == 409
    assert "<del>word </del>" in text
    assert "<ins>part </ins>" in text
    assert 'value="second part of a header"' in text
    assert '<input type="hidden" name="version" value="1">' in text
    assert Label.objects.get().name == "second word of a header"
    assert as_ana.post(address(cluster), sent | {"version": 1}).status_code == 302
    assert Label.objects.get().name == "second part of a header"


def test_while_a_blind_queue_waits_the_page_says_so_and_hides_the_name(as_ana, cluster, ana, ben):
    save_label(ben, cluster, Content("by ben"), version=0, submit=True)
    queue = Queue.objects.create(name="q", clustering=cluster.clustering)
    item = QueueItem.objects.create(queue=queue, cluster=cluster, ordinal=1)
    Assignment.objects.create(item=item, person=ana)
    text = html(as_ana, address(cluster))
    assert f"<h1>Cluster {cluster.label}</h1>" in text
    assert "once your label is in" in text
    assert "by ben" not in text
    twin = json.loads(html(as_ana, address(cluster)[:-1] + ".json"))
    assert (twin["name"], twin["labels"]) == (None, [])
    assert "by ben" not in html(as_ana, "/runs/synthetic/k/6/clusters/")
    assert "by ben" not in html(as_ana, "/labels/")


def test_the_json_twin_has_the_labels_that_one_may_see(client, cluster, ana, ben):
    save_label(ana, cluster, Content("by ana", tags=("lexical",), kind="skill"), version=0, submit=True)
    save_label(ben, cluster, Content("a draft"), version=0)
    twin = json.loads(html(client, address(cluster)[:-1] + ".json"))
    assert twin["name"] == "by ana"
    [label] = twin["labels"]
    assert (label["author"], label["tags"], label["kind"], label["state"]) == ("ana", ["lexical"], "skill", "submitted")


def test_the_page_reads_little_whoever_looks_and_whatever_is_said(
    client, cluster, ana, ben, django_assert_max_num_queries
):
    for user in (ana, ben, person("cleo", "adjudicator")):
        save_label(user, cluster, Content(f"by {user}", tags=("lexical", "unclear")), version=0, submit=True)
    client.get(address(cluster))
    with django_assert_max_num_queries(12):
        client.get(address(cluster))
    client.force_login(ana)
    client.get(address(cluster))
    with django_assert_max_num_queries(18):
        client.get(address(cluster))


# ── history ──


def test_a_history_shows_every_version_with_the_words_that_changed(client, cluster, ana):
    save_label(ana, cluster, Content("second word", "<script>"), version=0, submit=True)
    label = save_label(ana, cluster, Content("second part", "<script>", tags=("lexical",)), version=1)
    text = html(client, f"/labels/{label.pk}/")
    assert "second <del>word</del><ins>part</ins>" in text
    assert "<ins>lexical</ins>" in text
    assert "&lt;script&gt;" in text
    assert "<script>" not in text.split("<main")[1]
    assert text.index("Version 2</b>ana revised") < text.index("Version 1</b>ana submitted")
    assert "Restore version" not in text


def test_what_was_a_draft_is_in_the_history_for_its_author_alone(as_ana, cluster, ana, ben):
    save_label(ana, cluster, Content("half an idea"), version=0)
    label = save_label(ana, cluster, Content("a whole one"), version=1, submit=True)
    path = f"/labels/{label.pk}/"
    assert "saved a draft" in html(as_ana, path)
    as_ana.force_login(ben)
    text = html(as_ana, path)
    assert "half an" not in text
    assert "a whole one" in text
    assert [one["version"] for one in json.loads(html(as_ana, path[:-1] + ".json"))["revisions"]] == [2]


def test_what_was_written_while_withdrawn_is_its_author_s_alone(as_ana, cluster, ana, ben):
    label = save_label(ana, cluster, Content("first"), version=0, submit=True)
    withdraw_label(ana, label, version=1)
    save_label(ana, cluster, Content("hidden"), version=2)
    restore_revision(ana, label, 3, version=3)
    save_label(ana, cluster, Content("hidden too"), version=4, action="import")
    save_label(ana, cluster, Content("second"), version=5, submit=True)
    label = save_label(ana, cluster, Content("third"), version=6, submit=True, action="import")
    path, table = f"/labels/{label.pk}.json", f"/runs/{cluster.clustering.run.slug}/exports/labels.jsonl"
    assert [one["version"] for one in json.loads(html(as_ana, path))["revisions"]] == [7, 6, 5, 4, 3, 2, 1]
    as_ana.force_login(ben)
    assert [one["version"] for one in json.loads(html(as_ana, path))["revisions"]] == [7, 6, 2, 1]
    line = as_ana.get(table).getvalue().decode().splitlines()[0]
    assert [one["version"] for one in json.loads(line)["history"]] == [1, 2, 6, 7]
    assert "hidden" not in line


def test_a_version_is_restored_from_its_history(as_ana, cluster, ana):
    save_label(ana, cluster, Content("first"), version=0, submit=True)
    label = save_label(ana, cluster, Content("second"), version=1)
    path = f"/labels/{label.pk}/"
    response = as_ana.post(path, {"action": "restore", "restore": 1, "version": 2}, follow=True)
    assert "Version 1 was restored, as version 3." in response.content.decode()
    label.refresh_from_db()
    assert (label.name, label.version) == ("first", 3)
    stale = as_ana.post(path, {"action": "restore", "restore": 2, "version": 2}, follow=True)
    assert "changed meanwhile, so nothing was done" in stale.content.decode()


def test_a_label_is_withdrawn_from_its_history(as_ana, cluster, ana):
    label = save_label(ana, cluster, Content("first"), version=0, submit=True)
    response = as_ana.post(f"/labels/{label.pk}/", {"action": "withdraw", "version": 1}, follow=True)
    assert "your draft again" in response.content.decode()
    label.refresh_from_db()
    assert label.state == "draft"


def test_others_can_neither_withdraw_nor_restore(client, cluster, ana, ben):
    label = save_label(ana, cluster, Content("first"), version=0, submit=True)
    client.force_login(ben)
    for sent in ({"action": "withdraw", "version": 1}, {"action": "restore", "restore": 1, "version": 1}):
        assert client.post(f"/labels/{label.pk}/", sent).status_code == 403
    assert client.post(f"/labels/{label.pk}/", {"action": "burn", "version": 1}).status_code == 400


def test_a_long_history_goes_on_page_by_page(client, cluster, ana):
    for version in range(25):
        label = save_label(ana, cluster, Content(f"version {version + 1}."), version=version, submit=True)
    text = html(client, f"/labels/{label.pk}/")
    [more] = re.findall(r'rel="next" href="([^"]*)"', text)
    assert "Version 6</b>" in text
    assert "Version 5</b>" not in text
    assert "Version 5</b>" in html(client, more)


@pytest.mark.parametrize("pk", ["999", "x", "1" * 41])
def test_a_label_that_there_is_not_is_missing(client, db, pk):
    assert "There is no such label" in html(client, f"/labels/{pk}/", status=404)


# ── the list of labels ──


@pytest.fixture
def many(cluster, ana, ben):
    by_rank = {one.rank: one for one in cluster.clustering.clusters.all()}
    save_label(ana, by_rank[1], Content("apple", "a fruit", "skill", tags=("lexical",)), version=0, submit=True)
    save_label(ana, by_rank[2], Content("berry", kind="word"), version=0)
    save_label(ben, by_rank[1], Content("cherry", tags=("unclear", "lexical")), version=0, submit=True)
    save_label(person("cleo", "adjudicator"), by_rank[1], Content("dates"), version=0, submit=True,
               origin=Label.Origin.AGREED)  # fmt: skip


def names(client, **query):
    return [one["name"] for one in json.loads(html(client, "/labels.json", **query))["labels"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, {"apple", "berry", "cherry", "dates"}), ({"tag": "lexical"}, {"apple", "cherry"}),
        ({"kind": "skill"}, {"apple"}), ({"author": "ben"}, {"cherry"}), ({"text": "FRUIT"}, {"apple"}),
        ({"mine": "yes"}, {"apple", "berry"}), ({"mine": "yes", "state": "draft"}, {"berry"}),
        ({"origin": "agreed"}, {"dates"}), ({"run": "synthetic", "k": "6"}, {"apple", "berry", "cherry", "dates"}),
        ({"k": "3"}, set()), ({"run": "other"}, set()), ({"affinity": "absolute"}, set()),
    ],
)  # fmt: skip
def test_the_list_is_narrowed(as_ana, many, query, found):
    assert set(names(as_ana, **query)) == found
    assert html(as_ana, "/labels/", **query)


def test_the_list_is_sorted(as_ana, many):
    assert names(as_ana, sort="name") == ["apple", "berry", "cherry", "dates"]
    assert names(as_ana) == ["dates", "cherry", "berry", "apple"]
    assert names(as_ana, sort="cluster")[-1] == "berry"


@pytest.mark.parametrize("sort", ["latest", "name", "cluster"])
def test_parts_of_the_list_follow_one_another(as_ana, many, monkeypatch, sort):
    monkeypatch.setattr("clusters.views.labels.A_PAGE", 1)
    seen, after = [], ""
    while after is not None:
        part = json.loads(html(as_ana, "/labels.json", sort=sort, after=after))
        seen += [one["name"] for one in part["labels"]]
        after = part["next"]
    assert sorted(seen) == ["apple", "berry", "cherry", "dates"]


@pytest.mark.parametrize("after", ["x", "W10", "WyJuYW1lIiwiYSJd", "9" * 5000, "é", "WyJsYXRlc3QiLCIyMDIwIiwxXQ"])
def test_a_cursor_of_no_list_is_refused(client, db, after):
    assert "no list in this order gave out" in html(client, "/labels/", status=400, after=after)


@pytest.mark.parametrize(("name", "value"), [("kind", "x"), ("state", "x"), ("sort", "x"), ("k", "9" * 41)])
def test_impossible_choices_are_refused(client, db, name, value):
    assert html(client, "/labels/", status=400, **{name: value})


def test_another_person_s_draft_is_on_no_list(client, many, ben):
    for user in (None, ben):
        if user:
            client.force_login(user)
        assert "berry" not in names(client)
        assert "berry" not in html(client, "/labels/")


def test_the_csv_holds_every_label_and_no_formula(client, cluster, ana):
    save_label(ana, cluster, Content("=cmd()", tags=("lexical", "unclear")), version=0, submit=True)
    response = client.get("/labels.csv")
    head, row = response.getvalue().decode().splitlines()
    assert head.startswith("id,run,affinity,k,cluster,rank,origin,state,author,name")
    assert "'=cmd()" in row
    assert "lexical unclear" in row


def test_labels_of_private_runs_are_on_nobody_else_s_list(client, tmp_path, ana, ben):
    run = make_run(tmp_path, owner=ana, private=True, name="secretive")
    cluster = run.clusterings.get(k=6, affinity="signed").clusters.get(rank=1)
    label = save_label(ana, cluster, Content("hush"), version=0, submit=True)
    client.force_login(ben)
    assert names(client) == []
    assert html(client, f"/labels/{label.pk}/", status=404)


# ── the list of clusters ──


def listed(client, **query):
    text = html(client, "/runs/synthetic/k/6/clusters.json", **query)
    return [(one["rank"], one["name"]) for one in json.loads(text)["clusters"]]


def test_clusters_are_called_by_their_labels_in_cards_table_and_twins(client, many, cluster):
    for view in ("grid", "table"):
        assert "dates" in html(client, "/runs/synthetic/k/6/clusters/", view=view)
    assert dict(listed(client))[1] == "dates"
    [first] = [one for one in json.loads(html(client, "/runs/synthetic/k/6/clusters.json"))["clusters"]
               if one["rank"] == 1]  # fmt: skip
    assert (first["n_labels"], first["is_agreed"], first["tags"]) == (2, True, ["lexical", "unclear"])


@pytest.mark.parametrize(
    ("query", "ranks"),
    [
        ({"labels": "labeled"}, [1]), ({"labels": "agreed"}, [1]), ({"labels": "unlabeled"}, [2, 3, 4, 5, 6]),
        ({"labels": "not-by-me"}, [2, 3, 4, 5, 6]), ({"tag": "lexical"}, [1]), ({"tag": "numeric"}, []),
        ({"labels": "unlabeled", "tag": "lexical"}, []),
    ],
)  # fmt: skip
def test_the_list_of_clusters_is_narrowed_by_label(as_ana, many, query, ranks):
    assert [rank for rank, _ in listed(as_ana, **query)] == ranks
    assert html(as_ana, "/runs/synthetic/k/6/clusters/", **query)


def test_clusters_are_sorted_by_how_they_are_labeled(client, cluster, ana, ben):
    by_rank = {one.rank: one for one in cluster.clustering.clusters.all()}
    save_label(ana, by_rank[5], Content("a"), version=0, submit=True)
    save_label(ana, by_rank[3], Content("a"), version=0, submit=True)
    save_label(ben, by_rank[3], Content("b"), version=0, submit=True)
    save_label(person("cleo", "adjudicator"), by_rank[6], Content("c"), version=0, submit=True,
               origin=Label.Origin.AGREED)  # fmt: skip
    assert [rank for rank, _ in listed(client, sort="label")] == [6, 3, 5, 1, 2, 4]


def test_an_unknown_choice_of_labels_is_refused(client, run):
    assert "choose one of any, labeled" in html(client, "/runs/synthetic/k/6/clusters/", status=400, labels="x")

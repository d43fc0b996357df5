"""Writing labels: who may, what is refused, versions, what others see; how texts differ."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone

from clusters.models import Assignment, AuditEvent, Label, Queue, QueueItem, Tag
from clusters.queries.cluster_labels import labels_of_cluster, next_unlabeled, standings
from clusters.queries.labels import visible_labels
from clusters.services.labels import (
    ConflictError,
    Content,
    change_label,
    restore_revision,
    save_label,
    withdraw_label,
)
from clusters.values.differences import word_changes
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
AGREED = Label.Origin.AGREED


def person(name, role="labeler"):
    user = UserFactory(username=name)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


@pytest.fixture
def cluster(tmp_path):
    return make_run(tmp_path).clusterings.get(k=6, affinity="signed").clusters.get(rank=2)


@pytest.fixture
def ana(db):
    return person("ana")


@pytest.fixture
def ben(db):
    return person("ben")


def members(cluster):
    return list(cluster.memberships.order_by("token__flat_index").values_list("token__flat_index", flat=True))


def problems(error):
    return error.value.message_dict


# ── writing ──


def test_every_write_adds_a_version_with_its_author_and_what_was_written(cluster, ana):
    label = save_label(ana, cluster, Content("first"), version=0)
    label = save_label(ana, cluster, Content("second", tags=("lexical",)), version=1, submit=True)
    assert (label.version, label.state) == (2, "submitted")
    kept = list(label.revisions.order_by("version").values_list("version", "author_name", "action", "content"))
    assert [(v, who, did) for v, who, did, _ in kept] == [(1, "ana", "draft"), (2, "ana", "submit")]
    assert [content["name"] for *_, content in kept] == ["first", "second"]
    assert kept[1][3]["tags"] == ["lexical"]
    assert AuditEvent.objects.filter(action="label.submit", actor=ana).count() == 1


def test_a_write_over_another_version_changes_nothing_and_says_what_is_there(cluster, ana):
    save_label(ana, cluster, Content("first"), version=0)
    save_label(ana, cluster, Content("second"), version=1)
    with pytest.raises(ConflictError) as error:
        save_label(ana, cluster, Content("late"), version=1)
    assert error.value.current.name == "second"
    assert Label.objects.get().revisions.count() == 2


def test_a_second_first_write_is_a_conflict(cluster, ana):
    save_label(ana, cluster, Content("first"), version=0)
    with pytest.raises(ConflictError):
        save_label(ana, cluster, Content("again"), version=0)


def test_what_is_submitted_needs_a_name_or_a_kind(cluster, ana):
    with pytest.raises(ValidationError) as error:
        save_label(ana, cluster, Content(description="only a rule"), version=0, submit=True)
    assert "Give the rule a name" in problems(error)["name"][0]
    assert not Label.objects.exists()
    assert save_label(ana, cluster, Content(kind="mixture"), version=0, submit=True).name == ""


def test_a_submitted_label_cannot_be_emptied(cluster, ana):
    save_label(ana, cluster, Content("a"), version=0, submit=True)
    with pytest.raises(ValidationError):
        save_label(ana, cluster, Content(), version=1)
    assert Label.objects.get().name == "a"


def test_readers_may_not_write_and_labelers_may_not_agree(cluster, ana):
    for user in (person("dan", None), AnonymousUser()):
        with pytest.raises(PermissionDenied):
            save_label(user, cluster, Content("a"), version=0)
    with pytest.raises(PermissionDenied, match="adjudicators"):
        save_label(ana, cluster, Content("a"), version=0, origin=AGREED)


def test_adjudicators_share_the_one_label_that_is_agreed_on(cluster):
    cleo, dora = person("cleo", "adjudicator"), person("dora", "adjudicator")
    save_label(cleo, cluster, Content("a"), version=0, submit=True, origin=AGREED)
    label = save_label(dora, cluster, Content("b"), version=1, submit=True, origin=AGREED)
    assert (Label.objects.count(), label.author_name, label.version) == (1, "dora", 2)


@pytest.mark.parametrize(
    ("content", "field", "said"),
    [
        (Content("x" * 201), "name", "201 characters"),
        (Content("a", "y" * 1_000_000), "description", "1,000,000 characters"),
        (Content("a", kind="thing"), "kind", "must be one of"),
        (Content("a", confidence=9), "confidence", "1 (a guess)"),
        (Content("a", tags=("nonsense",)), "tags", "No such tag: nonsense. There are lexical"),
        (Content("a", misfits=(10**40,)), "misfits", "Not members of this cluster: 1000"),
        (Content("a", misfits=(-1,)), "misfits", "Not members of this cluster: -1."),
        (Content("a", misfits=tuple(range(100_000))), "misfits", "100,000 members are marked"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_a_sentence(cluster, ana, content, field, said):
    with pytest.raises(ValidationError) as error:
        save_label(ana, cluster, content, version=0)
    assert list(problems(error)) == [field]
    assert said in problems(error)[field][0]
    assert not Label.objects.exists()


def test_members_of_other_clusters_cannot_be_misfits(cluster, ana):
    other = cluster.clustering.clusters.get(rank=1)
    with pytest.raises(ValidationError, match="Not members"):
        save_label(ana, cluster, Content("a", misfits=tuple(members(other)[:1])), version=0)
    own = members(cluster)[:2]
    assert save_label(ana, cluster, Content("a", misfits=tuple(reversed(own))), version=0).misfits == own


def test_halves_of_characters_and_nul_are_drawn_not_refused(cluster, ana):
    label = save_label(ana, cluster, Content("a\ud800b\0c\nd", "one\n\ud800\ntwo\0"), version=0)
    assert (label.name, label.description) == ("a\ufffdb␀c d", "one\n\ufffd\ntwo␀")


def test_a_retired_tag_stays_where_it_is_and_is_given_to_no_other(cluster, ana):
    save_label(ana, cluster, Content("a", tags=("lexical",)), version=0)
    Tag.objects.filter(slug="lexical").update(retired_at=timezone.now())
    assert save_label(ana, cluster, Content("b", tags=("lexical",)), version=1).version == 2
    other = cluster.clustering.clusters.get(rank=1)
    with pytest.raises(ValidationError, match="No longer in use: lexical"):
        save_label(ana, other, Content("a", tags=("lexical",)), version=0)


# ── going back ──


def test_an_earlier_version_comes_back_as_a_new_one(cluster, ana):
    save_label(ana, cluster, Content("first", tags=("numeric",)), version=0, submit=True)
    label = save_label(ana, cluster, Content("second"), version=1)
    label = restore_revision(ana, label, 1, version=2)
    assert (label.name, label.version, label.content["tags"]) == ("first", 3, ["numeric"])
    last = label.revisions.first()
    assert (last.action, last.source) == ("restore", {"version": 1})


def test_a_version_that_there_is_not_cannot_come_back(cluster, ana):
    label = save_label(ana, cluster, Content("a"), version=0)
    with pytest.raises(ValidationError, match="no version 7"):
        restore_revision(ana, label, 7, version=1)


def test_what_is_withdrawn_is_hidden_again_and_keeps_its_history(cluster, ana, ben):
    label = save_label(ana, cluster, Content("a"), version=0, submit=True)
    assert label in visible_labels(ben)
    withdraw_label(ana, label, version=1)
    assert label not in visible_labels(ben)
    assert label in visible_labels(ana)
    assert [one.action for one in label.revisions.all()] == ["withdraw", "submit"]


def test_nobody_changes_another_person_s_label(cluster, ana, ben):
    label = save_label(ana, cluster, Content("a"), version=0, submit=True)
    for act in (
        lambda: change_label(ben, label, Content("b"), version=1),
        lambda: withdraw_label(ben, label, version=1),
        lambda: restore_revision(ben, label, 1, version=1),
    ):
        with pytest.raises(PermissionDenied, match="ana’s label"):
            act()


# ── reading ──


def test_what_is_agreed_on_names_the_cluster_else_the_latest_label(cluster, ana, ben):
    save_label(ana, cluster, Content("by ana"), version=0, submit=True)
    save_label(ben, cluster, Content("by ben"), version=0, submit=True)
    assert labels_of_cluster(AnonymousUser(), cluster).naming.name == "by ben"
    save_label(person("cleo", "adjudicator"), cluster, Content("settled"), version=0, submit=True, origin=AGREED)
    found = labels_of_cluster(ana, cluster)
    assert found.naming.name == "settled"
    assert (found.own.name, [one.name for one in found.others]) == ("by ana", ["by ben"])


def test_a_draft_names_nothing_even_for_its_author(cluster, ana):
    save_label(ana, cluster, Content("mine"), version=0)
    found = labels_of_cluster(ana, cluster)
    assert found.own.name == "mine"
    assert found.naming is None


@pytest.fixture
def blind(cluster, ana):
    """Ana is to label the cluster without seeing what others say of it."""
    queue = Queue.objects.create(name="q", clustering=cluster.clustering)
    item = QueueItem.objects.create(queue=queue, cluster=cluster, ordinal=1)
    return Assignment.objects.create(item=item, person=ana)


def test_while_a_blind_queue_waits_others_labels_are_hidden(cluster, ana, ben, blind):
    save_label(ben, cluster, Content("by ben", tags=("lexical",)), version=0, submit=True)
    found = labels_of_cluster(ana, cluster)
    assert (found.is_blind, found.others, found.naming) == (True, [], None)
    assert standings(ana, [cluster.pk]) == {}
    assert standings(ben, [cluster.pk])[cluster.pk].name == "by ben"
    save_label(ana, cluster, Content("by ana"), version=0, submit=True)
    found = labels_of_cluster(ana, cluster)
    assert (found.is_blind, [one.name for one in found.others]) == (False, ["by ben"])


def test_a_person_s_own_draft_and_its_tags_stay_while_others_are_hidden(cluster, ana, ben, blind):
    save_label(ben, cluster, Content("by ben", tags=("lexical",)), version=0, submit=True)
    own = save_label(ana, cluster, Content("mine", tags=("factual",)), version=0)
    found = labels_of_cluster(ana, cluster)
    assert (found.is_blind, found.own, found.others) == (True, own, [])
    assert {label: [tag.slug for tag in tags] for label, tags in found.tags.items()} == {own.pk: ["factual"]}


def test_a_label_whose_author_went_is_no_stranger_s_own(cluster, ana, ben, blind):
    save_label(ben, cluster, Content("by ben"), version=0, submit=True)
    ben.delete()
    assert labels_of_cluster(AnonymousUser(), cluster).own is None
    assert labels_of_cluster(AnonymousUser(), cluster).others == []
    blind.delete()
    found = labels_of_cluster(AnonymousUser(), cluster)
    assert (found.own, [one.name for one in found.others]) == (None, ["by ben"])


def test_signing_out_shows_nothing_that_a_blind_queue_still_asks_for(cluster, ana, ben, blind):
    save_label(ben, cluster, Content("by ben"), version=0, submit=True)
    assert not visible_labels(AnonymousUser()).exists()
    save_label(ana, cluster, Content("by ana"), version=0, submit=True)
    assert {label.name for label in visible_labels(AnonymousUser())} == {"by ana", "by ben"}


def test_tags_come_with_their_labels_and_the_vocabulary_without_the_retired(cluster, ana):
    Tag.objects.filter(slug="numeric").update(retired_at=timezone.now())
    label = save_label(ana, cluster, Content("a", tags=("factual", "lexical")), version=0)
    found = labels_of_cluster(ana, cluster)
    assert [tag.slug for tag in found.tags[label.pk]] == ["lexical", "factual"]
    assert "numeric" not in [tag.slug for tag in found.vocabulary]
    assert len(found.vocabulary) == 7


def test_one_goes_on_by_rank_to_what_one_has_not_labeled_and_round(cluster, ana):
    by_rank = {one.rank: one for one in cluster.clustering.clusters.all()}
    save_label(ana, by_rank[3], Content("a"), version=0)
    assert next_unlabeled(ana, by_rank[2]).rank == 4
    assert next_unlabeled(ana, by_rank[6]).rank == 1
    for rank in (1, 4, 5, 6):
        save_label(ana, by_rank[rank], Content("a"), version=0)
    assert next_unlabeled(ana, by_rank[2]) is None


# ── differences ──


def texts(pieces, *, without):
    return "".join(piece.text for piece in pieces if piece.kind != without)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("second word of a header", "second word of a header field"),
        ("", "new"), ("old", ""), ("", ""), ("same", "same"),
        ("a b c d", "a x c y"), ("one\ntwo  three", "one\ntwo three"),
        ("a " * 5000, "b " * 5000), ("a b " * 2000, "b a " * 2000),
    ],
)  # fmt: skip
def test_pieces_make_up_both_texts(before, after):
    pieces = word_changes(before, after)
    assert texts(pieces, without="ins") == before
    assert texts(pieces, without="del") == after


def test_only_the_words_that_changed_are_marked():
    pieces = word_changes("second word of a header", "second part of a header")
    assert [(one.kind, one.text) for one in pieces] == [
        ("same", "second "), ("del", "word "), ("ins", "part "), ("same", "of a header"),
    ]  # fmt: skip


def test_contents_go_into_revisions_and_out_again():
    content = Content("a", "b", "skill", 2, ("lexical",), (3, 4))
    assert Content.of(vars(replace(content))) == content

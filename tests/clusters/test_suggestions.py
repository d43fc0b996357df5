"""Labels of other clusterings, offered by the tokens that clusters share: which, to whom, and what taking one does."""

from __future__ import annotations

import numpy as np
import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError

from clusters.models import Assignment, Label, LabelSuggestion, Queue, QueueItem, Tag
from clusters.queries.clusters import flat_indices, labels_of
from clusters.queries.missing import Missing
from clusters.queries.suggestions import order_of, suggestions_for, suggestions_of
from clusters.services import suggestions as services
from clusters.services.labels import ConflictError, Content, save_label, withdraw_label
from clusters.values.suggestions import overlaps
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
# 40 tokens: cluster 0 of k3 is the first 20, of k6 the first 10 and the next 10
K3 = np.repeat([0, 1, 2], [20, 12, 8]).astype(np.int32)
K6 = np.repeat([0, 1, 2, 3, 4, 5], [10, 10, 6, 6, 4, 4]).astype(np.int32)
ABSOLUTE3 = np.repeat([0, 1, 2], [18, 14, 8]).astype(np.int32)
ARRAYS = {"clustering/signed/k3": K3, "clustering/signed/k6": K6, "clustering/absolute/k3": ABSOLUTE3}


def person(name, *roles):
    made = UserFactory(username=name)
    made.groups.set(Group.objects.filter(name__in=roles))
    return made


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path, arrays=ARRAYS)


@pytest.fixture
def ana():
    return person("ana", "labeler")


@pytest.fixture
def ben():
    return person("ben", "labeler", "adjudicator")


def cluster(run, k, label, affinity="signed"):
    clustering = run.clusterings.get(affinity=affinity, k=k)
    clustering.run = run
    return clustering.clusters.get(label=label)


def say(user, where, name="dashes", **options):
    submit, origin = options.pop("submit", True), options.pop("origin", Label.Origin.PERSON)
    return save_label(user, where, Content(name=name, **options), version=0, submit=submit, origin=origin)


def told(found):
    return [(one.name, round(one.jaccard, 3), one.n_shared) for one in found]


# Overlaps.


def test_jaccard_is_shared_tokens_over_tokens_in_either():
    found = overlaps(K3, K6, np.bincount(K3), np.bincount(K6))
    pairs = zip(found.own.tolist(), found.other.tolist(), found.shared.tolist(), found.jaccard.tolist(), strict=True)
    assert list(pairs) == [(0, 0, 10, 0.5), (0, 1, 10, 0.5), (1, 2, 6, 0.5), (1, 3, 6, 0.5), (2, 4, 4, 0.5),
                           (2, 5, 4, 0.5)]  # fmt: skip


def test_pairs_that_share_less_than_a_tenth_are_left_out():
    own, other = np.zeros(100, np.int32), np.array([0] * 9 + [1] * 91)
    found = overlaps(own, other, np.array([100]), np.array([9, 91]))
    assert found.other.tolist() == [1]


# Which are offered.


def test_the_likest_labels_of_other_clusterings_are_offered(run, ana, ben):
    say(ben, cluster(run, 6, 0), "first half")
    say(ben, cluster(run, 3, 0, "absolute"), "nearly all")
    say(ben, cluster(run, 3, 1), "of the same clustering")
    say(ben, cluster(run, 6, 4), "elsewhere")
    assert told(suggestions_for(ana, cluster(run, 3, 0))) == [("nearly all", 0.9, 18), ("first half", 0.5, 10)]


def test_at_most_three_of_distinct_names_the_likest_of_each(run, ana, ben):
    clara = person("clara", "labeler")
    for label, name in ((0, "a"), (1, "b")):
        say(ben, cluster(run, 6, label), name)
        say(clara, cluster(run, 6, label), f"{name}2")
    say(ben, cluster(run, 3, 0, "absolute"), "A")
    found = suggestions_for(ana, cluster(run, 3, 0))
    assert len(found) == 3
    assert told(found)[0] == ("A", 0.9, 18)
    assert "a" not in [one.name for one in found]


def test_where_one_is_agreed_on_it_stands_for_all(run, ana, ben):
    say(ana, cluster(run, 6, 0), "mine")
    say(ben, cluster(run, 6, 0), "agreed", origin=Label.Origin.AGREED)
    assert [(one.name, one.is_agreed) for one in suggestions_for(ana, cluster(run, 3, 0))] == [("agreed", True)]


def test_drafts_withdrawn_nameless_and_machine_labels_are_not_offered(run, ana, ben):
    say(ben, cluster(run, 6, 0), "draft", submit=False)
    withdraw_label(ben, say(ben, cluster(run, 6, 1), "withdrawn"), version=1)
    say(person("clara", "labeler"), cluster(run, 6, 0), "", kind="mixture")
    say(ana, cluster(run, 3, 0, "absolute"), "machine's")
    Label.objects.filter(name="machine's").update(origin="machine", author=None)
    assert suggestions_for(ana, cluster(run, 3, 0)) == []
    assert suggestions_of(ana, cluster(run, 3, 0).clustering) == []


def test_labels_of_another_run_over_the_same_text_go_by_flat_index(run, ana, ben, tmp_path):
    flat = flat_indices(run)[5:35]  # another selection: 30 tokens, of which 15 are in cluster 0 of k3
    arrays = {
        "selection/flat_index": np.array(flat),
        "clustering/signed/k3": np.repeat([0, 1, 2], [16, 10, 4]).astype(np.int32),
    }  # fmt: skip
    arrays |= {f"clustering/{name}": np.arange(30, dtype=np.int32) % k for name, k in
               (("signed/k6", 6), ("absolute/k3", 3), ("absolute/k6", 6))}  # fmt: skip
    arrays |= {f"similarity/{name}": np.eye(30, dtype=np.float32) for name in ("signed", "absolute")}
    arrays |= {"sketches/signed": np.ones((30, 64), np.float16), "map/gradients": np.ones((30, 2), np.float32)}
    selection = run.manifest["selection"] | {"n_selected": 30}
    other = make_run(tmp_path / "other", name="other", arrays=arrays, manifest={"selection": selection})
    say(ben, cluster(other, 3, 0), "there")
    found = suggestions_for(ana, cluster(run, 3, 0))
    assert told(found) == [("there", round(15 / 21, 3), 15)]
    assert found[0].place.run == other.slug
    other.is_private = True
    other.save()
    assert suggestions_for(ana, cluster(run, 3, 0)) == []


def test_labels_over_another_text_are_not_offered(run, ana, ben, tmp_path):
    corpus = run.manifest["corpus"] | {"sha256": "6b" * 32}
    other = make_run(tmp_path / "other", name="other", seed=3, arrays=ARRAYS, manifest={"corpus": corpus})
    say(ben, cluster(other, 6, 0), "there")
    assert suggestions_for(ana, cluster(run, 3, 0)) == []


def test_a_blind_queue_hides_others_labels_from_whom_it_waits_for(run, ana, ben):
    here = cluster(run, 3, 0)
    say(ben, cluster(run, 6, 0), "ben's")
    say(ana, cluster(run, 6, 1), "ana's own")
    queue = Queue.objects.create(name="q", clustering=here.clustering, created_by=ben)
    item = QueueItem.objects.create(queue=queue, cluster=here, ordinal=1)
    Assignment.objects.create(item=item, person=ana)
    assert [one.name for one in suggestions_for(ana, here)] == ["ana's own"]
    assert {one.name for one in suggestions_of(ana, here.clustering) if one.cluster == here.pk} == {"ana's own"}
    with pytest.raises(Missing):
        services.accept(ana, here, Label.objects.get(name="ben's").pk)
    assert {one.name for one in suggestions_for(person("dora", "labeler"), here)} == {"ben's", "ana's own"}


def test_a_whole_clustering_is_offered_what_each_cluster_is(run, ana, ben):
    for k, label in ((6, 0), (6, 1), (6, 2), (6, 5)):
        say(ben, cluster(run, k, label), f"{k}/{label}")
    clustering = cluster(run, 3, 0).clustering
    found = suggestions_of(ana, clustering)
    each = [one for row in clustering.clusters.all() for one in suggestions_for(ana, cluster(run, 3, row.label))]
    assert sorted(map(order_of, each)) == list(map(order_of, found))
    say(ana, cluster(run, 3, 0), "mine now")
    assert {one.cluster for one in suggestions_of(ana, clustering)} == {cluster(run, 3, 1).pk, cluster(run, 3, 2).pk}


def test_a_damaged_run_elsewhere_does_no_harm(run, ana, ben, tmp_path, monkeypatch):
    other = make_run(tmp_path / "other", name="other", seed=4, arrays=ARRAYS)
    say(ben, cluster(other, 6, 0), "lost")
    say(ben, cluster(run, 6, 0), "here")
    type(other).objects.filter(pk=other.pk).update(bundle_path=str(tmp_path / "gone"))
    assert [one.name for one in suggestions_for(ana, cluster(run, 3, 0))] == ["here"]


# Taking and dismissing.


def test_taking_one_makes_it_my_draft_and_its_history_says_whose(run, ana, ben):
    tag = Tag.objects.first()
    flat = flat_indices(run)
    source = say(ben, cluster(run, 6, 2), "ends", description="rule", kind="skill", confidence=3, tags=(tag.slug,),
                 misfits=(int(flat[20]), int(flat[21])))  # fmt: skip
    here = cluster(run, 3, 1)
    services.accept(ana, here, source.pk, version=1)
    mine = Label.objects.get(cluster=here, author=ana)
    assert (mine.state, mine.version, mine.confidence) == ("draft", 1, None)
    assert mine.content | {"confidence": 3} == source.content
    revision = mine.revisions.get()
    assert revision.action == "accept"
    assert revision.source == {
        "label": source.pk, "version": 1, "run": "synthetic", "k": 6, "affinity": "signed", "cluster": 2,
        "jaccard": 0.5, "n_shared": 6,
    }  # fmt: skip
    kept = LabelSuggestion.objects.get()
    assert (kept.decision, kept.jaccard, kept.n_shared, kept.source_version) == ("accepted", 0.5, 6, 1)


def test_members_that_do_not_fit_are_taken_over_only_where_they_are_members(run, ana, ben):
    flat = flat_indices(run)
    source = say(ben, cluster(run, 3, 0, "absolute"), misfits=(int(flat[3]),))
    far = say(ben, cluster(run, 3, 1, "absolute"), "other", misfits=(int(flat[18]), int(flat[25])))
    services.accept(ana, cluster(run, 3, 0), source.pk)
    services.accept(ana, cluster(run, 3, 1), far.pk)
    assert Label.objects.get(cluster=cluster(run, 3, 0), author=ana).misfits == [int(flat[3])]
    assert Label.objects.get(cluster=cluster(run, 3, 1), author=ana).misfits == [int(flat[25])]
    assert labels_of(run, "signed", 3)[18] == 0


def test_words_of_one_s_own_are_never_overwritten(run, ana, ben):
    source = say(ben, cluster(run, 6, 0), "theirs")
    here = cluster(run, 3, 0)
    say(ana, here, "my own words", submit=False)
    with pytest.raises(ConflictError):
        services.accept(ana, here, source.pk)
    assert Label.objects.get(cluster=here, author=ana).name == "my own words"
    assert not LabelSuggestion.objects.exists()


def test_a_label_that_changed_since_it_was_shown_is_not_taken(run, ana, ben):
    source = say(ben, cluster(run, 6, 0), "old words")
    save_label(ben, cluster(run, 6, 0), Content(name="new words"), version=1)
    with pytest.raises(ValidationError, match="changed since"):
        services.accept(ana, cluster(run, 3, 0), source.pk, version=1)
    assert not Label.objects.filter(author=ana).exists()


def test_what_was_dismissed_is_offered_to_others_alone(run, ana, ben):
    source = say(ben, cluster(run, 6, 0), "no")
    here = cluster(run, 3, 0)
    services.dismiss(ana, here, source.pk)
    services.dismiss(ana, here, source.pk)
    assert suggestions_for(ana, here) == []
    assert suggestions_of(ana, here.clustering) == []
    assert told(suggestions_for(person("dora", "labeler"), here)) == [("no", 0.5, 10)]
    assert LabelSuggestion.objects.get().decision == "dismissed"


@pytest.mark.parametrize("act", [services.accept, services.dismiss])
def test_only_labelers_decide(run, ben, act):
    source = say(ben, cluster(run, 6, 0))
    with pytest.raises(PermissionDenied):
        act(person("reader"), cluster(run, 3, 0), source.pk)


@pytest.mark.parametrize("number", [0, 10**40, "draft", "far"])
def test_what_is_no_suggestion_cannot_be_taken(run, ana, ben, number):
    say(ben, cluster(run, 6, 0), "draft", submit=False)
    say(ben, cluster(run, 6, 5), "far")
    key = Label.objects.get(name=number).pk if isinstance(number, str) else number
    with pytest.raises(Missing):
        services.accept(ana, cluster(run, 3, 0), key)


def test_one_cluster_s_suggestions_take_two_queries(run, ana, ben, django_assert_num_queries):
    here = cluster(run, 3, 0)
    ana.has_perm("clusters.add_label")
    for label in range(2):
        say(ben, cluster(run, 6, label), f"{label}")
        with django_assert_num_queries(2):
            assert len(suggestions_for(ana, here)) == label + 1

"""Collections: kept from panels and pages, seen by whom their owner lets, with comments."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from clusters.models import AuditEvent, Cluster, Collection, CollectionItem, Comment, Run
from clusters.services import collections as services
from tests.factories import make_run

pytestmark = pytest.mark.django_db
KEEP = "/collections/keep/"


@pytest.fixture
def run(tmp_path) -> Run:
    return make_run(tmp_path)


@pytest.fixture
def ana() -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def ben() -> User:
    return User.objects.create_user("ben")


@pytest.fixture
def collection(ana) -> Collection:
    return services.create_collection(ana, "skills")


def seen_by(user: User | None) -> Client:
    client = Client()
    if user:
        client.force_login(user)
    return client


def text(response) -> str:
    return response.content.decode()


def shown(user: User | None, collection: Collection) -> str:
    response = seen_by(user).get(collection.get_absolute_url())
    assert response.status_code == 200
    return text(response)


def test_one_is_made_changed_and_deleted(ana):
    client = seen_by(ana)
    made = client.post("/collections/", {"name": " Two  words ", "access": "link", "description": "a\nb"})
    found = Collection.objects.get()
    assert made["Location"] == found.get_absolute_url()
    assert (found.name, found.access) == ("Two words", "link")
    change = {"name": "other", "description": "", "access": "public", "version": found.version}
    assert client.post(f"{found.get_absolute_url()}change/", change).status_code == 302
    assert "for good" in text(client.get(f"{found.get_absolute_url()}delete/"))
    assert Collection.objects.exists()  # asking deletes nothing
    assert client.post(f"{found.get_absolute_url()}delete/").status_code == 302
    assert not Collection.objects.exists()
    actions = list(
        AuditEvent.objects.filter(action__startswith="collection").order_by("pk").values_list("action", flat=True)
    )
    assert actions == ["collection.create", "collection.change", "collection.delete"]


def test_two_who_change_it_at_once_lose_no_word(ana, collection):
    client, path = seen_by(ana), f"{collection.get_absolute_url()}change/"
    fields = {"description": "", "access": "private", "version": collection.version}
    assert client.post(path, fields | {"name": "first"}).status_code == 302
    late = client.post(path, fields | {"name": "second"})
    assert late.status_code == 422
    assert "changed meanwhile" in text(late)
    assert 'value="second"' in text(late)
    assert Collection.objects.get().name == "first"


@pytest.mark.parametrize("fields", [{"name": ""}, {"name": "x" * 121}, {"name": "a", "access": "odd"}])
def test_what_cannot_be_kept_is_said_beside_what_was_typed(ana, fields):
    response = seen_by(ana).post("/collections/", {"description": "typed already"} | fields)
    assert response.status_code == 422
    assert "typed already" in text(response)
    assert not Collection.objects.exists()


@pytest.mark.parametrize(
    ("access", "opened", "listed"), [("private", 404, False), ("link", 200, False), ("public", 200, True)]
)
def test_who_may_see_it(ana, ben, collection, access, opened, listed):
    services.change_collection(ana, collection, version=1, access=access)
    for user in (ben, None):
        for twin in ("/", ".json", ".csv"):
            path = collection.get_absolute_url().rstrip("/") + twin
            assert seen_by(user).get(path).status_code == opened
        assert ("skills" in text(seen_by(user).get("/collections/"))) is listed
    assert seen_by(ana).get(collection.get_absolute_url()).status_code == 200


@pytest.mark.parametrize("secret", ["a%00b", "a" * 44, "é"])
def test_what_is_no_address_of_one_is_not_there(client, db, secret):
    assert client.get(f"/collections/{secret}/").status_code == 404
    assert client.get(f"/api/v1/collections/{secret}/").status_code == 404


def test_only_its_owner_changes_it(ana, ben, run, collection):
    services.change_collection(ana, collection, version=1, access="public")
    item = services.keep_token(ana, collection, run, 3)
    path = collection.get_absolute_url()
    for way in ("change/", "delete/", f"items/{item.pk}/remove/", f"items/{item.pk}/note/"):
        assert seen_by(ben).post(path + way, {"name": "mine"}).status_code == 404
    assert seen_by(ben).post(KEEP, {"collection": collection.secret, "run": run.slug, "token": 4}).status_code == 404
    assert CollectionItem.objects.count() == 1


def test_a_cluster_is_kept_from_its_page_and_leaves_again(ana, run, collection):
    cluster, client = Cluster.objects.filter(clustering__k=6, clustering__affinity="signed").first(), seen_by(ana)
    page = f"/runs/synthetic/k/6/clusters/{cluster.label}/"
    assert "Keep in a collection" in text(client.get(page))
    for _ in range(2):  # the second changes nothing
        sent = client.post(KEEP, {"cluster": cluster.pk, "collection": collection.secret, "next": page})
        assert sent["Location"] == page
    assert [item.cluster for item in collection.items.all()] == [cluster]
    assert "remove from it" in text(client.get(page))
    assert f"Cluster {cluster.label}" in shown(ana, collection)
    client.post(KEEP, {"cluster": cluster.pk, "remove": collection.secret, "next": page})
    assert not collection.items.exists()


def test_a_token_is_kept_in_a_new_collection(ana, run):
    client = seen_by(ana)
    assert "Keep in a collection" in text(client.get("/runs/synthetic/tokens/5/"))
    client.post(KEEP, {"run": "synthetic", "token": "5", "new": "odd ones", "note": "look"})
    found = Collection.objects.get()
    assert "Token 5" in shown(ana, found)
    assert "look" in shown(ana, found)


def test_a_reader_who_is_not_signed_in_is_offered_nothing(run):
    page = text(Client().get("/runs/synthetic/tokens/5/"))
    assert "Keep in a collection" not in page
    assert "Keep this page" not in page


def test_a_page_is_kept_with_all_that_it_asks_for(ana, run, collection):
    client = seen_by(ana)
    page = text(client.get("/runs/synthetic/tokens/?class=polygenic"))
    assert "/collections/keep/?path=%2Fruns%2Fsynthetic%2Ftokens%2F%3Fclass%3Dpolygenic" in page
    asked = client.get(KEEP, {"path": "/runs/synthetic/tokens/?class=polygenic&tour=3"})
    assert "polygenic" in text(asked)
    sent = {"path": "/runs/synthetic/tokens/?class=polygenic&tour=3", "collection": collection.secret}
    assert client.post(KEEP, sent).status_code == 302
    assert collection.items.get().path == "/runs/synthetic/tokens/?class=polygenic"
    assert 'href="/runs/synthetic/tokens/?class=polygenic"' in shown(ana, collection)


@pytest.mark.parametrize(
    "path",
    ["//evil.example/runs/synthetic/", "https://evil.example/", "/collections/", "/runs/synthetic/manage/",
     "/runs/synthetic/tokens.json", "/runs/nobody/tokens/", "/runs/synthetic/exports/", "/runs/new/",
     "/runs/synthetic/tokens/?a=\n1", "\\runs\\synthetic", "/runs/synthetic/#x",
     "javascript:alert(1)", "/runs/" + "x" * 2000],
)  # fmt: skip
def test_what_is_no_page_of_a_run_is_not_kept(ana, run, collection, path):
    response = seen_by(ana).post(KEEP, {"path": path, "collection": collection.secret})
    assert response.status_code == 422
    assert not collection.items.exists()


def test_no_collection_is_made_for_what_cannot_be_kept(ana, run):
    assert seen_by(ana).post(KEEP, {"cluster": "999999", "new": "empty"}).status_code == 422
    assert not Collection.objects.exists()


def test_keeping_leads_to_no_other_site(ana, run, collection):
    sent = {"run": run.slug, "token": 5, "collection": collection.secret, "next": "//evil.example/"}
    assert seen_by(ana).post(KEEP, sent)["Location"] == "/collections/"


def test_items_of_runs_that_one_cannot_see_are_counted_and_not_named(ana, ben, tmp_path):
    hidden, public = make_run(tmp_path, name="secretive", owner=ana, private=True), make_run(tmp_path, seed=1)
    collection = services.create_collection(ana, "both", access="public")
    services.keep_token(ana, collection, hidden, 3)
    services.keep_filter(ana, collection, "/runs/secretive/search/?q=x")
    services.keep_token(ana, collection, public, 3)
    for user in (ben, None):
        page = shown(user, collection)
        assert "2 of runs that you cannot see" in page
        assert "secretive" not in page
        found = seen_by(user).get(collection.get_absolute_url().rstrip("/") + ".json").json()
        assert (found["n_items"], found["n_hidden"], len(found["items"])) == (1, 2, 1)
    assert "secretive" in shown(ana, collection)


def test_nobody_keeps_what_they_cannot_see(ben, ana, tmp_path):
    make_run(tmp_path, name="secretive", owner=ana, private=True)
    own = services.create_collection(ben, "mine")
    for what in ({"cluster": Cluster.objects.first().pk}, {"run": "secretive", "token": 1},
                 {"path": "/runs/secretive/tokens/"}):  # fmt: skip
        assert seen_by(ben).post(KEEP, what | {"collection": own.secret}).status_code == 422
    assert not own.items.exists()


def test_comments_are_plain_text_with_their_lines(ana, ben, collection):
    services.change_collection(ana, collection, version=1, access="link")
    path = f"{collection.get_absolute_url()}comments/"
    assert seen_by(ben).post(path, {"text": "one\n<b>two</b>"}).status_code == 302
    assert "one<br>&lt;b&gt;two&lt;/b&gt;" in shown(None, collection)
    assert seen_by(ben).post(path, {"text": "  "}).status_code == 422
    assert "sign-in" in seen_by(None).post(path, {"text": "x"})["Location"]


def test_nobody_comments_on_what_they_cannot_see(ben, collection):
    assert seen_by(ben).post(f"{collection.get_absolute_url()}comments/", {"text": "x"}).status_code == 404


@pytest.mark.parametrize(("who", "is_gone"), [("author", True), ("owner", True), ("other", False)])
def test_a_comment_is_deleted_by_its_author_or_the_owner(ana, ben, collection, who, is_gone):
    services.change_collection(ana, collection, version=1, access="link")
    comment = services.add_comment(ben, collection, "hm")
    user = {"author": ben, "owner": ana, "other": User.objects.create_user("carl")}[who]
    seen_by(user).post(f"{collection.get_absolute_url()}comments/{comment.pk}/delete/")
    assert Comment.objects.exists() is not is_gone


def test_a_collection_stays_where_a_bundle_cannot_be_read(ana, run, collection, tmp_path):
    services.keep_token(ana, collection, run, 3)
    Run.objects.update(bundle_path=str(tmp_path / "gone"))
    assert "Token 3" in shown(ana, collection)


def test_a_page_takes_few_queries_however_much_it_holds(ana, run, collection, django_assert_max_num_queries):
    for cluster in Cluster.objects.all():
        services.keep_cluster(ana, collection, cluster)
    for index in range(30):
        services.keep_token(ana, collection, run, index)
    client = seen_by(ana)
    with django_assert_max_num_queries(15):
        client.get(collection.get_absolute_url())


def test_more_items_than_a_page_holds_stand_on_the_next(ana, run, collection):
    for index in range(101):
        services.keep_token(ana, collection, run, index)
    assert "Token 100<" not in shown(ana, collection)
    assert "Token 100<" in text(seen_by(ana).get(collection.get_absolute_url(), {"page": "2"}))

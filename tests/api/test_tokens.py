"""Any prediction through the API: found as the page finds it, read with context, curves and scores."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from clusters.ingest import ingest
from clusters.stored.arrays import array_of, corpus_of, vocabulary_of
from compute.published import Told, build_bundle
from tests import factories
from tests.factories import KS, N_SELECTED, NETWORKS, STEPS, UserFactory, make_run, n_predictions
from tests.published_files import CONTEXTS, LABELS, write

pytestmark = pytest.mark.django_db
BASE = "/api/v1/runs/synthetic/"
NPY = {"Accept": "application/x-npy"}


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def get(client, path: str, *, status: int = 200, **headers: str) -> dict:
    response = client.get(path if path.startswith("/") else BASE + path, headers=headers)
    assert response.status_code == status, response.content[:500]
    assert response["Content-Type"].startswith("application/json")
    return response.json()


def npy(client, path: str) -> np.ndarray:
    response = client.get(BASE + path, headers=NPY)
    assert response.status_code == 200, response.content[:500]
    assert response["Content-Type"] == "application/x-npy"
    return np.load(io.BytesIO(response.content), allow_pickle=False)


def message(client, path: str, status: int) -> str:
    return get(client, path, status=status)["error"]["message"]


# ── finding ──


def test_all_predictions_are_counted_and_come_page_by_page(client, run):
    seen, address = [], f"{BASE}tokens/?limit=100&sort=index&fields=index"
    while address:
        page = get(client, address.removeprefix("http://testserver"))
        assert page["count"] == n_predictions()
        seen += [one["index"] for one in page["results"]]
        address = page["next"]
    assert seen == list(range(n_predictions()))


@pytest.mark.parametrize(
    "query",
    [
        "class=monogenic&class=flat&sort=loss",
        "m_min=-0.5&m_max=&s1_min=&sort=steps&answer=&whole=&plane=mn&token=7",
        "s2_min=0.5&s4_max=0.3&unit=bits&clustered=yes&band=0&band=0.1",
        "slope_max=−0.1&induced=no&kind=python&sort=index",
        "answer=AT&sort=amplitude",
        "lasso=mn.AAAAAA____AA&sort=monogenic",
    ],
)  # fmt: skip
def test_a_page_s_address_asks_the_api_for_the_same_tokens(client, run, query):
    ours = get(client, f"tokens/?{query}")
    page = get(client, f"/runs/synthetic/tokens.json?{query}")
    assert ours["count"] == page["n_found"] > 0
    assert [one["index"] for one in ours["results"]] == [one["index"] for one in page["tokens"]]


def test_the_page_s_own_cursor_and_the_api_s_lead_to_the_same_tokens(client, run):
    first = get(client, "tokens/?limit=20&sort=loss")
    second = get(client, first["next"].removeprefix("http://testserver"))
    cursor = first["next"].partition("cursor=")[2]
    assert get(client, f"tokens/?limit=20&sort=loss&after={cursor}")["results"] == second["results"]
    assert "leave one out" in message(client, f"tokens/?sort=loss&after={cursor}&cursor={cursor}", 400)


def test_every_number_of_a_found_token_is_the_bundle_s(client, run):
    page = get(client, "tokens/?class=polygenic&sort=index&limit=3")
    classes = array_of(run, "curves/class")
    assert page["count"] == int((classes == 2).sum())
    for one in page["results"]:
        index = one["index"]
        assert classes[index] == 2
        assert one["class"] == "polygenic"
        assert one["monogenicity"] == pytest.approx(float(array_of(run, "curves/monogenicity")[index]))
        assert one["losses_nats"] == pytest.approx(array_of(run, "curves/losses")[index].tolist())
        assert one["loss_nats"] == pytest.approx(one["losses_nats"][-1])
        assert (one["document"], one["position"]) == corpus_of(run).locate(index)
        assert one["is_clustered"] == (index in array_of(run, "selection/flat_index"))


def test_unknown_filters_are_refused_naming_those_that_there_are(client, run):
    said = message(client, "tokens/?user__password__startswith=a", 400)
    assert "user__password__startswith" in said
    assert "m_min" in said
    assert "s1, s2, s3, s4" in message(client, "tokens/?s9_min=1", 400)
    assert "s99_min" in message(client, "tokens/?s99_min=1", 400)


@pytest.mark.parametrize(
    "query",
    ["m_min=nan", "m_min=1e400", "answer_id=" + "9" * 40, "band=0.15", "class=x", "induced=maybe", "lasso=mn.AAAA",
     "cursor=!!", "cursor=" + "A" * 1999, "sort=nothing", "limit=101", "limit=0", "limit=" + "9" * 40,
     "answer=%00", "kind=nothing", "whole=no", "fields=index,password", "m_min=1&m_min=2"],
)  # fmt: skip
def test_impossible_questions_are_answered_400(client, run, query):
    assert message(client, f"tokens/?{query}", 400)


def test_rules_with_a_name_say_how_many_satisfy_them_and_where_these_are(client, run):
    rules = {rule["rule"]: rule for rule in get(client, "tokens/rules/")["results"]}
    assert {"monogenic", "polygenic", "step-1", "line", "inverse", "never"} <= set(rules)
    for rule in rules.values():
        assert get(client, rule["tokens"].removeprefix("http://testserver"))["count"] == rule["count"], rule
    losses = array_of(run, "curves/losses")
    assert rules["step-1"]["count"] == int(((losses[:, 0] > 5) & (losses[:, 1:] < 0.3).all(axis=1)).sum())


# ── one token ──


def test_a_clustered_token_has_place_answer_scores_curves_and_clusters(client, run):
    index = int(array_of(run, "selection/flat_index")[3])
    found = get(client, f"tokens/{index}/")
    assert (found["document"], found["position"]) == corpus_of(run).locate(index)
    assert found["is_clustered"]
    assert found["scores"]["n_eff"] == pytest.approx(float(array_of(run, "curves/n_eff")[index]))
    assert 0 <= found["percentiles"]["n_eff"] <= 1
    assert [size["lm"] for size in found["sizes"]] == [lm for lm, _ in NETWORKS]
    assert [size["loss_nats"] for size in found["sizes"]] == pytest.approx(
        array_of(run, "curves/losses")[index].tolist()
    )
    [steps] = found["steps"]
    assert steps["steps"] == list(STEPS)
    clusters = {(one["affinity"], one["k"]): one["label"] for one in found["clusters"]}
    assert clusters == {
        (a, k): int(array_of(run, f"clustering/{a}/k{k}")[3]) for a in ("signed", "absolute") for k in KS
    }


def test_fields_leave_out_the_rest(client, run):
    assert set(get(client, "tokens/7/?fields=answer,scores")) == {"answer", "scores"}
    assert "No such field: nothing" in message(client, "tokens/7/?fields=nothing", 400)


def test_a_token_that_is_not_there_is_404_with_those_that_are(client, run):
    last = n_predictions() - 1
    for number in (n_predictions(), 10**40):
        for part in ("", "context/", "curves/"):
            assert f"count from 0 to {last}" in message(client, f"tokens/{number}/{part}", 404)


def test_a_context_is_the_corpus_text_token_by_token(client, run):
    index = 3 * 29 + 20  # document 3, position 21
    found = get(client, f"tokens/{index}/context/?reach=5")
    corpus, vocabulary = corpus_of(run), vocabulary_of(run)
    ids = corpus.document_tokens(3)[16:22].tolist()
    assert [one["token_id"] for one in found["tokens"]] == ids
    assert found["text"] == b"".join(map(vocabulary.token_bytes, ids)).decode("utf-8", "replace")
    assert found["is_cut"]
    assert found["tokens"][-1]["index"] == index
    losses = array_of(run, "losses/syn-800k/step1000")
    assert [one["loss_nats"] for one in found["tokens"]] == pytest.approx(losses[index - 5 : index + 1].tolist())
    whole = get(client, f"tokens/{index}/context/")
    assert (whole["is_cut"], len(whole["tokens"])) == (False, 22)
    assert (whole["tokens"][0]["index"], whole["tokens"][0]["loss_nats"]) == (None, None)


def test_a_context_has_losses_under_any_checkpoint(client, run):
    found = get(client, "tokens/7/context/?reach=5&checkpoint=syn-10k/step1000")
    assert found["tokens"][-1]["loss_nats"] == pytest.approx(float(array_of(run, "losses/syn-10k/step1000")[7]))
    assert "no checkpoint 'nothing'" in message(client, "tokens/7/context/?checkpoint=nothing", 400)


# ── many tokens ──


def test_curves_of_many_tokens_are_one_array_in_the_order_asked_for(client, run):
    wanted = [9, 2, 5, 6, 7, 2]
    rows = npy(client, "curves/?index=9,2,5-7,2")
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, array_of(run, "curves/losses")[wanted])
    found = get(client, "curves/?index=9,2,5-7,2")
    assert (found["indices"], found["over"]) == (wanted, "sizes")
    assert found["x"] == [size for _, size in NETWORKS]
    np.testing.assert_allclose(found["losses_nats"], rows)


def test_curves_over_the_steps_of_a_network(client, run):
    rows = npy(client, "curves/?index=0-9&lm=syn-800k")
    np.testing.assert_array_equal(rows, array_of(run, "curves/steps/syn-800k")[:10].astype(np.float32))
    clustered = array_of(run, "selection/flat_index")[[5, 2, 2]]
    found = npy(client, f"curves/?index={','.join(map(str, clustered))}&lm=syn-800k")
    np.testing.assert_array_equal(found, array_of(run, "curves/steps/syn-800k")[clustered].astype(np.float32))
    assert get(client, "curves/?index=1&lm=syn-800k")["x"] == list(STEPS)
    assert "syn-800k" in message(client, "curves/?index=1&lm=syn-10k", 400)


def test_steps_are_read_from_columns_where_there_is_no_table(client, tmp_path, monkeypatch):
    views = factories._views

    def without_steps(*given):
        return {name: array for name, array in views(*given).items() if not name.startswith("curves/steps/")}

    monkeypatch.setattr(factories, "_views", without_steps)
    run = make_run(tmp_path)
    expected = np.stack([array_of(run, f"losses/syn-800k/step{step}")[:10] for step in STEPS], axis=1)
    np.testing.assert_array_equal(npy(client, "curves/?index=0-9&lm=syn-800k"), expected)


def test_one_token_s_curve_is_the_same_as_among_many(client, run):
    np.testing.assert_array_equal(npy(client, "tokens/11/curves/"), npy(client, "curves/?index=11")[0])
    assert get(client, "tokens/11/curves/")["index"] == 11


def test_scores_of_many_tokens(client, run):
    values = npy(client, "scores/?index=4,3")
    found = get(client, "scores/?index=4,3")
    assert found["names"][0] == "monogenicity"
    assert found["names"][-1] == "loss_nats"
    np.testing.assert_allclose(values[:, 0], array_of(run, "curves/monogenicity")[[4, 3]])
    np.testing.assert_allclose(np.array(found["values"]), values, rtol=1e-6)
    assert len(found["classes"]) == 2


@pytest.mark.parametrize("query", ["", "index=", "index=5-3", "index=1,", "index=a", "index=٣", "index=" + "9" * 40,
                                   f"index={n_predictions()}", "index=-1", "index=0-999999999999"])  # fmt: skip
@pytest.mark.parametrize("path", ["curves/", "scores/"])
def test_indices_that_name_nothing_are_refused(client, run, path, query):
    assert message(client, f"{path}?{query}", 400)


def test_no_more_than_a_thousand_tokens_at_once(client, run):
    assert "at most 1,000" in message(client, "curves/?index=" + ",".join(["0-99"] * 11), 400)
    assert npy(client, "curves/?index=" + ",".join(["0-99"] * 10)).shape == (1000, len(NETWORKS))


# ── documents ──


def test_a_document_token_by_token(client, run):
    found = get(client, "documents/3/")
    assert (found["n_tokens"], found["source"], found["kind"]) == (30, "lib/3.py", "python")
    assert [one["token_id"] for one in found["tokens"]] == corpus_of(run).document_tokens(3).tolist()
    losses = npy(client, "documents/3/")
    assert np.isnan(losses[0])
    np.testing.assert_array_equal(losses[1:], array_of(run, "losses/syn-800k/step1000")[87:116])
    assert found["mean_loss_nats"] == pytest.approx(float(losses[1:].mean()))


def test_the_difference_of_two_checkpoints_over_part_of_a_document(client, run):
    query = "documents/3/?checkpoint=syn-800k/step1000&against=syn-10k/step1000&first=4&n=6"
    own, other = (array_of(run, f"losses/{lm}/step1000")[90:96] for lm in ("syn-800k", "syn-10k"))
    np.testing.assert_allclose(npy(client, query), own - other, atol=1e-6)
    found = get(client, query)
    assert [one["position"] for one in found["tokens"]] == list(range(4, 10))
    assert [one["difference_nats"] for one in found["tokens"]] == pytest.approx((own - other).tolist(), abs=1e-6)


def test_a_document_that_is_not_there_is_404(client, run):
    assert "count from 0 to 11" in message(client, "documents/12/", 404)
    assert get(client, "documents/3/?first=99999")["tokens"] == []


# ── what a run came without, and who may see it ──


def test_a_run_without_curves_says_what_is_missing(client, tmp_path):
    make_run(tmp_path, curves=False, manifest={"sizes": []})
    assert "came without losses of its tokens" in message(client, "curves/?index=1", 404)
    assert "curves/losses" in message(client, "tokens/1/curves/", 404)
    found = get(client, "tokens/1/")
    assert found["sizes"] == []
    assert found["paper"] is None
    assert found["scores"]["class"] == "unknown"
    assert get(client, "tokens/?sort=index")["results"][0]["monogenicity"] is None
    assert get(client, "scores/?index=1")["names"] == ["loss_nats"]


@pytest.mark.parametrize("path", ["tokens/", "tokens/rules/", "tokens/7/", "tokens/7/context/", "tokens/7/curves/",
                                  "curves/?index=1", "scores/?index=1", "documents/3/"])  # fmt: skip
def test_a_private_run_s_tokens_are_its_owner_s(client, tmp_path, path):
    owner = UserFactory()
    make_run(tmp_path, owner=owner, private=True)
    assert "There is no run" in message(client, path, 404)
    client.force_login(owner)
    assert get(client, path)


@pytest.mark.parametrize("with_contexts", [False, True], ids=["labels alone", "with contexts"])
def test_published_clusters_without_losses_say_what_is_missing(client, tmp_path, with_contexts):
    labels = write(tmp_path / "labels.json", LABELS)
    contexts = write(tmp_path / "contexts.json", CONTEXTS) if with_contexts else None
    run = ingest(build_bundle(labels, contexts, tmp_path / "bundles", told=Told(name="synthetic")))
    index = int(array_of(run, "selection/flat_index")[0])
    places = [f"tokens/{index}/curves/", f"curves/?index={index}", f"scores/?index={index}", "losses/histograms/",
              f"similarity/pairs/?a={index}&b={index}", "similarity/block/?rows=0-1&by=place"]  # fmt: skip
    texts = ["tokens/", "tokens/rules/", f"tokens/{index}/", f"tokens/{index}/context/", "documents/0/"]
    for place in places + ([] if with_contexts else texts):
        assert "came without" in message(client, place, 404), place
    if with_contexts:
        found = get(client, f"tokens/{index}/context/")
        assert found["tokens"][-1]["index"] == index
        assert found["tokens"][-1]["loss_nats"] is None
        assert get(client, f"tokens/{index}/")["clusters"]
        assert get(client, "tokens/?clustered=yes")["count"] == run.n_tokens
        assert get(client, "documents/0/")["mean_loss_nats"] is None


def test_numbers_cost_few_queries_however_many_there_are(client, run, django_assert_max_num_queries):
    for path, most in (("tokens/?limit=100", 3), ("curves/?index=0-299", 3), ("tokens/7/", 5), ("documents/3/", 3)):
        get(client, path)
        with django_assert_max_num_queries(most):
            get(client, path)


def test_nothing_in_an_answer_is_no_number(client, tmp_path):
    scores = np.full(n_predictions(), np.nan, np.float32)
    make_run(tmp_path, arrays={"curves/monogenicity": scores})
    text = client.get(f"{BASE}tokens/?sort=index").content.decode()
    json.loads(text, parse_constant=pytest.fail)
    assert json.loads(text)["results"][0]["monogenicity"] is None
    assert len(array_of_selected(client)) == N_SELECTED


def array_of_selected(client) -> list[int]:
    return [one["index"] for one in get(client, "tokens/?clustered=yes&sort=index&limit=100")["results"]]

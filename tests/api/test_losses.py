"""Histograms, mean losses and scaling laws through the API: those of the bundle, and of the page that shows them."""

from __future__ import annotations

import io

import numpy as np
import pytest

from clusters.queries.losses import distributions, finals
from clusters.stored.arrays import array_of
from tests.factories import NETWORKS, STEPS, UserFactory, make_run, n_predictions

pytestmark = pytest.mark.django_db
BASE = "/api/v1/runs/synthetic/"
NPY = {"Accept": "application/x-npy"}
BITS = np.log(2)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def get(client, path: str, *, status: int = 200) -> dict:
    response = client.get(BASE + path)
    assert response.status_code == status, response.content[:500]
    return response.json()


def npy(client, path: str) -> np.ndarray:
    response = client.get(BASE + path, headers=NPY)
    assert response.status_code == 200, response.content[:500]
    return np.load(io.BytesIO(response.content), allow_pickle=False)


def message(client, path: str, status: int) -> str:
    return get(client, path, status=status)["error"]["message"]


def losses(run, lm: str, step: int = STEPS[-1]) -> np.ndarray:
    return np.asarray(array_of(run, f"losses/{lm}/step{step}"))


# ── mean losses ──


def test_every_checkpoint_has_its_mean_loss_by_size_and_step(client, run):
    found = get(client, "losses/")["results"]
    assert len(found) == len(NETWORKS) + len(STEPS) - 1
    for one in found:
        own = losses(run, one["lm"], one["step"])
        assert one["mean_loss_nats"] == pytest.approx(float(own.mean(dtype=np.float64)))
        assert one["fraction_below_threshold"] == pytest.approx(float((own < 0.1).mean()), abs=1e-6)
    assert found == sorted(found, key=lambda one: (one["n_non_embedding"], one["step"]))


def test_checkpoints_come_page_by_page_and_by_network(client, run):
    first = get(client, "losses/?limit=4")
    second = client.get(first["next"]).json()
    assert second["next"] is None
    assert len(first["results"] + second["results"]) == len(get(client, "losses/?limit=100")["results"])
    assert {one["lm"] for one in get(client, "losses/?final=true")["results"]} == {lm for lm, _ in NETWORKS}
    assert [one["step"] for one in get(client, "losses/?lm=syn-800k&final=false")["results"]] == list(STEPS[:-1])
    assert "syn-10k" in message(client, "losses/?lm=gpt", 400)


def test_what_lies_near_zero_and_out_of_range_is_counted(client, run):
    one = get(client, "losses/?lm=syn-10k")["results"][0]
    own = losses(run, "syn-10k")
    inside = own <= 18 * BITS
    assert one["n_out_of_range"] == int((~inside).sum())
    assert one["fraction_near_zero"] == pytest.approx(float((own < 0.018 * BITS).sum() / inside.sum()))
    assert one["peak"]["low"] <= one["peak"]["at"] <= one["peak"]["high"]


# ── histograms ──


def test_counts_by_size_are_those_of_the_losses_in_the_paper_s_bins(client, run):
    counts = npy(client, "losses/histograms/")
    found = get(client, "losses/histograms/")
    edges = np.array(found["edges_nats"])
    assert counts.shape == (len(NETWORKS), 1000)
    assert edges[-1] == pytest.approx(18 * BITS)
    np.testing.assert_array_equal(found["histograms"], counts)
    for row, one, (lm, _) in zip(counts, found["checkpoints"], NETWORKS, strict=True):
        assert one["lm"] == lm
        np.testing.assert_array_equal(row, np.histogram(losses(run, lm).astype(np.float64), edges)[0])
        assert (row.sum(), one["n_out_of_range"]) == (one["n_inside"], n_predictions() - one["n_inside"])


def test_densities_integrate_to_one_and_the_integrand_to_the_mean_of_what_is_inside(client, run):
    edges = np.array(get(client, "losses/histograms/?values=density&bins=40")["edges_nats"])
    density = npy(client, "losses/histograms/?values=density&bins=40")
    np.testing.assert_allclose((density * np.diff(edges)).sum(axis=1), 1)
    fine = np.array(get(client, "losses/histograms/?values=integrand&fields=edges_nats")["edges_nats"])
    integrand = npy(client, "losses/histograms/?values=integrand")
    means = (integrand * np.diff(fine)).sum(axis=1)
    expected = [losses(run, lm)[losses(run, lm) < fine[-1]].mean() for lm, _ in NETWORKS]
    np.testing.assert_allclose(means, expected, atol=0.01)


def test_a_number_of_bins_is_kept_to(client, run):
    found = get(client, "losses/histograms/?bins=7")
    assert len(found["edges_nats"]) - 1 <= 7
    assert len(found["histograms"][0]) == len(found["edges_nats"]) - 1
    widths = np.diff(found["edges_nats"])
    np.testing.assert_allclose(widths[:-1], widths[0])


def test_histograms_over_the_steps_of_a_network(client, run):
    counts = npy(client, "losses/histograms/?over=steps&bins=30")
    found = get(client, "losses/histograms/?over=steps&bins=30")
    assert [one["step"] for one in found["checkpoints"]] == list(STEPS)
    edges = np.array(found["edges_nats"])
    for row, step in zip(counts, STEPS, strict=True):
        np.testing.assert_array_equal(row, np.histogram(losses(run, "syn-800k", step).astype(np.float64), edges)[0])
    some = get(client, "losses/histograms/?over=steps&bins=30&step=1000,0")
    assert [one["step"] for one in some["checkpoints"]] == [1000, 0]
    np.testing.assert_array_equal(some["histograms"], counts[[2, 0]])


def test_the_api_s_bins_are_the_page_s(client, run):
    page = client.get("/runs/synthetic/losses.json").json()["bins"]
    for values, name in (("density", "p(L) by size"), ("integrand", "L p(L)")):
        edges = get(client, f"losses/histograms/?values={values}&fields=edges_nats")["edges_nats"]
        assert (len(edges) - 1, edges[-1]) == (page[name]["n"], pytest.approx(page[name]["last_nats"]))


@pytest.mark.parametrize("query", ["over=steps&lm=syn-10k", "over=steps&step=7", "step=0", "lm=syn-800k", "bins=0",
                                   "bins=3001", "bins=-1", "bins=many", "values=log", "over=k", "step=" + "9" * 40,
                                   "over=steps&step=" + "9" * 18, "user__password=1"])  # fmt: skip
def test_impossible_questions_are_answered_400(client, run, query):
    assert message(client, f"losses/histograms/?{query}", 400)


def test_many_numbers_travel_as_arrays_only(client, run, monkeypatch):
    monkeypatch.setattr("clusters.api.losses.MAX_JSON", 100)
    assert "Accept: application/x-npy" in message(client, "losses/histograms/", 400)
    assert get(client, "losses/histograms/?fields=checkpoints,edges_nats")
    assert npy(client, "losses/histograms/").shape == (len(NETWORKS), 1000)


# ── laws ──


def test_the_power_law_over_parameters_goes_through_the_final_mean_losses(client, run):
    found = get(client, "scaling/")["over_parameters"]
    points = sorted((one.n_non_embedding, one.mean_nats) for one in finals(distributions(run)))
    np.testing.assert_allclose([(one["x"], one["mean_loss_nats"]) for one in found["points"]], points)
    [law] = [law for law in found["laws"] if law["name"] == "power"]
    x, y = np.log(np.array(points)).T
    assert law["parameters"]["c0"] == pytest.approx(-np.polyfit(x, y, 1)[0], rel=1e-3)
    low, high = law["intervals"]["c0"]
    assert low < law["parameters"]["c0"] < high
    exponents = [law["parameters"]["c0"], low, high]
    value, upper, lower = [4 / one if one > 0 else None for one in exponents]
    manifold = found["manifold_dimension"]
    assert manifold["value"] == pytest.approx(value)
    assert manifold["low"] == pytest.approx(lower)
    assert manifold["high"] == (pytest.approx(upper) if upper else None)


def test_a_window_decides_which_points_are_fitted(client, run):
    found = get(client, "scaling/?smallest=40000")["over_parameters"]
    assert [one["is_fitted"] for one in found["points"]] == [False, True, True, True]
    assert "1 points; a law needs 3" in message(client, "scaling/?smallest=800000", 400)
    assert "networks measured at several steps: syn-800k" in message(client, "scaling/?lm=syn-10k", 400)


def test_laws_over_steps_need_three_of_them(client, run):
    found = get(client, "scaling/?lm=syn-800k")
    assert found["over_steps"] is None  # the made-up run has two steps after 0
    assert [(one["lm"], one["first"], one["last"]) for one in found["networks"]] == [("syn-800k", 1000, 1000)]
    assert "a law needs 3" in message(client, "scaling/?first=32&last=1000", 400)


def test_an_answer_that_the_client_holds_is_not_sent_again(client, run):
    first = client.get(f"{BASE}losses/histograms/")
    assert client.get(f"{BASE}losses/histograms/", headers={"If-None-Match": first["ETag"]}).status_code == 304
    assert client.get(f"{BASE}losses/histograms/?bins=4", headers={"If-None-Match": first["ETag"]}).status_code == 200


# ── what a run came without, and who may see it ──


@pytest.mark.parametrize("path", ["losses/", "losses/histograms/", "scaling/"])
def test_a_run_without_losses_says_so(client, run, path):
    run.run_checkpoints.all().delete()
    assert "came without losses" in message(client, path, 404)


@pytest.mark.parametrize("path", ["losses/", "losses/histograms/", "scaling/"])
def test_a_private_run_s_losses_are_its_owner_s(client, tmp_path, path):
    owner = UserFactory()
    make_run(tmp_path, owner=owner, private=True)
    assert "There is no run" in message(client, path, 404)
    client.force_login(owner)
    assert get(client, path)

"""Any token of the corpus has a page."""

from __future__ import annotations

import csv
import inspect
import json

import numpy as np
import pytest

from clusters.charts.token import (
    LEAST_BITS,
    MONOGENIC_ABOVE,
    MONOGENIC_STEPS,
    POLYGENIC_BELOW,
    POLYGENIC_STEPS,
    class_sentence,
    score_rows,
)
from clusters.queries.tokens import percentiles_of
from clusters.values.readings import Scores
from compute.numerics.curves import classify
from tests.factories import make_run, n_predictions

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def token(run):
    return run.tokens.order_by("row")[5]


@pytest.fixture
def unclustered(run) -> int:
    taken = set(run.tokens.values_list("flat_index", flat=True))
    return next(i for i in range(n_predictions()) if i not in taken)


def page(client, path: str, status: int = 200, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode()


def test_a_clustered_token_names_its_cluster_at_every_k_and_affinity(client, token):
    html = page(client, f"/runs/synthetic/tokens/{token.flat_index}/")
    for membership in token.memberships.select_related("cluster__clustering"):
        cluster, clustering = membership.cluster, membership.cluster.clustering
        tail = "?affinity=absolute" if clustering.affinity == "absolute" else ""
        assert f"/runs/synthetic/k/{clustering.k}/clusters/{cluster.label}/{tail}" in html


def test_a_token_that_was_not_clustered_has_a_page_that_says_why(client, unclustered):
    html = page(client, f"/runs/synthetic/tokens/{unclustered}/")
    assert "This token was not clustered" in html


def test_first_and_last_token_of_the_corpus_have_pages(client, run):
    page(client, "/runs/synthetic/tokens/0/")
    page(client, f"/runs/synthetic/tokens/{n_predictions() - 1}/")


def test_scores_come_with_what_they_mean(client, token):
    html = page(client, f"/runs/synthetic/tokens/{token.flat_index}/")
    for name in ("M", "effective steps", "bits lost", "linearity", "breakthroughness"):
        assert f'<th scope="row">{name}<span class="note">' in html


def test_curves_over_parameters_and_steps_are_drawn(client, token):
    html = page(client, f"/runs/synthetic/tokens/{token.flat_index}/")
    assert 'id="fig-loss-over-parameters"' in html
    assert 'id="fig-loss-over-steps"' in html


def test_the_neighbours_in_the_document_are_linked(client, run):
    html = page(client, "/runs/synthetic/tokens/1/")
    assert 'rel="prev" href="/runs/synthetic/tokens/0/"' in html
    assert 'rel="next" href="/runs/synthetic/tokens/2/"' in html


def test_the_last_token_of_a_document_has_no_next(client, run):
    assert 'data-key="ArrowRight"' not in page(client, "/runs/synthetic/tokens/28/")
    assert 'data-key="ArrowLeft"' not in page(client, "/runs/synthetic/tokens/29/")


def test_keys_lead_to_the_clustered_tokens_before_and_after(client, run):
    before, here, after = run.tokens.order_by("row").values_list("flat_index", flat=True)[4:7]
    html = page(client, f"/runs/synthetic/tokens/{here}/")
    assert f'href="/runs/synthetic/tokens/{before}/" data-key="["' in html
    assert f'href="/runs/synthetic/tokens/{after}/" data-key="]"' in html


def test_keys_lead_to_the_next_token_of_the_same_class_in_the_document(client, tmp_path):
    classes = np.zeros(n_predictions(), np.uint8)
    classes[[3, 7, 20]] = 1
    make_run(tmp_path, arrays={"curves/class": classes})
    html = page(client, "/runs/synthetic/tokens/7/")
    assert 'href="/runs/synthetic/tokens/3/" data-key=","' in html
    assert 'href="/runs/synthetic/tokens/20/" data-key="."' in html
    assert 'data-key="."' not in page(client, "/runs/synthetic/tokens/20/")


@pytest.mark.parametrize("index", ["348", "-1", "abc", "1" * 41, "%00", "0x1", "1.0"])
def test_an_unknown_token_is_answered_with_those_there_are(client, run, index):
    assert "count from 0 to 347" in page(client, f"/runs/synthetic/tokens/{index}/", 404)


def test_a_bundle_without_scores_still_has_token_pages(client, tmp_path):
    run = make_run(tmp_path, curves=False)
    html = page(client, f"/runs/{run.slug}/tokens/3/")
    assert "unknown" in html


def test_the_json_holds_scores_and_clusters(client, token):
    facts = json.loads(page(client, f"/runs/synthetic/tokens/{token.flat_index}.json"))
    assert facts["index"] == token.flat_index
    assert len(facts["clusters"]) == 4
    assert facts["loss_nats"] == pytest.approx(token.loss_nats)


def test_reads_do_not_depend_on_the_token(client, token, django_assert_max_num_queries):
    with django_assert_max_num_queries(6):
        page(client, f"/runs/synthetic/tokens/{token.flat_index}/")


def with_curve(tmp_path, index: int, curve: list[float], **scores: float):
    """A run whose token at an index has this curve in nats over the four sizes."""
    losses = np.random.default_rng(0).gamma(2, 1, (n_predictions(), 4)).astype(np.float32)
    losses[index] = curve
    arrays = {"curves/losses": losses}
    for name, value in scores.items():
        arrays[f"curves/{name}"] = np.where(np.arange(n_predictions()) == index, value, 0).astype(np.float32)
    return make_run(tmp_path, arrays=arrays)


def test_the_papers_monogenic_rule_names_the_sizes(client, tmp_path):
    with_curve(tmp_path, 3, [6.0, 7.0, 0.2, 0.1])
    html = page(client, "/runs/synthetic/tokens/3/")
    assert "it is monogenic at size 2" in html
    assert "40 k and 200 k parameters" in html


def test_the_papers_polygenic_rule_states_the_line(client, tmp_path):
    sizes = np.log([10_000, 40_000, 200_000, 800_000])
    with_curve(tmp_path, 3, (8.0 - 0.5 * (sizes - sizes[0])).tolist())
    assert "it is polygenic: slope −0.50 nats per e-fold, R² 1.000" in page(client, "/runs/synthetic/tokens/3/")


def test_a_curve_outside_the_papers_rules_is_said_to_be_neither(client, tmp_path):
    with_curve(tmp_path, 3, [3.0, 1.0, 3.0, 1.0])
    assert "By the paper’s rules it is neither" in page(client, "/runs/synthetic/tokens/3/")


def test_a_score_says_where_it_stands_among_all(client, tmp_path):
    with_curve(tmp_path, 3, [6.0, 7.0, 0.2, 0.1], monogenicity=0.9)
    assert "above all others" in page(client, "/runs/synthetic/tokens/3/")
    assert json.loads(page(client, "/runs/synthetic/tokens/3.json"))["scores"]["monogenicity"] == pytest.approx(0.9)


def test_quantiles_give_the_share_of_lower_values(tmp_path):
    ramp = np.arange(n_predictions(), dtype=np.float32)
    run = make_run(tmp_path, arrays={"curves/n_eff": ramp})
    shares = [percentiles_of(run, i)["n_eff"] for i in (0, 174, 347)]
    assert shares == pytest.approx([0, 0.5, 1], abs=0.005)


def test_the_class_is_given_with_the_thresholds_that_decide_it():
    defaults = {name: p.default for name, p in inspect.signature(classify).parameters.items() if name != "scores"}
    assert list(defaults.values()) == [LEAST_BITS, MONOGENIC_ABOVE, MONOGENIC_STEPS, POLYGENIC_BELOW, POLYGENIC_STEPS]
    scores = Scores(0.91, 1.5, 9.4, 2.7, 10.5, "monogenic")
    assert class_sentence(scores) == "M 0.91 lies above 0.5, and 1.5 effective steps below 2."


@pytest.mark.parametrize(("bits", "text"), [(0.04, "0.04"), (0.98, "0.98"), (0.998, "0.9980")])
def test_a_flat_curve_s_loss_reads_as_less_than_a_bit(bits, text):
    flat = Scores(-0.9, 4.0, bits, 2.7, 10.5, "flat")
    assert class_sentence(flat) == f"The best step loses {text} bits, less than 1."


def test_without_a_falling_split_no_line_is_said_to_fit_better():
    def of_m(bits: float) -> str:
        return score_rows(Scores(-1.0, 0.0, bits, 0.0, 0.0, "flat"))[0]["said"]

    assert of_m(0.0) == "No split of the sizes has a lower loss after it, so M is −1."
    assert of_m(3.0) == "A line fits far better than a step."


def two_with_steps() -> dict:
    """Parts of a bundle in which two networks have checkpoints at steps 0 and 32."""
    rng = np.random.default_rng(0)
    entries, arrays = [], {}
    for lm, size in (("syn-200k", 200_000), ("syn-800k", 800_000)):
        for step in (0, 32, 1000):
            column = f"losses/{lm}/step{step}"
            arrays[column] = rng.gamma(1.5, 2, n_predictions()).astype(np.float32)
            entries.append({"suite": "synthetic", "lm": lm, "revision": f"step{step}", "step": step, "column": column,
                            "weights_sha256": f"{size + step:064x}", "n_non_embedding": size, "n_parameters": size,
                            "is_final": step == 1000, "mean_loss_nats": 3.0})  # fmt: skip
    arrays["curves/losses"] = np.stack([arrays["losses/syn-200k/step1000"], arrays["losses/syn-800k/step1000"]], 1)
    arrays["curves/steps/syn-800k"] = np.stack([arrays[f"losses/syn-800k/step{s}"] for s in (0, 32, 1000)], 1)
    arrays["losses/histogram"] = np.zeros((6, 20), np.int64)
    arrays["losses/histogram_edges"] = np.linspace(0, 20, 21)
    sizes = [{"lm": lm, "revision": "step1000", "n_non_embedding": n}
             for lm, n in (("syn-200k", 200_000), ("syn-800k", 800_000))]  # fmt: skip
    return {"arrays": arrays, "manifest": {"checkpoints": entries, "sizes": sizes}}


def test_the_curve_over_sizes_can_be_drawn_at_an_earlier_step(client, tmp_path):
    parts = two_with_steps()
    make_run(tmp_path, **parts)
    html = page(client, "/runs/synthetic/tokens/3/", step="32")
    assert "2 of 2 networks have a checkpoint at step 32" in html
    rows = page_rows(client, "/runs/synthetic/tokens/3.csv", step="32", figure="loss-over-parameters")
    early = [float(row[2]) for row in rows if row[0] == "step 32"]
    columns = [parts["arrays"][f"losses/{lm}/step32"][3] for lm in ("syn-200k", "syn-800k")]
    assert early == pytest.approx(columns, rel=1e-6)


def page_rows(client, path: str, **query: str) -> list[list[str]]:
    response = client.get(path, query)
    assert response.status_code == 200
    return list(csv.reader(response.getvalue().decode().splitlines()))


def test_a_step_that_no_two_networks_share_is_refused_with_those_that_they_do(client, tmp_path):
    make_run(tmp_path, **two_with_steps())
    assert "several networks have a checkpoint at 0, 32, 1000" in page(
        client, "/runs/synthetic/tokens/3/", 400, step="33"
    )


def test_moving_the_slider_brings_the_curves_alone(client, token):
    path = f"/runs/synthetic/tokens/{token.flat_index}/"
    part = client.get(path, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<section id="learning"')
    assert "<html" in client.get(
        path, headers={"HX-Request": "true", "HX-History-Restore-Request": "true"}
    ).content.decode()  # fmt: skip


def test_the_csv_holds_every_known_loss(client, token):
    head, *rows = page_rows(client, f"/runs/synthetic/tokens/{token.flat_index}.csv")
    assert head == ["lm", "n_non_embedding", "step", "loss_nats"]
    assert sorted((row[0], row[2]) for row in rows) == sorted(
        [("syn-800k", step) for step in ("0", "32", "1000")] + [(f"syn-{n}k", "1000") for n in (10, 40, 200)]
    )


def test_bits_are_nats_over_the_logarithm_of_two(client, run):
    nats, bits = (
        page_rows(client, "/runs/synthetic/tokens/3.csv", figure="loss-over-parameters", unit=unit)[1:]
        for unit in ("nats", "bits")
    )
    assert [float(row[2]) * np.log(2) for row in bits] == pytest.approx([float(row[2]) for row in nats])


def test_the_ladder_leads_to_the_cluster_at_every_k(client, token):
    path = f"/runs/synthetic/tokens/{token.flat_index}"
    table, figure = page(client, f"{path}/"), page(client, f"{path}.html", figure="ladder")
    assert 'id="fig-ladder"' in figure
    for membership in token.memberships.select_related("cluster__clustering"):
        cluster = membership.cluster
        address = f"/runs/synthetic/k/{cluster.clustering.k}/clusters/{cluster.label}/"
        assert address in table
        assert address in figure


def test_a_token_that_was_not_clustered_has_no_ladder(client, unclustered):
    page(client, f"/runs/synthetic/tokens/{unclustered}.html", 404, figure="ladder")


@pytest.mark.parametrize("figure", ["loss-over-parameters", "loss-over-steps", "ladder", "context"])
def test_every_figure_can_be_framed_elsewhere(client, token, figure):
    response = client.get(f"/runs/synthetic/tokens/{token.flat_index}/", {"embed": "true", "figure": figure})
    assert response.status_code == 200
    assert "X-Frame-Options" not in response
    assert not response.cookies


def test_a_bundle_without_text_keeps_the_numbers_of_a_token(client, run, monkeypatch):
    monkeypatch.setattr("clusters.views.tokens.has_text", lambda run: False)
    html = page(client, "/runs/synthetic/tokens/3/")
    assert "The text is not here" in html
    assert 'id="fig-loss-over-parameters"' in html


def test_a_bundle_without_losses_keeps_the_context(client, run, monkeypatch):
    monkeypatch.setattr("clusters.queries.tokens.size_curve", lambda run, index: None)
    html = page(client, "/runs/synthetic/tokens/3/")
    assert "No losses are here" in html
    assert 'class="ctx"' in html

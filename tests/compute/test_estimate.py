"""What a run is said to cost: against costs counted by hand, and how they move with the settings."""

from __future__ import annotations

import dataclasses

import pytest

from compute.config import PAPER_KS, CorpusConfig, RunConfig, SelectionConfig, SimilarityConfig
from compute.estimate import Estimate, Shape, estimate, gradient_flops, losses_flops, with_auto_mode
from compute.registry import SUITES, hub_suite, suite_config
from compute.suites import changed, demo_config

PREDICTIONS = 10_658_635  # of the Pile's first 20,000 test documents


def paper(**changes: object) -> RunConfig:
    suite = suite_config("pythia-v0")
    base = RunConfig(
        name="paper",
        suite=suite,
        clustered="pythia-70m-v0/step143000",
        corpus=CorpusConfig(source="pile.jsonl.zst", max_length=1024, max_documents=20_000),
        selection=SelectionConfig(n_tokens=10_000, stride=50),
    )
    return changed(base, ks=PAPER_KS, **changes)


def of(name: str) -> Shape:
    size = next(size for size in SUITES["pythia"].sizes if size.lm == name)
    return Shape(size.n_non_embedding, size.n_unembedding, size.n_parameters, size.n_layers, size.d_model)


def seconds(cost: Estimate, phase: str) -> float:
    return next((one.seconds for one in cost.phases if one.name == phase), 0.0)


@pytest.mark.parametrize(
    ("name", "flops"),
    [("pythia-70m", 9.5e14), ("pythia-160m", 2.6e15), ("pythia-1b", 1.9e16), ("pythia-12b", 2.47e17)],
)
def test_losses_cost_two_operations_for_each_weight_and_prediction_and_a_little_attention(name, flops):
    assert losses_flops(of(name), PREDICTIONS, 0) == pytest.approx(flops, rel=0.03)
    assert 1 < losses_flops(of(name), PREDICTIONS, 1024) / losses_flops(of(name), PREDICTIONS, 0) < 1.06


def test_the_papers_ten_thousand_gradients_take_four_and_a_half_hundred_teraflop():
    assert 10_000 * gradient_flops(of("pythia-70m"), 400) == pytest.approx(4.5e14, rel=0.02)


def test_a_gpu_is_faster_than_a_cpu():
    assert estimate(paper(), device="cuda").seconds < estimate(paper(), n_cores=2).seconds / 50


def test_all_downloads_are_counted():
    assert estimate(paper()).download_bytes == pytest.approx(2 * 24.543e9, rel=1e-3)
    assert estimate(demo_config()).download_bytes == 0


def test_the_demo_takes_minutes_on_two_cores():
    cost = estimate(demo_config(), n_cores=2)
    assert 60 < cost.seconds < 3600
    assert cost.unknown == ()


def test_exact_rows_fill_the_disk_and_sketches_do_not():
    exact, sketch = estimate(paper(mode="exact")), estimate(paper(mode="sketch"))
    assert exact.disk_bytes - sketch.disk_bytes > 300e9
    assert estimate(paper(mode="exact", block_tokens=2500)).disk_bytes < sketch.disk_bytes


def test_blocks_are_computed_again_for_those_before_them():
    once, four = estimate(paper(mode="exact")), estimate(paper(mode="exact", block_tokens=2500))
    assert seconds(four, "gradients") == pytest.approx(2.5 * seconds(once, "gradients"))


def test_cost_grows_with_what_is_asked_for():
    less, more = estimate(paper(n_tokens=5000)), estimate(paper())
    for phase in ("gradients", "similarity", "clustering"):
        assert seconds(more, phase) > seconds(less, phase)
    assert estimate(demo_config(n_tokens=9000)).memory_bytes > estimate(demo_config()).memory_bytes


def test_a_corpus_without_a_count_is_said_to_be_unknown():
    cost = estimate(changed(paper(), max_documents=None))
    assert any("Nobody has counted" in sentence for sentence in cost.unknown)
    assert not any("Nobody" in s for s in estimate(changed(paper(), max_documents=None), n_documents=500).unknown)


def test_a_network_of_unknown_size_is_named():
    suite = hub_suite(["someone/nameless", "someone/thing-410m"])
    config = dataclasses.replace(paper(), suite=suite, clustered="thing-410m/main")
    unknown = " ".join(estimate(config).unknown)
    assert "someone/nameless@main: its size is not known" in unknown
    assert "someone/thing-410m@main: taken for a network of 0.41 billion" in unknown


def test_auto_takes_the_exact_comparison_where_it_fits():
    config, why = with_auto_mode(demo_config(), free_bytes=1e12)
    assert config.similarity.mode == "exact"
    assert why.startswith("Exact")


def test_auto_takes_sketches_where_time_or_disk_do_not_suffice():
    config, why = with_auto_mode(paper(), hours=2, free_bytes=1e15)
    assert config.similarity.mode == "sketch"
    assert "hours" in why
    config, why = with_auto_mode(demo_config(), free_bytes=1e6)
    assert config.similarity.mode == "sketch"
    assert "GB are free" in why


def test_refining_costs_more_than_one_further_pass_where_memory_holds_few_gradients():
    seconds = {
        refine: next(
            phase.seconds
            for phase in estimate(changed(paper(), mode="sketch", refine=refine)).phases
            if phase.name == "gradients"
        )
        for refine in (0, 5, 1000)
    }
    assert seconds[5] / seconds[0] == pytest.approx(2 + 2 * 5)  # once, once held, once for each neighbour of two kinds
    assert seconds[1000] / seconds[0] == pytest.approx(2 + (193 + 1) / 2, rel=0.02)  # 52 gradients of 10,000 in memory


def test_auto_keeps_the_other_settings():
    base = changed(paper(), mode="sketch", sketch_size=4096, refine=10)
    config, _ = with_auto_mode(base, hours=1e-6)
    assert config == dataclasses.replace(base, similarity=SimilarityConfig(mode="sketch", sketch_size=4096, refine=10))


def test_auto_takes_sketches_where_the_cost_is_not_known():
    suite = hub_suite(["someone/thing"])
    base = dataclasses.replace(paper(), suite=suite, clustered=suite.checkpoints[0].key)
    config, why = with_auto_mode(base, free_bytes=1e15)
    assert config.similarity.mode == "sketch"
    assert "not known yet" in why


def test_auto_keeps_blocks_in_a_gpu_s_memory_where_the_disk_is_too_small():
    config, why = with_auto_mode(paper(), free_bytes=50e9, device="cuda")
    assert config.similarity.mode == "exact"
    assert config.similarity.block_tokens == int(48e9 / (2 * 18_915_328))
    assert "blocks of 1,268 tokens in memory" in why
    assert with_auto_mode(paper(), free_bytes=1e12, device="cuda")[0].similarity.block_tokens is None


def test_maps_cost_seconds_on_the_demo_and_nothing_where_they_are_left_out():
    assert 15 < seconds(estimate(demo_config()), "map") < 60
    assert seconds(estimate(dataclasses.replace(demo_config(), map=None)), "map") == 0

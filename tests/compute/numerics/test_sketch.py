"""Sketches: the same everywhere, as near to the truth as promised, on gradients of random and of trained networks."""

from __future__ import annotations

import copy
import inspect
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from compute.demo.suite import demo_suite
from compute.demo.tokenizing import encode
from compute.errors import SimilarityError
from compute.numerics.checkpoints import load_checkpoint
from compute.numerics.gradients import gradient_rows
from compute.numerics.similarity import accumulate_cosines
from compute.numerics.sketch import N_TABLES, CountSketch, sketch_cosines, sketch_error, sketch_rows, stored_sketch
from tests.compute.numerics.networks import corpus_of

N_TOKENS = 120


def correlated_rows(n_rows: int = 40, n_entries: int = 3000, seed: int = 0) -> torch.Tensor:
    """Rows that share directions, with lengths over four orders of magnitude."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((3, n_entries))
    rows = rng.standard_normal((n_rows, 3)) @ shared + rng.standard_normal((n_rows, n_entries))
    return torch.from_numpy(rows * 10.0 ** rng.uniform(-2, 2, (n_rows, 1))).float()


def exact_cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return unit @ unit.T


def pairs(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.triu_indices(len(matrix), 1)]


@dataclass(frozen=True)
class Gradients:
    """Gradients (n, P), float32, and their exact cosines, signed and absolute, to 1e-6."""

    rows: torch.Tensor
    cosines: tuple[np.ndarray, ...]


@pytest.fixture(scope="module")
def gradients_by_weights() -> dict[str, Gradients]:
    """Of the demo suite's trained network and of random weights, on the text of two modules."""
    suite = demo_suite(is_checked=False)
    demo = load_checkpoint(suite.clustered_model.final)
    torch.manual_seed(0)
    random = GPTNeoXForCausalLM(GPTNeoXConfig(**{**demo.config.to_dict(), "num_hidden_layers": 2})).eval()
    texts = [
        inspect.getsource(module)[start : start + 200] for module in (copy, inspect) for start in range(0, 4000, 200)
    ]
    corpus = corpus_of(encode(texts, suite.folder))
    flat = np.linspace(0, corpus.n_predictions - 1, N_TOKENS).astype(np.int64)
    found = {}
    for name, model in (("random", random), ("trained", demo)):
        rows = gradient_rows(model, corpus, flat)[0].astype(np.float32)
        found[name] = Gradients(torch.from_numpy(rows), accumulate_cosines([rows]))
    return found


@pytest.mark.parametrize("weights", ["random", "trained"])
@pytest.mark.parametrize("size", [16_384, 65_536])
def test_cosines_of_sketched_gradients_keep_the_contract(gradients_by_weights, weights, size):
    given = gradients_by_weights[weights]
    sketches = CountSketch(given.rows.shape[1], size).apply(given.rows, absolute=True)
    promised = sketch_error(N_TOKENS, size)
    for sketched, truth in zip(sketches, given.cosines, strict=True):
        cosine, _ = accumulate_cosines([stored_sketch(sketched)], absolute=False)
        error = pairs(cosine - truth)
        assert math.sqrt((error**2).mean()) <= 1.1 * promised["rms"]
        assert np.abs(error).max() <= promised["largest"]


@pytest.mark.parametrize("weights", ["random", "trained"])
def test_the_sketch_is_unbiased_over_20_seeds(gradients_by_weights, weights):
    given, n, size = gradients_by_weights[weights], 20, 65_536
    truth = np.concatenate([pairs(cosine[:n, :n]) for cosine in given.cosines])
    products = []
    for seed in range(20):
        sketches = CountSketch(given.rows.shape[1], size, seed).apply(given.rows[:n], absolute=True)
        products.append(np.concatenate([pairs((sketch @ sketch.T).numpy()) for sketch in sketches]))
    errors = np.array(products) - truth
    sd = np.sqrt((1 + truth**2) / size)
    half = len(truth) // 2
    assert abs(errors[:, :half].mean()) <= 1e-3  # signed
    assert abs(errors[:, half:].mean()) <= 1e-3  # absolute
    assert (np.abs(errors.mean(0)) <= 4.5 * sd / math.sqrt(20)).all()
    assert math.sqrt((errors**2).mean()) <= 1.1 * math.sqrt((sd**2).mean())


def test_the_mean_error_of_one_default_sketch_is_below_1e_3(gradients_by_weights):
    given = gradients_by_weights["trained"]
    signed, _ = CountSketch(given.rows.shape[1]).apply(given.rows, absolute=False)
    cosine, _ = accumulate_cosines([stored_sketch(signed)], absolute=False)
    assert abs(pairs(cosine - given.cosines[0]).mean()) <= 1e-3


def test_dividing_by_the_sketches_own_lengths_errs_less_than_by_the_true_ones():
    rows, size = correlated_rows(60, 20_000).abs(), 1024
    truth = pairs(exact_cosines(rows.numpy()))
    assert truth.min() > 0.4
    sketch, _ = CountSketch(rows.shape[1], size).apply(rows, absolute=False)
    by_true = pairs((sketch @ sketch.T).numpy()) - truth
    by_own = pairs(accumulate_cosines([sketch.numpy()], absolute=False)[0]) - truth
    assert math.sqrt((by_own**2).mean()) < 0.75 * math.sqrt((by_true**2).mean())
    assert math.sqrt((by_own**2).mean()) == pytest.approx(math.sqrt(((1 - truth**2) ** 2 / size).mean()), rel=0.25)


@pytest.mark.parametrize("size", [4, 100, 8000])
def test_every_entry_has_one_bucket_and_no_two_of_a_block_share_it(size):
    n = min(4 * size, 400)
    sketch, _ = CountSketch(n, size, seed=3).apply(torch.eye(n), absolute=False)
    sketch = sketch.numpy()
    assert (np.abs(sketch).sum(1) == 1).all()
    buckets = np.abs(sketch).argmax(1)
    for first in range(0, n, size):
        assert len(set(buckets[first : first + size])) == len(buckets[first : first + size])


def test_two_entries_of_different_blocks_meet_once_in_size_seeds():
    meetings = 0
    for seed in range(400):
        sketch, _ = CountSketch(8, 4, seed).apply(torch.eye(8), absolute=False)
        meetings += int((sketch[:4].abs() @ sketch[4:].abs().T)[1, 2])
    assert meetings == pytest.approx(100, abs=30)  # 3.5 standard deviations


def test_blocks_that_share_a_table_still_have_buckets_and_signs_of_their_own():
    size, n = 4, 128
    ones = torch.zeros(2 * n, size * 2 * N_TABLES)
    chosen = torch.cat([torch.arange(n), N_TABLES + torch.arange(n)])
    ones[torch.arange(2 * n), chosen * size] = 1
    sketch, _ = CountSketch(ones.shape[1], size).apply(ones, absolute=False, norms=np.ones(2 * n))
    products = (sketch[:n] * sketch[n:]).sum(1)
    assert int((products != 0).sum()) == pytest.approx(n / size, abs=17)  # 3.5 standard deviations
    assert abs(int(products.sum())) < 20


def test_the_sketch_of_a_seed_is_the_same_in_every_release():
    rows = torch.arange(1.0, 9.0)[None]
    sketch = CountSketch(8, 3, seed=7)
    assert (sketch.apply(rows, absolute=False, norms=np.ones(1))[0]).tolist() == [[16.0, -3.0, -7.0]]


def test_the_absolute_sketch_is_the_sketch_of_absolute_values():
    rows = correlated_rows(5)
    sketch = CountSketch(rows.shape[1], 256)
    assert torch.equal(sketch.apply(rows, absolute=True)[1], sketch.apply(rows.abs(), absolute=False)[0])


def test_a_row_s_bits_do_not_depend_on_its_batch_or_the_number_of_threads():
    rows = correlated_rows(7, 100_000)
    sketch = CountSketch(rows.shape[1], 40_000)
    together = sketch.apply(rows, absolute=True)
    threads = torch.get_num_threads()
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            alone = [sketch.apply(row[None], absolute=True) for row in rows]
            for kind in range(2):
                assert torch.equal(together[kind], torch.cat([pair[kind] for pair in alone]))
    finally:
        torch.set_num_threads(threads)


def test_the_length_of_a_gradient_does_not_matter_and_its_rows_are_left_alone():
    rows = correlated_rows(4)
    before = copy.deepcopy(rows)
    sketch = CountSketch(rows.shape[1], 128)
    one, _ = sketch.apply(rows, absolute=False)
    other, _ = sketch.apply(8 * rows, absolute=False)
    assert torch.equal(one, other)
    assert torch.equal(rows, before)


def test_norms_that_are_known_give_the_same_sketch():
    rows = correlated_rows(4)
    sketch = CountSketch(rows.shape[1], 128)
    norms = np.linalg.norm(rows.double().numpy(), axis=1)
    assert torch.allclose(sketch.apply(rows, absolute=False)[0], sketch.apply(rows, absolute=False, norms=norms)[0])


def test_a_sketch_as_long_as_the_gradient_loses_nothing():
    rows = correlated_rows(10, 500)
    sketch, _ = CountSketch(500, 600).apply(rows, absolute=False)
    cosine, _ = accumulate_cosines([sketch.numpy()], absolute=False)
    assert np.abs(cosine - exact_cosines(rows.numpy())).max() < 1e-6


def test_a_gradient_of_zeros_has_a_sketch_of_zeros():
    rows = torch.zeros(2, 50)
    rows[1, 3] = -2
    sketch, _ = CountSketch(50, 8).apply(rows, absolute=False)
    assert not sketch[0].any()
    assert float(sketch[1].abs().sum()) == 1


def test_stored_sketches_are_halves_of_about_1_in_size():
    stored = stored_sketch(CountSketch(3000, 256).apply(correlated_rows(), absolute=False)[0])
    assert stored.dtype == np.float16
    assert np.sqrt((stored.astype(np.float64) ** 2).mean()) == pytest.approx(1, rel=0.1)


def test_a_row_that_is_not_a_number_is_named():
    rows = torch.ones(3, 20)
    rows[2, 5] = math.nan
    with pytest.raises(SimilarityError, match="gradient 2 is not a number"):
        CountSketch(20, 8).apply(rows, absolute=False)


@pytest.mark.parametrize("rows", [torch.ones(20), torch.ones(3, 19), torch.ones(3, 20, dtype=torch.float64)])
def test_rows_that_do_not_fit_are_refused(rows):
    with pytest.raises(SimilarityError, match="float32 gradients of 20 entries"):
        CountSketch(20, 8).apply(rows, absolute=False)


@pytest.mark.parametrize("given", [(0, 8, 0), (20, 0, 0), (20, 8, -1)])
def test_lengths_below_1_and_negative_seeds_are_refused(given):
    with pytest.raises(SimilarityError, match="at least"):
        CountSketch(*given)


def test_rows_in_half_precision_are_sketched_as_the_gradients_are(monkeypatch):
    rows, sketch = correlated_rows(7), CountSketch(3000, 256)
    expected = stored_sketch(sketch.apply(rows, absolute=False)[0])
    monkeypatch.setattr("compute.numerics.sketch.BATCH_BYTES", 4 * 3000 * 2)  # two at a time
    calls = []
    found = sketch_rows(sketch, rows.half(), progress=lambda: calls.append(1))
    assert found == pytest.approx(expected, abs=2e-2)
    assert found.dtype == np.float16
    assert len(calls) == 4


def test_cosines_of_sketches_are_those_of_unit_vectors():
    stored, few = np.array([[2, 0], [1, 1], [0, 0]], np.float16), np.array([[0, 3], [0, 0]], np.float32)
    assert sketch_cosines(stored, few) == pytest.approx(np.array([[0, 0.5**0.5, 0], [0, 0, 0]]), abs=1e-6)
    with pytest.raises(SimilarityError, match="cannot be compared"):
        sketch_cosines(stored, few[:, :1])


def test_errors_of_10_000_tokens_are_those_published():
    error = sketch_error(10_000, 65_536)
    assert error["rms"] == pytest.approx(0.0039, abs=1e-4)
    assert error["largest"] == pytest.approx(0.0237, abs=1e-4)
    with pytest.raises(SimilarityError, match="no pairs"):
        sketch_error(1)


def test_the_affinity_s_error_is_the_cosine_s_over_pi_and_falls_towards_1():
    size = 256
    rng = np.random.default_rng(0)
    errors = {}
    for cosine in (0.0, 0.95):
        one, noise = rng.standard_normal((2, 400, 4000))
        other = cosine * one + math.sqrt(1 - cosine**2) * noise
        truth = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
        sketch, _ = CountSketch(4000, size).apply(
            torch.from_numpy(np.concatenate([one, other])).float(), absolute=False
        )
        unit = sketch / sketch.norm(dim=1, keepdim=True)
        found = (unit[:400] * unit[400:]).sum(1).numpy()
        errors[cosine] = math.sqrt((((np.arccos(found) - np.arccos(truth)) / np.pi) ** 2).mean())
    assert errors[0.0] == pytest.approx(sketch_error(2, size)["affinity_rms"], rel=0.15)
    assert errors[0.95] == pytest.approx(math.sqrt(1 - 0.95**2) * errors[0.0], rel=0.2)


def test_the_steps_taken_on_a_gpu_give_the_processor_s_bits():
    rows, sketch = correlated_rows(5), CountSketch(3000, 256)
    of_device, of_processor = (torch.zeros(2, 5, 256) for _ in range(2))
    sketch._add_on_device(rows, list(of_device))
    sketch._add_on_processor(rows.numpy(), list(of_processor.numpy()))
    assert of_device.any()
    assert torch.equal(of_device, of_processor)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_sketches_on_a_gpu_are_those_of_the_processor():
    rows = correlated_rows(7, 100_000)
    norms = np.linalg.norm(rows.double().numpy(), axis=1)
    sketch = CountSketch(rows.shape[1], 4096)
    on_gpu = sketch.apply(rows.cuda(), absolute=True, norms=norms)
    for found, expected in zip(on_gpu, sketch.apply(rows, absolute=True, norms=norms), strict=True):
        assert torch.equal(found.cpu(), expected)

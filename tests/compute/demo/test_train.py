"""Training: killed and started again, it ends at the same weights."""

from __future__ import annotations

import json

import numpy as np
import pytest

from compute.demo import train
from compute.demo.recipe import MAX_LENGTH, Network, Recipe
from compute.demo.rows import training_rows

torch = pytest.importorskip("torch")
TINY = Network("tiny", 16, 1, 2, 1e-2)


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads of such small work wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def scratch(tmp_path):
    rng = np.random.default_rng(0)
    rows = training_rows([rng.integers(1, 50, 40).tolist() for _ in range(12)])
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "test_rows.npy", rows[:2])
    return tmp_path


def final_weights(folder) -> bytes:
    return (folder / "tiny" / "step4" / "model.safetensors").read_bytes()


def test_a_killed_training_goes_on_to_the_same_weights(scratch, monkeypatch):
    recipe = Recipe(steps=4, batch=2, warmup=2)
    train.train_network(TINY, recipe, scratch, scratch / "whole")
    (scratch / "tiny.pt").unlink()
    monkeypatch.setattr(train, "SAVE_EVERY", 2)
    real, steps = train._step, []

    def killed(*args):
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(train, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train.train_network(TINY, recipe, scratch, scratch / "resumed")
    monkeypatch.setattr(train, "_step", real)
    train.train_network(TINY, recipe, scratch, scratch / "resumed")
    assert final_weights(scratch / "resumed") == final_weights(scratch / "whole")


def test_weights_load_in_the_library_they_are_written_for(scratch):
    from compute.numerics.checkpoints import count_parameters, load_checkpoint

    model = train.build_network(TINY, seed=1)
    train.save_checkpoint(model, scratch / "saved")
    loaded = load_checkpoint(scratch / "saved")
    assert count_parameters(loaded).non_embedding == TINY.n_non_embedding
    for (name, a), b in zip(model.named_parameters(), loaded.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3, msg=name)


def test_only_whole_networks_are_listed(scratch):
    recipe = Recipe(steps=4)
    facts = {"train_sha256": "0" * 64, "documents": 12, "tokens": 480}
    train.write_suite(recipe, facts, scratch)
    listing = json.loads((scratch / "suite.json").read_text())
    assert listing["models"] == []
    assert listing["max_length"] == MAX_LENGTH

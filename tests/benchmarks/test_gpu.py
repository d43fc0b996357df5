"""The benchmark of one GPU, on toy shapes: that it runs, and that what it times is what the method computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.gpu import PREDICTIONS, Stopwatch, cosines_by_blocks, main, random_network, toy
from benchmarks.losses import pile_like
from compute.numerics.gradients import gradients


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("figures") / "figures.json"
    assert main(["--device", "cpu", "--quick", "--block-tokens", "25", "--json", str(file)]) == 0
    return json.loads(file.read_text())


def test_both_precisions_are_timed_and_scaled_to_all_predictions(facts: dict[str, Any]) -> None:
    assert ["bfloat16" in one["precision"] for one in facts["losses"]] == [False, True]
    for one in facts["losses"]:
        assert one["whole_s"] == pytest.approx(PREDICTIONS / one["per_second"])
    assert facts["losses_whole_s"] == pytest.approx(sum(one["whole_s"] for one in facts["losses"]))


def test_every_stage_of_the_quanta_has_its_seconds(facts: dict[str, Any]) -> None:
    stages = facts["quanta"]["stages_s"]
    assert facts["quanta"]["block_tokens"] == 25
    assert set(stages) == {
        "gradients held",
        "gradients passing",
        "products",
        "affinity",
        "eigenvectors",
        "k-means",
    }
    assert min(stages.values()) > 0
    assert sum(stages.values()) <= facts["quanta"]["whole_s"]


def test_cosines_by_blocks_are_those_of_the_gradients() -> None:
    scale, text = toy(), pile_like(10, 300)
    model = random_network(scale.sizes[scale.clustered], torch.device("cpu"))
    tokens = np.arange(0, text.n_predictions, text.n_predictions // 9)
    found = cosines_by_blocks(model, text, tokens, 4, Stopwatch(torch.device("cpu")))
    rows = np.stack(list(gradients(model, text, tokens))).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.abs(found[0] - rows @ rows.T).max() < 1e-4
    assert np.abs(found[1] - np.abs(rows) @ np.abs(rows).T).max() < 1e-4


def test_the_unembedding_alone_is_float32_where_the_body_is_not() -> None:
    model = random_network(toy().sizes["toy-16"], torch.device("cpu"), half=True)
    whole = [name for name, parameter in model.named_parameters() if parameter.dtype == torch.float32]
    assert whole == ["lm_head.weight"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--device", "cpu"], "add --quick"), (["--device", "cpu", "--quick", "--block-tokens", "0"], "at least 1")],
)
def test_what_cannot_be_run_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert said in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_it_runs_on_a_gpu_and_agrees_with_the_cpu(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    assert main(["--quick", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["quanta"]["peak_gib"] > 0

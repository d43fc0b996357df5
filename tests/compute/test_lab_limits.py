"""Settings that no worker could hold: each within its own limit, too much of them together."""

from __future__ import annotations

from typing import Any

import pytest

from compute.errors import ConfigError
from compute.labs import LABS


@pytest.mark.parametrize(
    ("kind", "wrong", "sentence"),
    [
        (
            "parity", {"n_tasks": 10_000, "n_bits": 4096, "widths": [16_384]},
            "1 networks that are trained together have 230,998,018 parameters; at most 200,000,000 are held at once.",
        ),
        (
            "parity", {"widths": [16_384], "n_tasks": 500, "n_bits": 100, "seeds": list(range(30)), "n_stacked": 30},
            "30 networks that are trained together have 296,386,620 parameters; at most 200,000,000",
        ),
        (
            "parity", {"n_bits": 4096, "samples": [100_000_000]},
            "The training sets of one piece of work take 51.4 GB; at most 8 GB are held at once.",
        ),
        (
            "parity", {"n_bits": 4096, "batch_size": 1_000_000},
            "Batches of 1,000,000 samples of 4,096 bits are 4,096,000,000 numbers; at most 2,000,000,000",
        ),
        (
            "parity", {"task_points": 1_000_000},
            "make up to 100,005,000 at every log; at most 20,000,000 are drawn.",
        ),
        (
            "parity-qdg", {"n_tasks": 100_000, "n_bits": 100, "width": 20_000},
            "A network of width 20,000 on 100,000 tasks and 100 bits has 2,002,000,000 parameters; at most 200,000,000",
        ),
        (
            "parity-qdg", {"n_bits": 10_000, "batch_size": 1_000_000},
            "Batches of 1,000,000 samples of 10,000 bits are 10,000,000,000 numbers; at most 2,000,000,000",
        ),
        (
            "parity-qdg", {"n_tasks": 100_000, "n_bits": 10_000, "subset_bits": 5_000, "width": 1},
            "100,000 tasks of 5,000 bits each are 500,000,000 numbers; at most 100,000,000 are held at once.",
        ),
        (
            "toy-qdg",
            {"n_subtasks": 2000, "largest": 2000, "exponents": [1], "n_seeds": 333, "ks": list(range(3441, 3501))},
            "999 draws, 60 numbers of clusters and up to 3,500 clusters make 209,790,000 sizes; at most 200,000,000",
        ),
        (
            "addition", {"modulus": 499, "width": 4096},
            "249,001 pairs and 4,096 neurons make 1,019,908,096 activations; at most 400,000,000 are held at once.",
        ),
    ],
)  # fmt: skip
def test_what_would_not_fit_is_refused_in_a_sentence(kind: str, wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        LABS[kind].read({"name": "large", **wrong})
    assert sentence in str(refused.value)

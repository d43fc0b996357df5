"""Cosines of token gradients by bergson: its collector in memory, without projection and with biases.

python -m benchmarks.peers.bergson_cosines FILE.npz [--batch N]

Its own forward pass computes every position's logits and takes the loss in float32.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from tempfile import TemporaryDirectory

import numpy as np
import torch
from bergson import CollectorComputer, GradientProcessor, IndexConfig, InMemoryCollector
from datasets import Dataset

from benchmarks.peers.given import BODY, IGNORED, arguments, cosines_of, read, tell


def main() -> None:
    options = arguments(__doc__)
    logging.disable(logging.INFO)
    given = read(options.file)
    model = given.network()
    model.get_input_embeddings().requires_grad_(True)  # as its own set-up does, so that a backward pass takes place
    texts = [[*context.tolist(), int(answer)] for context, answer in zip(given.contexts, given.answers, strict=True)]
    labels = [[IGNORED] * (len(text) - 1) + text[-1:] for text in texts]
    data = Dataset.from_dict({"input_ids": texts, "labels": labels, "length": [len(text) for text in texts]})
    batches = [list(range(*one.indices(len(texts)))) for one in given.batches(options.batch)]
    linears = {name.removeprefix(f"{BODY}.") for name in given.linears()}
    with TemporaryDirectory() as folder:
        config = IndexConfig(run_path=f"{folder}/run", include_bias=True)
        config.partial_run_path.mkdir()

        def find() -> np.ndarray:
            collector = InMemoryCollector(
                model=model.base_model,
                cfg=config,
                processor=GradientProcessor(include_bias=True),
                target_modules=linears,
                data=data,
            )
            CollectorComputer(model, data, collector=collector, batches=batches, cfg=config).run_with_collector_hooks()
            return cosines_of(torch.cat(list(collector.gradients.values()), dim=1))

        tell(f"bergson {version('bergson')}", given, find)


if __name__ == "__main__":
    main()

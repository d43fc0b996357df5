"""Cosines of token gradients by kronfluence: pairwise scores with the identity in the place of the Hessian.

python -m benchmarks.peers.kronfluence_cosines FILE.npz [--batch N]

It gives scores, not gradients, and computes each gradient once as a query and once for every batch of queries as a
training example; all tokens are therefore one batch of queries, and a token counts as two gradients.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from tempfile import TemporaryDirectory

import numpy as np
import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments
from kronfluence.task import Task
from torch import nn
from torch.utils.data import Dataset

from benchmarks.peers.given import BODY, Given, arguments, read, tell

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Losses(Task):
    """The loss at each example's target, summed over the batch."""

    def __init__(self, given: Given) -> None:
        self.linears = given.linears()

    def compute_train_loss(self, batch: Batch, model: nn.Module, sample: bool = False) -> torch.Tensor:
        tokens, positions, answers = batch
        tokens = tokens[:, : int(positions.max()) + 1]
        hidden = model.get_submodule(BODY)(input_ids=tokens, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[torch.arange(len(tokens)), positions])
        return nn.functional.cross_entropy(logits.double(), answers, reduction="sum").float()

    def compute_measurement(self, batch: Batch, model: nn.Module) -> torch.Tensor:
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self) -> list[str]:
        return self.linears


class Examples(Dataset):
    def __init__(self, given: Given) -> None:
        self.tensors = given.padded(slice(None))

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, place: int) -> Batch:
        return tuple(tensor[place] for tensor in self.tensors)


def main() -> None:
    options = arguments(__doc__)
    given = read(options.file)
    task, examples = Losses(given), Examples(given)
    model = prepare_model(given.network(), task)
    with TemporaryDirectory() as folder:
        analyzer = Analyzer(
            "cosines", model, task, cpu=True, disable_tqdm=True, log_level=logging.ERROR, output_dir=folder
        )
        analyzer.fit_all_factors("identity", examples, factor_args=FactorArguments(strategy="identity"))

        def find() -> np.ndarray:
            scores = analyzer.compute_pairwise_scores(
                "cosines",
                "identity",
                examples,
                examples,
                per_device_query_batch_size=len(examples),
                per_device_train_batch_size=options.batch,
                overwrite_output_dir=True,
            )
            products = (scores or analyzer.load_pairwise_scores("cosines"))["all_modules"].double().numpy()
            lengths = np.sqrt(np.diagonal(products))
            return products / lengths[:, None] / lengths

        tell(f"kronfluence {version('kronfluence')}", given, find, gradients_per_token=2)


if __name__ == "__main__":
    main()

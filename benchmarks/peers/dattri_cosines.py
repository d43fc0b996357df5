"""Cosines of token gradients by dattri: torch.func's vmap over grad of a loss, as its attributors call it.

python -m benchmarks.peers.dattri_cosines FILE.npz [--batch N]
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import torch
from dattri.task import AttributionTask

from benchmarks.peers.given import BODY, arguments, cosines_of, read, tell


def main() -> None:
    options = arguments(__doc__)
    given = read(options.file)
    model = given.network("eager")  # vmap falls back to a loop on fused attention: half as fast
    kept = set(given.parameters)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in kept)

    def loss(parameters: dict[str, torch.Tensor], example: tuple[torch.Tensor, ...]) -> torch.Tensor:
        tokens, position, answer = example
        body = {name.removeprefix(f"{BODY}."): p for name, p in parameters.items() if name.startswith(BODY)}
        settings = {"input_ids": tokens[None], "use_cache": False}
        hidden = torch.func.functional_call(model.get_submodule(BODY), body, (), settings).last_hidden_state
        logits = model.lm_head(hidden[0].index_select(0, position[None]))
        return torch.nn.functional.cross_entropy(logits.double(), answer[None]).float()

    task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
    layers = {"layer_name": given.parameters, "ckpt_idx": 0}
    gradients = task.get_grad_loss_func(in_dims=(None, 0), **layers)
    weights, _ = task.get_param(**layers)

    def find() -> np.ndarray:
        rows = [gradients(weights, given.padded(texts)).detach() for texts in given.batches(options.batch)]
        return cosines_of(torch.cat(rows))

    tell(f"dattri {version('dattri')}", given, find)


if __name__ == "__main__":
    main()

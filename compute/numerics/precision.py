"""In which number format what is computed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from compute.numerics.families import layer_modules, module_roles

HALVES = (torch.bfloat16, torch.float16)


@contextmanager
def full_products() -> Iterator[None]:
    """No float32 product with fewer bits, whatever the process has asked for."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)


@contextmanager
def float32_residuals(model: nn.Module) -> Iterator[None]:
    """Within this context a body of half precision adds up its layers in float32; another body is left alone.

    Parameters
    ----------
    model : nn.Module
        As `load_checkpoint` gives it.

    Notes
    -----
    Weights, matrix products and attention stay in half precision; normalisations and the sums that run through the
    network do not. Rounding these sums after every layer costs about as much accuracy again as rounding the weights.
    """
    roles = module_roles(model)
    body = model.get_submodule(roles.body)
    embeddings = [model.get_submodule(path) for path in roles.embeddings]
    dtype = model.get_parameter(f"{roles.embeddings[0]}.weight").dtype
    with ExitStack() as stack:
        if dtype in HALVES:
            for embedding in embeddings:
                stack.enter_context(_forward(embedding, lambda plain, *inputs: plain(*inputs).float()))
            for path in (*layer_modules(model, roles.layer_norms), roles.final_norm):
                norm = model.get_submodule(path)
                stack.enter_context(_forward(norm, partial(_without_autocast, copy.deepcopy(norm).float())))
            stack.enter_context(_forward(body, partial(_with_autocast, dtype)))
        yield


@contextmanager
def _forward(module: nn.Module, changed: Callable[..., Any]) -> Iterator[None]:
    """Within this context the module computes ``changed(its own forward, what it is given)``."""
    module.forward = partial(changed, module.forward)
    try:
        yield
    finally:
        del module.forward


def _without_autocast(exact: nn.Module, plain: Callable[..., torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return exact(x.float())


def _with_autocast(dtype: torch.dtype, plain: Callable[..., Any], *, input_ids: torch.Tensor, **settings: Any) -> Any:
    with torch.autocast(input_ids.device.type, dtype):
        return plain(input_ids=input_ids, **settings)

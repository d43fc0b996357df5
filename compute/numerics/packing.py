"""Linear maps whose weights lie in memory as this processor's matrix kernels want them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

MOST_PACKED_BYTES = 1 << 32  # of one network: the copies come on top of the weights
LinearMap = Callable[[torch.Tensor], torch.Tensor]


def linear_map(weight: torch.Tensor, bias: torch.Tensor | None, rows: int) -> LinearMap:
    """The map ``x @ weight.T + bias``, for evaluation only.

    Parameters
    ----------
    weight : Tensor of shape (n_out, n_in)
    bias : Tensor of shape (n_out,) or None
    rows : int
        How many rows x will have at a time, about; any other number works too.

    Returns
    -------
    callable
        From x of shape (..., n_in) to (..., n_out), in the dtype of ``weight``.

    Notes
    -----
    A plain product brings the weight into blocks of the kernel's shape at every call. oneDNN can do it once, which
    makes products of few rows as fast as those of many. Where it is not at hand, or the weight is not float32 on a
    CPU, the map is the plain product. Both sum in float32; they differ by rounding.
    """
    if not _can_be_packed(weight):
        return partial(linear, weight=weight, bias=bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


@contextmanager
def packed_linears(network: nn.Module, rows: int) -> Iterator[None]:
    """Within this context the linear layers of a network compute with packed copies of their weights.

    Parameters
    ----------
    network : nn.Module
    rows : int
        Tokens in one batch, about.

    Notes
    -----
    The copies take as much memory as the weights; layers beyond `MOST_PACKED_BYTES` keep the plain product. Weights
    changed meanwhile are not seen. Gradients do not pass.
    """
    room = MOST_PACKED_BYTES
    with ExitStack() as stack:
        for module in network.modules():
            if (
                isinstance(module, nn.Linear | Conv1D)
                and _can_be_packed(module.weight)
                and module.weight.nbytes <= room
            ):
                room -= module.weight.nbytes
                weight = module.weight.T if isinstance(module, Conv1D) else module.weight
                module.__dict__["forward"] = linear_map(weight, module.bias, rows)  # hooks still see the call
                stack.callback(delattr, module, "forward")
        yield


def _can_be_packed(weight: torch.Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )

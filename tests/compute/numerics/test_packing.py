"""Packed weights compute what plain ones do, and leave the network as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from compute.numerics.packing import linear_map, packed_linears


@pytest.mark.parametrize("shape", [(1, 5), (7, 5), (600, 5), (3, 4, 5)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_packed_map_agrees_with_float64(shape: tuple[int, ...], has_bias: bool) -> None:
    torch.manual_seed(0)
    weight, bias, x = torch.randn(11, 5), torch.randn(11) if has_bias else None, torch.randn(shape)
    found = linear_map(weight, bias, 64)(x)
    expected = nn.functional.linear(x.double(), weight.double(), None if bias is None else bias.double())
    assert found.shape == (*shape[:-1], 11)
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_number_formats_use_the_plain_product(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(11, 5).to(dtype), torch.randn(7, 5).to(dtype)
    assert torch.equal(linear_map(weight, None, 64)(x), nn.functional.linear(x, weight))


def test_a_network_computes_the_same_with_packed_weights_and_gets_its_own_back() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.GELU(), Conv1D(4, 8), nn.Linear(4, 3, bias=False)).requires_grad_(False)
    x, seen = torch.randn(20, 6), []
    handle = network[0].register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    expected = network(x)
    with packed_linears(network, 20):
        found = network(x)
        assert all("forward" in vars(network[i]) for i in (0, 2, 3))
    handle.remove()
    assert (found - expected).abs().max() < 1e-6
    assert seen == [(20, 8), (20, 8)]
    assert not any("forward" in vars(module) for module in network)
    with torch.no_grad():
        network[3].weight.zero_()
    assert not network(x).any()


def test_layers_beyond_the_memory_for_copies_keep_the_plain_product(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 2)).requires_grad_(False)
    monkeypatch.setattr("compute.numerics.packing.MOST_PACKED_BYTES", 4 * (48 + 16))
    with packed_linears(network, 20):
        assert ["forward" in vars(module) for module in network] == [True, False, True]

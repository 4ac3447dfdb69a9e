"""Modules on fake tensors: run without memory or computing, to see shapes and count."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode


def fake_copy(module: nn.Module, fake: FakeTensorMode) -> nn.Module:
    """A copy in evaluation mode whose parameters and buffers are fakes: no memory, no data."""
    tensors = [*module.parameters(), *module.buffers()]
    memo: dict[int, Any] = {id(tensor): fake.from_tensor(tensor) for tensor in tensors}
    return copy.deepcopy(module, memo).eval()


def reference_tensor(module: nn.Module) -> Tensor:
    """A tensor of the device and type that a module computes with."""
    return next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))


def fake_run(
    module: nn.Module, shapes: Iterable[tuple[int, ...]], *, like: Tensor
) -> tuple[Any, int]:
    """What a copy of a module gives for fakes of some shapes, and how many multiply-adds it takes.

    Counted are convolutions, linear layers and matrix products.

    Args:
        module: Any; it is left alone.
        shapes: One for each input.
        like: Has the inputs' device and type.

    Example:
        >>> given, multiply_adds = fake_run(nn.Linear(4, 8), [(1, 4)], like=torch.empty(0))
        >>> given.shape, multiply_adds
        (torch.Size([1, 8]), 32)
    """
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
        double = fake_copy(module, fake)
        inputs = [torch.empty(shape, device=like.device, dtype=like.dtype) for shape in shapes]
        with FlopCounterMode(display=False) as counter:
            given = double(*inputs)
    return given, counter.get_total_flops() // 2

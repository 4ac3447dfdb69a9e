"""No block of self-attention keeps or builds anything of the size of places by places."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from visattn.bench.steps import Stepper, peak_bytes
from visattn.blocks import block_entry


class Largest(TorchDispatchMode):
    """Values of the largest tensor that an operation gave."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = func(*args, **(kwargs or {}))
        tensors = (t for t in tree_iter(given) if isinstance(t, torch.Tensor))
        # an expanded one holds no more than what it was made of
        sizes = (t.numel() for t in tensors if 0 not in t.stride())
        self.values = max(self.values, *sizes, 0)
        return given


class Explicit(nn.Module):
    """With the weights."""

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        x = x.flatten(2)
        return x @ (x.transpose(1, 2) @ x).softmax(-1)


def measured(make, side):
    """Bytes kept, at the peak of a forward pass and of a step; the largest tensor of a step."""
    x = torch.randn(1, 16, side, side, requires_grad=True)
    stepper = Stepper(make(16), x)
    stepper.step()
    with Largest() as largest:
        stepper.step()
    forward = peak_bytes(stepper.forward, device=x.device)
    return stepper.kept_bytes(), forward, stepper.peak_bytes(), largest.values


def is_frugal(make, side=16):
    """Whether twice the side takes at most 10 times the memory: places by places take 16."""
    small, large = measured(make, side), measured(make, 2 * side)
    growth = [b / a for a, b in zip(small, large, strict=True)]
    return max(growth) < 10 and large[-1] < (2 * side) ** 4


@pytest.mark.parametrize(
    "name", ["mhsa", "local", "axial", "criss_cross", "aa", "nonlocal", "danet"]
)
def test_nothing_of_places_by_places(name):
    assert is_frugal(block_entry(name).factory)


def test_it_would_be_seen():
    assert not is_frugal(Explicit)

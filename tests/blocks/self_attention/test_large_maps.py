"""No weights between all places of a large map, forward and backward."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from visattn.blocks import (
    AugmentedConv,
    Axial,
    BilinearTransform,
    CrissCross,
    HaloAttention,
    Latents,
    LinearAttention,
    LocalSelfAttention,
    MultiHeadSelfAttention,
    NonLocal,
)
from visattn.testing import enliven

BLOCKS = {
    **{
        f"nonlocal {function}{' subsampled' if subsample else ''}": NonLocal(
            16, pairwise=function, subsample=subsample
        )
        for function in ("embedded_gaussian", "gaussian", "dot", "concatenation")
        for subsample in (False, True)
    },
    **{
        f"mhsa {position}": MultiHeadSelfAttention(16, position=position, size=(6, 6))
        for position in ("none", "sine", "learned", "relative")
    },
    "aa": AugmentedConv(16, heads=1, size=(6, 6)),
    "aa without positions": AugmentedConv(16, heads=1, relative=False),
    "axial": Axial(16),
    "axial with positions": Axial(16, position="learned", size=(6, 6)),
    "criss_cross": CrissCross(16),
    "local": LocalSelfAttention(16, heads=2),
    "halo": HaloAttention(16, heads=2),
    "bat": BilinearTransform(16),
    "linear": LinearAttention(16),
    "latents": Latents(16),
}


class Largest(TorchDispatchMode):
    """Numbers of the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return found


@pytest.mark.parametrize("name", BLOCKS)
def test_nothing_is_as_large_as_all_pairs(name):
    block = enliven(BLOCKS[name])
    side = 36
    x = torch.randn(1, 16, side, side, requires_grad=True)
    with Largest() as largest:
        block(x).square().sum().backward()
    assert x.grad.any()
    pairs = side**4 // (4 if "subsampled" in name else 1)
    assert largest.numbers < 0.5 * pairs, f"{largest.numbers} numbers, {pairs} pairs of places"

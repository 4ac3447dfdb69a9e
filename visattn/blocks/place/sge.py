"""Spatial group-wise enhance: in each group, places like the group's mean are strengthened."""

import math

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.gates import Gate, Init, check_init
from visattn.blocks.resampling import spread


class SpatialGroupEnhance(nn.Module):
    r"""Spatial group-wise enhance: in each group places like the group's mean are strengthened.

    In each group ``c_i = mean_hw(x) . x_i``, ``n_i = (c_i - mean(c)) / std(c)`` over the places,
    and ``y_i = x_i sigmoid(w n_i + b)``, w and b for each group.

    The paper divides by HW in the variance, the official code by HW - 1; here 1e-5 stands under
    the root, there beside it.

    Args:
        channels: C of the map.
        groups: 64 as in the paper's ResNets; fewer if they don't divide C.
        init: w starts at zero either way, and b at 1 with ``"paper"``, at 0 with ``"identity"``;
            see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``gate`` (N, C, H, W), the same for the channels of
        a group, in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in SpatialGroupEnhance(256).parameters())
        128

    Source: Li et al., Spatial Group-wise Enhance, arXiv:1905.09646, and its official code.
    """

    def __init__(self, channels: int, *, groups: int = 64, init: Init = "paper") -> None:
        super().__init__()
        check_init(init)
        check_numbers(channels=channels, groups=groups)
        self.groups = math.gcd(groups, channels)
        self.weight = nn.Parameter(torch.zeros(self.groups, 1, 1))
        self.bias = nn.Parameter(torch.full((self.groups, 1, 1), float(init == "paper")))
        self.gate = Gate("gate", init=init)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W)."""
        groups = x.unflatten(1, (self.groups, -1))
        alike = (groups * groups.mean((3, 4), keepdim=True)).sum(2)
        centred = alike - alike.mean((2, 3), keepdim=True)
        variance = centred.square().mean((2, 3), keepdim=True)
        logits = centred * (variance + 1e-5).rsqrt() * self.weight.to(x.dtype)
        return x * self.gate(spread(logits + self.bias.to(x.dtype), x.shape[1]))

    def extra_repr(self) -> str:
        """The groups, for printing."""
        return f"groups={self.groups}"

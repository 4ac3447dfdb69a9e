"""scSE: a gate for each channel beside a gate for each place."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_choice
from visattn.blocks.fused.choice import fusable
from visattn.blocks.gates import Gate, Init, check_init, reduced_channels, zero_

Combine = Literal["sum", "max"]


@fusable()
class SCSE(nn.Module):
    r"""Concurrent spatial and channel squeeze-and-excitation.

    With a channel gate ``c = sigmoid(W2 relu(W1 mean_hw(x) + b1) + b2)`` and a spatial gate
    ``s = sigmoid(w . x_i + b)`` at each place i, both from x, by ``combine``

    - ``"sum"``, the paper's: ``y = x c + x s``, computed as ``x * (c + s)``;
    - ``"max"``, the official code's: ``y = max(x c, x s)``.

    Args:
        channels: C of the map.
        reduction: The channel gate's hidden layer has ``C // reduction`` units, at least 1. The
            paper and its code use 2.
        combine: ``"sum"`` or ``"max"``, as above.
        init: With ``"identity"`` both gates' last layers start at zero. Gates of 1/2 do in the sum;
            for the maximum they are ``2 * sigmoid``, see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C) and ``spatial`` (N, H, W), each
        in (0, 1), or in (0, 2) with ``"max"`` and ``"identity"``.

    Raises:
        ValueError: A number is below 1, or a name is unknown.

    Example:
        >>> sum(p.numel() for p in SCSE(256).parameters())
        8721

    Source: Roy et al., Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional
    Networks, arXiv:1803.02579, and its official code.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        combine: Combine = "sum",
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_init(init)
        check_choice("combine", combine, get_args(Combine))
        hidden = reduced_channels(channels, reduction=reduction)
        self.combine = combine
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.activation = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.conv = nn.Conv2d(channels, 1, 1)
        factor: Init = "paper" if combine == "sum" else init  # in the sum 1/2 + 1/2 is 1
        self.channel = Gate("channel", init=factor)
        self.spatial = Gate("spatial", init=factor)
        if init == "identity":
            zero_(self.fc2, self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """Gate channels and places of (N, C, H, W), side by side."""
        pooled = x.mean((2, 3), keepdim=True)
        channel = self.channel(self.fc2(self.activation(self.fc1(pooled))))
        spatial = self.spatial(self.conv(x))
        if self.combine == "sum":
            return x * (channel + spatial)
        return torch.maximum(x * channel, x * spatial)

    def extra_repr(self) -> str:
        """How the two are combined, for printing."""
        return f"combine={self.combine!r}"

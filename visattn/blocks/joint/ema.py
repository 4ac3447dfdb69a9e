"""Efficient multi-scale attention: groups of channels, whose two branches read each other."""

import math

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeGroupNorm
from visattn.blocks.gates import Gate, Init, zero_
from visattn.blocks.resampling import spread


class EfficientMultiScaleAttention(nn.Module):
    r"""Efficient multi-scale attention: groups of channels, whose two branches read each other.

    In each group, with the same weights for all groups: ``u = GN(x * sigmoid(h) * sigmoid(w))``
    with ``[h, w] = conv1x1([mean_w(x), mean_h(x)])``, as in coordinate attention, and
    ``v = conv3x3(x)``. Each says by the softmax of its channels' means how to mix the channels of
    the other into one map, and ``y = x * sigmoid(softmax(mean u) . v + softmax(mean v) . u)``.

    Many copies apply one of the two softmaxes over the places, or name the block after an average
    over time.

    Args:
        channels: C of the map.
        groups: 8 as in the official code; fewer if they don't divide C.
        init: With ``"identity"`` the 3x3 convolution and the normalisation start at zero; see
            `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``gate`` (N, C, H, W), the same for the channels of
        a group, in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in EfficientMultiScaleAttention(256).parameters())
        10368

    Source: Ouyang et al., Efficient Multi-Scale Attention Module with Cross-Spatial Learning,
    arXiv:2305.13563, and its official code.
    """

    def __init__(self, channels: int, *, groups: int = 8, init: Init = "paper") -> None:
        super().__init__()
        check_numbers(channels=channels, groups=groups)
        self.groups = math.gcd(groups, channels)
        width = channels // self.groups
        self.conv1 = nn.Conv2d(width, width, 1)
        self.conv3 = nn.Conv2d(width, width, 3, padding=1)
        self.norm = SafeGroupNorm(width, width)
        self.gate = Gate("gate", init=init)
        if init == "identity":
            zero_(self.conv3, self.norm)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W)."""
        height, groups = x.shape[2], x.unflatten(1, (self.groups, -1)).flatten(0, 1)
        means = self.conv1(torch.cat((groups.mean(3), groups.mean(2)), 2).unsqueeze(3)).sigmoid()
        rows, columns = means[:, :, :height], means[:, :, height:].transpose(2, 3)
        narrow, wide = self.norm(groups * rows * columns), self.conv3(groups)
        logits = _mixed(narrow, wide) + _mixed(wide, narrow)
        logits = logits.unflatten(0, (-1, self.groups)).flatten(1, 2)
        return x * self.gate(spread(logits, x.shape[1]))

    def extra_repr(self) -> str:
        """The groups, for printing."""
        return f"groups={self.groups}"


def _mixed(asking: Tensor, asked: Tensor) -> Tensor:
    """One map (N, 1, H, W) of the channels of one, mixed by the means of the other."""
    shares = asking.mean((2, 3)).softmax(1).unsqueeze(1)
    return (shares @ asked.flatten(2)).unflatten(2, asked.shape[2:])

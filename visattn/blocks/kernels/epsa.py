"""Pyramid squeeze attention: convolutions of four sizes side by side, and their shares."""

import math

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.gates import reduced_channels
from visattn.blocks.taps import Tap

KERNELS, GROUPS = (3, 5, 7, 9), (1, 4, 8, 16)


class PyramidSqueezeAttention(nn.Module):
    r"""Pyramid squeeze attention: convolutions of four sizes side by side, and their shares.

    ``u_i = conv_i(x)``, each of C / 4 channels, with kernels of 3, 5, 7 and 9 and 1, 4, 8 and 16
    groups; ``z_i = sigmoid(W2 relu(W1 mean_hw(u_i)))``, with the same squeeze-and-excitation for
    all; ``y`` is the ``a_i u_i`` side by side, ``a = softmax_i(z_i)`` for each of the C / 4.

    It takes the place of a 3x3 convolution; as z is in (0, 1), no share exceeds 0.48.

    Args:
        channels: C of the map that it gives; where 4 doesn't divide it there are fewer kernels.
        in_channels: Of the map that it takes; ``channels`` if None.
        stride: Of the convolutions.
        reduction: The hidden layer has ``(C / 4) // reduction`` units, at least 1.

    Shapes:
        (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)). Recorded:
        ``channel`` (N, C), the shares, which sum to 1 over the kernels.

    Raises:
        ValueError: A number is below 1.

    Example:
        >>> PyramidSqueezeAttention(64, stride=2)(torch.randn(2, 64, 9, 6)).shape
        torch.Size([2, 64, 5, 3])

    Source: Zhang et al., EPSANet: An Efficient Pyramid Squeeze Attention Block, arXiv:2105.14447,
    and its official code.
    """

    stands = "instead"
    default_at = "conv"

    def __init__(
        self,
        channels: int,
        *,
        in_channels: int | None = None,
        stride: int = 1,
        reduction: int = 16,
    ) -> None:
        super().__init__()
        check_numbers(
            "PyramidSqueezeAttention", channels=channels, in_channels=in_channels, stride=stride
        )
        taken = in_channels or channels
        parts = math.gcd(4, channels)
        width = channels // parts
        hidden = reduced_channels(width, reduction=reduction)
        self.branches = nn.ModuleList(
            nn.Conv2d(
                taken, width, kernel, stride=stride, padding=kernel // 2,
                groups=math.gcd(groups, taken, width), bias=False,
            )
            for kernel, groups in zip(KERNELS[:parts], GROUPS, strict=False)
        )  # fmt: skip
        self.fc1 = nn.Conv2d(width, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, width, 1)
        self.tap = Tap("channel")

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        maps = torch.cat([branch(x) for branch in self.branches], 1)
        means = maps.mean((2, 3)).unflatten(1, (len(self.branches), -1)).flatten(0, 1)
        seen = self.fc2(self.fc1(means.unsqueeze(2).unsqueeze(3)).relu()).sigmoid()
        shares = seen.unflatten(0, (-1, len(self.branches))).softmax(1)
        return maps * self.tap(shares.flatten(1, 2))

"""Split attention: a convolution in several splits, and a choice between them."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import with_norm
from visattn.blocks.checks import check_groups, check_odd
from visattn.blocks.taps import Tap


class SplitAttention(nn.Module):
    r"""Split attention: a convolution in several splits, and a choice for each channel.

    ``u = relu(BN(conv(x)))`` has ``radix`` splits of C channels,
    ``z = relu(BN(W1 mean_hw(sum_r u_r)))`` and ``y = sum_r a_r u_r`` with ``a = softmax_r(W2 z)``
    for each channel, or a sigmoid for a single split. With ``groups``, the paper's cardinality, W1
    and W2 have as many.

    It takes the place of a 3x3 convolution and of the BN after it. ResNeSt averages before a stride
    instead of giving it to the convolution.

    Args:
        channels: C of the map that it gives.
        in_channels: Of the map that it takes; ``channels`` if None.
        stride: Of the convolution.
        dilation: Of the convolution.
        groups: The cardinality.
        kernel_size: Odd.
        radix: The number of splits. The convolution has ``groups * radix`` groups, or fewer where
            they don't divide the input.
        reduction: z has ``in_channels * radix // reduction`` units, at least 32.

    Shapes:
        (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)). Recorded:
        ``channel`` (N, C), the weight of the last split, in (0, 1).

    Raises:
        ValueError: A number is below 1, the kernel is even, or the groups don't divide the
            channels.

    Example:
        >>> SplitAttention(64, stride=2)(torch.randn(2, 64, 9, 6)).shape
        torch.Size([2, 64, 5, 3])

    Source: Zhang et al., ResNeSt: Split-Attention Networks, arXiv:2004.08955, and its code.
    """

    stands = "instead"
    brings_norm = True
    default_at = "conv"
    timm_names: ClassVar[dict[str, str]] = {
        "conv.": "conv.0.",
        "bn0.": "conv.1.",
        "fc1.": "reduce.0.",
        "bn1.": "reduce.1.",
        "fc2.": "select.",
    }

    def __init__(
        self,
        channels: int,
        *,
        in_channels: int | None = None,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        kernel_size: int = 3,
        radix: int = 2,
        reduction: int = 4,
    ) -> None:
        super().__init__()
        check_numbers(
            "SplitAttention",
            channels=channels, in_channels=in_channels, stride=stride, dilation=dilation,
            groups=groups, radix=radix, reduction=reduction,
        )  # fmt: skip
        check_odd(kernel_size)
        taken = in_channels or channels
        check_groups("SplitAttention", groups, taken=taken, given=channels)
        self.radix, self.groups = radix, groups
        self.conv = with_norm(
            nn.Conv2d(
                taken, channels * radix, kernel_size, stride=stride, dilation=dilation,
                padding=kernel_size // 2 * dilation, bias=False,
                groups=groups * math.gcd(radix, taken // groups),
            )
        )  # fmt: skip
        hidden = math.ceil(max(taken * radix // reduction, 32) / groups) * groups
        self.reduce = with_norm(nn.Conv2d(channels, hidden, 1, groups=groups))
        self.select = nn.Conv2d(hidden, channels * radix, 1, groups=groups)
        self.tap = Tap("channel")

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        splits = self.conv(x).unflatten(1, (self.radix, -1))
        logits = self.select(self.reduce(splits.mean((3, 4)).sum(1).unsqueeze(2).unsqueeze(3)))
        if self.radix == 1:
            return splits[:, 0] * self.tap(torch.sigmoid(logits))
        logits = logits.unflatten(1, (self.groups, self.radix, -1)).transpose(1, 2)
        shares = torch.softmax(logits, 1).flatten(2, 3)
        last = self.tap(shares[:, -1])
        return splits[:, -1] * last + (splits[:, :-1] * shares[:, :-1]).sum(1)

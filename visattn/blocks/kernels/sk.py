"""Selective kernel: two convolutions of different reach, and a choice between them."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import with_norm
from visattn.blocks.checks import check_groups
from visattn.blocks.gates import reduced_channels
from visattn.blocks.taps import Tap


class SelectiveKernel(nn.Module):
    r"""Selective kernel: two convolutions of different reach, and a choice for each channel.

    ``u_i = relu(BN(conv_i(x)))``, a 3x3 convolution and one of twice its dilation (a reach of
    5 x 5); ``z = relu(BN(W mean_hw(u_1 + u_2)))``; ``y = a_1 u_1 + a_2 u_2`` with
    ``a = softmax_i(W_i z)``, for each channel.

    It takes the place of a 3x3 convolution and of the BN after it: the branches bring their own.

    z has ``max(channels // reduction, least_hidden)`` units in the paper. timm rounds to a multiple
    of ``rd_divisor`` instead, and by default splits the input channels between the branches:

    ============================  =========  ==========  ===========
    \                             reduction  rd_divisor  split_input
    ============================  =========  ==========  ===========
    paper, SKNet-50               16         None        False
    timm ``skresnext50_32x4d``    16         32          False
    timm ``skresnet50``           16         8           True
    timm ``skresnet18``           8          16          True
    ============================  =========  ==========  ===========

    Args:
        channels: C of the map that it gives.
        in_channels: Of the map that it takes; ``channels`` if None.
        stride: Of both convolutions.
        dilation: Of the first convolution; the second has twice as much.
        groups: Of both convolutions.
        reduction: See above.
        least_hidden: See above; without meaning if ``rd_divisor`` is given.
        rd_divisor: Rounding of z's width, as in timm; None is the paper's.
        split_input: The first half of the input channels goes to the first convolution, the second
            half to the second.

    Shapes:
        (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)). Recorded:
        ``channel`` (N, C), the weight of the wider convolution, in (0, 1); the other's is 1 less
        it.

    Raises:
        ValueError: A number is below 1, the groups don't divide the channels, or the input can't be
            split.

    Example:
        >>> SelectiveKernel(128, groups=32, stride=2)(torch.randn(2, 128, 9, 6)).shape
        torch.Size([2, 128, 5, 3])

    Source: Li et al., Selective Kernel Networks, arXiv:1903.06586.
    """

    stands = "instead"
    brings_norm = True
    default_at = "conv"
    timm_names: ClassVar[dict[str, str]] = {
        "paths.0.conv.": "branches.0.0.",
        "paths.0.bn.": "branches.0.1.",
        "paths.1.conv.": "branches.1.0.",
        "paths.1.bn.": "branches.1.1.",
        "attn.fc_reduce.": "reduce.0.",
        "attn.bn.": "reduce.1.",
        "attn.fc_select.": "select.",
    }

    def __init__(
        self,
        channels: int,
        *,
        in_channels: int | None = None,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        reduction: int = 16,
        least_hidden: int = 32,
        rd_divisor: int | None = None,
        split_input: bool = False,
    ) -> None:
        super().__init__()
        check_numbers(
            "SelectiveKernel",
            channels=channels, in_channels=in_channels, stride=stride, dilation=dilation,
            groups=groups, reduction=reduction, least_hidden=least_hidden, rd_divisor=rd_divisor,
        )  # fmt: skip
        taken = in_channels or channels
        if split_input and taken % 2:
            raise ValueError(
                f"SelectiveKernel: split_input needs an even number of channels, got {taken}."
            )
        inputs = taken // 2 if split_input else taken
        check_groups("SelectiveKernel", groups, taken=inputs, given=channels)
        self.split_input = split_input
        self.branches = nn.ModuleList(
            with_norm(
                nn.Conv2d(
                    inputs, channels, 3, stride=stride, padding=reach, dilation=reach,
                    groups=groups, bias=False,
                )
            )
            for reach in (dilation, 2 * dilation)
        )  # fmt: skip
        hidden = _hidden(channels, reduction, least=least_hidden, divisor=rd_divisor)
        self.reduce = with_norm(nn.Conv2d(channels, hidden, 1, bias=False))
        self.select = nn.Conv2d(hidden, 2 * channels, 1, bias=False)
        self.tap = Tap("channel")

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        first, second = x.chunk(2, 1) if self.split_input else [x, x]
        near, far = self.branches[0](first), self.branches[1](second)
        pooled = near.mean((2, 3), keepdim=True) + far.mean((2, 3), keepdim=True)
        logits = self.select(self.reduce(pooled)).unflatten(1, (2, -1))
        of_near, of_far = torch.softmax(logits, 1).unbind(1)
        return near * of_near + far * self.tap(of_far)


def _hidden(channels: int, reduction: int, *, least: int, divisor: int | None) -> int:
    """Width of z: the paper's, or timm's rounding, which never takes more than a tenth away."""
    if divisor is None:
        return max(channels // reduction, least)
    rounded = reduced_channels(channels, reduction=reduction, rd_divisor=divisor)
    return rounded + divisor if rounded < 0.9 * (channels / reduction) else rounded

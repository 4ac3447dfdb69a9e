"""CBAM: a gate for each channel, then a gate for each place."""

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_choice
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.checks import check_odd
from visattn.blocks.fused.choice import fusable
from visattn.blocks.fused.formulas import ByMeanAndMax
from visattn.blocks.gates import Gate, Init, reduced_channels, zero_

Variant = Literal["official", "timm", "light"]


class ChannelGate(nn.Module):
    """Gate (N, C, 1, 1) from the mean and the maximum of each channel, by one shared MLP."""

    __constants__ = ("light",)
    light = False  # of blocks that were pickled without it

    def __init__(
        self, channels: int, *, reduction: int, variant: Variant = "official", init: Init
    ) -> None:
        super().__init__()
        bias = variant == "official"
        self.light = variant == "light"
        hidden = reduced_channels(channels, reduction=reduction)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.activation = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)
        self.gate = Gate("channel", init=init)
        if init == "identity":
            zero_(self.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to gates (N, C, 1, 1)."""
        return self.of_pooled(x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True))

    def of_pooled(self, mean: Tensor, highest: Tensor) -> Tensor:
        """Gates of means and maxima, all (N, C, 1, 1)."""
        if self.light:
            return self.gate(self.fc2(self.activation(self.fc1((mean + highest) / 2))))
        both = self.fc2(self.activation(self.fc1(torch.cat((mean, highest)))))
        of_mean, of_max = both.unflatten(0, (2, mean.shape[0])).unbind()
        return self.gate(of_mean + of_max)


class SpatialGate(nn.Module):
    """Gate (N, 1, H, W) from the mean and the maximum over the channels of each place."""

    __constants__ = ("light",)
    light = False  # of blocks that were pickled without it

    def __init__(self, *, kernel_size: int, variant: Variant, init: Init) -> None:
        super().__init__()
        check_odd(kernel_size)
        official = variant == "official"
        self.max_first = official
        self.light = variant == "light"
        planes = 1 if self.light else 2
        self.conv = nn.Conv2d(planes, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = SafeBatchNorm2d(1, momentum=0.01 if official else 0.1)
        self.gate = Gate("spatial", init=init)
        if official or init == "identity":
            nn.init.zeros_(self.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to gates (N, 1, H, W)."""
        return self.of_pooled(x.mean(1, keepdim=True), x.amax(1, keepdim=True))

    def of_pooled(self, mean: Tensor, highest: Tensor) -> Tensor:
        """Gates of means and maxima, all (N, 1, H, W)."""
        if self.light:
            return self.gate(self.bn(self.conv((mean + highest) / 2)))
        planes = (highest, mean) if self.max_first else (mean, highest)
        return self.gate(self.bn(self.conv(torch.cat(planes, 1))))


@fusable(ByMeanAndMax, channel=ChannelGate, spatial=SpatialGate)
class CBAM(nn.Module):
    r"""Convolutional block attention: channels first, places second.

    ``y = x * sigmoid(MLP(mean_hw(x)) + MLP(max_hw(x)))`` with one shared MLP, then
    ``y * sigmoid(BN(conv7x7([max_c(y), mean_c(y)])))``.

    Paper, official code and timm differ in details, and both kinds of checkpoint exist:

    =================  ================  ================
    \                  ``"official"``    ``"timm"``
    =================  ================  ================
    biases in the MLP  yes               no
    planes to the 7x7  [max, mean]       [mean, max]
    BN weight          starts at 0       starts at 1
    BN momentum        0.01              0.1
    =================  ================  ================

    ``"light"`` is timm's ``lcbam``: like ``"timm"``, but half the sum of mean and maximum goes once
    through the MLP, and as a single plane through the 7x7.

    Weights move between the first two by flipping the input planes of the 7x7 kernel.

    Args:
        channels: C of the map.
        reduction: The MLP's hidden layer has ``C // reduction`` units, at least 1.
        kernel_size: Of the spatial convolution, odd.
        variant: ``"official"``, ``"timm"`` or ``"light"``, as above.
        init: With ``"identity"`` the MLP's last layer and the BN weight start at zero; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C) and ``spatial`` (N, H, W), each
        in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is below 1, ``kernel_size`` is even, or a name is unknown.

    Example:
        >>> sum(p.numel() for p in CBAM(256).parameters())
        8564

    Source: Woo et al., CBAM: Convolutional Block Attention Module, arXiv:1807.06521, and its
    official code.
    """

    timm_names: ClassVar[dict[str, str]] = {
        "channel.": "channel.",
        "spatial.conv.conv.": "spatial.conv.",
        "spatial.conv.bn.": "spatial.bn.",
    }

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        kernel_size: int = 7,
        variant: Variant = "official",
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_choice("variant", variant, get_args(Variant))
        self.channel = ChannelGate(channels, reduction=reduction, variant=variant, init=init)
        self.spatial = SpatialGate(kernel_size=kernel_size, variant=variant, init=init)

    def forward(self, x: Tensor) -> Tensor:
        """Gate channels, then places, of (N, C, H, W)."""
        x = x * self.channel(x)
        return x * self.spatial(x)

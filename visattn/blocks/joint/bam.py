"""BAM: one gate from a channel branch and a dilated spatial branch."""

from typing import Literal, get_args

from torch import Tensor, nn

from visattn.basics.checks import check_choice, check_numbers
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.fused.choice import fusable
from visattn.blocks.fused.formulas import ByParts
from visattn.blocks.gates import Gate, Init, reduced_channels, zero_
from visattn.blocks.taps import Tap

Variant = Literal["paper", "official"]


@fusable(ByParts)
class BAM(nn.Module):
    r"""Bottleneck attention: one gate from a channel branch and a dilated spatial branch.

    ``y = x * (1 + sigmoid(Mc(x) + Ms(x)))``. ``Mc`` (N, C, 1, 1) is the mean over the places and
    two layers with a BN between them; ``Ms`` (N, 1, H, W) is a 1x1 reduction, two dilated 3x3
    convolutions and a 1x1 convolution to one plane.

    The paper adds the two (``"paper"``), its official code multiplies them (``"official"``); the
    parameters are the same. The official pooling is for square maps only; this one takes all.

    It stands between stages, not in every residual block.

    Args:
        channels: C of the map.
        reduction: Both branches are ``C // reduction`` wide inside, at least 1.
        dilation: Of the two 3x3 convolutions.
        variant: ``"paper"`` or ``"official"``, as above.
        init: With ``"identity"`` the gate's logits start at zero, see `Gate`: both branches' last
            layers with the sum; with the product only the channel branch's, or neither would learn.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C) and ``spatial_logits``
        (N, H, W), the two branches before the sigmoid, and ``gate`` (N, C, H, W), in (1, 2) or
        (0, 2).

    Raises:
        ValueError: A number is below 1, or a name is unknown.

    Example:
        >>> sum(p.numel() for p in BAM(256).parameters())
        17361

    Source: Park et al., BAM: Bottleneck Attention Module, arXiv:1807.06514, and its official code.
    """

    default_at = "stage"
    default_stages = (1, 2, 3)

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        dilation: int = 4,
        variant: Variant = "paper",
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_choice("variant", variant, get_args(Variant))
        check_numbers(dilation=dilation)
        hidden = reduced_channels(channels, reduction=reduction)
        self.variant = variant
        self.channel = ChannelBranch(channels, hidden=hidden)
        self.spatial = SpatialBranch(channels, hidden=hidden, dilation=dilation)
        self.gate = Gate("gate", init=init, residual=True)
        if init == "identity":
            zero_(self.channel.fc2)
            if variant == "paper":
                zero_(self.spatial.conv4)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W)."""
        return x * self.factor(*self.parts(x))

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of each channel (N, C, 1, 1), and of each place (N, 1, H, W)."""
        return self.channel(x), self.spatial(x)

    def factor(self, of_channel: Tensor, of_place: Tensor) -> Tensor:
        """The gate (N, C, H, W)."""
        logits = of_channel + of_place if self.variant == "paper" else of_channel * of_place
        return self.gate(logits)

    def extra_repr(self) -> str:
        """The variant, for printing."""
        return f"variant={self.variant!r}"


class ChannelBranch(nn.Module):
    """Logits (N, C, 1, 1) from the mean of each channel, by two layers."""

    def __init__(self, channels: int, *, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.bn = SafeBatchNorm2d(hidden)
        self.activation = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.tap = Tap("channel")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, C, 1, 1)."""
        pooled = x.mean((2, 3), keepdim=True)
        return self.tap(self.fc2(self.activation(self.bn(self.fc1(pooled)))))


class SpatialBranch(nn.Module):
    """Logits (N, 1, H, W) from a wide neighbourhood of each place, by two dilated convolutions."""

    def __init__(self, channels: int, *, hidden: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, hidden, 1)
        self.bn1 = SafeBatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)
        self.bn2 = SafeBatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)
        self.bn3 = SafeBatchNorm2d(hidden)
        self.conv4 = nn.Conv2d(hidden, 1, 1)
        self.activation = nn.ReLU(inplace=True)
        self.tap = Tap("spatial_logits")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, 1, H, W)."""
        x = self.activation(self.bn1(self.conv1(x)))
        x = self.activation(self.bn2(self.conv2(x)))
        x = self.activation(self.bn3(self.conv3(x)))
        return self.tap(self.conv4(x))

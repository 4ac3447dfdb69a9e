"""Channel prior convolutional attention: a channel gate, then depthwise strips of many lengths."""

from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.gates import Init, one_
from visattn.blocks.joint.cbam import ChannelGate
from visattn.blocks.taps import Tap

LENGTHS = (7, 11, 21)


class ChannelPriorAttention(nn.Module):
    r"""Channel prior convolutional attention: a channel gate, then depthwise strips of each length.

    ``u = x * sigmoid(MLP(mean_hw(x)) + MLP(max_hw(x)))``, CBAM's channel gate; with the depthwise
    ``v = dw5x5(u)``, ``y = u * W(v + sum_k dw_kx1(dw_1xk(v)))``, k of 7, 11 and 21 and W 1x1. What
    multiplies u is no sigmoid and may have any sign.

    This is the paper. The official code adds two sigmoids in the channel gate, and has the same 1x1
    convolution three times: before the gate, with a GELU, for the map, and after it.

    Args:
        channels: C of the map.
        reduction: The MLP's hidden layer has ``C // reduction`` units, at least 1.
        init: With ``"identity"`` the MLP's last layer starts at zero, see `Gate`, and the last
            convolution at zero with a bias of 1.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C), in (0, 1) or (0, 2), and
        ``gate`` (N, C, H, W), of any value.

    Raises:
        ValueError: A number is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in ChannelPriorAttention(256).parameters())
        127040

    Source: Huang et al., Channel prior convolutional attention for medical image segmentation,
    arXiv:2306.05196, and its official code.
    """

    def __init__(self, channels: int, *, reduction: int = 4, init: Init = "paper") -> None:
        super().__init__()
        check_numbers(channels=channels)
        self.channel = ChannelGate(channels, reduction=reduction, init=init)
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.strips = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, (1, k), padding=(0, k // 2), groups=channels),
                nn.Conv2d(channels, channels, (k, 1), padding=(k // 2, 0), groups=channels),
            )
            for k in LENGTHS
        )
        self.mix = nn.Conv2d(channels, channels, 1)
        self.tap = Tap("gate")
        if init == "identity":
            one_(self.mix)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W)."""
        x = x * self.channel(x)
        near = self.near(x)
        seen = near
        for strip in self.strips:
            seen = seen + strip(near)
        return x * self.tap(self.mix(seen))
